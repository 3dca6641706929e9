//! The binary: a command line in, an exit code out.
#![forbid(unsafe_code)]
// They panic where the output cannot be written: see console.rs.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod commands;
mod console;
mod preflight;
mod signals;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use starlink_telemetry::cli::Cli;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => commands::execute(cli),
        Err(other) => show(&other),
    }
}

/// Help, the version, or what is wrong with the command line.
fn show(answer: &clap::Error) -> ExitCode {
    let is_printed = answer.print().and_then(|()| io::stdout().flush()).is_ok();
    match u8::try_from(answer.exit_code()) {
        Ok(0) if !is_printed => ExitCode::FAILURE,
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

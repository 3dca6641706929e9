//! The binary: parses the command line and runs the command.
#![forbid(unsafe_code)]
// These macros panic if the output cannot be written; see console.rs.
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

/// Prints help, the version, or an error of the command line.
fn show(outcome: &clap::Error) -> ExitCode {
    let is_printed = outcome.print().and_then(|()| io::stdout().flush()).is_ok();
    match u8::try_from(outcome.exit_code()) {
        Ok(0) if !is_printed => ExitCode::FAILURE,
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

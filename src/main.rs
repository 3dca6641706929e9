//! The binary: a command line in, an exit code out.
#![forbid(unsafe_code)]

mod commands;

use std::process::ExitCode;

use clap::Parser;
use starlink_telemetry::cli::Cli;

fn main() -> ExitCode {
    commands::execute(Cli::parse())
}

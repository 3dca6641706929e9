//! The binary: a command line in, an exit code out.

use std::process::ExitCode;

use clap::Parser;
use starlink_telemetry::cli::Cli;
use starlink_telemetry::commands::execute;

fn main() -> ExitCode {
    execute(Cli::parse())
}

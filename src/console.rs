//! Writes the output of commands to stdout and stderr. A closed pipe or a full disk is an error, not a panic as with `println!`.

use std::fmt::Display;
use std::io::{self, Write};

use thiserror::Error;

/// The output of a command could not be written.
#[derive(Debug, Error)]
#[error("cannot write to stdout")]
pub struct StdoutError(#[from] io::Error);

/// Writes to stdout and flushes it.
///
/// # Errors
/// [`StdoutError`].
pub fn print(text: impl Display) -> Result<(), StdoutError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.to_string().as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Writes a line to stderr. Errors are ignored, because the exit code also reports the failure.
pub fn complain(text: impl Display) {
    // There is no other place to report this error.
    let _ = writeln!(io::stderr(), "{text}");
}

//! What commands say on stdout and stderr. A reader that is gone or a full disk is an error here, never a panic.

use std::fmt::Display;
use std::io::{self, Write};

use thiserror::Error;

/// The output of a command did not reach its reader.
#[derive(Debug, Error)]
#[error("cannot write to stdout")]
pub struct StdoutError(#[from] io::Error);

/// Writes to stdout, and sees that it arrives.
///
/// # Errors
/// [`StdoutError`].
pub fn print(text: impl Display) -> Result<(), StdoutError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.to_string().as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Writes a line to stderr. If that fails, the exit code still tells that something is wrong.
pub fn complain(text: impl Display) {
    // Nothing is left to tell it by.
    let _ = writeln!(io::stderr(), "{text}");
}

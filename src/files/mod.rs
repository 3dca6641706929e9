//! The one way in which files that an operator names are read.
//!
//! A path may lead to anything: a pipe, a device, a directory on a server that does not respond, a file that is being written. Therefore
//! each read
//!
//! - opens the path without blocking, and judges what was opened by its handle: only regular files are read, links are followed;
//! - stops at a bound;
//! - runs on a thread of its own, with a time limit. While a path hangs, no second attempt is made on it ([`Reader`]);
//! - drops a byte order mark.
//!
//! [`watch`] keeps a value that is made of files up to date.

mod open;
mod reader;
mod watch;

use std::io;
use std::time::Duration;

use thiserror::Error;

pub use self::reader::{FromFile, Reader, Seen};
pub use self::watch::{Change, Reloads, Trigger, Watched, watch};

/// The most bytes of a file that holds settings, certificates or the like.
pub const SMALL: u64 = 1 << 20;

/// After this time a read counts as failed, whatever becomes of it.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Why a file cannot be read; the texts continue the file's name.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system refuses to open or read it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is a directory, a pipe, a socket or a device.
    #[error("is not a regular file")]
    NotRegular,
    /// It is longer than its kind may be.
    #[error("is longer than {}", bytes(*.bound))]
    TooLong {
        /// The most bytes that are read.
        bound: u64,
    },
    /// Neither content nor an error came in time, now or at an earlier attempt that has not ended.
    #[error("cannot be read: no response within {} s", .limit.as_secs_f64())]
    Hangs {
        /// How long was waited.
        limit: Duration,
    },
    /// The system gives no thread to read it on.
    #[error("cannot be read: no thread can be started: {0}")]
    NoThread(io::Error),
    /// The thread that read it panicked.
    #[error("cannot be read: the reader failed")]
    Failed,
}

impl FileError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// A bound as people write it: in whole MiB or KiB, where it is.
fn bytes(count: u64) -> String {
    match count {
        0 => "0 bytes".to_owned(),
        mib if mib % (1 << 20) == 0 => format!("{} MiB", mib >> 20),
        kib if kib % (1 << 10) == 0 => format!("{} KiB", kib >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests;

//! Reads the files that settings name, and follows their changes. All such files are read by this module.
//!
//! A path may be a pipe, a device, a directory on a server that does not respond, or a file that is being written. Therefore each
//! read
//!
//! - opens the path without blocking, and checks the open handle: only regular files are read; links are followed;
//! - is limited in size;
//! - runs on its own thread, with a time limit. While a path hangs, it is not read again, and the time limit of others is shorter
//!   ([`FileReader`]);
//! - removes a byte order mark.
//!
//! [`watch`] keeps a value that is loaded from files up to date.

mod open;
mod reader;
mod watch;

use std::io;
use std::time::Duration;

use thiserror::Error;

pub use self::reader::{FileReader, FileStates, FromFile};
pub use self::watch::{Change, Reloads, Trigger, WatchOptions, error_text, watch};

/// The largest file of settings or certificates, in bytes.
pub const SMALL: u64 = 1 << 20;

/// A read that takes longer has failed.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Why a file cannot be read. The texts are meant to follow the path.
#[derive(Debug, Error)]
pub enum FileError {
    /// The operating system cannot open or read it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is a directory, a pipe, a socket or a device.
    #[error("is not a regular file")]
    NotRegular,
    /// It is longer than the limit.
    #[error("is longer than {}", bytes(*.bound))]
    TooLong {
        /// The most bytes that are read.
        bound: u64,
    },
    /// The read did not end in time, or an earlier read of this path has still not ended.
    #[error("cannot be read: the file system does not respond")]
    Hangs,
    /// No thread can be started to read it.
    #[error("cannot be read: no thread can be started: {0}")]
    NoThread(io::Error),
    /// The thread that read it panicked.
    #[error("cannot be read: the reading thread panicked")]
    Failed,
}

impl FileError {
    /// Whether the file does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Formats a size: in MiB or KiB if it is a multiple of them.
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

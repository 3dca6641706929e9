//! Locks the state file by a lock file, so that only one process writes it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tracing::warn;

use super::StateFile;

/// Why a process may not write the state file.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error(
        "STATE_FILE {} is in use by another process, which holds {}: give each instance a file of its own",
        .path.display().to_string().escape_debug(), .lock.display().to_string().escape_debug()
    )]
    InUse {
        /// The state file.
        path: PathBuf,
        /// The lock file next to it.
        lock: PathBuf,
    },
    /// The lock file cannot be created or opened.
    #[error("cannot open the lock file {}: {source}", .lock.display().to_string().escape_debug())]
    File {
        /// The lock file.
        lock: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The lock of a state file. While it exists, other processes cannot use the file.
#[derive(Debug)]
pub struct Lock {
    /// The operating system releases the lock when the file is closed.
    _file: File,
}

impl StateFile {
    /// Locks the file `<STATE_FILE>.lock`. If the file system does not support locks, only a warning is logged.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock(&self) -> Result<Lock, LockError> {
        let mut lock = self.path.clone().into_os_string();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let file = open(&lock).map_err(|source| LockError::File {
            lock: lock.clone(),
            source,
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = self.path.clone();
                return Err(LockError::InUse { path, lock });
            }
            Err(TryLockError::Error(error)) => {
                let lock = lock.display();
                warn!(%lock, %error, "cannot lock the state file: make sure that no other instance uses it");
            }
        }
        Ok(Lock { _file: file })
    }
}

/// Opens the lock file, or creates it. Does not follow links, and does not wait for the writer of a pipe.
fn open(path: &std::path::Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;

        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
        options.mode(0o600).custom_flags(flags.bits() as i32);
    }
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

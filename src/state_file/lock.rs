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
        /// The file beside it that is locked.
        lock: PathBuf,
    },
    /// The lock's file cannot be created or opened.
    #[error("cannot open the lock file {}: {source}", .lock.display().to_string().escape_debug())]
    File {
        /// The file.
        lock: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Keeps other processes from the state file for as long as it exists.
#[derive(Debug)]
pub struct Lock {
    /// The system releases the lock with the file.
    _file: File,
}

impl StateFile {
    /// Takes the lock of the file: `<STATE_FILE>.lock`. Where the file system knows no locks, a warning is all that happens.
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

/// Opens the lock's file, and creates it where there is none. Neither follows a link nor waits for a pipe.
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

//! Why the application cannot start.

use std::io;

use thiserror::Error;

use crate::account::NoThread;
use crate::http::ListenError;
use crate::journal::DirectoryError;
use crate::outgoing::TlsError;
use crate::state_file::LockError;

/// Why the application could not start.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The address or the port cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The web server cannot start.
    #[error("the web server cannot be started")]
    Serve(#[source] io::Error),
    /// TLS to Starlink cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// Another process holds the lock of the state file, or it cannot be locked.
    #[error("cannot use STATE_FILE")]
    StateFile(#[from] LockError),
    /// Another process uses the directory of the journals, or it cannot be used.
    #[error("cannot use JOURNAL_DIR")]
    Journal(#[from] DirectoryError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
    /// A thread cannot be started for an account.
    #[error(transparent)]
    Account(#[from] NoThread),
}

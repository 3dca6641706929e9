//! Checks at the start that enough threads can be started and enough files opened. Otherwise libraries would panic later, with
//! messages that do not name the limit.

use std::fs::File;
use std::io;
use std::sync::mpsc::channel;
use std::thread;

use thiserror::Error;

/// The threads that run soon after the start, except those of accounts: web server, store, reading of files.
const THREADS: usize = 16;

/// The files that are open soon after the start: event queues of threads, listeners, files that are being read.
const FILES: usize = 64;

/// The process may use too little of a resource.
#[derive(Debug, Error)]
pub enum ResourceError {
    /// Too few threads can be started.
    #[error(
        "cannot start: {needed} threads are needed, and only {given} can be started: raise the limit of processes (ulimit -u, pids limit of the container)"
    )]
    Threads {
        /// How many are needed.
        needed: usize,
        /// How many could be started.
        given: usize,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Too few files can be opened.
    #[error(
        "cannot start: {FILES} more files must be opened, and only {given} can be: raise the limit of open files (ulimit -n)"
    )]
    Files {
        /// How many could be opened.
        given: usize,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Starts the threads and opens the files, then releases them.
///
/// # Errors
/// [`ResourceError`].
pub fn check() -> Result<(), ResourceError> {
    files()?;
    threads(THREADS)
}

/// Starts the threads that this many accounts need, one for each, then ends them.
///
/// # Errors
/// [`ResourceError::Threads`].
pub fn check_accounts(accounts: usize) -> Result<(), ResourceError> {
    threads(THREADS + accounts)
}

fn threads(needed: usize) -> Result<(), ResourceError> {
    let mut threads = Vec::new();
    let mut outcome = Ok(());
    for given in 0..needed {
        // Each thread runs until its sender is dropped, so that all run at the same time.
        let (hold, held) = channel::<()>();
        let wait = move || {
            // Ends when the sender is dropped.
            let _ = held.recv();
        };
        match thread::Builder::new().spawn(wait) {
            Ok(thread) => threads.push((hold, thread)),
            Err(source) => {
                outcome = Err(ResourceError::Threads {
                    needed,
                    given,
                    source,
                });
                break;
            }
        }
    }
    for (hold, thread) in threads {
        drop(hold);
        // The thread cannot panic.
        let _ = thread.join();
    }
    outcome
}

fn files() -> Result<(), ResourceError> {
    let mut files = Vec::new();
    for given in 0..FILES {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            // Without /dev/null the check is skipped.
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(ResourceError::Files { given, source }),
        }
    }
    Ok(())
}

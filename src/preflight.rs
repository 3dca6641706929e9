//! Whether the system gives the service what it needs to start. The libraries below panic where it does not, in words for developers.

use std::fs::File;
use std::io;
use std::sync::mpsc::channel;
use std::thread;

use thiserror::Error;

/// So many threads run soon after the start: web server, actors, files that are read.
const THREADS: usize = 16;

/// So many files are open soon after the start: an event queue and its means to be woken for each thread, listeners, files that are read.
const FILES: usize = 64;

/// What the system does not give.
#[derive(Debug, Error)]
pub enum Shortage {
    /// Threads.
    #[error(
        "cannot start: {THREADS} threads are needed, and only {given} can be started: raise the limit of processes (ulimit -u, pids limit of the container)"
    )]
    Threads {
        /// How many there were.
        given: usize,
        /// What the system says.
        source: io::Error,
    },
    /// Open files.
    #[error(
        "cannot start: {FILES} more files must be opened, and only {given} can be: raise the limit of open files (ulimit -n)"
    )]
    Files {
        /// How many there were.
        given: usize,
        /// What the system says.
        source: io::Error,
    },
}

/// Takes what will be needed, and gives it back.
///
/// # Errors
/// [`Shortage`].
pub fn check() -> Result<(), Shortage> {
    files()?;
    threads()
}

fn threads() -> Result<(), Shortage> {
    let mut threads = Vec::new();
    let mut outcome = Ok(());
    for given in 0..THREADS {
        // Each of them stays until its sender is dropped, so that they are there at the same time.
        let (hold, held) = channel::<()>();
        let wait = move || {
            // Ends when the other side is dropped.
            let _ = held.recv();
        };
        match thread::Builder::new().spawn(wait) {
            Ok(thread) => threads.push((hold, thread)),
            Err(source) => {
                outcome = Err(Shortage::Threads { given, source });
                break;
            }
        }
    }
    for (hold, thread) in threads {
        drop(hold);
        // It does nothing that could panic.
        let _ = thread.join();
    }
    outcome
}

fn files() -> Result<(), Shortage> {
    let mut files = Vec::new();
    for given in 0..FILES {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            // Where there is no such file the limit stays unknown.
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Shortage::Files { given, source }),
        }
    }
    Ok(())
}

//! Runs blocking work on a new thread, so that it does not delay the pools that scrapes use.

use std::io;
use std::thread;

use thiserror::Error;
use tokio::sync::oneshot;

/// Why work on a thread has no result.
#[derive(Debug, Error)]
pub enum ThreadError {
    /// The thread cannot be started.
    #[error("no thread can be started")]
    NoThread(#[from] io::Error),
    /// The work panicked.
    #[error("the work on a thread failed")]
    Panicked,
}

/// Runs a job on a new thread, and waits for it without blocking.
///
/// # Errors
/// [`ThreadError`].
pub async fn in_thread<T: Send + 'static>(
    name: &str,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ThreadError> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // An error means that the result is not awaited any more.
            let _ = sender.send(job());
        })?;
    // A panic ends the thread, and drops the sender.
    receiver.await.map_err(|_| ThreadError::Panicked)
}

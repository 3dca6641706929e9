//! The log: formats tracing's events as lines of limited length, which a separate thread writes to stderr.
//!
//! Logging never blocks and never fails. Lines wait in a queue that is limited in bytes; lines that do not fit or cannot be written
//! are dropped and counted. Texts are redacted, escaped and cut. A call site that repeats the same event gives one line a minute.

mod fields;
mod layer;
mod line;
mod queue;
mod repeats;
mod writer;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::error;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Registry};

use self::layer::LogLayer;
use self::line::Format;
use self::queue::Queue;
use crate::config::{Log, LogFormat};
use crate::redaction::Redactor;
use crate::self_metrics::Counter;
use crate::time::Clock;

/// The size of the queue in bytes.
const QUEUED: usize = 1024 * 1024;

/// The log of the process.
#[derive(Debug)]
pub struct Logging {
    queue: Arc<Queue>,
}

/// Why logging cannot start.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The handle of stderr cannot be duplicated, or the thread cannot be started.
    #[error("cannot start the log writer")]
    Writer(#[from] io::Error),
    /// Logging was started before.
    #[error("logging is already started")]
    AlreadyStarted(#[from] SetGlobalDefaultError),
}

impl Logging {
    /// Starts logging to stderr for the whole process, including panics. Call it once, in a binary.
    /// `dropped` counts the lines that are dropped.
    ///
    /// # Errors
    /// [`LoggingError`].
    pub fn start(
        log: &Log,
        redactor: Redactor,
        dropped: Arc<Counter>,
    ) -> Result<Self, LoggingError> {
        let stderr = io::stderr();
        // A duplicated handle, because the standard library's has a lock, which a blocked writer would hold.
        let sink = File::from(stderr.as_fd().try_clone_to_owned()?);
        let format = match log.format {
            LogFormat::Text => Format::Text {
                is_coloured: stderr.is_terminal(),
            },
            LogFormat::Json => Format::Json,
        };
        let queue = Arc::new(Queue::new(QUEUED, dropped));
        let layer = LogLayer::new(format, redactor, Clock::system(), Arc::clone(&queue));
        // Leaves out the web server's lines about each of its threads and each malformed request, unless RUST_LOG includes them.
        let filter = format!("actix_server=warn,actix_http=off,{}", log.filter);
        let subscriber = Registry::default().with(EnvFilter::new(filter)).with(layer);
        tracing::subscriber::set_global_default(subscriber)?;
        writer::start(Arc::clone(&queue), sink)?;
        log_panics();
        Ok(Self { queue })
    }

    /// Waits until all lines are written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        self.queue.wait_until_written(limit);
    }
}

/// Logs every panic with its place in the source.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let error = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        log_panic(error, place);
    }));
}

/// Logs one panic. Panics of the same place count as the same event ([`layer::PLACE`]).
fn log_panic(error: &str, place: Option<String>) {
    let thread = std::thread::current();
    error!(error, place, thread = thread.name(), "panic");
}

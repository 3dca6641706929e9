//! The log: events become lines of bounded length, which a thread of its own writes to stderr.
//!
//! Logging never blocks and never fails what logs. A line waits in a queue that is bounded in bytes; what does not fit, or cannot
//! be written, is dropped and counted. Texts are redacted, escaped and cut before they become a part of a line, and a call site
//! that logs the same again and again gives one line a minute.

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

/// How many bytes of lines may wait to be written.
const QUEUED: usize = 1024 * 1024;

/// The log of the process, for as long as it runs.
#[derive(Debug)]
pub struct Logging {
    queue: Arc<Queue>,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// No handle of stderr, or no thread.
    #[error("cannot start the log writer")]
    Writer(#[from] io::Error),
    /// The process logs already.
    #[error("the process has a log already")]
    Twice(#[from] SetGlobalDefaultError),
}

impl Logging {
    /// Starts logging to stderr, for the whole process: to be called once, by a binary. Panics are logged too.
    /// `dropped` counts the lines that are lost.
    ///
    /// # Errors
    /// [`LoggingError`].
    pub fn start(
        log: &Log,
        redactor: Redactor,
        dropped: Arc<Counter>,
    ) -> Result<Self, LoggingError> {
        let stderr = io::stderr();
        // A handle of its own: that of the standard library has a lock, which a writer that is blocked would keep.
        let sink = File::from(stderr.as_fd().try_clone_to_owned()?);
        let format = match log.format {
            LogFormat::Text => Format::Text {
                is_coloured: stderr.is_terminal(),
            },
            LogFormat::Json => Format::Json,
        };
        let queue = Arc::new(Queue::new(QUEUED, dropped));
        let layer = LogLayer::new(format, redactor, Clock::system(), Arc::clone(&queue));
        // The web server reports each of its threads, and each malformed request: of interest only if asked for.
        let filter = format!("actix_server=warn,actix_http=off,{}", log.filter);
        let subscriber = Registry::default().with(EnvFilter::new(filter)).with(layer);
        tracing::subscriber::set_global_default(subscriber)?;
        writer::start(Arc::clone(&queue), sink)?;
        log_panics();
        Ok(Self { queue })
    }

    /// Waits until all lines are written, at most so long.
    pub fn flush(&self, limit: Duration) {
        self.queue.wait_until_written(limit);
    }
}

/// Has every panic logged with its place.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let error = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        log_panic(error, place);
    }));
}

/// Logs one panic. Those of one place say the same ([`layer::PLACE`]).
fn log_panic(error: &str, place: Option<String>) {
    let thread = std::thread::current();
    error!(error, place, thread = thread.name(), "panic");
}

//! Handles the signals of the process: end, reload, or ignore.

use std::io;
use std::sync::Arc;

use starlink_telemetry::files::Reloads;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// The handled signals. Without a handler, each of them would end the process immediately.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// The operating system refuses a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for SIGTERM, SIGINT or SIGQUIT, and returns its name. Meanwhile, SIGHUP reloads files; SIGUSR1 and SIGUSR2 are only logged.
    pub async fn handle(mut self, reloads: Arc<Reloads>) -> &'static str {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                _ = self.hang_up.recv() => {
                    info!(signal = "SIGHUP", "reloading files");
                    reloads.ask();
                    continue;
                }
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            info!(signal = ignored, "signal ignored");
        }
    }
}

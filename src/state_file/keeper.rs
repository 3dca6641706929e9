//! Writes the state file periodically, and at shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::Addr;
use thiserror::Error;
use tokio::sync::watch;
use tracing::{error, info};

use super::{Existing, StateFile, WriteError};
use crate::self_metrics::ProcessMetrics;
use crate::store::MetricsStoreActor;
use crate::store::messages::Freeze;
use crate::tasks::{Pulse, ThreadError, in_thread};
use crate::text::with_sources;
use crate::time::{Clock, unix_seconds};

/// The time limit of the store's reply. Without a reply in time, nothing is written until the next interval.
const STORE_LIMIT: Duration = Duration::from_secs(3);

/// The time limit of writing, after which the file system counts as not responding.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Why the state was not written.
#[derive(Debug, Error)]
enum SaveError {
    #[error("the store did not answer")]
    Store(#[from] actix::MailboxError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the file system has not responded for {} s", WRITE_LIMIT.as_secs())]
    Hangs,
    #[error(transparent)]
    Thread(#[from] ThreadError),
}

/// Writes the fleet to the state file. Failures are counted, and logged once.
#[derive(Debug)]
pub struct Keeper {
    /// The state file.
    pub file: StateFile,
    /// The interval.
    pub interval: Duration,
    /// The store that holds the fleet.
    pub store: Addr<MetricsStoreActor>,
    /// The fleet's clock.
    pub clock: Clock,
    /// The metrics of writing.
    pub metrics: Arc<ProcessMetrics>,
    /// Whether the existing file may hold a state that could not be read yet.
    pub is_unread: AtomicBool,
}

impl Keeper {
    /// Writes periodically until `last` is sent or dropped, then a last time.
    pub async fn run(&self, pulse: &Pulse, mut last: watch::Receiver<()>) {
        let mut is_failing = false;
        loop {
            let is_last = pulse
                .during(async {
                    tokio::select! {
                        () = self.clock.sleep(self.interval) => false,
                        _ = last.changed() => true,
                    }
                })
                .await;
            let saved = pulse.during(self.save(pulse, &mut is_failing)).await;
            self.report(&saved, pulse, &mut is_failing);
            if is_last {
                if saved.is_ok() {
                    info!(path = %self.file.path().display(), "state file saved");
                }
                return;
            }
        }
    }

    async fn save(&self, pulse: &Pulse, is_failing: &mut bool) -> Result<(), SaveError> {
        let frozen = self.store.send(Freeze).timeout(STORE_LIMIT).await?;
        let (file, now, wall) = (self.file.clone(), self.clock.now(), self.clock.wall());
        let existing = match self.is_unread.load(Ordering::Relaxed) {
            true => Existing::SetAside,
            false => Existing::Replaced,
        };
        let write = in_thread("state-file", move || {
            file.write(frozen, now, wall, existing)
        });
        let mut write = std::pin::pin!(write);
        let written = tokio::select! {
            written = &mut write => written,
            () = self.clock.sleep(WRITE_LIMIT) => {
                self.report(&Err(SaveError::Hangs), pulse, is_failing);
                // No concurrent second attempt.
                write.await
            }
        };
        written??;
        self.is_unread.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn report(&self, saved: &Result<(), SaveError>, pulse: &Pulse, is_failing: &mut bool) {
        let path = self.file.path().display();
        match saved {
            Ok(()) => {
                let now = unix_seconds(self.clock.corrected());
                self.metrics.state_last_write.set(now);
                pulse.obstacle(None);
                if std::mem::take(is_failing) {
                    info!(%path, "writing the state file succeeds again");
                }
            }
            Err(failure) => {
                self.metrics.state_write_failures.increment();
                let error = with_sources(failure);
                if !std::mem::replace(is_failing, true) {
                    error!(%path, error, "cannot write the state file");
                }
                pulse.obstacle(Some(error));
            }
        }
    }
}

//! Who writes the state file: every now and then, and once more at the end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::Addr;
use actix_rt::task::spawn_blocking;
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::{error, info};

use super::StateFile;
use crate::actors::MetricsStoreActor;
use crate::actors::messages::Freeze;
use crate::self_metrics::SelfMetrics;
use crate::text::with_sources;
use crate::time::{Clock, unix_seconds};

/// The store answers in time, or the state is written the next time.
const STORE_PATIENCE: Duration = Duration::from_secs(3);

/// Why the state was not written.
#[derive(Debug, Error)]
enum SaveError {
    #[error("the store did not answer")]
    Store(#[from] actix::MailboxError),
    #[error("the file system refuses it")]
    Write(#[from] io::Error),
    #[error("writing panicked")]
    Panic,
}

/// Writes the fleet to the state file. A failure stops nothing: it is told once, and counted.
#[derive(Debug)]
pub struct Keeper {
    /// Where to.
    pub file: StateFile,
    /// How often.
    pub interval: Duration,
    /// Whose fleet.
    pub store: Addr<MetricsStoreActor>,
    /// The fleet's clock.
    pub clock: Clock,
    /// Where it is counted.
    pub metrics: Arc<SelfMetrics>,
}

impl Keeper {
    /// Writes until `last` comes, then once more.
    pub async fn run(self, mut last: oneshot::Receiver<()>) {
        let mut is_failing = false;
        loop {
            let is_last = tokio::select! {
                () = actix_rt::time::sleep(self.interval) => false,
                _ = &mut last => true,
            };
            let saved = self.save().await;
            self.report(&saved, &mut is_failing);
            if is_last {
                return;
            }
        }
    }

    async fn save(&self) -> Result<(), SaveError> {
        let frozen = self.store.send(Freeze).timeout(STORE_PATIENCE).await?;
        let (file, now) = (self.file.clone(), self.clock.now());
        let write = move || file.write(frozen, now, SystemTime::now());
        spawn_blocking(write)
            .await
            .map_err(|_| SaveError::Panic)?
            .map_err(SaveError::Write)
    }

    fn report(&self, saved: &Result<(), SaveError>, is_failing: &mut bool) {
        let path = self.file.path().display();
        match saved {
            Ok(()) => {
                let now = unix_seconds(SystemTime::now());
                self.metrics.state_last_write.set(now);
                if std::mem::take(is_failing) {
                    info!(%path, "writing the state file succeeds again");
                }
            }
            Err(failure) => {
                self.metrics.state_write_failures.increment();
                if !std::mem::replace(is_failing, true) {
                    let error = with_sources(failure);
                    error!(%path, error, "cannot write the state file");
                }
            }
        }
    }
}

//! Sends what the exporter itself knows to a destination: its own metrics, which devices are online, names, accounts and the inventory. From
//! memory, at the time of the clock, best effort: nothing is kept for later.

mod making;
mod rounds;
mod senders;
mod sending;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::ArbiterHandle;
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};

use self::rounds::{LISTS, Rounds, STATES};
pub use self::senders::OwnSenders;
use self::sending::Sending;
use super::sender::ClientContext;
use super::status::DestinationStatus;
use crate::http::Sources;
use crate::tasks::{Pool, Supervised, Task};

/// The time limit of the markers that end all series.
const LAST: Duration = Duration::from_secs(1);

/// The tenants of accounts by name, for destinations with the tenant `account`. An account that is missing has its name as tenant.
pub type Tenants = ArcSwap<BTreeMap<Arc<str>, Arc<str>>>;

/// The options of an [`OwnSender`].
#[derive(Debug, Clone)]
pub struct OwnOptions {
    /// The destination, whose `own_metrics` is true.
    pub destination: Arc<DestinationStatus>,
    /// What scrapes show.
    pub sources: Sources,
    /// The tenants of the accounts.
    pub tenants: Arc<Tenants>,
    /// Makes and encodes sets.
    pub pool: Pool,
    /// What all clients share.
    pub client: ClientContext,
}

/// The sender of the exporter's own series to one destination. It ends when this is dropped.
#[derive(Debug)]
pub struct OwnSender {
    /// Set to true at the end.
    end: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl OwnSender {
    /// Starts a sender on a thread, once the old one of the destination has ended. It is restarted if it panics.
    #[must_use]
    pub fn start_after(old: Option<Self>, options: OwnOptions, arbiter: &ArbiterHandle) -> Self {
        let (end, is_over) = watch::channel(false);
        let (sender, ended) = oneshot::channel();
        // Spawning fails only when the thread has ended, which drops `sender`.
        arbiter.spawn_fn(move || {
            let restarts = &options.sources.metrics.task_restarts;
            let task = Supervised::new(Task::OwnMetrics, options.client.clock.clone(), restarts);
            actix_rt::spawn(async move {
                if let Some(old) = old {
                    old.finish().await;
                }
                task.run(|pulse| {
                    let (options, is_over) = (options.clone(), is_over.clone());
                    async move { pulse.during(run(options, is_over)).await }
                })
                .await;
                // An error means that the end is not awaited.
                let _ = sender.send(());
            });
        });
        Self { end, ended }
    }

    /// Ends all series with stale markers, for at most a second, and then the sender.
    pub async fn finish(self) {
        self.end.send_replace(true);
        // An error means that its thread has ended.
        let _ = self.ended.await;
    }
}

/// Sends sets until the end.
async fn run(options: OwnOptions, is_over: watch::Receiver<bool>) {
    let clock = options.client.clock.clone();
    let sending = Sending::new(options);
    let rounds = [STATES, LISTS].map(|kind| Rounds::new(kind, &sending));
    let rounds = join_all(rounds.map(|rounds| rounds.until(over(is_over.clone())))).await;
    let last = rounds.into_iter().map(Rounds::end);
    clock.timeout(LAST, join_all(last)).await;
}

/// Waits for the end.
async fn over(mut is_over: watch::Receiver<bool>) {
    // An error means that the sender was dropped, which is the end, too.
    let _ = is_over.wait_for(|is_over| *is_over).await;
}

//! Gives a request the current snapshot of the fleet.

use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::timeout;

use crate::fleet::{Lease, Snapshot};
use crate::store::Published;
use crate::supervise::ActorStatus;
use crate::time::{Clock, Moment};

/// Takes snapshots that the store has published, as long as the store responds.
#[derive(Debug)]
pub struct FleetReader {
    clock: Clock,
    published: Arc<Published>,
    /// The store's actor.
    store: Arc<ActorStatus>,
    limits: ReadLimits,
}

/// The time limit of the store.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// A request waits this long for a snapshot.
    pub wait: Duration,
    /// A snapshot of a store that has not responded for this long is out of date.
    pub silence: Duration,
}

impl FleetReader {
    /// Reads the snapshots of `store`.
    #[must_use]
    pub fn new(
        clock: Clock,
        published: Arc<Published>,
        store: Arc<ActorStatus>,
        limits: ReadLimits,
    ) -> Self {
        Self {
            clock,
            published,
            store,
            limits,
        }
    }

    /// How long a request waits for a snapshot.
    #[must_use]
    pub fn wait_limit(&self) -> Duration {
        self.limits.wait
    }

    /// The newest snapshot, which may be out of date.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<Snapshot>> {
        self.published.snapshot()
    }

    /// The current fleet; `None` if the store is busy or in restart backoff for too long, or hangs.
    pub async fn lease(&self) -> Option<Arc<Lease>> {
        let ReadLimits { wait, silence } = self.limits;
        let ran = self.clock.ran();
        if self.store.trouble(ran, silence).is_some() {
            return None;
        }
        // The store may take as long to remove old devices as to respond.
        let due = self.clock.elapsed().saturating_sub(silence);
        timeout(wait, self.published.lease(Moment::at(due)))
            .await
            .ok()
    }
}

//! The MetricsStoreActor: sole owner and writer of the fleet's state.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, ResponseFuture, Supervised};
use tokio::sync::oneshot;

use super::messages::{Apply, Heartbeat, Query};
use super::publisher::{Publication, Publisher};
use crate::clock::Clock;
use crate::fleet::{Fleet, Snapshot};
use crate::self_metrics::SelfMetrics;

/// How often devices are expired and memory freed while nobody scrapes.
const EXPIRE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Applies batches and answers queries with snapshots. The fleet survives its restart.
#[derive(Debug)]
pub struct MetricsStoreActor {
    fleet: Fleet,
    publisher: Publisher,
    clock: Clock,
    metrics: Arc<SelfMetrics>,
    /// The last batch of each account.
    applied: BTreeMap<usize, u64>,
    /// Queries that wait for the next snapshot.
    waiting: Vec<oneshot::Sender<Arc<Snapshot>>>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: super::faults::Armed,
}

impl MetricsStoreActor {
    /// The owner of a fleet.
    #[must_use]
    pub fn new(fleet: Fleet, clock: Clock, metrics: Arc<SelfMetrics>) -> Self {
        Self {
            fleet,
            publisher: Publisher::default(),
            clock,
            metrics,
            applied: BTreeMap::new(),
            waiting: Vec::new(),
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// Answers those who wait, or comes back when it may.
    fn publish(&mut self, context: &mut Context<Self>) {
        if self.waiting.is_empty() {
            return;
        }
        match self.publisher.publish(&mut self.fleet, self.clock.now()) {
            Publication::Ready(snapshot) => {
                for query in self.waiting.drain(..) {
                    // Whoever asked may have gone.
                    let _ = query.send(Arc::clone(&snapshot));
                }
            }
            Publication::Later(wait) => {
                context.run_later(wait, Self::publish);
            }
        }
    }
}

impl Supervised for MetricsStoreActor {}

impl Actor for MetricsStoreActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_start(context);
        context.run_interval(EXPIRE_EVERY, |store, _| {
            store.fleet.expire(store.clock.now());
        });
        self.publish(context);
    }
}

impl Handler<Heartbeat> for MetricsStoreActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<Apply> for MetricsStoreActor {
    type Result = ();

    fn handle(&mut self, message: Apply, _context: &mut Self::Context) {
        let Apply { batch, id, heard } = message;
        if self.applied.get(&id.account) == Some(&id.number) {
            return;
        }
        // All times of a batch are that of its answer: how long it took to get here is nobody's silence.
        self.fleet.expire(heard.to);
        let plan = self.fleet.plan(&batch, heard.to);
        #[cfg(feature = "fault-injection")]
        self.faults.on_message(_context);
        let tally = self.fleet.commit(&plan, heard);
        self.applied.insert(id.account, id.number);
        self.metrics.count(&tally);
    }
}

impl Handler<Query> for MetricsStoreActor {
    type Result = ResponseFuture<Arc<Snapshot>>;

    fn handle(&mut self, _: Query, context: &mut Self::Context) -> Self::Result {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        self.publish(context);
        Box::pin(async move {
            match receiver.await {
                Ok(snapshot) => snapshot,
                // The store is gone for good, and the process is about to end: the asker's time-out tells it so.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

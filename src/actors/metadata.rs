//! The MetadataActor: what the columns and codes of an answer mean.

use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult, Supervised};
use tracing::{info, warn};

use super::messages::{Heartbeat, Resolve};
use crate::self_metrics::SelfMetrics;
use crate::telemetry::SchemaCache;

/// Caches column maps and alert names by device type. The cache survives its restart.
#[derive(Debug)]
pub struct MetadataActor {
    cache: SchemaCache,
    /// Whether it was told that names are left out. Answers may change with every poll: once is enough.
    has_told: bool,
    metrics: Arc<SelfMetrics>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: super::faults::Armed,
}

impl MetadataActor {
    /// An actor that has seen no answer yet.
    #[must_use]
    pub fn new(metrics: Arc<SelfMetrics>) -> Self {
        Self {
            cache: SchemaCache::default(),
            has_told: false,
            metrics,
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }
}

impl Supervised for MetadataActor {}

impl Actor for MetadataActor {
    type Context = Context<Self>;

    #[cfg(feature = "fault-injection")]
    fn started(&mut self, context: &mut Self::Context) {
        self.faults.on_start(context);
    }
}

impl Handler<Heartbeat> for MetadataActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<Resolve> for MetadataActor {
    type Result = MessageResult<Resolve>;

    fn handle(&mut self, Resolve(metadata): Resolve, _context: &mut Self::Context) -> Self::Result {
        #[cfg(feature = "fault-injection")]
        self.faults.on_message(_context);
        let resolved = self.cache.resolve(metadata);
        for device_type in &resolved.changed {
            self.metrics.schema_changes.increment();
            info!(%device_type, "columns changed");
        }
        if !resolved.collisions.is_empty() {
            warn!(
                columns = ?resolved.collisions,
                "columns ignored: metric name already in use"
            );
        }
        if resolved.left_out > 0 && !self.has_told {
            self.has_told = true;
            let names = resolved.left_out;
            warn!(
                names,
                "columns, types or alerts ignored: too many or too long"
            );
        }
        MessageResult(resolved.schema)
    }
}

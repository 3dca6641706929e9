//! Decodes answers and applies them to a fleet, as the service does. The fuzz targets and the tests of the memory limits use it.

use std::time::Duration;

use starlink_telemetry::fleet::{Coverage, Fleet, FleetOptions};
use starlink_telemetry::telemetry::{Batch, SchemaCache, decode};
use starlink_telemetry::time::Moment;

/// A fleet, and the current time.
pub struct Pipeline {
    pub fleet: Fleet,
    pub schemas: SchemaCache,
    pub now: Moment,
}

impl Pipeline {
    /// A pipeline with an empty fleet, at the start of the clock.
    pub fn new(options: FleetOptions) -> Self {
        Self {
            fleet: Fleet::new(options),
            schemas: SchemaCache::default(),
            now: Moment::default(),
        }
    }

    /// Decodes and applies an answer, if it is valid.
    pub fn answer(&mut self, body: Vec<u8>) {
        let Ok((rows, metadata)) = decode(body) else {
            return;
        };
        let schema = self.schemas.resolve(&metadata).schema;
        drop(metadata);
        let Some(account) = self.fleet.account(&"default".into()) else {
            return;
        };
        let batch = Batch { rows, schema };
        let plan = self.fleet.plan(account, &batch, self.now, i64::MAX);
        let coverage = Coverage {
            to: self.now,
            covers: Duration::ZERO,
        };
        self.fleet.commit(&plan, coverage);
    }
}

//! When a new snapshot may be made, and who gets an old one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::fleet::{Fleet, Moment, Snapshot};

/// The longest time between two snapshots of a changing fleet.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// How much of that each device costs: a snapshot makes the next batch copy what it touches, which is nothing for a small
/// fleet and worth a second for a million devices.
const INTERVAL_PER_DEVICE: Duration = Duration::from_micros(1);

/// Hands out snapshots: each shows every batch that was acknowledged, at most two are alive, and a fleet that has not changed
/// gives the same one again.
#[derive(Debug, Default)]
pub struct Publisher {
    last: Weak<Snapshot>,
    before: Weak<Snapshot>,
    version: u64,
    made: Option<Moment>,
}

/// What a query gets.
#[derive(Debug)]
pub enum Publication {
    /// This snapshot.
    Ready(Arc<Snapshot>),
    /// A new one, this much later.
    Later(Duration),
}

impl Publisher {
    /// The fleet as it is, or how long to wait for it.
    pub fn publish(&mut self, fleet: &mut Fleet, now: Moment) -> Publication {
        fleet.expire(now);
        let last = self.last.upgrade();
        if let Some(last) = last {
            if fleet.version() == self.version || self.before.strong_count() > 0 {
                // Unchanged; or two are held by readers that take their time, and memory matters more than the last second.
                return Publication::Ready(last);
            }
            let age = self.made.map_or(Duration::MAX, |made| now.since(made));
            let interval = interval(fleet.capacity());
            if age < interval {
                return Publication::Later(interval - age);
            }
        }
        let snapshot = Arc::new(fleet.snapshot());
        self.before = std::mem::replace(&mut self.last, Arc::downgrade(&snapshot));
        self.version = fleet.version();
        self.made = Some(now);
        Publication::Ready(snapshot)
    }
}

fn interval(devices: usize) -> Duration {
    let devices = u32::try_from(devices).unwrap_or(u32::MAX);
    INTERVAL_PER_DEVICE
        .saturating_mul(devices)
        .min(LONGEST_INTERVAL)
}

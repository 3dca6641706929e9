//! When a new snapshot may be made, and who gets an old one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::fleet::{Fleet, Moment, Snapshot};

/// The longest time between two snapshots of a changing fleet.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// How much of that each device costs: a snapshot makes the next batch copy what it touches, which is nothing for a small
/// fleet and worth a second for a million devices.
const INTERVAL_PER_DEVICE: Duration = Duration::from_micros(1);

/// How many snapshots may be held at a time: the one that is read and the one that slow readers still have.
const MOST_HELD: usize = 2;

/// For how long slow readers may keep a new snapshot from being made. Memory matters, but not more than what is true.
const HELD_AT_MOST: Duration = Duration::from_secs(10);

/// Hands out snapshots. Each shows every batch that was acknowledged, and a fleet that has not changed gives the same one
/// again. Two may be held by readers; while they are, the younger is handed out, for ten seconds at most.
#[derive(Debug, Default)]
pub struct Publisher {
    /// All that are held, the youngest last.
    held: Vec<Weak<Snapshot>>,
    version: u64,
    made: Moment,
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
        let youngest = self.held.last().and_then(Weak::upgrade);
        self.held.retain(|snapshot| snapshot.strong_count() > 0);
        if let Some(youngest) = youngest {
            let age = now.since(self.made);
            let are_held = self.held.len() >= MOST_HELD && age < HELD_AT_MOST;
            if fleet.version() == self.version || are_held {
                return Publication::Ready(youngest);
            }
            let interval = interval(fleet.capacity());
            if age < interval {
                return Publication::Later(interval - age);
            }
        }
        let snapshot = Arc::new(fleet.snapshot());
        self.held.push(Arc::downgrade(&snapshot));
        self.version = fleet.version();
        self.made = now;
        Publication::Ready(snapshot)
    }
}

fn interval(devices: usize) -> Duration {
    let devices = u32::try_from(devices).unwrap_or(u32::MAX);
    INTERVAL_PER_DEVICE
        .saturating_mul(devices)
        .min(LONGEST_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Coverage, FleetOptions, Retention};
    use crate::telemetry::{Batch, SchemaCache, decode};

    /// A fleet that changes when it is told to, and its publisher.
    struct World {
        fleet: Fleet,
        publisher: Publisher,
        now: u64,
    }

    impl World {
        fn new() -> Self {
            let long = Duration::from_secs(86400);
            Self {
                fleet: Fleet::new(FleetOptions {
                    include_routers: false,
                    location: true,
                    retention: Retention {
                        stale_after: long,
                        ip_stale_after: long,
                        forget_after: long,
                    },
                }),
                publisher: Publisher::default(),
                now: 0,
            }
        }

        fn change(&mut self) {
            let body = br#"{"data":{"values":[["u",1,"a"]],
                "columnNamesByDeviceType":{"u":["DeviceType","UtcTimestampNs","DeviceId"]}}}"#;
            let (rows, metadata) = decode(body.to_vec()).unwrap();
            let schema = SchemaCache::default().resolve(metadata).schema;
            let now = Moment::from_millis(self.now);
            let plan = self.fleet.plan(&Batch { rows, schema }, now);
            let coverage = Coverage { from: now, to: now };
            self.fleet.commit(&plan, coverage);
        }

        /// What a query gets so many milliseconds after the last one.
        fn after(&mut self, millis: u64) -> Publication {
            self.now += millis;
            let now = Moment::from_millis(self.now);
            self.publisher.publish(&mut self.fleet, now)
        }

        fn ready_after(&mut self, millis: u64) -> Arc<Snapshot> {
            match self.after(millis) {
                Publication::Ready(snapshot) => snapshot,
                Publication::Later(wait) => panic!("{wait:?} too early"),
            }
        }
    }

    #[test]
    fn an_unchanged_fleet_gives_the_same_snapshot() {
        let mut world = World::new();
        world.change();
        let first = world.ready_after(1);
        assert!(Arc::ptr_eq(&first, &world.ready_after(100_000)));
    }

    #[test]
    fn a_changed_fleet_gives_a_new_one_when_the_interval_is_over() {
        let mut world = World::new();
        world.change();
        let first = world.ready_after(1);
        world.change();
        // One block of 256 devices: 256 µs, which is less than the clock's millisecond.
        assert!(
            matches!(world.after(0), Publication::Later(wait) if wait == Duration::from_micros(256))
        );
        assert!(!Arc::ptr_eq(&first, &world.ready_after(1)));
        drop(first);
        world.change();
        world.ready_after(0);
    }

    #[test]
    fn slow_readers_hold_two_snapshots_and_not_for_ever() {
        let mut world = World::new();
        world.change();
        let slow = world.ready_after(1);
        world.change();
        let slower = world.ready_after(1);
        world.change();
        assert!(Arc::ptr_eq(&slower, &world.ready_after(9_999)));
        let fresh = world.ready_after(1);
        assert!(!Arc::ptr_eq(&slower, &fresh));
        drop(slow);
        drop(slower);
        world.change();
        assert!(!Arc::ptr_eq(&fresh, &world.ready_after(1)));
    }

    #[test]
    fn the_interval_grows_with_the_fleet() {
        for (devices, millis) in [
            (0, 0),
            (1000, 1),
            (65_000, 65),
            (1_000_000, 1000),
            (usize::MAX, 1000),
        ] {
            assert_eq!(interval(devices), Duration::from_millis(millis));
        }
    }
}

//! The place where the store lays its snapshots out, and where scrapes find them.
//!
//! Scrapes send the store no message and take no lock: however many there are, none stands between the poll and the store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::fleet::{Fleet, Snapshot};
use crate::time::Moment;

/// How many snapshots scrapes may hold of a fleet however large: each may make a copy of it necessary.
const LEAST_HELD: usize = 2;

/// Of smaller fleets they may hold more, with so many devices in all of them together: some tens of megabytes.
const HELD_DEVICES: usize = 128 * 1024;

/// How many snapshots of any fleet.
const MOST_HELD: usize = 64;

/// For how long slow scrapes may keep a new snapshot from being laid out. Memory matters, but not more than what is true.
const HELD_AT_MOST: Duration = Duration::from_secs(10);

/// How soon to look whether slow scrapes have come to their end.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The snapshot that a scrape takes. Empty for the moments in which the store writes.
#[derive(Debug, Default)]
pub struct Published {
    current: ArcSwapOption<Snapshot>,
    laid_out: Notify,
}

impl Published {
    /// The fleet as it is. Waits while the store writes.
    pub async fn snapshot(&self) -> Arc<Snapshot> {
        loop {
            let mut laid_out = std::pin::pin!(self.laid_out.notified());
            // Listens before it looks: what is laid out in between is noticed.
            laid_out.as_mut().enable();
            if let Some(snapshot) = self.current.load_full() {
                return snapshot;
            }
            laid_out.await;
        }
    }

    /// Lays out an empty fleet, for tests of what reads it.
    #[cfg(test)]
    pub fn put_empty(&self) {
        self.put(Arc::default());
    }

    fn put(&self, snapshot: Arc<Snapshot>) {
        self.current.store(Some(snapshot));
        self.laid_out.notify_waiters();
    }
}

/// Lays out snapshots, for the store. A fleet that has not changed gives no new one.
///
/// A snapshot shares the fleet's blocks, and a block that is shared is copied when it is written to. So the snapshot is taken
/// back before each batch: one that nobody reads costs nothing. Scrapes may hold two, of small fleets more; while they do, the
/// youngest stays laid out, for ten seconds at most.
#[derive(Debug)]
pub struct Publisher {
    published: Arc<Published>,
    /// The snapshots that were in use when they were taken back.
    held: Vec<Weak<Snapshot>>,
    version: u64,
    made: Moment,
}

impl Publisher {
    /// Nothing is laid out yet.
    #[must_use]
    pub fn new(published: Arc<Published>) -> Self {
        Self {
            published,
            held: Vec::new(),
            version: 0,
            made: Moment::default(),
        }
    }

    /// To be called before the fleet is written to. Scrapes then wait until [`Publisher::publish`] is called.
    pub fn take_back(&mut self, now: Moment) {
        let current = self.published.current.swap(None);
        self.held.retain(|held| held.strong_count() > 0);
        let Some(current) = current else {
            return;
        };
        let readers = Arc::downgrade(&current);
        if let Err(current) = Arc::try_unwrap(current) {
            let must_wait = self.held.len() + 1 >= most_held(current.devices());
            if must_wait && now.since(self.made) < HELD_AT_MOST {
                self.published.put(current);
            } else {
                self.held.push(readers);
            }
        }
    }

    /// To be called when the fleet has been written to, and at the moment that it returned last. Lays the fleet out as it is,
    /// unless slow scrapes are in the way: gives how soon to try again then.
    pub fn publish(&mut self, fleet: &Fleet, now: Moment) -> Option<Duration> {
        let is_laid_out = self.published.current.load().is_some();
        if is_laid_out && self.version == fleet.version() {
            return None;
        }
        self.take_back(now);
        if self.published.current.load().is_some() {
            return Some(LOOK_AGAIN);
        }
        self.version = fleet.version();
        self.made = now;
        self.published.put(Arc::new(fleet.snapshot()));
        None
    }
}

/// How many snapshots of a fleet of so many devices scrapes may hold.
fn most_held(devices: usize) -> usize {
    (HELD_DEVICES / devices.max(1)).clamp(LEAST_HELD, MOST_HELD)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::fleet::{Coverage, FleetOptions, Limits, Retention};
    use crate::telemetry::{Batch, FieldFilter, SchemaCache, decode};

    /// A fleet that changes when it is told to, and what is laid out of it.
    struct World {
        fleet: Fleet,
        publisher: Publisher,
        published: Arc<Published>,
        now: u64,
    }

    impl World {
        fn new() -> Self {
            let long = Duration::from_secs(86400);
            let published = Arc::new(Published::default());
            Self {
                fleet: Fleet::new(FleetOptions {
                    include_routers: false,
                    fields: FieldFilter::EVERYTHING,
                    retention: Retention {
                        stale_after: long,
                        ip_stale_after: long,
                        forget_after: long,
                    },
                    limits: Limits {
                        earliest: 0,
                        ..Limits::STANDARD
                    },
                }),
                publisher: Publisher::new(Arc::clone(&published)),
                published,
                now: 0,
            }
        }

        /// So many milliseconds later a batch comes, of one row with this timestamp. How soon to try again, if so.
        fn change(&mut self, after: u64, timestamp: u64) -> Option<Duration> {
            self.now += after;
            let body = format!(
                r#"{{"data":{{"values":[["u",{timestamp},"a"]],
                "columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId"]}}}}}}"#
            );
            let (rows, metadata) = decode(body.into()).unwrap();
            let schema = SchemaCache::default().resolve(&metadata).schema;
            let now = Moment::from_millis(self.now);
            let plan = self.fleet.plan(&Batch { rows, schema }, now, i64::MAX);
            self.publisher.take_back(now);
            let coverage = Coverage { from: now, to: now };
            self.fleet.commit(&plan, coverage);
            self.publisher.publish(&self.fleet, now)
        }

        fn publish_after(&mut self, millis: u64) -> Option<Duration> {
            self.now += millis;
            let now = Moment::from_millis(self.now);
            self.publisher.publish(&self.fleet, now)
        }

        /// What a scrape gets.
        fn scrape(&self) -> Arc<Snapshot> {
            self.published.current.load_full().unwrap()
        }
    }

    #[test]
    fn what_has_not_changed_is_not_laid_out_again() {
        let mut world = World::new();
        world.publish_after(0);
        let empty = Arc::downgrade(&world.scrape());
        world.publish_after(100_000);
        assert_eq!(world.scrape().version, 0);
        assert!(empty.upgrade().is_some());
        world.change(1, 5);
        let version = world.scrape().version;
        assert_ne!(version, 0);
        world.change(1, 5);
        assert_eq!(
            world.scrape().version,
            version,
            "the same row shows the same"
        );
        world.change(1, 6);
        assert_ne!(world.scrape().version, version);
    }

    #[test]
    fn a_snapshot_that_nobody_reads_costs_no_copy() {
        let mut world = World::new();
        world.change(1, 1);
        let block = |world: &World| Arc::as_ptr(&world.scrape().tables[0].blocks[0]);
        let before = block(&world);
        world.change(1, 2);
        assert_eq!(block(&world), before);
        let read = world.scrape();
        world.change(1, 3);
        assert_ne!(block(&world), before);
        assert_eq!(Arc::as_ptr(&read.tables[0].blocks[0]), before);
    }

    #[test]
    fn the_larger_the_fleet_the_fewer_of_its_snapshots_may_be_held() {
        for (devices, expected) in [
            (0, 64),
            (2048, 64),
            (10_000, 13),
            (65_000, 2),
            (1_000_000, 2),
        ] {
            assert_eq!(most_held(devices), expected, "{devices}");
        }
    }

    #[test]
    fn slow_scrapes_hold_so_many_snapshots_and_not_for_ever() {
        let mut world = World::new();
        let mut held = Vec::new();
        for number in 1..64 {
            assert_eq!(world.change(1, number), None, "{number}");
            held.push(world.scrape());
        }
        assert_eq!(world.change(1, 64), None);
        let slowest = world.scrape();
        assert_eq!(world.change(1, 65), Some(LOOK_AGAIN));
        assert!(Arc::ptr_eq(&slowest, &world.scrape()));
        assert_eq!(world.publish_after(9_998), Some(LOOK_AGAIN));
        assert_eq!(world.publish_after(1), None);
        let fresh = world.scrape();
        assert!(!Arc::ptr_eq(&slowest, &fresh));
        drop(held);
        drop(slowest);
        assert_eq!(world.change(1, 66), None);
        assert!(!Arc::ptr_eq(&fresh, &world.scrape()));
    }

    #[test]
    fn a_scrape_waits_while_the_store_writes() {
        let mut world = World::new();
        let published = Arc::clone(&world.published);
        let mut scrape = std::pin::pin!(published.snapshot());
        let mut context = Context::from_waker(Waker::noop());
        assert!(scrape.as_mut().poll(&mut context).is_pending());
        world.publish_after(0);
        assert!(matches!(scrape.as_mut().poll(&mut context), Poll::Ready(_)));
    }
}

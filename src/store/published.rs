//! Publishes the store's snapshots for scrapes.
//!
//! Scrapes send no message to the store and take no lock, so that any number of them does not delay the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tracing::debug;

use crate::fleet::{Fleet, Lease, Snapshot, pinned};
use crate::time::Moment;

/// The limit of the bytes of older snapshots that slow readers hold, for small fleets.
const LEAST_PINNED: usize = 64 * 1024 * 1024;

/// The same for large fleets, as a multiple of the fleet's size. An old snapshot holds at most the whole fleet, if all its blocks have
/// changed since; so two slow scrapers are within the limit.
const PINNED_FLEETS: usize = 2;

/// How long slow readers may delay a new snapshot while they hold more than half of the limit.
const DELAYED_AT_MOST: Duration = Duration::from_secs(10);

/// The interval at which delayed snapshots are retried.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The snapshot for scrapes. Empty while the store writes.
#[derive(Debug)]
pub struct Published {
    current: ArcSwapOption<Lease>,
    changed: Notify,
    /// The [`Moment`] until which the snapshot is valid, in milliseconds: then the store expires devices.
    valid_until: AtomicU64,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            current: ArcSwapOption::default(),
            changed: Notify::default(),
            valid_until: AtomicU64::new(Moment::NEVER.millis()),
        }
    }
}

impl Published {
    /// The current snapshot. Waits while the store writes, and until the store has applied all changes by time up to `at`: after the process
    /// was stopped or the machine suspended, a scrape may come before the store's timer.
    pub async fn lease(&self, at: Moment) -> Arc<Lease> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registers before it checks, so that no snapshot in between is missed.
            changed.as_mut().enable();
            let is_valid = self.valid_until.load(Ordering::Acquire) >= at.millis();
            if let Some(lease) = self.current.load_full().filter(|_| is_valid) {
                return lease;
            }
            changed.await;
        }
    }

    /// The current snapshot; `None` while the store writes, or if it was revoked.
    #[must_use]
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.load().as_ref()?.get()
    }

    fn put(&self, lease: Arc<Lease>) {
        self.current.store(Some(lease));
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
impl From<Snapshot> for Published {
    /// A constant snapshot.
    fn from(snapshot: Snapshot) -> Self {
        let published = Self::default();
        published.put(Arc::new(Arc::new(snapshot).into()));
        published
    }
}

/// Publishes the store's snapshots. If the fleet has not changed, no new snapshot is published.
///
/// A snapshot shares the fleet's blocks, and a write copies shared blocks. Therefore the snapshot is withdrawn before each batch; without
/// readers it then causes no copies. The memory that only older snapshots hold is limited: above half of the limit, the newest snapshot
/// stays published for up to ten seconds; above the limit, the oldest snapshots are revoked.
#[derive(Debug)]
pub struct Publisher {
    published: Arc<Published>,
    /// The leases that were in use when they were withdrawn, the oldest first.
    held: Vec<Weak<Lease>>,
    limits: PinLimits,
    /// Numbers the snapshots. The fleet's version identifies their contents, but not their blocks.
    number: u64,
    /// The fleet's version in the last snapshot.
    version: u64,
    /// When the last snapshot was published.
    published_at: Moment,
}

/// The limits of memory that old snapshots hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinLimits {
    /// For small fleets.
    pub least: usize,
    /// For large fleets, as a multiple of their size.
    pub fleets: usize,
}

impl Default for PinLimits {
    fn default() -> Self {
        Self {
            least: LEAST_PINNED,
            fleets: PINNED_FLEETS,
        }
    }
}

impl PinLimits {
    fn of(self, fleet_bytes: usize) -> usize {
        self.least.max(self.fleets.saturating_mul(fleet_bytes))
    }
}

impl Publisher {
    /// A publisher without a snapshot.
    #[must_use]
    pub fn new(published: Arc<Published>, limits: PinLimits) -> Self {
        Self {
            published,
            held: Vec::new(),
            limits,
            number: 0,
            version: 0,
            published_at: Moment::default(),
        }
    }

    /// Withdraws the published snapshot, unless slow readers hold too much memory. Call it before the fleet is written to. If the snapshot
    /// was withdrawn, scrapes wait until [`Publisher::publish`] is called.
    pub fn withdraw(&mut self, fleet: &Fleet, now: Moment) {
        let current = self.published.current.swap(None);
        self.held.retain(|held| held.strong_count() > 0);
        let Some(current) = current else {
            return;
        };
        let readers = Arc::downgrade(&current);
        if let Err(current) = Arc::try_unwrap(current) {
            let must_wait = self.pinned_by(None, fleet) > self.limit(fleet) / 2;
            if must_wait && now.since(self.published_at) < DELAYED_AT_MOST {
                self.published.put(current);
            } else {
                self.held.push(readers);
            }
        }
    }

    /// Call it after the fleet was written to, and at the time that it returned last. Publishes the fleet, or, if slow readers hold too
    /// much memory, returns when to try again.
    pub fn publish(&mut self, fleet: &Fleet, now: Moment) -> Option<Duration> {
        self.revoke_oldest(fleet);
        let is_published = self.published.current.load().is_some();
        if is_published && self.version == fleet.version() {
            return None;
        }
        self.withdraw(fleet, now);
        if self.published.current.load().is_some() {
            return Some(RETRY_INTERVAL);
        }
        self.version = fleet.version();
        self.number += 1;
        self.published_at = now;
        let snapshot = Arc::new(fleet.snapshot());
        self.published
            .put(Arc::new(Lease::new(self.number, snapshot)));
        None
    }

    /// Sets the moment until which the snapshot is valid. Call it after [`Publisher::publish`] with the moment of the next call.
    pub fn set_valid_until(&self, next: Moment) {
        let valid_until = &self.published.valid_until;
        valid_until.store(next.millis(), Ordering::Release);
        self.published.changed.notify_waiters();
    }

    fn limit(&self, fleet: &Fleet) -> usize {
        self.limits
            .of(fleet.blocks().map(|block| block.bytes()).sum())
    }

    /// Revokes snapshots, the oldest first, until the rest is within the limit. The readers of the oldest are the slowest.
    fn revoke_oldest(&mut self, fleet: &Fleet) {
        let limit = self.limit(fleet);
        let current = self.published.current.load_full();
        while self.pinned_by(current.as_deref(), fleet) > limit {
            let oldest = match self.held.is_empty() {
                false => self.held.remove(0).upgrade(),
                true => self.published.current.swap(None),
            };
            let Some(oldest) = oldest else { continue };
            debug!(
                limit,
                "disconnecting slow readers: their snapshot takes too much memory"
            );
            oldest.revoke();
        }
    }

    /// The bytes that the snapshots in use hold, including the published one if it is given.
    fn pinned_by(&self, current: Option<&Lease>, fleet: &Fleet) -> usize {
        let held: Vec<_> = self.held.iter().filter_map(Weak::upgrade).collect();
        let held = held.iter().map(Arc::as_ref).chain(current);
        let snapshots: Vec<_> = held.filter_map(Lease::get).collect();
        pinned(snapshots.iter().map(Arc::as_ref), fleet)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::fleet::AccountId;
    use crate::fleet::{Coverage, FleetOptions, Limits, Retention};
    use crate::telemetry::{Batch, SchemaCache, decode};

    /// A fleet with a publisher, and a clock that the test advances.
    struct World {
        fleet: Fleet,
        publisher: Publisher,
        published: Arc<Published>,
        now: u64,
    }

    impl World {
        fn new() -> Self {
            Self::limited(PinLimits::default())
        }

        fn limited(limits: PinLimits) -> Self {
            let long = Duration::from_secs(86400);
            let published = Arc::new(Published::default());
            Self {
                fleet: Fleet::new(FleetOptions {
                    retention: Retention {
                        stale_after: long,
                        ip_stale_after: long,
                        forget_after: long,
                    },
                    limits: Limits {
                        earliest: 0,
                        ..Limits::STANDARD
                    },
                    ..FleetOptions::STANDARD
                }),
                publisher: Publisher::new(Arc::clone(&published), limits),
                published,
                now: 0,
            }
        }

        /// Applies a batch of one row with this timestamp, `after` milliseconds later. Returns when to publish again.
        fn change(&mut self, after: u64, timestamp: u64) -> Option<Duration> {
            self.now += after;
            let body = format!(
                r#"{{"data":{{"values":[["u",{timestamp},"a"]],
                "columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId"]}}}}}}"#
            );
            let (rows, metadata) = decode(body.into()).unwrap();
            let schema = SchemaCache::default().resolve(&metadata).schema;
            let now = Moment::from_millis(self.now);
            let plan =
                self.fleet
                    .plan(AccountId::default(), &Batch { rows, schema }, now, i64::MAX);
            self.publisher.withdraw(&self.fleet, now);
            let coverage = Coverage {
                to: now,
                covers: Duration::ZERO,
            };
            self.fleet.commit(&plan, coverage);
            self.publisher.publish(&self.fleet, now)
        }

        fn publish_after(&mut self, millis: u64) -> Option<Duration> {
            self.now += millis;
            let now = Moment::from_millis(self.now);
            self.publisher.publish(&self.fleet, now)
        }

        /// The lease that a scrape gets.
        fn scrape(&self) -> Arc<Lease> {
            self.published.current.load_full().unwrap()
        }
    }

    #[test]
    fn a_fleet_that_has_not_changed_is_not_published_again() {
        let mut world = World::new();
        world.publish_after(0);
        let version = |world: &World| world.scrape().get().unwrap().version;
        let empty = Arc::downgrade(&world.scrape());
        world.publish_after(100_000);
        assert_eq!(version(&world), 0);
        assert!(empty.upgrade().is_some());
        world.change(1, 5);
        let before = version(&world);
        assert_ne!(before, 0);
        world.change(1, 5);
        assert_eq!(version(&world), before, "the same row changes nothing");
        world.change(1, 6);
        assert_ne!(version(&world), before);
    }

    #[test]
    fn a_write_copies_no_block_if_the_snapshot_has_no_readers() {
        let mut world = World::new();
        world.change(1, 1);
        let block = |lease: &Lease| Arc::as_ptr(&lease.get().unwrap().tables[0].blocks[0]);
        let before = block(&world.scrape());
        world.change(1, 2);
        assert_eq!(block(&world.scrape()), before);
        let read = world.scrape();
        world.change(1, 3);
        assert_ne!(block(&world.scrape()), before);
        assert_eq!(block(&read), before);
    }

    /// Limits that allow `count` copies of the fleet's only block.
    fn blocks(count: usize) -> PinLimits {
        let mut world = World::new();
        world.change(1, 1);
        let snapshot = world.scrape().get().unwrap();
        PinLimits {
            least: count * snapshot.tables[0].blocks[0].bytes(),
            fleets: 0,
        }
    }

    #[test]
    fn slow_readers_pin_a_limited_number_of_bytes_and_the_oldest_are_revoked() {
        let mut world = World::limited(blocks(4));
        world.change(1, 1);
        let mut held = Vec::new();
        let count = |held: &[Arc<Lease>]| held.iter().filter(|lease| lease.get().is_some()).count();
        for number in 2..5 {
            held.push(world.scrape());
            assert_eq!(world.change(1, number), None, "{number}");
        }
        held.push(world.scrape());
        // Two blocks are half of the limit, so the next snapshot is delayed, for at most ten seconds.
        assert_eq!(world.change(1, 5), Some(RETRY_INTERVAL));
        assert!(Arc::ptr_eq(&held[3], &world.scrape()));
        assert_eq!(world.publish_after(9_998), Some(RETRY_INTERVAL));
        assert_eq!(world.publish_after(1), None);
        assert_eq!(count(&held), 4, "four blocks are pinned");
        for number in 6..20 {
            held.push(world.scrape());
            world.change(10_001, number);
            assert_eq!(count(&held), 4, "{number}");
            assert!(held[held.len() - 1].get().is_some(), "the youngest stay");
        }
        held.clear();
        assert_eq!(world.change(1, 30), None);
        assert_eq!(world.publisher.held.len(), 0);
    }

    #[test]
    fn the_limit_of_pinned_memory_grows_with_the_fleet() {
        let limits = PinLimits::default();
        for (fleet, expected) in [
            (0, LEAST_PINNED),
            (LEAST_PINNED / 2, LEAST_PINNED),
            (LEAST_PINNED, 2 * LEAST_PINNED),
            (usize::MAX, usize::MAX),
        ] {
            assert_eq!(limits.of(fleet), expected, "{fleet}");
        }
    }

    /// Snapshots with the same contents may differ in their blocks, so a body must not continue with another snapshot.
    #[test]
    fn every_published_snapshot_has_a_unique_number() {
        let mut world = World::new();
        let mut numbers = Vec::new();
        for number in 1..5 {
            world.change(1, number);
            numbers.push(world.scrape().number());
        }
        assert_eq!(numbers, [1, 2, 3, 4]);
    }

    #[test]
    fn a_scrape_waits_while_the_store_writes() {
        let mut world = World::new();
        let published = Arc::clone(&world.published);
        let mut scrape = std::pin::pin!(published.lease(Moment::default()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(scrape.as_mut().poll(&mut context).is_pending());
        world.publish_after(0);
        assert!(matches!(scrape.as_mut().poll(&mut context), Poll::Ready(_)));
    }

    #[test]
    fn a_scrape_waits_until_expired_devices_are_removed() {
        let mut world = World::new();
        world.change(1, 1);
        let published = Arc::clone(&world.published);
        let mut context = Context::from_waker(Waker::noop());
        world.publisher.set_valid_until(Moment::from_millis(1000));
        let mut scrape_at = |at| {
            let mut scrape = Box::pin(published.lease(Moment::from_millis(at)));
            let is_answered = scrape.as_mut().poll(&mut context).is_ready();
            (is_answered, scrape)
        };
        assert!(scrape_at(1000).0);
        let (is_answered, mut scrape) = scrape_at(1001);
        assert!(!is_answered);
        // Nothing expired, so the same snapshot stays valid.
        assert_eq!(world.publish_after(1001), None);
        world.publisher.set_valid_until(Moment::NEVER);
        let mut context = Context::from_waker(Waker::noop());
        assert!(scrape.as_mut().poll(&mut context).is_ready());
    }
}

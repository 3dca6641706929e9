//! Keeps the journals of all accounts within their bounds: asks them what they use, and has the oldest segments deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tracing::warn;

use super::journal::JournalActor;
use super::messages::{DeleteOldest, LIMIT, Usage};
use crate::journal::retention::{Bounds, Deletions, deletions};
use crate::journal::storage::Space;
use crate::journal::{Disk, JournalDirectory, Storage};
use crate::tasks::Pool;
use crate::time::{Clock, Moment, Throttle, unix_nanos};

/// The interval of checks.
const INTERVAL: Duration = Duration::from_secs(10);

/// The clock jumped if it moved by this much more or less than the time that passed, in nanoseconds.
const JUMP: u64 = 60_000_000_000;

/// How long after a jump the age of records and rows is not considered: meanwhile Starlink's clock corrects a wrong one.
const SETTLED: Duration = Duration::from_secs(120);

/// How often Starlink's first response is looked for.
const CLOCK_CHECK: Duration = Duration::from_millis(100);

/// The journals of all accounts, by name.
pub type Journals = Vec<(Arc<str>, Addr<JournalActor>)>;

/// Deletes the oldest segments beyond the bounds every 10 s, without end. `journals` gives those of now. The pool's thread waits for the
/// file system.
pub async fn keep_within(
    journals: impl Fn() -> Journals,
    bounds: Bounds,
    directory: Arc<JournalDirectory>,
    pool: Pool,
    clock: Clock,
) {
    let mut space = FreeSpace::new(&directory, pool);
    let mut steady = SteadyClock::default();
    loop {
        check(&journals(), bounds, &mut space, &mut steady, &clock).await;
        clock.sleep(INTERVAL).await;
    }
}

/// Deletes the segments that are beyond the bounds now.
async fn check(
    journals: &[(Arc<str>, Addr<JournalActor>)],
    bounds: Bounds,
    space: &mut FreeSpace,
    steady: &mut SteadyClock,
    clock: &Clock,
) {
    let uses = journals.iter().map(async |(account, journal)| {
        let used = clock.timeout(LIMIT, journal.send(Usage)).await;
        // Journals that do not reply or are not open are left as they are.
        Some((Arc::clone(account), used?.ok()??))
    });
    let uses: BTreeMap<_, _> = join_all(uses).await.into_iter().flatten().collect();
    let space = space.read(clock).await;
    // At the earliest time no record is too old.
    let now = steady.read(clock).unwrap_or(i64::MIN);
    let deletions = deletions(&uses, bounds, space, now);
    delete(journals, deletions, clock).await;
}

async fn delete(
    journals: &[(Arc<str>, Addr<JournalActor>)],
    mut deletions: Deletions,
    clock: &Clock,
) {
    let deleted = journals.iter().filter_map(|(account, journal)| {
        let reasons = deletions.remove(account)?;
        Some(clock.timeout(LIMIT, journal.send(DeleteOldest(reasons))))
    });
    // A journal that is still deleting does not say what it uses.
    join_all(deleted).await;
}

/// The corrected clock, while it can be trusted to decide that records are deleted, or that rows are too old to be sent. The system clock may
/// be wrong before Starlink's first response, and between a jump and the next response.
#[derive(Debug, Default)]
pub(super) struct SteadyClock {
    /// The corrected clock minus the monotonic one when it was read last, in nanoseconds.
    offset: Option<i64>,
    /// From when on it can be trusted.
    settled: Moment,
    trusts_first: bool,
}

impl SteadyClock {
    /// A clock that can be trusted from Starlink's first response on, for decisions that should not wait after a start.
    pub(super) fn at_once() -> Self {
        Self {
            trusts_first: true,
            ..Self::default()
        }
    }

    /// The time in nanoseconds since 1970; `None` if it cannot be trusted.
    pub(super) fn read(&mut self, clock: &Clock) -> Option<i64> {
        clock.offset()?;
        let (corrected, now) = (unix_nanos(clock.corrected()), clock.now());
        let passed = i64::try_from(now.millis()).unwrap_or(i64::MAX);
        let offset = corrected.saturating_sub(passed.saturating_mul(1_000_000));
        let has_jumped = match self.offset.replace(offset) {
            Some(known) => known.abs_diff(offset) >= JUMP,
            None => !self.trusts_first,
        };
        if has_jumped {
            self.settled = now.after(SETTLED);
        }
        (now >= self.settled).then_some(corrected)
    }
}

/// Waits for Starlink's first response, which corrects a wrong clock.
pub(super) async fn clock_is_known(clock: &Clock) {
    while clock.offset().is_none() {
        clock.sleep(CLOCK_CHECK).await;
    }
}

/// The space of the file system of the journals.
struct FreeSpace {
    disk: Disk,
    pool: Pool,
    /// The result that is awaited, also since an earlier check.
    result: Option<oneshot::Receiver<std::io::Result<Space>>>,
    failures: Throttle,
}

impl FreeSpace {
    fn new(directory: &JournalDirectory, pool: Pool) -> Self {
        Self {
            disk: Disk::new(directory.path().to_owned()),
            pool,
            result: None,
            failures: Throttle::default(),
        }
    }

    /// The space; `None` if it cannot be read in time. Then the free space is not considered.
    async fn read(&mut self, clock: &Clock) -> Option<Space> {
        let disk = self.disk.clone();
        let read = || self.pool.run(move || disk.space());
        let result = self.result.get_or_insert_with(read);
        let space = clock.timeout(LIMIT, result).await?;
        self.result = None;
        match space.ok()? {
            Ok(space) => Some(space),
            Err(error) => {
                if let Some(not_logged) = self.failures.admit(clock.elapsed()) {
                    warn!(%error, not_logged, "cannot read the free space for the journals");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::Actor;

    use super::*;
    use crate::recording::journal::tests::{Machine, answered, dropped, subscription};
    use crate::remote_write::RowReason;

    #[test]
    fn a_clock_that_jumps_is_not_trusted_before_it_settles() {
        let machine = Machine::new();
        let (clock, time) = (&machine.clock, &machine.time);
        let (mut steady, mut at_once) = (SteadyClock::default(), SteadyClock::at_once());
        let mut trusted = |seconds| {
            time.advance(Duration::from_secs(seconds));
            (steady.read(clock).is_some(), at_once.read(clock).is_some())
        };
        assert_eq!(trusted(3600), (false, false), "before the first response");
        clock.observe_date(clock.wall(), clock.now());
        let expected = [(0, (false, true)), (119, (false, true)), (1, (true, true))];
        for (seconds, expected) in expected {
            assert_eq!(trusted(seconds), expected, "{seconds}");
        }
        assert_eq!(trusted(3600), (true, true));
        time.set_wall(clock.wall() + Duration::from_secs(86_400));
        for (seconds, is_trusted) in [(10, false), (110, false), (10, true)] {
            assert_eq!(trusted(seconds), (is_trusted, is_trusted), "{seconds}");
        }
    }

    #[actix_rt::test]
    async fn old_segments_are_deleted_every_ten_seconds() {
        let machine = Machine::new();
        let status = machine.sender("d");
        let options = machine.options(vec![subscription(&status)]);
        let journal = JournalActor::new(options).start();
        assert!(answered(&journal, 1, 7).await);
        assert!(answered(&journal, 2, 8).await);
        let bounds = Bounds {
            bytes: u64::MAX,
            age: Duration::from_secs(3600),
        };
        let journals = vec![("a".into(), journal)];
        let keep = keep_within(
            move || journals.clone(),
            bounds,
            Arc::clone(&machine.directory),
            machine.pool.clone(),
            machine.clock.clone(),
        );
        actix_rt::spawn(keep);
        machine
            .clock
            .observe_date(machine.clock.wall(), machine.clock.now());
        let mut waited = 0;
        while dropped(&status, RowReason::MaxAge) < 15 {
            machine.time.advance(Duration::from_secs(10));
            waited += 10;
            actix_rt::time::sleep(Duration::from_millis(1)).await;
            assert!(waited < 1_000_000);
        }
        assert!(waited >= 3600, "{waited}");
        assert_eq!(machine.files(), ["cursors"]);
    }
}

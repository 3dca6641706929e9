//! Decides which segments are deleted: those that all destinations are past, and the oldest ones beyond the bounds. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::storage::Space;

/// How far the cursors of all destinations must be past a segment before it is deleted. The destinations restore their state from these
/// records.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// The free space that the journals leave at least, unless 5 % of the file system are less.
const MOST_FREE: u64 = 1 << 30;

/// How many bytes of a file system the journals leave free.
#[must_use]
pub fn left_free(space: Space) -> u64 {
    MOST_FREE.min(space.total / 20)
}

/// The bounds of the journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `JOURNAL_MAX_BYTES`, of all accounts together.
    pub bytes: u64,
    /// `JOURNAL_MAX_AGE`.
    pub age: Duration,
}

/// Why a segment is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// All destinations have its records.
    Sent,
    /// Its last record is older than `JOURNAL_MAX_AGE`.
    MaxAge,
    /// The journals are larger than `JOURNAL_MAX_BYTES`.
    MaxBytes,
    /// The file system has too little free space.
    DiskSpace,
}

/// A segment of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentUse {
    /// The number of its first record.
    pub first: u64,
    /// Its length.
    pub bytes: u64,
    /// The receipt of its first record, in nanoseconds since 1970; `None` without records.
    pub began: Option<i64>,
    /// Whether it is not written any more.
    pub is_closed: bool,
}

/// The journal of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountUse {
    /// Its segments, the oldest first.
    pub segments: Vec<SegmentUse>,
    /// The lowest number that a destination still has to be sent, by the saved cursors; `None` without destinations.
    pub oldest_needed: Option<u64>,
    /// The receipt of the last record of all, in nanoseconds since 1970.
    pub last_received: i64,
}

/// The segments to be deleted: for each account, the reasons for its oldest ones in order.
pub type Deletions = BTreeMap<Arc<str>, Vec<Reason>>;

/// The segments to be deleted. `now` is the corrected clock in nanoseconds since 1970. Without `space` the free space is not considered.
#[must_use]
pub fn deletions(
    accounts: &BTreeMap<Arc<str>, AccountUse>,
    bounds: Bounds,
    space: Option<Space>,
    now: i64,
) -> Deletions {
    let mut deletions = Deletions::new();
    let mut rests = BTreeMap::new();
    for (name, account) in accounts {
        let reasons = account.sent_or_old(bounds.age, now);
        rests.insert(name, &account.segments[reasons.len()..]);
        if !reasons.is_empty() {
            deletions.insert(Arc::clone(name), reasons);
        }
    }
    let deleted = deleted_bytes(accounts, &deletions);
    let missing = space.map_or(0, |space| missing(space).saturating_sub(deleted));
    shrink(&mut rests, Reason::DiskSpace, &mut deletions, |freed, _| {
        freed >= missing
    });
    let is_within = |_, bytes| bytes <= bounds.bytes;
    shrink(&mut rests, Reason::MaxBytes, &mut deletions, is_within);
    deletions
}

/// Deletes the oldest segment of the largest account until `is_enough`, given the number of freed and of remaining bytes.
fn shrink(
    rests: &mut BTreeMap<&Arc<str>, &[SegmentUse]>,
    reason: Reason,
    deletions: &mut Deletions,
    is_enough: impl Fn(u64, u64) -> bool,
) {
    let bytes = |rest: &[SegmentUse]| rest.iter().map(|it| it.bytes).sum::<u64>();
    let mut total = rests.values().map(|rest| bytes(rest)).sum();
    let mut freed = 0;
    while !is_enough(freed, total) {
        let closed = rests.iter_mut().filter(|(_, rest)| {
            let oldest = rest.first();
            oldest.is_some_and(|oldest| oldest.is_closed)
        });
        let Some((name, rest)) = closed.max_by_key(|(_, rest)| bytes(rest)) else {
            return;
        };
        let Some((oldest, others)) = rest.split_first() else {
            return;
        };
        *rest = others;
        freed += oldest.bytes;
        total -= oldest.bytes;
        deletions.entry(Arc::clone(name)).or_default().push(reason);
    }
}

/// The number of bytes of the segments that are deleted.
fn deleted_bytes(accounts: &BTreeMap<Arc<str>, AccountUse>, deletions: &Deletions) -> u64 {
    let of = |(name, reasons): (&Arc<str>, &Vec<Reason>)| {
        let segments = accounts.get(name).map(|account| account.segments.iter());
        let deleted = segments.into_iter().flatten().take(reasons.len());
        deleted.map(|segment| segment.bytes).sum::<u64>()
    };
    deletions.iter().map(of).sum()
}

/// How many bytes must become free.
fn missing(space: Space) -> u64 {
    left_free(space).saturating_sub(space.free)
}

impl AccountUse {
    /// The reasons to delete the oldest segments, regardless of other accounts.
    fn sent_or_old(&self, age: Duration, now: i64) -> Vec<Reason> {
        let sent = self.sent();
        let mut reasons = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let is_old = now.saturating_sub(self.ended(index)) >= nanos(age);
            let reason = match index < sent {
                _ if !segment.is_closed => break,
                true => Reason::Sent,
                false if is_old => Reason::MaxAge,
                false => break,
            };
            reasons.push(reason);
        }
        reasons
    }

    /// The number of segments that all destinations are far enough past.
    fn sent(&self) -> usize {
        let Some(needed) = self.oldest_needed else {
            return 0;
        };
        // The segment of the first record that is needed. It is received after the beginning of its segment.
        let behind = self.segments.partition_point(|it| it.first <= needed);
        let current = behind.saturating_sub(1);
        let reached = match self.segments.get(current) {
            // The record is not written yet: all are sent.
            Some(segment) if segment.began.is_some() => segment.began,
            _ => Some(self.last_received),
        };
        let Some(reached) = reached else { return 0 };
        let is_past = |index: &usize| reached.saturating_sub(self.ended(*index)) >= nanos(KEPT);
        (0..current).take_while(is_past).count()
    }

    /// A time, in nanoseconds since 1970, not before the receipt of a segment's last record: that of the next segment's first record.
    fn ended(&self, index: usize) -> i64 {
        let mut later = self.segments.iter().skip(index + 1);
        later
            .find_map(|segment| segment.began)
            .unwrap_or(self.last_received)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Reason::{DiskSpace, MaxAge, MaxBytes, Sent};
    use super::*;

    const MINUTE: i64 = 60_000_000_000;
    const MIB: u64 = 1 << 20;

    const NONE: Bounds = Bounds {
        bytes: u64::MAX,
        age: Duration::MAX,
    };

    /// Closed segments of ten records and 10 minutes each, and an open one. The first record has number and minute 0.
    fn account(closed: u64, bytes: u64, oldest_needed: Option<u64>) -> AccountUse {
        let segment = |number: u64| SegmentUse {
            first: number * 10,
            bytes,
            began: Some(number as i64 * 10 * MINUTE),
            is_closed: number < closed,
        };
        AccountUse {
            segments: (0..=closed).map(segment).collect(),
            oldest_needed,
            last_received: (closed as i64 * 10 + 9) * MINUTE,
        }
    }

    fn of(
        accounts: Vec<AccountUse>,
        bounds: Bounds,
        space: Option<Space>,
        now: i64,
    ) -> Vec<Vec<Reason>> {
        let names = ["a", "b", "c"];
        let named = names.iter().map(|name| Arc::from(*name));
        let accounts: BTreeMap<_, _> = named.zip(accounts).collect();
        let mut deletions = deletions(&accounts, bounds, space, now);
        let reasons = accounts.keys().map(|name| deletions.remove(name));
        reasons.map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn a_segment_is_deleted_when_all_destinations_are_15_minutes_past_it() {
        // The lowest number that is needed, and how many segments are deleted.
        for (needed, expected) in [
            (None, 0),
            (Some(0), 0),
            (Some(19), 0),
            // The first segment ends in minute 10, the needed record was received in minute 20 or later.
            (Some(29), 0),
            (Some(30), 1),
            (Some(39), 1),
            (Some(40), 2),
            // All are sent; the last record was received in minute 59.
            (Some(60), 3),
        ] {
            let deleted = of(vec![account(5, 1, needed)], NONE, None, 60 * MINUTE);
            assert_eq!(deleted, [vec![Sent; expected]], "{needed:?}");
        }
    }

    #[test]
    fn an_unsent_segment_is_deleted_when_its_last_record_is_too_old() {
        let bounds = Bounds {
            age: Duration::from_secs(30 * 60),
            ..NONE
        };
        for (now, needed, expected) in [
            (39, Some(0), vec![]),
            (40, Some(0), vec![MaxAge]),
            (50, Some(0), vec![MaxAge; 2]),
            (50, Some(30), vec![Sent, MaxAge]),
            (999, None, vec![MaxAge; 5]),
            // A clock that was set back.
            (-999, Some(0), vec![]),
        ] {
            let deleted = of(vec![account(5, 1, needed)], bounds, None, now * MINUTE);
            assert_eq!(deleted, std::slice::from_ref(&expected), "{now}");
        }
    }

    #[test]
    fn the_oldest_segments_of_the_largest_accounts_are_deleted_beyond_a_bound() {
        let accounts = || {
            vec![
                account(1, 10, None),
                account(4, 10, None),
                account(3, 10, None),
            ]
        };
        let bytes = |bytes| Bounds { bytes, ..NONE };
        for (bound, expected) in [
            (110, [0, 0, 0]),
            (109, [0, 1, 0]),
            (100, [0, 1, 0]),
            (99, [0, 1, 1]),
            (80, [0, 2, 1]),
            // The segments that are written stay.
            (0, [1, 4, 3]),
        ] {
            let deleted = of(accounts(), bytes(bound), None, 0);
            assert_eq!(
                deleted,
                expected.map(|count| vec![MaxBytes; count]),
                "{bound}"
            );
        }
    }

    #[test]
    fn free_space_is_left_to_others() {
        let gib = 1 << 30;
        for (free, total, expected) in [
            (gib, 100 * gib, 0),
            (gib - 1, 100 * gib, 1),
            (gib - 100 * MIB, 100 * gib, 2),
            // 5 %.
            (51 * MIB, 1000 * MIB, 0),
            (49 * MIB, 1000 * MIB, 1),
            (0, 1000 * MIB, 1),
            (0, 1001 * MIB, 2),
            (0, u64::MAX, 3),
        ] {
            let space = Some(Space { free, total });
            let deleted = of(vec![account(3, 50 * MIB, None)], NONE, space, 0);
            assert_eq!(deleted, [vec![DiskSpace; expected]], "{free} of {total}");
        }
        // What is deleted for another reason becomes free, too.
        let space = Some(Space {
            free: 0,
            total: 1001 * MIB,
        });
        let deleted = of(vec![account(5, 50 * MIB, Some(30))], NONE, space, 0);
        assert_eq!(deleted, [vec![Sent, DiskSpace]]);
    }

    proptest! {
        #[test]
        fn segments_are_deleted_from_the_oldest_on_and_no_more_than_necessary(
            shapes in prop::collection::vec((0_u64..6, 0_u64..50, prop::option::of(0_u64..70)), 1..4),
            bytes in 0_u64..900,
            age in 0_u64..100,
            now in 0_i64..100,
        ) {
            let accounts: Vec<_> = shapes.iter().map(|&(closed, bytes, needed)| account(closed, bytes, needed)).collect();
            let bounds = Bounds { bytes, age: Duration::from_secs(age * 60) };
            let deleted = of(accounts.clone(), bounds, None, now * MINUTE);
            let mut left = 0;
            for (account, reasons) in accounts.iter().zip(&deleted) {
                let closed = account.segments.iter().filter(|it| it.is_closed).count();
                prop_assert!(reasons.len() <= closed);
                left += account.segments[reasons.len()..].iter().map(|it| it.bytes).sum::<u64>();
                let order = |reason: &Reason| match reason { Sent => 0, MaxAge => 1, DiskSpace => 2, MaxBytes => 3 };
                prop_assert!(reasons.is_sorted_by_key(order));
                for (segment, reason) in account.segments.iter().zip(reasons) {
                    if *reason == Sent {
                        prop_assert!(account.oldest_needed.unwrap() >= segment.first + 10);
                    }
                }
            }
            let is_closed_left = accounts.iter().zip(&deleted).any(|(account, reasons)| account.segments[reasons.len()].is_closed);
            prop_assert!(left <= bytes || !is_closed_left);
        }
    }
}

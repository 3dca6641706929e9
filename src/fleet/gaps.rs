//! The gaps between the reports of an account's devices in the last ten minutes, and the share of long ones.
//!
//! If two programs poll with the same service account, each gets only a part of the rows, so its devices seem to skip reports.

use std::time::Duration;

use crate::time::Moment;

/// Nanoseconds between two reports of a terminal or router, as Starlink sends them.
const CADENCE: i64 = 15_000_000_000;

/// Nanoseconds by which a gap may exceed [`CADENCE`]. A longer one, over 22 s, is a long gap.
const SLACK: i64 = 7_000_000_000;

/// In nanoseconds. A longer gap means that the device was offline, not that it skipped reports.
const ABSENCE: i64 = 600_000_000_000;

/// Numbers of gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gaps {
    /// All gaps.
    pub all: u64,
    /// Those over 22 s.
    pub long: u64,
}

impl Gaps {
    /// The gaps before each of `reports` new reports of a device, the last of which is `span` nanoseconds later than the last known one.
    ///
    /// Of several reports in one batch, only the time of the last one is kept. Their long gaps are therefore estimated: one for each
    /// missing report, at most as many as there are gaps.
    #[must_use]
    pub fn before(reports: u32, span: i64) -> Self {
        let all = i64::from(reports);
        if all == 0 || span <= 0 || span > all.saturating_mul(ABSENCE) {
            return Self::default();
        }
        let usual = all.saturating_mul(CADENCE).saturating_add(SLACK);
        // Rounded up.
        let excess = span.saturating_sub(usual).saturating_add(CADENCE - 1);
        let missing = excess.div_euclid(CADENCE);
        Self {
            all: u64::from(reports),
            long: missing.clamp(0, all).unsigned_abs(),
        }
    }

    /// Adds other numbers.
    pub fn add(&mut self, other: Self) {
        self.all = self.all.saturating_add(other.all);
        self.long = self.long.saturating_add(other.long);
    }
}

/// The number of slices of time.
const SLICES: usize = 20;

/// The length of a slice: all slices together are ten minutes.
const SLICE: Duration = Duration::from_secs(30);

/// The gaps of the last ten minutes, in a ring of slices of time.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentGaps {
    ring: [(u64, Gaps); SLICES],
}

impl RecentGaps {
    /// Counts the gaps of a batch that arrived at `now`.
    pub(super) fn add(&mut self, gaps: Gaps, now: Moment) {
        let number = slice_number(now);
        // The remainder is below the length of the ring.
        let slice = &mut self.ring[(number % SLICES as u64) as usize];
        if slice.0 != number {
            *slice = (number, Gaps::default());
        }
        slice.1.add(gaps);
    }

    /// Removes the gaps that are older than ten minutes.
    pub(super) fn expire(&mut self, now: Moment) {
        let current = slice_number(now);
        for (number, gaps) in &mut self.ring {
            if current.saturating_sub(*number) >= SLICES as u64 {
                *gaps = Gaps::default();
            }
        }
    }

    /// When [`RecentGaps::expire`] must be called next.
    pub(super) fn due(&self) -> Moment {
        let slices = self.ring.iter().filter(|(_, gaps)| gaps.all > 0);
        let oldest = slices.map(|(number, _)| *number).min();
        oldest.map_or(Moment::NEVER, |number| {
            Moment::at(Duration::from_secs(
                SLICE.as_secs() * (number + SLICES as u64),
            ))
        })
    }

    /// The share of long gaps among all gaps, 0 to 1; `None` without any gap.
    #[must_use]
    pub(super) fn long_share(&self, now: Moment) -> Option<f64> {
        let current = slice_number(now);
        let mut sum = Gaps::default();
        for (number, gaps) in &self.ring {
            if current.saturating_sub(*number) < SLICES as u64 {
                sum.add(*gaps);
            }
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio needs no more digits than an f64 has"
        )]
        (sum.all > 0).then(|| sum.long as f64 / sum.all as f64)
    }
}

/// The number of the slice of time at `now`.
fn slice_number(now: Moment) -> u64 {
    now.since(Moment::default()).as_secs() / SLICE.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_over_22_seconds_are_long() {
        // Reports, milliseconds from the last known report to the last new one, gaps, long gaps.
        for (reports, millis, all, long) in [
            (1, 15_000, 1, 0),
            (1, 22_000, 1, 0),
            (1, 22_001, 1, 1),
            (1, 30_000, 1, 1),
            (1, 300_000, 1, 1),
            (1, 600_000, 1, 1),
            // Away, not skipping.
            (1, 600_001, 0, 0),
            // The same report again, and an older one.
            (1, 0, 0, 0),
            (1, -15_000, 0, 0),
            (0, 15_000, 0, 0),
            // Two reports in one batch: 15 + 15, 15 + 30, 30 + 30, and a long silence before them.
            (2, 30_000, 2, 0),
            (2, 45_000, 2, 1),
            (2, 60_000, 2, 2),
            (2, 315_000, 2, 2),
            (3, 60_000, 3, 1),
            // A minute of a backlog, with times that vary a little.
            (4, 60_900, 4, 0),
        ] {
            let gaps = Gaps::before(reports, millis * 1_000_000);
            assert_eq!((gaps.all, gaps.long), (all, long), "{reports}, {millis}");
        }
        let most = Gaps::before(u32::MAX, i64::MAX);
        assert!(most.long <= most.all);
    }

    #[test]
    fn the_share_covers_the_last_ten_minutes() {
        let at = |seconds| Moment::at(Duration::from_secs(seconds));
        let gaps = |all, long| Gaps { all, long };
        let mut recent = RecentGaps::default();
        assert_eq!(recent.long_share(at(0)), None);
        recent.add(gaps(0, 0), at(5));
        assert_eq!(recent.long_share(at(5)), None);
        recent.add(gaps(10, 5), at(29));
        recent.add(gaps(10, 0), at(30));
        assert_eq!(recent.long_share(at(30)), Some(0.25));
        assert_eq!(recent.long_share(at(599)), Some(0.25));
        // The first slice is ten minutes old.
        assert_eq!(recent.long_share(at(600)), Some(0.0));
        assert_eq!(recent.long_share(at(630)), None);
        assert_eq!(recent.due(), at(600));
        recent.expire(at(599));
        assert_eq!(recent.due(), at(600));
        recent.expire(at(600));
        assert_eq!(recent.due(), at(630));
        // Its place in the ring is taken by another.
        recent.add(gaps(4, 1), at(605));
        assert_eq!(recent.long_share(at(605)), Some(1.0 / 14.0));
        assert_eq!(recent.long_share(at(100_000)), None);
        recent.expire(at(100_000));
        assert_eq!(recent.due(), Moment::NEVER);
    }
}

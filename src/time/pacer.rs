//! Keeps the rate of polls within Starlink's limit.

use std::time::Duration;

/// A token bucket: a burst of polls may start immediately, later ones at a steady interval.
///
/// Its state is a single time instead of a count: when the bucket will be full again. Times are monotonic
/// durations since any fixed moment, given by the caller.
#[derive(Debug, Clone)]
pub struct Pacer {
    interval: Duration,
    /// How far `full_at` may be in the future when a poll starts.
    tolerance: Duration,
    full_at: Duration,
}

impl Pacer {
    /// Allows `burst` polls (at least one) immediately, and one more in each `interval`.
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.saturating_sub(1)),
            full_at: Duration::ZERO,
        }
    }

    /// Reserves the next poll, and returns how long it must wait from `now` until it may start.
    pub fn reserve(&mut self, now: Duration) -> Duration {
        let start = now.max(self.full_at.saturating_sub(self.tolerance));
        self.full_at = self
            .full_at
            .max(start)
            .checked_add(self.interval)
            .unwrap_or(Duration::MAX);
        start.saturating_sub(now)
    }
}

impl Default for Pacer {
    /// At most 200 polls in any 60 s: a burst of 20, then three a second. Starlink allows 250 a minute
    /// for each account.
    fn default() -> Self {
        // A third of a second, rounded up: the limit must not be exceeded by rounding.
        Self::new(20, Duration::from_nanos(333_333_334))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(60);

    /// The most starts in any window, both of its ends included.
    fn densest(starts: &[Duration]) -> usize {
        starts
            .iter()
            .enumerate()
            .map(|(first, start)| {
                starts[first..]
                    .iter()
                    .take_while(|later| **later - *start <= WINDOW)
                    .count()
            })
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn a_burst_then_a_steady_rate() {
        let mut pacer = Pacer::new(3, Duration::from_secs(1));
        // (now, expected wait), in milliseconds
        let cases = [
            (0, 0),
            (0, 0),
            (0, 0),
            (0, 1000),
            (1000, 1000),
            (2500, 500),
            (10_000, 0),
            (10_000, 0),
            (10_000, 0),
            (10_500, 500),
        ];
        for (now, expected) in cases {
            let wait = pacer.reserve(Duration::from_millis(now));
            assert_eq!(wait, Duration::from_millis(expected), "at {now} ms");
        }
    }

    #[test]
    fn polls_at_full_speed_come_close_to_the_limit() {
        let mut pacer = Pacer::default();
        let mut now = Duration::ZERO;
        let starts: Vec<_> = (0..1000)
            .map(|_| {
                now += pacer.reserve(now);
                now
            })
            .collect();
        let densest = densest(&starts);
        assert!((195..=200).contains(&densest), "{densest} in a minute");
    }

    #[test]
    fn an_endless_clock_does_not_overflow() {
        let mut pacer = Pacer::new(u32::MAX, Duration::MAX);
        assert_eq!(pacer.reserve(Duration::MAX), Duration::ZERO);
        assert_eq!(pacer.reserve(Duration::MAX), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn never_more_than_200_in_any_minute(
            answers in prop::collection::vec(
                prop_oneof![5 => 0_u64..20, 2 => 0_u64..1000, 1 => 0_u64..90_000],
                1..800,
            ),
        ) {
            let mut pacer = Pacer::default();
            let mut now = Duration::ZERO;
            let mut starts = Vec::new();
            for answer in answers {
                now += pacer.reserve(now);
                starts.push(now);
                now += Duration::from_millis(answer);
            }
            prop_assert!(densest(&starts) <= 200);
        }

        #[test]
        fn no_poll_waits_longer_than_an_interval(answers in prop::collection::vec(0_u64..2000, 1..200)) {
            let mut pacer = Pacer::default();
            let mut now = Duration::ZERO;
            for answer in answers {
                let wait = pacer.reserve(now);
                prop_assert!(wait <= pacer.interval);
                now += wait + Duration::from_millis(answer);
            }
        }
    }
}

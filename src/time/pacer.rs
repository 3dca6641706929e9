//! Limits the rate of polls: at most a configured number in any minute, and fewer after a 429.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// After this time without a 429 the pace is the configured one again.
const RECOVERY: Duration = Duration::from_secs(600);

/// The pace is never slower than this part of the configured one.
const SLOWEST: f64 = 1.0 / 16.0;

/// A token bucket: a burst of polls may start at once, later ones at a steady interval. After a 429 the interval doubles, and shrinks
/// again over ten minutes.
///
/// Instead of a number of tokens, it stores the time at which the bucket will be full again. Times are monotonic durations since any fixed
/// moment, given by the caller.
#[derive(Debug, Clone)]
pub struct Pacer {
    interval: Duration,
    /// How far `full_at` may lie in the future when a poll starts.
    tolerance: Duration,
    full_at: Duration,
    slowed: Option<Slowed>,
}

/// The last time that the pace was halved.
#[derive(Debug, Clone, Copy)]
struct Slowed {
    at: Duration,
    /// The pace since then as a part of the configured one.
    to: f64,
}

impl Pacer {
    /// At most `polls_per_minute` polls (at least one) in any minute, both of its ends included; a tenth of them may start at once.
    #[must_use]
    pub fn new(polls_per_minute: u32) -> Self {
        let polls = polls_per_minute.max(1);
        let burst = (polls / 10).max(1);
        let steady = polls - burst;
        // Rounded up, so that rounding does not exceed the limit. With one poll a minute, each starts after the minute of the previous one.
        let interval = match steady {
            0 => MINUTE + Duration::from_nanos(1),
            steady => MINUTE / steady + Duration::from_nanos(1),
        };
        Self {
            interval,
            tolerance: interval.saturating_mul(burst - 1),
            full_at: Duration::ZERO,
            slowed: None,
        }
    }

    /// One poll after each interval.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self {
            interval: interval.saturating_add(Duration::from_nanos(1)),
            tolerance: Duration::ZERO,
            full_at: Duration::ZERO,
            slowed: None,
        }
    }

    /// The same pace with another limit. If the limit differs, the burst is used up, so that a minute with both limits has at most as many
    /// polls as the higher one allows.
    #[must_use]
    pub fn with_limit(self, polls_per_minute: u32, now: Duration) -> Self {
        self.with_limit_of(Self::new(polls_per_minute), now)
    }

    /// The same pace with the limit of another one, which has made no poll: see [`Pacer::with_limit`].
    #[must_use]
    pub fn with_limit_of(self, other: Self, now: Duration) -> Self {
        if (other.interval, other.tolerance) == (self.interval, self.tolerance) {
            return self;
        }
        Self {
            full_at: self.full_at.max(now.saturating_add(other.tolerance)),
            slowed: self.slowed,
            ..other
        }
    }

    /// Whether polls may start as if there had been none before `now`.
    #[must_use]
    pub fn is_rested(&self, now: Duration) -> bool {
        self.full_at <= now && self.pace(now) >= 1.0
    }

    /// Reserves the next poll. Returns the wait from `now` until it may start.
    pub fn reserve(&mut self, now: Duration) -> Duration {
        let start = now.max(self.full_at.saturating_sub(self.tolerance));
        let interval = self.interval.div_f64(self.pace(now));
        self.full_at = self.full_at.max(start).saturating_add(interval);
        start.saturating_sub(now)
    }

    /// Halves the pace after a 429, and uses up the burst.
    pub fn slow_down(&mut self, now: Duration) {
        let to = (self.pace(now) / 2.0).max(SLOWEST);
        self.slowed = Some(Slowed { at: now, to });
        let empty = now.saturating_add(self.tolerance);
        self.full_at = self.full_at.max(empty);
    }

    /// The pace as a part of the configured one.
    fn pace(&self, now: Duration) -> f64 {
        let Some(Slowed { at, to }) = self.slowed else {
            return 1.0;
        };
        let recovered = now.saturating_sub(at).as_secs_f64() / RECOVERY.as_secs_f64();
        (to + (1.0 - to) * recovered).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The most starts in any window, both of its ends included.
    fn densest(starts: &[Duration]) -> usize {
        let within = |first: usize| {
            let later = starts[first..].iter();
            later
                .take_while(|later| **later - starts[first] <= MINUTE)
                .count()
        };
        (0..starts.len()).map(within).max().unwrap_or(0)
    }

    /// The starts of so many polls at full speed.
    fn starts(pacer: &mut Pacer, mut now: Duration, count: usize) -> Vec<Duration> {
        let next = |_| {
            now += pacer.reserve(now);
            now
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn polls_start_in_a_burst_and_then_at_a_steady_rate() {
        let mut pacer = Pacer::new(30);
        // Milliseconds: now, and the expected wait.
        let cases = [
            (0, 0),
            (0, 0),
            (0, 0),
            (0, 2222),
            (2222, 2222),
            (60_000, 0),
            (60_000, 0),
            (60_000, 0),
            (60_500, 1722),
        ];
        for (now, expected) in cases {
            let wait = pacer.reserve(Duration::from_millis(now));
            assert_eq!(wait.as_millis(), expected, "at {now} ms");
        }
    }

    #[test]
    fn full_speed_comes_close_to_the_limit_and_does_not_exceed_it() {
        for limit in [1, 2, 5, 10, 60, 100, 200, 240] {
            let starts = starts(&mut Pacer::new(limit), Duration::ZERO, 1000);
            let densest = densest(&starts);
            let limit = limit as usize;
            let close = limit - limit.div_ceil(40);
            assert!(
                (close.max(1)..=limit).contains(&densest),
                "{limit}: {densest}"
            );
        }
    }

    #[test]
    fn the_pace_halves_after_a_429_and_recovers_in_ten_minutes() {
        let mut pacer = Pacer::new(200);
        let minute = |pacer: &mut Pacer, from: u64| {
            let from = Duration::from_secs(from);
            let starts = starts(pacer, from, 300);
            starts.iter().filter(|at| **at < from + MINUTE).count()
        };
        pacer.slow_down(Duration::from_secs(1000));
        // Per minute without the burst: half of 180, and a little more as it recovers.
        let found = [1000, 1300, 1540].map(|from| minute(&mut pacer.clone(), from));
        assert!((88..=100).contains(&found[0]), "{found:?}");
        assert!((130..=165).contains(&found[1]), "{found:?}");
        assert!((165..=200).contains(&found[2]), "{found:?}");
        assert!((195..=200).contains(&minute(&mut pacer, 1700)));
        for second in 0..20 {
            pacer.slow_down(Duration::from_secs(2000 + second));
        }
        // A sixteenth of 180 at first, and more than twice as much after a minute of recovery.
        let slowest = minute(&mut pacer, 2020);
        assert!((11..=25).contains(&slowest), "{slowest}");
    }

    #[test]
    fn the_largest_time_does_not_overflow() {
        let mut pacer = Pacer::new(u32::MAX);
        pacer.slow_down(Duration::MAX);
        pacer.reserve(Duration::MAX);
        assert_eq!(Pacer::new(0).reserve(Duration::MAX), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn any_minute_has_at_most_the_configured_polls(
            limit in 1_u32..=240,
            answers in prop::collection::vec(
                (prop_oneof![5 => 0_u64..20, 2 => 0_u64..1000, 1 => 0_u64..90_000], prop::bool::weighted(0.02)),
                1..800,
            ),
        ) {
            let mut pacer = Pacer::new(limit);
            let mut now = Duration::ZERO;
            let mut starts = Vec::new();
            for (answer, is_limited) in answers {
                let wait = pacer.reserve(now);
                prop_assert!(wait <= pacer.interval.div_f64(SLOWEST) + pacer.tolerance);
                now += wait;
                starts.push(now);
                now += Duration::from_millis(answer);
                if is_limited {
                    pacer.slow_down(now);
                }
            }
            prop_assert!(densest(&starts) <= limit as usize);
        }

        #[test]
        fn a_minute_with_several_limits_has_at_most_the_polls_of_the_highest(
            changes in prop::collection::vec((1_u32..=240, 1_usize..300, 0_u64..20_000), 1..6),
        ) {
            let mut pacer = Pacer::new(changes[0].0);
            let mut now = Duration::ZERO;
            let mut all = Vec::new();
            for &(limit, count, pause) in &changes {
                pacer = pacer.with_limit(limit, now);
                let some = starts(&mut pacer, now, count);
                now = some.last().copied().unwrap_or(now) + Duration::from_millis(pause);
                all.extend(some);
            }
            let highest = changes.iter().map(|(limit, ..)| *limit).max().unwrap_or(0);
            prop_assert!(densest(&all) <= highest as usize);
        }

        #[test]
        fn a_rested_pacer_is_as_fast_as_a_new_one(count in 0_usize..50, is_limited: bool, later in 0_u64..700) {
            let mut pacer = Pacer::new(60);
            let last = starts(&mut pacer, Duration::ZERO, count).last().copied().unwrap_or_default();
            if is_limited {
                pacer.slow_down(last);
            }
            let now = last + Duration::from_secs(later);
            let mut new = Pacer::new(60);
            if pacer.is_rested(now) {
                prop_assert_eq!(starts(&mut pacer, now, 100), starts(&mut new, now, 100));
            } else {
                prop_assert!(later < 600, "it rests within the recovery");
            }
        }
    }
}

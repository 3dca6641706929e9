//! Limits the samples per second of a destination: a token bucket, and a lower pace after an answer 429.

use std::time::Duration;

use crate::time::Moment;

/// How long a lower pace takes to recover.
const RECOVERY: Duration = Duration::from_secs(10 * 60);

/// Several shards are refused at the same moment: they lower the pace once.
const ONCE_IN: Duration = Duration::from_secs(10);

/// The pace is never lowered below this, in samples per second, unless its limit is lower.
const LEAST: f64 = 10.0;

/// … nor below this part of the pace to which it recovers: the receiver's `Retry-After` holds for each request anyway.
const LEAST_PART: f64 = 1.0 / 16.0;

/// The time over which the rate is measured.
const MEASURED: Duration = Duration::from_secs(10);

/// The pace of one destination. A request takes its samples at once, and the next one waits until they are paid for.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Samples per second; `None` is no limit.
    limit: Option<f64>,
    lowered: Option<Lowered>,
    /// The samples that may be sent now; negative after a request that took more.
    tokens: f64,
    updated: Moment,
    rate: Rate,
}

#[derive(Debug, Clone, Copy)]
struct Lowered {
    /// The pace at `since`.
    from: f64,
    /// The pace to which it recovers.
    to: f64,
    since: Moment,
}

/// Measures samples per second, for a destination without a limit.
#[derive(Debug, Clone)]
struct Rate {
    begin: Moment,
    samples: f64,
    last: f64,
}

impl Pace {
    /// A pace of so many samples per second; 0 is no limit.
    #[must_use]
    pub fn new(samples_per_second: u64, now: Moment) -> Self {
        let limit = (samples_per_second > 0).then_some(samples_per_second as f64);
        Self {
            limit,
            lowered: None,
            tokens: limit.unwrap_or(0.0),
            updated: now,
            rate: Rate {
                begin: now,
                samples: 0.0,
                last: 0.0,
            },
        }
    }

    /// How long the next request must wait; zero if it may be sent now.
    pub fn wait(&mut self, now: Moment) -> Duration {
        let Some(pace) = self.refill(now) else {
            return Duration::ZERO;
        };
        match self.tokens >= 0.0 {
            true => Duration::ZERO,
            // Rounded up, so that the wait is long enough.
            false => Duration::from_millis((-self.tokens / pace * 1000.0).ceil() as u64),
        }
    }

    /// Samples were sent.
    pub fn spend(&mut self, samples: u64, now: Moment) {
        let samples = samples as f64;
        self.rate.add(samples, now);
        if self.refill(now).is_some() {
            self.tokens -= samples;
        }
    }

    /// The receiver refused a request because samples come too fast.
    pub fn lower(&mut self, now: Moment) {
        let is_recent = |lowered: Lowered| now.since(lowered.since) < ONCE_IN;
        if self.lowered.is_some_and(is_recent) {
            return;
        }
        let current = self.refill(now).unwrap_or_else(|| self.rate.value(now));
        // Refused again while the pace is lowered: it still recovers to what it was before.
        let before = self.lowered.map_or(current, |lowered| lowered.to);
        let to = self.limit.unwrap_or(before.max(LEAST));
        let least = (to * LEAST_PART).max(LEAST);
        let from = (current / 2.0).max(least).min(to);
        self.lowered = Some(Lowered {
            from,
            to,
            since: now,
        });
        self.tokens = self.tokens.min(0.0);
    }

    /// Adds the tokens since the last time, and returns the pace.
    fn refill(&mut self, now: Moment) -> Option<f64> {
        let elapsed = now.since(self.updated).as_secs_f64();
        self.updated = now;
        let lowered = self.lowered.and_then(|lowered| lowered.pace(now));
        if lowered.is_none() {
            self.lowered = None;
        }
        let pace = lowered.or(self.limit);
        match pace {
            // A second's worth at most, so that a pause is not made up for at once.
            Some(pace) => self.tokens = (self.tokens + pace * elapsed).min(pace),
            None => self.tokens = 0.0,
        }
        pace
    }
}

impl Lowered {
    /// The pace; `None` once it has recovered.
    fn pace(self, now: Moment) -> Option<f64> {
        let part = now.since(self.since).as_secs_f64() / RECOVERY.as_secs_f64();
        (part < 1.0).then_some(self.from + (self.to - self.from) * part)
    }
}

impl Rate {
    fn add(&mut self, samples: f64, now: Moment) {
        self.turn(now);
        self.samples += samples;
    }

    fn value(&mut self, now: Moment) -> f64 {
        self.turn(now);
        let elapsed = now.since(self.begin).as_secs_f64().max(1.0);
        self.last.max(self.samples / elapsed)
    }

    /// Begins a new interval when the last one is over.
    fn turn(&mut self, now: Moment) {
        let elapsed = now.since(self.begin);
        if elapsed >= MEASURED {
            self.last = self.samples / elapsed.as_secs_f64();
            self.samples = 0.0;
            self.begin = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    /// Sends requests of `size` samples as fast as the pace allows, from `begin` to `end`; returns the samples.
    fn play(pace: &mut Pace, size: u64, begin: u64, end: u64) -> u64 {
        let (mut now, mut sent) = (begin, 0);
        loop {
            now += pace.wait(at(now)).as_millis() as u64;
            if now >= end {
                return sent;
            }
            assert_eq!(pace.wait(at(now)), Duration::ZERO);
            pace.spend(size, at(now));
            sent += size;
        }
    }

    #[test]
    fn a_limit_is_kept_with_requests_of_any_size() {
        for size in [1, 10, 999, 10_000] {
            let mut pace = Pace::new(1000, at(0));
            let sent = play(&mut pace, size, 0, 100_000);
            // A second's worth at the beginning, and the last request, come on top.
            assert!(sent >= 99_000 && sent <= 101_000 + size, "{size}: {sent}");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(1000, at(0));
        pace.spend(1000, at(0));
        let sent = play(&mut pace, 10, 3_600_000, 3_610_000);
        assert!((10_000..=11_020).contains(&sent), "{sent}");
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let mut pace = Pace::new(0, at(0));
        for now in 0..100 {
            assert_eq!(pace.wait(at(now)), Duration::ZERO);
            pace.spend(1_000_000, at(now));
        }
        assert_eq!(pace.refill(at(100)), None);
    }

    #[test]
    fn a_refusal_halves_the_pace_which_recovers() {
        let mut pace = Pace::new(1000, at(0));
        pace.lower(at(0));
        // The other shards.
        pace.lower(at(1));
        pace.lower(at(9_999));
        assert_eq!(pace.refill(at(0)), Some(500.0));
        assert_eq!(pace.refill(at(300_000)), Some(750.0));
        pace.lower(at(300_000));
        assert_eq!(pace.refill(at(300_000)), Some(375.0));
        assert_eq!(pace.refill(at(900_000)), Some(1000.0));
    }

    #[test]
    fn without_a_limit_the_measured_rate_is_halved() {
        let mut pace = Pace::new(0, at(0));
        for second in 0..20 {
            pace.spend(2000, at(second * 1000));
        }
        pace.lower(at(20_000));
        assert_eq!(pace.refill(at(20_000)), Some(1000.0));
        assert_eq!(pace.refill(at(620_000)), None);
        // Nothing was sent before: the least pace.
        let mut pace = Pace::new(0, at(0));
        pace.lower(at(0));
        assert_eq!(pace.refill(at(0)), Some(LEAST));
    }

    #[test]
    fn without_a_limit_repeated_refusals_do_not_lower_what_it_recovers_to() {
        let mut pace = Pace::new(0, at(0));
        for second in 0..20 {
            pace.spend(3200, at(second * 1000));
        }
        for refusal in 0..10 {
            pace.lower(at(20_000 + refusal * 10_000));
        }
        let last = 110_000;
        assert_eq!(pace.refill(at(last)), Some(200.0));
        assert_eq!(pace.refill(at(last + 300_000)), Some(1700.0));
        assert_eq!(pace.refill(at(last + 600_000)), None);
    }

    #[test]
    fn a_refusal_never_raises_the_pace() {
        for limit in [1, 5, 9, 10, 11, 1000] {
            let mut pace = Pace::new(limit, at(0));
            for n in 0..50 {
                let now = at(n * 10_000);
                pace.lower(now);
                assert!(pace.refill(now).unwrap() <= limit as f64, "{limit}");
            }
        }
    }

    #[test]
    fn the_pace_is_never_zero() {
        let mut pace = Pace::new(100, at(0));
        for n in 0..50 {
            pace.lower(at(n * 10_000));
            assert!(pace.refill(at(n * 10_000)).unwrap() >= LEAST);
        }
    }
}

//! Decides which failures of an outage are logged: the first, then one a minute, and the end.

use std::time::Duration;

/// The shortest time between two log lines of one activity, and the time without a failure that ends an outage.
const MINUTE: Duration = Duration::from_secs(60);

/// What to log about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A new outage, or a failure that differs from the one logged last: log it.
    First,
    /// The same failure as the one logged last, at least a minute ago: log it with the count.
    Repeated {
        /// The number of failed attempts of the outage, of any kind.
        count: u64,
        /// The time since the outage began.
        since: Duration,
    },
    /// A line was logged less than a minute ago: log nothing.
    Silent,
}

/// The end of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The number of failed attempts, of any kind.
    pub failures: u64,
    /// The time from the first failure to the first success after the last one.
    pub lasted: Duration,
}

/// Tracks one activity that fails and recovers. Failures with equal keys `K` are the same failure.
///
/// Alternating successes and failures are one outage, which ends after a minute without a failure. There is at most one
/// line a minute.
///
/// Times are monotonic durations since any fixed moment, given by the caller.
#[derive(Debug, Clone)]
pub struct FailureLog<K> {
    outage: Option<Outage<K>>,
    /// When the last line was logged.
    last_line: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Outage<K> {
    began: Duration,
    failures: u64,
    /// The first success after the last failure.
    succeeded: Option<Duration>,
    /// The key of the failure that was logged last, if any.
    logged: Option<K>,
}

impl<K: PartialEq> FailureLog<K> {
    /// An activity that has not failed yet.
    pub const fn new() -> Self {
        Self {
            outage: None,
            last_line: None,
        }
    }

    /// Counts a failure, and returns what to log about it.
    pub fn failed(&mut self, key: K, now: Duration) -> Report {
        let last_line = self.last_line;
        let outage = self.count(now);
        if last_line.is_some_and(|last| now.saturating_sub(last) < MINUTE) {
            return Report::Silent;
        }
        if outage.logged.as_ref() == Some(&key) {
            let (count, since) = (outage.failures, now.saturating_sub(outage.began));
            self.last_line = Some(now);
            return Report::Repeated { count, since };
        }
        outage.logged = Some(key);
        self.last_line = Some(now);
        Report::First
    }

    /// Counts a failure that the caller logs on its own.
    pub fn failed_elsewhere(&mut self, now: Duration) {
        self.count(now);
    }

    fn count(&mut self, now: Duration) -> &mut Outage<K> {
        let outage = self.outage.take().filter(|outage| !outage.is_over(now));
        let outage = self.outage.insert(outage.unwrap_or(Outage {
            began: now,
            failures: 0,
            succeeded: None,
            logged: None,
        }));
        outage.failures = outage.failures.saturating_add(1);
        outage.succeeded = None;
        outage
    }

    /// Records a success. Also called later without a new success: returns the end of the outage, once, when a minute has passed
    /// without a failure since the first success. The end of an outage of which nothing was logged is not logged either.
    pub fn recovered(&mut self, now: Duration) -> Option<Recovered> {
        let outage = self.outage.as_mut()?;
        outage.succeeded.get_or_insert(now);
        if !outage.is_over(now) {
            return None;
        }
        let outage = self.outage.take()?;
        outage.logged.as_ref()?;
        self.last_line = Some(now);
        Some(Recovered {
            failures: outage.failures,
            lasted: outage.succeeded?.saturating_sub(outage.began),
        })
    }

    /// When the outage will be over if nothing fails any more; `None` without an outage, or before a success.
    #[must_use]
    pub fn over_at(&self) -> Option<Duration> {
        let succeeded = self.outage.as_ref()?.succeeded?;
        Some(succeeded.saturating_add(MINUTE))
    }
}

impl<K: PartialEq> Default for FailureLog<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Outage<K> {
    fn is_over(&self, now: Duration) -> bool {
        self.succeeded
            .is_some_and(|succeeded| now.saturating_sub(succeeded) >= MINUTE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event of the test: a failure of a kind, or a success.
    type Event = (u64, Option<char>);

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    const fn repeated(count: u64, since: u64) -> Report {
        Report::Repeated {
            count,
            since: secs(since),
        }
    }

    #[test]
    fn failures_are_reported_once_and_then_once_a_minute() {
        type Failure = (char, u64);
        let cases: &[(&str, &[(Failure, Report)])] = &[
            ("one", &[(('a', 7), Report::First)]),
            (
                "the same within a minute",
                &[
                    (('a', 7), Report::First),
                    (('a', 8), Report::Silent),
                    (('a', 66), Report::Silent),
                ],
            ),
            (
                "the same for minutes",
                &[
                    (('a', 10), Report::First),
                    (('a', 40), Report::Silent),
                    (('a', 70), repeated(3, 60)),
                    (('a', 129), Report::Silent),
                    (('a', 131), repeated(5, 121)),
                    (('a', 500), repeated(6, 490)),
                ],
            ),
            (
                "another in between: still one line a minute",
                &[
                    (('a', 0), Report::First),
                    (('b', 10), Report::Silent),
                    (('b', 60), Report::First),
                    (('a', 70), Report::Silent),
                    (('b', 120), repeated(5, 120)),
                    (('a', 180), Report::First),
                ],
            ),
            (
                "a clock that does not advance or goes back",
                &[
                    (('a', 100), Report::First),
                    (('a', 100), Report::Silent),
                    (('a', 10), Report::Silent),
                ],
            ),
        ];
        for (name, failures) in cases {
            let mut log = FailureLog::new();
            for ((key, now), expected) in *failures {
                assert_eq!(
                    log.failed(*key, secs(*now)),
                    *expected,
                    "{name}, at {now} s"
                );
            }
        }
    }

    #[test]
    fn an_outage_ends_after_a_minute_of_success() {
        let ended = |failures, lasted| {
            Some(Recovered {
                failures,
                lasted: secs(lasted),
            })
        };
        let cases: &[(&[Event], u64, Option<Recovered>)] = &[
            (&[], 5, None),
            (&[(5, Some('a')), (9, None)], 68, None),
            (&[(5, Some('a')), (9, None)], 69, ended(1, 4)),
            (
                &[(5, Some('a')), (6, None), (7, Some('b')), (8, None)],
                67,
                None,
            ),
            (
                &[(5, Some('a')), (6, None), (7, Some('b')), (8, None)],
                68,
                ended(2, 3),
            ),
        ];
        for (events, now, expected) in cases {
            let mut log = FailureLog::default();
            for (at, key) in *events {
                match key {
                    Some(key) => drop(log.failed(*key, secs(*at))),
                    None => assert_eq!(log.recovered(secs(*at)), None),
                }
            }
            assert_eq!(log.recovered(secs(*now)), *expected, "{events:?}");
            if expected.is_some() {
                assert_eq!(log.recovered(secs(*now)), None);
                // The end was a line, too.
                assert_eq!(log.failed('a', secs(*now + 59)), Report::Silent);
                assert_eq!(log.failed('a', secs(*now + 60)), Report::First);
            }
        }
    }

    #[test]
    fn a_failure_that_the_caller_logs_is_counted_and_not_reported() {
        let mut log = FailureLog::new();
        log.failed_elsewhere(secs(0));
        assert_eq!(log.recovered(secs(1)), None);
        assert_eq!(log.recovered(secs(61)), None);
        log.failed_elsewhere(secs(70));
        assert_eq!(log.failed('a', secs(71)), Report::First);
    }

    #[test]
    fn an_outage_ends_even_if_its_end_was_not_queried() {
        let mut log = FailureLog::new();
        log.failed('a', secs(0));
        assert_eq!(log.over_at(), None);
        log.recovered(secs(1));
        assert_eq!(log.over_at(), Some(secs(61)));
        assert_eq!(log.failed('a', secs(61)), Report::First);
        assert_eq!(log.failed('a', secs(121)), repeated(2, 60));
    }

    proptest! {
        #[test]
        fn there_is_at_most_one_line_a_minute(
            events in prop::collection::vec((0_u64..90, prop::option::weighted(0.5, 0_u8..3)), 1..300),
        ) {
            let mut log = FailureLog::new();
            let (mut now, mut last_line) = (1000, None::<u64>);
            for (after, key) in events {
                now += after;
                let is_line = match key {
                    Some(key) => log.failed(key, secs(now)) != Report::Silent,
                    None => log.recovered(secs(now)).is_some(),
                };
                if is_line {
                    prop_assert!(last_line.is_none_or(|last| now - last >= 60), "{now} {last_line:?}");
                    last_line = Some(now);
                }
            }
        }
    }
}

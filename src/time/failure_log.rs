//! Which of many equal failures are worth a log line: the first, one a minute, and the recovery.

use std::time::Duration;

/// The shortest time between two lines about one failure.
const REPEAT_EVERY: Duration = Duration::from_secs(60);

/// What to log about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A new failure, or another than before: log it.
    First,
    /// The same for a minute or longer since the last line: log it, with its count.
    Repeated {
        /// How often it happened since it was first reported, that first time and this included.
        count: u64,
        /// How long ago it was first reported.
        since: Duration,
    },
    /// Said less than a minute ago: log nothing.
    Silent,
}

/// The end of a series of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// How many attempts failed, of whatever kind.
    pub failures: u64,
    /// The time from the first failure to the recovery.
    pub lasted: Duration,
}

/// Follows one activity that fails and recovers. `K` says which failures are the same one.
///
/// Times are monotonic durations since any fixed moment, handed in by the caller.
#[derive(Debug, Clone)]
pub struct FailureLog<K> {
    outage: Option<Outage<K>>,
}

#[derive(Debug, Clone)]
struct Outage<K> {
    began: Duration,
    failures: u64,
    key: K,
    key_began: Duration,
    key_count: u64,
    last_line: Duration,
}

impl<K: PartialEq> FailureLog<K> {
    /// A log of an activity that has not failed.
    pub const fn new() -> Self {
        Self { outage: None }
    }

    /// Counts a failure and says what to log about it.
    pub fn failed(&mut self, key: K, now: Duration) -> Report {
        match &mut self.outage {
            Some(outage) if outage.key == key => outage.repeated(now),
            Some(outage) => {
                outage.changed(key, now);
                Report::First
            }
            none => {
                *none = Some(Outage::new(key, now));
                Report::First
            }
        }
    }

    /// Ends the series of failures. `None` when there was none: then there is nothing to log.
    pub fn recovered(&mut self, now: Duration) -> Option<Recovered> {
        self.outage.take().map(|outage| Recovered {
            failures: outage.failures,
            lasted: now.saturating_sub(outage.began),
        })
    }
}

impl<K: PartialEq> Default for FailureLog<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Outage<K> {
    fn new(key: K, now: Duration) -> Self {
        Self {
            began: now,
            failures: 1,
            key,
            key_began: now,
            key_count: 1,
            last_line: now,
        }
    }

    fn changed(&mut self, key: K, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.key = key;
        self.key_began = now;
        self.key_count = 1;
        self.last_line = now;
    }

    fn repeated(&mut self, now: Duration) -> Report {
        self.failures = self.failures.saturating_add(1);
        self.key_count = self.key_count.saturating_add(1);
        if now.saturating_sub(self.last_line) < REPEAT_EVERY {
            return Report::Silent;
        }
        self.last_line = now;
        Report::Repeated {
            count: self.key_count,
            since: now.saturating_sub(self.key_began),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and when it failed, in seconds.
    type Failure = (char, u64);

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
    fn failures_are_reported_once_and_then_by_the_minute() {
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
                "another in between",
                &[
                    (('a', 0), Report::First),
                    (('b', 10), Report::First),
                    (('b', 60), Report::Silent),
                    (('b', 70), repeated(3, 60)),
                    (('a', 71), Report::First),
                ],
            ),
            (
                "a clock that stands or goes back",
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
    fn a_recovery_is_reported_once() {
        let cases: &[(&[Failure], u64, Option<Recovered>)] = &[
            (&[], 5, None),
            (
                &[('a', 5)],
                9,
                Some(Recovered {
                    failures: 1,
                    lasted: secs(4),
                }),
            ),
            (
                &[('a', 5), ('a', 6), ('b', 100), ('a', 200)],
                205,
                Some(Recovered {
                    failures: 4,
                    lasted: secs(200),
                }),
            ),
        ];
        for (failures, now, expected) in cases {
            let mut log = FailureLog::default();
            for (key, at) in *failures {
                log.failed(*key, secs(*at));
            }
            assert_eq!(log.recovered(secs(*now)), *expected);
            assert_eq!(log.recovered(secs(*now)), None);
            assert_eq!(log.failed('a', secs(*now)), Report::First);
        }
    }
}

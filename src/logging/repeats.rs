//! Suppresses repeated events: a call site that logs the same repeatedly gives one line a minute.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// The shortest time between lines of equal events, and the average time between all lines of one call site.
const INTERVAL: Duration = Duration::from_secs(60);

/// The most different lines of one call site in a burst.
const BURST: u32 = 10;

/// Whether an event is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Log it.
    Write {
        /// The number of events of this call site that were suppressed since its last line.
        suppressed: u64,
    },
    /// Do not log it.
    Suppress,
}

/// Tracks the call sites, identified by `S`. Their number is limited, as they are places in the code.
#[derive(Debug)]
pub(super) struct Repeats<S> {
    sites: HashMap<S, Site>,
}

#[derive(Debug)]
struct Site {
    /// A token bucket: grows with time, and a line costs [`INTERVAL`].
    credit: Duration,
    last: Duration,
    suppressed: u64,
    /// The digests and times of the lines within the last [`INTERVAL`].
    recent: VecDeque<(u64, Duration)>,
}

impl<S: Eq + Hash> Repeats<S> {
    pub(super) fn new() -> Self {
        Self {
            sites: HashMap::new(),
        }
    }

    /// Decides about an event at `now`, a monotonic time. Events with the same `digest` are repetitions; those without are not.
    pub(super) fn decide(&mut self, site: S, digest: Option<u64>, now: Duration) -> Verdict {
        let site = self.sites.entry(site).or_insert_with(|| Site::new(now));
        site.decide(digest, now)
    }
}

impl Site {
    fn new(now: Duration) -> Self {
        Self {
            credit: INTERVAL * BURST,
            last: now,
            suppressed: 0,
            recent: VecDeque::new(),
        }
    }

    fn decide(&mut self, digest: Option<u64>, now: Duration) -> Verdict {
        let gained = now.saturating_sub(self.last);
        self.credit = self.credit.saturating_add(gained).min(INTERVAL * BURST);
        self.last = now;
        let is_old = |(_, at): &(u64, Duration)| now.saturating_sub(*at) >= INTERVAL;
        while self.recent.front().is_some_and(is_old) {
            self.recent.pop_front();
        }
        let is_repeated =
            digest.is_some_and(|digest| self.recent.iter().any(|line| line.0 == digest));
        if is_repeated || self.credit < INTERVAL {
            self.suppressed += 1;
            return Verdict::Suppress;
        }
        self.credit -= INTERVAL;
        self.recent.extend(digest.map(|digest| (digest, now)));
        Verdict::Write {
            suppressed: std::mem::take(&mut self.suppressed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of an event, its time in seconds, and the expected verdict.
    type Case = (u64, u64, Verdict);

    const fn written(suppressed: u64) -> Verdict {
        Verdict::Write { suppressed }
    }

    #[test]
    fn one_site_gives_one_line_a_minute() {
        use Verdict::Suppress;
        let cases: &[(&str, &[Case])] = &[
            (
                "the same",
                &[
                    (1, 0, written(0)),
                    (1, 0, Suppress),
                    (1, 59, Suppress),
                    (1, 60, written(2)),
                    (1, 61, Suppress),
                    (1, 200, written(1)),
                    (1, 261, written(0)),
                ],
            ),
            (
                "another event in between",
                &[
                    (1, 0, written(0)),
                    (2, 1, written(0)),
                    (1, 2, Suppress),
                    (2, 59, Suppress),
                    (3, 59, written(2)),
                    (1, 60, written(0)),
                    (2, 60, Suppress),
                    (2, 61, written(1)),
                ],
            ),
            (
                "always different",
                &[
                    (1, 0, written(0)),
                    (2, 0, written(0)),
                    (3, 0, written(0)),
                    (4, 0, written(0)),
                    (5, 0, written(0)),
                    (6, 0, written(0)),
                    (7, 0, written(0)),
                    (8, 0, written(0)),
                    (9, 0, written(0)),
                    (10, 0, written(0)),
                    (11, 0, Suppress),
                    (12, 59, Suppress),
                    (13, 60, written(2)),
                    (14, 60, Suppress),
                    (15, 120, written(1)),
                    (16, 1000, written(0)),
                    (17, 1000, written(0)),
                ],
            ),
            (
                "a clock that goes back",
                &[(1, 100, written(0)), (1, 10, Suppress), (2, 5, written(1))],
            ),
        ];
        for (name, events) in cases {
            let mut repeats = Repeats::new();
            for (digest, at, expected) in *events {
                let now = Duration::from_secs(*at);
                let verdict = repeats.decide('a', Some(*digest), now);
                assert_eq!(verdict, *expected, "{name}: {digest} at {at} s");
            }
        }
    }

    #[test]
    fn events_without_a_digest_may_repeat_and_sites_are_independent() {
        let mut repeats = Repeats::new();
        for _ in 0..BURST {
            let verdict = repeats.decide('a', None, Duration::ZERO);
            assert_eq!(verdict, written(0));
        }
        let verdict = repeats.decide('a', None, Duration::ZERO);
        assert_eq!(verdict, Verdict::Suppress);
        let verdict = repeats.decide('b', Some(1), Duration::ZERO);
        assert_eq!(verdict, written(0));
        let verdict = repeats.decide('a', None, INTERVAL);
        assert_eq!(verdict, written(1));
    }

    #[test]
    fn an_hour_of_events_is_sixty_lines_and_a_burst() {
        let mut repeats = Repeats::new();
        let lines = (0..36_000_u64).filter(|tenth| {
            let now = Duration::from_millis(tenth * 100);
            repeats.decide('a', Some(*tenth), now) != Verdict::Suppress
        });
        assert_eq!(lines.count(), 59 + BURST as usize);
    }
}

//! Which events are worth a line: a call site that logs again and again gives one a minute.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// The shortest time between two lines that say the same, and in the long run between any two lines of one call site.
const EVERY: Duration = Duration::from_secs(60);

/// So many different lines of one call site may come at once.
const BURST: u32 = 10;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A line, after so many events of this call site that gave none.
    Write {
        /// Events without a line since the last line.
        suppressed: u64,
    },
    /// No line.
    Suppress,
}

/// Follows the call sites. `S` names one; there are finitely many.
#[derive(Debug)]
pub(super) struct Repeats<S> {
    sites: HashMap<S, Site>,
}

#[derive(Debug)]
struct Site {
    /// Grows with time; a line costs [`EVERY`].
    credit: Duration,
    last: Duration,
    suppressed: u64,
    /// What the latest lines said, and when: not more of them than come within [`EVERY`].
    said: VecDeque<(u64, Duration)>,
}

impl<S: Eq + Hash> Repeats<S> {
    pub(super) fn new() -> Self {
        Self {
            sites: HashMap::new(),
        }
    }

    /// Judges an event at `now`, a monotonic time. Two events with one `digest` say the same; without one they never do.
    pub(super) fn judge(&mut self, site: S, digest: Option<u64>, now: Duration) -> Verdict {
        let site = self.sites.entry(site).or_insert_with(|| Site::new(now));
        site.judge(digest, now)
    }
}

impl Site {
    fn new(now: Duration) -> Self {
        Self {
            credit: EVERY * BURST,
            last: now,
            suppressed: 0,
            said: VecDeque::new(),
        }
    }

    fn judge(&mut self, digest: Option<u64>, now: Duration) -> Verdict {
        let gained = now.saturating_sub(self.last);
        self.credit = self.credit.saturating_add(gained).min(EVERY * BURST);
        self.last = now;
        let is_old = |(_, at): &(u64, Duration)| now.saturating_sub(*at) >= EVERY;
        while self.said.front().is_some_and(is_old) {
            self.said.pop_front();
        }
        let is_said = digest.is_some_and(|digest| self.said.iter().any(|said| said.0 == digest));
        if is_said || self.credit < EVERY {
            self.suppressed += 1;
            return Verdict::Suppress;
        }
        self.credit -= EVERY;
        self.said.extend(digest.map(|digest| (digest, now)));
        Verdict::Write {
            suppressed: std::mem::take(&mut self.suppressed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an event says, when, and what becomes of it.
    type Judged = (u64, u64, Verdict);

    const fn written(suppressed: u64) -> Verdict {
        Verdict::Write { suppressed }
    }

    #[test]
    fn one_site_gives_one_line_a_minute() {
        use Verdict::Suppress;
        let cases: &[(&str, &[Judged])] = &[
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
                "something else in between",
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
                "always something else",
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
                let verdict = repeats.judge('a', Some(*digest), now);
                assert_eq!(verdict, *expected, "{name}: {digest} at {at} s");
            }
        }
    }

    #[test]
    fn changes_may_repeat_themselves_and_sites_are_apart() {
        let mut repeats = Repeats::new();
        for _ in 0..BURST {
            let verdict = repeats.judge('a', None, Duration::ZERO);
            assert_eq!(verdict, written(0));
        }
        let verdict = repeats.judge('a', None, Duration::ZERO);
        assert_eq!(verdict, Verdict::Suppress);
        let verdict = repeats.judge('b', Some(1), Duration::ZERO);
        assert_eq!(verdict, written(0));
        let verdict = repeats.judge('a', None, EVERY);
        assert_eq!(verdict, written(1));
    }

    #[test]
    fn an_hour_of_events_is_sixty_lines_and_a_burst() {
        let mut repeats = Repeats::new();
        let lines = (0..36_000_u64).filter(|tenth| {
            let now = Duration::from_millis(tenth * 100);
            repeats.judge('a', Some(*tenth), now) != Verdict::Suppress
        });
        assert_eq!(lines.count(), 59 + BURST as usize);
    }
}

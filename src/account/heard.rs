//! Calculates the time that an answer covers: rows that a device sent in this time are in this answer or an earlier one.

use std::time::Duration;

/// The end of the last answer, unless an attempt has failed since. All times are measured by the time that the process ran
/// ([`Clock::ran`](crate::time::Clock::ran)), because nothing is received while it is stopped or the machine sleeps.
#[derive(Debug, Default)]
pub(super) struct Heard {
    until: Option<Duration>,
}

impl Heard {
    /// The time that an answer covers: since the end of the previous one, or since its own request after a failure. A full answer covers
    /// nothing, because more rows are waiting.
    pub(super) fn covered(&self, sent: Duration, answered: Duration, is_full: bool) -> Duration {
        match is_full {
            true => Duration::ZERO,
            false => answered.saturating_sub(self.until.unwrap_or(sent)),
        }
    }

    /// An answer that was complete at `answered` is stored.
    pub(super) fn stored(&mut self, answered: Duration) {
        self.until = Some(answered);
    }

    /// An attempt has failed, so rows may have been missed.
    pub(super) fn failed(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_covers_the_time_since_the_one_before_it() {
        enum Event {
            Answer(u64, u64, bool),
            Failure,
        }
        use Event::{Answer, Failure};
        // When a poll was sent and answered, whether the answer was full, and what it covers.
        let cases = [
            (Answer(10, 25, false), 15),
            (Answer(25, 40, false), 15),
            // The wait for the pace is covered by the next answer.
            (Answer(43, 45, false), 5),
            (Answer(45, 46, true), 0),
            (Answer(46, 47, true), 0),
            (Answer(48, 50, false), 3),
            (Failure, 0),
            (Answer(90, 95, false), 5),
            (Failure, 0),
            (Answer(99, 100, true), 0),
            (Answer(100, 104, false), 4),
        ];
        let mut heard = Heard::default();
        for (event, expected) in cases {
            let Answer(sent, answered, is_full) = event else {
                heard.failed();
                continue;
            };
            let (sent, answered) = (Duration::from_secs(sent), Duration::from_secs(answered));
            let covered = heard.covered(sent, answered, is_full);
            assert_eq!(covered, Duration::from_secs(expected), "{answered:?}");
            heard.stored(answered);
        }
    }
}

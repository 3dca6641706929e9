//! Stream time of an account: a clock that advances only by the time that answers cover. A device that is silent by this clock is
//! offline; an outage of the stream does not make devices offline.

use std::time::Duration;

use crate::time::Moment;

/// If at least this many devices were online, an answer without rows more likely means that the stream has stopped than that all of them
/// have.
const MANY_DEVICES: usize = 10;

/// If answers have contained no rows for longer than this, the devices count as silent, not the stream. Announced maintenance delays
/// telemetry by up to 30 minutes.
const LONGEST_SILENCE: Duration = Duration::from_secs(45 * 60);

/// The clock, and the duration of the stream's silence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamTime {
    now: Moment,
    /// Whether at least [`MANY_DEVICES`] devices were online when the last rows arrived.
    had_many_online: bool,
    /// The time that answers without rows have covered since, if [`MANY_DEVICES`] devices were online; `None` if there was no such answer.
    empty: Option<Duration>,
}

impl StreamTime {
    /// A clock that continues that of an earlier process.
    pub(super) fn resume(now: Moment) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// The current stream time.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Advances the clock by the time that an answer covers.
    pub fn advance(&mut self, covered: Duration, has_rows: bool) {
        match has_rows {
            true => self.advance_with_rows(covered),
            false => self.advance_without_rows(covered),
        }
    }

    /// An answer without rows. It advances the clock only if few devices were online, or after a long silence of the stream.
    fn advance_without_rows(&mut self, covered: Duration) {
        let empty = self.empty.unwrap_or_default();
        if !self.had_many_online || empty >= LONGEST_SILENCE {
            self.now = self.now.after(covered);
        }
        if self.had_many_online {
            self.empty = Some(empty.saturating_add(covered));
        }
    }

    /// An answer with rows.
    fn advance_with_rows(&mut self, covered: Duration) {
        self.empty = None;
        self.now = self.now.after(covered);
    }

    /// Records the number of online devices after rows have arrived.
    pub fn note_online(&mut self, online: usize) {
        self.had_many_online = online >= MANY_DEVICES;
    }

    /// Whether the whole stream is silent, so that answers without rows do not advance the clock.
    pub(super) fn is_silent(&self) -> bool {
        self.empty.is_some_and(|empty| empty < LONGEST_SILENCE)
    }

    /// The time that answers without rows have covered, if many devices were online before; `None` otherwise.
    pub(super) fn empty(&self) -> Option<Duration> {
        self.empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Answer {
        /// Seconds covered, and how many devices are online.
        Rows(u64, usize),
        Nothing(u64),
    }

    #[test]
    fn answers_without_rows_mean_a_silent_stream_for_45_minutes() {
        use Answer::{Nothing, Rows};
        // An answer, the clock afterwards in seconds, and whether the stream is silent.
        type Step = (Answer, u64, bool);
        let cases: &[(&str, &[Step])] = &[
            (
                "few devices: the devices are silent",
                &[
                    (Rows(15, 9), 15, false),
                    (Nothing(15), 30, false),
                    (Nothing(3000), 3030, false),
                ],
            ),
            (
                "many devices: the stream is silent, for 45 minutes",
                &[
                    (Rows(15, 10), 15, false),
                    (Nothing(60), 15, true),
                    (Nothing(2639), 15, true),
                    (Nothing(1), 15, false),
                    (Nothing(15), 30, false),
                    (Rows(15, 10), 45, false),
                    (Nothing(15), 45, true),
                ],
            ),
            (
                "rows end the silence, and advance the clock",
                &[
                    (Rows(0, 12), 0, false),
                    (Nothing(1800), 0, true),
                    (Rows(0, 3), 0, false),
                    (Rows(2, 12), 2, false),
                    (Nothing(0), 2, true),
                    (Rows(3, 12), 5, false),
                ],
            ),
        ];
        for (name, answers) in cases {
            let mut time = StreamTime::default();
            for (index, (answer, now, is_silent)) in answers.iter().enumerate() {
                match answer {
                    Rows(covered, online) => {
                        time.advance_with_rows(Duration::from_secs(*covered));
                        time.note_online(*online);
                    }
                    Nothing(covered) => time.advance_without_rows(Duration::from_secs(*covered)),
                }
                let shown = (time.now().millis() / 1000, time.is_silent());
                assert_eq!(shown, (*now, *is_silent), "{name}, {index}");
            }
        }
    }

    #[test]
    fn a_resumed_clock_takes_the_number_of_online_devices() {
        let now = Moment::from_millis(5);
        for (online, after) in [(9, 60_005), (10, 5)] {
            let mut time = StreamTime::resume(now);
            time.note_online(online);
            time.advance_without_rows(Duration::from_secs(60));
            assert_eq!(time.now().millis(), after, "{online}");
        }
    }
}

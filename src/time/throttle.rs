//! Limits log lines about events that may happen with every poll to one a minute.

use std::time::Duration;

/// The shortest time between two lines.
const MINUTE: Duration = Duration::from_secs(60);

/// Tracks one kind of event. Times are monotonic durations since any fixed moment.
#[derive(Debug, Clone, Default)]
pub struct Throttle {
    last: Option<Duration>,
    suppressed: u64,
}

impl Throttle {
    /// Returns `None` if the event at `now` is not to be logged, else the number of events that were not logged since the last line.
    pub fn admit(&mut self, now: Duration) -> Option<u64> {
        let is_early = |last| now.saturating_sub(last) < MINUTE;
        if self.last.is_some_and(is_early) {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_a_minute_is_logged() {
        let mut throttle = Throttle::default();
        for (second, expected) in [
            (5, Some(0)),
            (5, None),
            (64, None),
            (65, Some(2)),
            (1, None),
            (600, Some(1)),
            (700, Some(0)),
        ] {
            assert_eq!(
                throttle.admit(Duration::from_secs(second)),
                expected,
                "{second}"
            );
        }
    }
}

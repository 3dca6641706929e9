//! At most one log line a minute about something that may happen with every poll.

use std::time::Duration;

/// The shortest time between two lines.
const MINUTE: Duration = Duration::from_secs(60);

/// Follows one kind of event. Times are monotonic durations since any fixed moment.
#[derive(Debug, Clone, Default)]
pub struct Throttle {
    last: Option<Duration>,
    held_back: u64,
}

impl Throttle {
    /// Whether to log the event that happens at `now`: how many since the last line were not logged, if so.
    pub fn admit(&mut self, now: Duration) -> Option<u64> {
        let is_early = |last| now.saturating_sub(last) < MINUTE;
        if self.last.is_some_and(is_early) {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
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

//! How long an account, a journal or a sender pauses before it is started again.

use std::time::Duration;

use crate::time::{Backoff, Moment};

/// What ran for this time after a pause has recovered, so that its next pause is as short as the first.
const RECOVERED: Duration = Duration::from_secs(15 * 60);

/// How long an account, a journal or a sender that fails again and again pauses: 1, 2, 4 … 15 minutes.
#[derive(Debug)]
pub struct Pauses {
    backoff: Backoff,
    started: Moment,
}

impl Pauses {
    /// It is started now.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            backoff: Backoff::PAUSES,
            started: now,
        }
    }

    /// It is started again.
    pub fn started(&mut self, now: Moment) {
        self.started = now;
    }

    /// It has failed. Returns the length of its pause.
    pub fn next(&mut self, now: Moment) -> Duration {
        if now.since(self.started) >= RECOVERED {
            self.backoff.reset();
        }
        self.backoff.next(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_quarter_of_an_hour_and_begin_anew_after_one_without_failure() {
        let minute = Duration::from_secs(60);
        let mut now = Moment::default();
        let mut pauses = Pauses::new(now);
        // Minutes that the account runs, and then pauses.
        for (runs, expected) in [
            (0, 1),
            (1, 2),
            (0, 4),
            (14, 8),
            (0, 15),
            (1, 15),
            (15, 1),
            (0, 2),
        ] {
            now = now.after(runs * minute);
            let pause = pauses.next(now);
            assert_eq!(pause, expected * minute, "after {runs} minutes");
            now = now.after(pause);
            pauses.started(now);
        }
    }
}

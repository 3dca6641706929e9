//! The time and the random number with which a state machine handles an event.

use std::time::Duration;

use crate::time::{Clock, Moment};

/// The time of an event, and a random number for the backoff that it may cause.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// [`Clock::elapsed`].
    pub(super) elapsed: Duration,
    /// In `[0, 1)`.
    pub(super) jitter: f64,
}

impl Now {
    /// The current time, and a new random number.
    pub(super) fn read(clock: &Clock) -> Self {
        Self {
            elapsed: clock.elapsed(),
            jitter: fastrand::f64(),
        }
    }

    /// The time as a moment.
    pub(super) fn moment(self) -> Moment {
        Moment::at(self.elapsed)
    }
}

//! The clocks of the process: the one place that asks the operating system for the time.

use std::time::{Duration, Instant, SystemTime};

use crate::fleet::Moment;

/// The monotonic clock that all parts of one application share. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// What it showed when it was started.
    before: Duration,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self::resume(Moment::default())
    }

    /// A clock that goes on from a moment that an earlier process's clock has shown.
    #[must_use]
    pub fn resume(moment: Moment) -> Self {
        Self {
            start: Instant::now(),
            before: moment.since(Moment::default()),
        }
    }

    /// What it shows: the time since it was started first.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.before.saturating_add(self.start.elapsed())
    }

    /// The same as a moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::at(self.elapsed())
    }
}

/// Seconds since 1970 by the system's clock; zero if that is set to before.
#[must_use]
pub fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

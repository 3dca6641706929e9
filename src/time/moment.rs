//! A point in time on a monotonic clock.

use std::time::Duration;

/// A time on a monotonic clock, in milliseconds since the clock's start. The type reads no clock; the caller does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The largest moment, for what is never due.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `millis` milliseconds after the clock's start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's start.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The moment `since_start` after the clock's start.
    #[must_use]
    pub fn at(since_start: Duration) -> Self {
        Self::default().after(since_start)
    }

    /// The time since `earlier`; zero if `earlier` is later than this moment.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment `duration` earlier, but not before the clock's start.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_saturate() {
        let moment = Moment::from_millis(1500);
        assert_eq!(
            moment.since(Moment::from_millis(500)),
            Duration::from_secs(1)
        );
        assert_eq!(moment.since(Moment::NEVER), Duration::ZERO);
        assert_eq!(moment.after(Duration::MAX), Moment::NEVER);
        assert_eq!(
            moment.before(Duration::from_millis(1499)),
            Moment::from_millis(1)
        );
        assert_eq!(moment.before(Duration::MAX), Moment::default());
        assert_eq!(Moment::at(Duration::from_millis(1500)), moment);
    }
}

//! The handle for time: what all parts of one application ask for the time, and wait by.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::Moment;

/// The clocks of one application: a monotonic one, and the system's wall clock. Clones share the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
    /// What the monotonic clock showed when its source began.
    base: Duration,
}

#[derive(Debug, Clone)]
enum Source {
    /// The operating system's clocks, since this instant.
    System(Instant),
    /// Clocks that a test moves.
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    times: Mutex<Times>,
    moved: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    elapsed: Duration,
    wall: SystemTime,
}

impl Manual {
    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    /// The operating system's clocks; the monotonic one starts at zero.
    #[must_use]
    pub fn system() -> Self {
        Self {
            source: Source::System(Instant::now()),
            base: Duration::ZERO,
        }
    }

    /// Clocks that stand still until the returned handle moves them, for tests.
    #[must_use]
    pub fn manual(wall: SystemTime) -> (Self, Hands) {
        let manual = Arc::new(Manual {
            times: Mutex::new(Times {
                elapsed: Duration::ZERO,
                wall,
            }),
            moved: Notify::new(),
        });
        let clock = Self {
            source: Source::Manual(Arc::clone(&manual)),
            base: Duration::ZERO,
        };
        (clock, Hands(manual))
    }

    /// The same clocks, with a monotonic one that goes on from a moment that an earlier process's clock has shown.
    #[must_use]
    pub fn resume(&self, moment: Moment) -> Self {
        let shown = moment.since(Moment::default());
        Self {
            source: self.source.clone(),
            base: self.base.saturating_add(shown),
        }
    }

    /// The monotonic time since the clock was first started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let since = match &self.source {
            Source::System(start) => start.elapsed(),
            Source::Manual(manual) => manual.times().elapsed,
        };
        self.base.saturating_add(since)
    }

    /// The same as a moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::at(self.elapsed())
    }

    /// The system's wall clock.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        match &self.source {
            Source::System(_) => SystemTime::now(),
            Source::Manual(manual) => manual.times().wall,
        }
    }

    /// Waits until the monotonic clock shows `moment`.
    pub async fn sleep_until(&self, moment: Moment) {
        match &self.source {
            Source::System(_) => tokio::time::sleep(moment.since(self.now())).await,
            Source::Manual(manual) => loop {
                let mut moved = std::pin::pin!(manual.moved.notified());
                // Listens before it looks, so that no move in between is missed.
                moved.as_mut().enable();
                if self.now() >= moment {
                    return;
                }
                moved.await;
            },
        }
    }

    /// Waits for a time by the monotonic clock.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now().after(duration)).await;
    }
}

/// Moves the clocks of [`Clock::manual`]. Clones move the same ones.
#[derive(Debug, Clone)]
pub struct Hands(Arc<Manual>);

impl Hands {
    /// Lets time pass: both clocks go forward, and waits whose time has come end.
    pub fn advance(&self, duration: Duration) {
        self.change(|times| {
            times.elapsed = times.elapsed.saturating_add(duration);
            times.wall += duration;
        });
    }

    /// Sets the wall clock alone, as an operator or NTP does.
    pub fn set_wall(&self, wall: SystemTime) {
        self.change(|times| times.wall = wall);
    }

    fn change(&self, change: impl FnOnce(&mut Times)) {
        let mut times = self.0.times.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut times);
        drop(times);
        self.0.moved.notify_waiters();
    }
}

/// Seconds since 1970; zero for an earlier time.
#[must_use]
pub fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_manual_clock_moves_by_hand_alone() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (clock, hands) = Clock::manual(start);
        let resumed = clock.resume(Moment::from_millis(500));
        assert_eq!((clock.now().millis(), resumed.now().millis()), (0, 500));
        let mut wait = Box::pin(clock.sleep(Duration::from_secs(3600)));
        assert!((&mut wait).now_or_never().is_none());
        hands.advance(Duration::from_secs(3599));
        assert!((&mut wait).now_or_never().is_none());
        hands.advance(Duration::from_secs(1));
        assert!((&mut wait).now_or_never().is_some());
        assert_eq!(resumed.now().millis(), 3_600_500);
        assert_eq!(clock.wall(), start + Duration::from_secs(3600));
        hands.set_wall(start);
        assert_eq!((clock.wall(), clock.now().millis()), (start, 3_600_000));
    }
}

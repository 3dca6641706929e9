//! [`Clock`]: reads the time and waits, for all parts of one application.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use tracing::{info, warn};

use super::correction::{Change, DateHeader};
use super::manual::ManualTime;
use super::moment::Moment;
use super::shared::{Shared, Watch};
use super::source::{Manual, Source, System};

/// The clocks of one application. Clones share the clocks and the correction by Starlink's `Date` headers.
///
/// - [`Clock::now`] is monotonic and includes the time while the machine is suspended or the process is stopped. The age of devices
///   is measured with it.
/// - [`Clock::ran`] is monotonic and excludes that time. Hangs and waits for components are measured with it.
/// - [`Clock::wall`] is the system clock; [`Clock::corrected`] is the system clock, corrected by Starlink's.
#[derive(Debug, Clone)]
pub struct Clock {
    shared: Arc<Shared>,
    /// Added to the monotonic time of `shared`: not zero if the clock continues that of an earlier process.
    base: Duration,
}

impl Clock {
    /// The clocks of the operating system; the monotonic ones start at zero.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Source::System(System::start()))
    }

    /// Clocks that move only when the returned handle moves them, for tests.
    #[must_use]
    pub fn manual(wall: SystemTime) -> (Self, ManualTime) {
        let clock = Self::of(Source::Manual(Manual::new(wall)));
        let time = ManualTime::new(Arc::clone(&clock.shared));
        (clock, time)
    }

    fn of(source: Source) -> Self {
        Self {
            shared: Shared::new(source),
            base: Duration::ZERO,
        }
    }

    /// Starts the thread that detects that the machine was suspended or the process stopped. The thread ends when the last clone is
    /// dropped.
    ///
    /// # Errors
    /// The thread cannot be started. Then the time while the process was stopped counts as time in which it ran.
    pub fn watch(&self) -> io::Result<()> {
        if matches!(self.shared.source, Source::Manual(_))
            || self.shared.is_watched.load(Ordering::Relaxed)
        {
            return Ok(());
        }
        let watch = Watch::begin(&self.shared);
        let thread = std::thread::Builder::new().name("clock".to_owned());
        thread.spawn(move || watch.run())?;
        Ok(())
    }

    /// The same clocks, with a monotonic time that continues that of an earlier process: it is `moment` when this one is `at`.
    #[must_use]
    pub fn resume(&self, moment: Moment, at: Moment) -> Self {
        let zero = Moment::default();
        let base = self.base.saturating_add(moment.since(zero));
        Self {
            shared: Arc::clone(&self.shared),
            base: base.saturating_sub(at.since(zero)),
        }
    }

    /// The time since the clock was first started, including suspensions.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let inferred = self.shared.state().inferred;
        let now = self.shared.source.read().now();
        self.base.saturating_add(now).saturating_add(inferred)
    }

    /// [`Clock::elapsed`] as a moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::at(self.elapsed())
    }

    /// The time that this process ran: excludes suspensions of the machine and stops of the process.
    #[must_use]
    pub fn ran(&self) -> Duration {
        self.shared.ran()
    }

    /// The system clock.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.shared.source.read().wall
    }

    /// The system clock, corrected if it is wrong by 30 s or more according to the `Date` headers of Starlink's responses.
    #[must_use]
    pub fn corrected(&self) -> SystemTime {
        let state = self.shared.state();
        state.correction.correct(self.shared.source.read().wall)
    }

    /// Starlink's clock minus the system clock in seconds, by the last responses; `None` before the first.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "years in milliseconds are exact"
    )]
    pub fn offset(&self) -> Option<f64> {
        let offset = self.shared.state().correction.offset()?;
        Some(offset as f64 / 1e3)
    }

    /// Whether the system clock is wrong according to Starlink's, and therefore corrected.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.shared.state().correction.corrects()
    }

    /// Evaluates the `Date` header of a response whose head has just been received; `sent` is when the request was sent.
    pub fn observe_date(&self, date: SystemTime, sent: Moment) {
        let took = self.now().since(sent);
        let mut state = self.shared.state();
        let readings = self.shared.source.read();
        state.read(readings);
        let received = readings.wall;
        let before = state.inferred;
        let change = state.observe_date(DateHeader {
            date,
            received,
            took,
        });
        let slept = state.inferred.saturating_sub(before);
        drop(state);
        if slept > Duration::ZERO {
            self.shared.moved.notify_waiters();
            info!(seconds = slept.as_secs(), "the machine was suspended");
        }
        let offset_seconds = self.offset();
        match change {
            Some(Change::Began) => warn!(
                offset_seconds,
                "the system clock is wrong: Starlink's clock is used. Synchronise the host's clock (NTP)"
            ),
            Some(Change::Ended) => info!(offset_seconds, "the system clock is right again"),
            None => {}
        }
    }

    /// Waits until the monotonic clock reaches `moment`; suspensions count.
    pub async fn sleep_until(&self, moment: Moment) {
        loop {
            let mut moved = pin!(self.shared.moved.notified());
            // Registers before it reads the time, so that no jump in between is missed.
            moved.as_mut().enable();
            let now = self.now();
            if now >= moment {
                return;
            }
            match &self.shared.source {
                Source::System(_) => {
                    let timer = pin!(tokio::time::sleep(moment.since(now)));
                    select(timer, moved).await;
                }
                Source::Manual(_) => moved.await,
            }
        }
    }

    /// Waits for a duration by the monotonic clock.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now().after(duration)).await;
    }

    /// The output of `future`, or `None` if it takes longer than `limit`.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        match select(pin!(future), pin!(self.sleep(limit))).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}

/// Seconds since 1970; zero for an earlier time.
#[must_use]
pub fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// Nanoseconds since 1970; zero for an earlier time.
#[must_use]
pub fn unix_nanos(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_nanos();
    i64::try_from(since).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

//! [`Clock`]: reads the time and waits, for all parts of one application.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::Moment;
use super::correction::{Change, Correction, DateHeader};
use super::pauses::{Jump, Jumps, Stops, TICK};
use super::source::{Manual, ManualTime, Readings, Source, System};

/// Stops and suspensions are logged when they last at least this long.
const NOTEWORTHY: Duration = Duration::from_secs(10);

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

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    state: Mutex<State>,
    /// Notified when the clocks have jumped, so that waits read the time again.
    pub(super) moved: Notify,
    /// Whether a thread reads the clocks regularly. Only then does a gap between readings mean that the process was stopped.
    is_watched: AtomicBool,
}

/// What follows from the readings and the `Date` headers so far.
#[derive(Debug, Default)]
struct State {
    /// Time of suspension that no monotonic clock counted: inferred from the system clock and a `Date` header.
    inferred: Duration,
    /// Time of suspension that the operating system has counted, at the last reading.
    asleep: Duration,
    stops: Stops,
    jumps: Jumps,
    correction: Correction,
}

impl Shared {
    fn new(source: Source) -> Arc<Self> {
        let shared = Self {
            source,
            state: Mutex::default(),
            moved: Notify::new(),
            is_watched: AtomicBool::new(false),
        };
        shared.read_clocks();
        Arc::new(shared)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the clocks, and records jumps and suspensions since the last reading.
    pub(super) fn read_clocks(&self) {
        let mut state = self.state();
        let readings = self.source.read();
        state.read(readings);
        let slept = readings.asleep.saturating_sub(state.asleep);
        state.asleep = readings.asleep;
        drop(state);
        if slept >= MIN_SUSPENSION {
            // Tokio's timers do not count the time of suspension.
            self.moved.notify_waiters();
        }
        if slept >= NOTEWORTHY {
            let seconds = slept.as_secs();
            info!(seconds, "the machine was suspended");
        }
    }

    /// Reads the clock that excludes the time while the process is stopped.
    fn ran(&self) -> Duration {
        let mut state = self.state();
        let readings = self.source.read();
        let stopped = match self.is_watched.load(Ordering::Relaxed) {
            true => state.stops.read(readings.awake),
            false => Duration::ZERO,
        };
        let ran = readings.ran.saturating_sub(state.stops.stopped());
        // Logging reads the clock too, which would deadlock.
        drop(state);
        if stopped >= NOTEWORTHY {
            let seconds = stopped.as_secs();
            info!(seconds, "the process was stopped");
        }
        ran
    }
}

/// The regular reading of the clocks by a thread. Dropped when the thread ends, also by a panic: gaps between readings are not
/// evaluated from then on.
struct Watch(Weak<Shared>);

impl Watch {
    fn begin(shared: &Arc<Shared>) -> Self {
        let now = shared.source.read().awake;
        shared.state().stops.begin(now);
        shared.is_watched.store(true, Ordering::Relaxed);
        Self(Arc::downgrade(shared))
    }

    fn run(&self) {
        while let Some(shared) = self.0.upgrade() {
            shared.read_clocks();
            shared.ran();
            drop(shared);
            std::thread::sleep(TICK);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_watched.store(false, Ordering::Relaxed);
        }
    }
}

/// Shorter differences are not suspensions: two clocks are not read at exactly the same time.
const MIN_SUSPENSION: Duration = Duration::from_millis(500);

impl State {
    fn read(&mut self, readings: Readings) {
        let now = readings.now().saturating_add(self.inferred);
        self.jumps.read(now, readings.wall);
    }

    fn observe_date(&mut self, header: DateHeader) -> Option<Change> {
        match self.jumps.explain(header, self.correction.offset()) {
            Some(Jump::Set(forward)) => self.correction.clock_was_set(forward),
            Some(Jump::Slept(slept)) => self.inferred = self.inferred.saturating_add(slept),
            None => {}
        }
        self.correction.observe(header.offset())
    }
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

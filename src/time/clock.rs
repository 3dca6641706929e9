//! The handle for time: what all parts of one application ask for the time, and wait by.

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
use super::correction::{Change, Correction, Dated};
use super::pauses::{Jump, Jumps, Stops, TICK};
use super::source::{Hands, Manual, Readings, Source, System};

/// Stops and suspensions that last for so long are logged.
const NOTEWORTHY: Duration = Duration::from_secs(10);

/// The clocks of one application. Clones share the same time, and what answers said about it.
///
/// - [`Clock::now`] is monotonic, and goes on while the machine sleeps and while the process is stopped: devices age by it.
/// - [`Clock::ran`] is monotonic, and stands still in both: silence is measured by it.
/// - [`Clock::wall`] is the system's; [`Clock::corrected`] is the system's as Starlink corrects it.
#[derive(Debug, Clone)]
pub struct Clock {
    shared: Arc<Shared>,
    /// What the monotonic clock would have shown when its source began.
    base: Duration,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    state: Mutex<State>,
    /// The clocks have jumped: who waits looks again.
    pub(super) moved: Notify,
    /// Whether a thread reads the clocks all the time, so that a gap between readings means something.
    is_watched: AtomicBool,
}

/// What readings and answers have told.
#[derive(Debug, Default)]
struct State {
    /// Sleep that only the system's clock and an answer have shown.
    inferred: Duration,
    /// Sleep that the operating system has counted, at the last reading.
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
        shared.look();
        Arc::new(shared)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the clocks, and notes what has happened to them since the last time.
    pub(super) fn look(&self) {
        let mut state = self.state();
        let readings = self.source.read();
        state.read(readings);
        let slept = readings.asleep.saturating_sub(state.asleep);
        state.asleep = readings.asleep;
        drop(state);
        if slept >= LEAST_SLEEP {
            // Their timers have not noticed it.
            self.moved.notify_waiters();
        }
        if slept >= NOTEWORTHY {
            let seconds = slept.as_secs();
            info!(seconds, "the machine was suspended");
        }
    }

    /// Reads the clock that stands still while the process is stopped.
    fn ran(&self) -> Duration {
        let mut state = self.state();
        let readings = self.source.read();
        let stopped = match self.is_watched.load(Ordering::Relaxed) {
            true => state.stops.read(readings.awake),
            false => Duration::ZERO,
        };
        let ran = readings.ran.saturating_sub(state.stops.stopped());
        // The log reads clocks, too.
        drop(state);
        if stopped >= NOTEWORTHY {
            let seconds = stopped.as_secs();
            info!(seconds, "the process was stopped");
        }
        ran
    }
}

/// The reading of the clocks by a thread. However that thread ends, gaps between readings mean nothing afterwards.
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
            shared.look();
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

/// Less is the distance between the readings of two clocks.
const LEAST_SLEEP: Duration = Duration::from_millis(500);

impl State {
    fn read(&mut self, readings: Readings) {
        let now = readings.now().saturating_add(self.inferred);
        self.jumps.read(now, readings.wall);
    }

    fn dated(&mut self, dated: Dated) -> Option<Change> {
        match self.jumps.explain(dated, self.correction.offset()) {
            Some(Jump::Set(forward)) => self.correction.clock_was_set(forward),
            Some(Jump::Slept(slept)) => self.inferred = self.inferred.saturating_add(slept),
            None => {}
        }
        self.correction.observe(dated.offset())
    }
}

impl Clock {
    /// The operating system's clocks; the monotonic ones start at zero.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Source::System(System::start()))
    }

    /// Clocks that stand still until the returned handle moves them, for tests.
    #[must_use]
    pub fn manual(wall: SystemTime) -> (Self, Hands) {
        let clock = Self::of(Source::Manual(Manual::new(wall)));
        let hands = Hands::new(Arc::clone(&clock.shared));
        (clock, hands)
    }

    fn of(source: Source) -> Self {
        Self {
            shared: Shared::new(source),
            base: Duration::ZERO,
        }
    }

    /// Starts the thread that notices when the machine slept or the process was stopped. It ends with the last clone.
    ///
    /// # Errors
    /// When there can be no other thread. Then time in which the process was stopped counts as time in which it ran.
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

    /// The same clocks, with a monotonic one that goes on from a moment of an earlier process's clock: it shows `moment` when this one
    /// shows `at`. It is ahead where an earlier process has run for less time than this one.
    #[must_use]
    pub fn resume(&self, moment: Moment, at: Moment) -> Self {
        let zero = Moment::default();
        let base = self.base.saturating_add(moment.since(zero));
        Self {
            shared: Arc::clone(&self.shared),
            base: base.saturating_sub(at.since(zero)),
        }
    }

    /// The time since the clock was first started, time slept included.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let inferred = self.shared.state().inferred;
        let now = self.shared.source.read().now();
        self.base.saturating_add(now).saturating_add(inferred)
    }

    /// The same as a moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::at(self.elapsed())
    }

    /// The time that this process ran: without the time that the machine slept or the process was stopped.
    #[must_use]
    pub fn ran(&self) -> Duration {
        self.shared.ran()
    }

    /// The system's wall clock.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.shared.source.read().wall
    }

    /// The system's wall clock, corrected where Starlink's answers say that it is wrong by 30 s or more.
    #[must_use]
    pub fn corrected(&self) -> SystemTime {
        let state = self.shared.state();
        state.correction.correct(self.shared.source.read().wall)
    }

    /// Starlink's clock less the system's in seconds, by the last answers; `None` before the first.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "years in milliseconds are exact"
    )]
    pub fn offset(&self) -> Option<f64> {
        let offset = self.shared.state().correction.offset()?;
        Some(offset as f64 / 1e3)
    }

    /// Whether the system's clock is wrong by Starlink's, so that it is corrected.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.shared.state().correction.corrects()
    }

    /// Takes the `Date` header of an answer whose head has just come; `sent` is when it was asked for.
    pub fn dated(&self, date: SystemTime, sent: Moment) {
        let took = self.now().since(sent);
        let mut state = self.shared.state();
        let readings = self.shared.source.read();
        state.read(readings);
        let received = readings.wall;
        let before = state.inferred;
        let change = state.dated(Dated {
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

    /// Waits until the monotonic clock shows `moment`; time slept counts.
    pub async fn sleep_until(&self, moment: Moment) {
        loop {
            let mut moved = pin!(self.shared.moved.notified());
            // Listens before it looks, so that no move in between is missed.
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

    /// Waits for a time by the monotonic clock.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now().after(duration)).await;
    }

    /// What `future` gives, unless that takes longer than `limit`.
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

//! The state that all clones of a [`Clock`](super::Clock) share: the readings so far, and what follows from them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::info;

use super::correction::{Change, Correction, DateHeader};
use super::pauses::{Jump, Jumps, Stops, TICK};
use super::source::{Readings, Source};

/// Stops and suspensions are logged when they last at least this long.
const NOTEWORTHY: Duration = Duration::from_secs(10);

/// Shorter differences are not suspensions: two clocks are not read at exactly the same time.
const MIN_SUSPENSION: Duration = Duration::from_millis(500);

/// The clocks of one application.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) state: Mutex<State>,
    /// Notified when the clocks have jumped, so that waits read the time again.
    pub(super) moved: Notify,
    /// Whether a thread reads the clocks regularly. Only then does a gap between readings mean that the process was stopped.
    pub(super) is_watched: AtomicBool,
}

/// What follows from the readings and the `Date` headers so far.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Time of suspension that no monotonic clock counted: inferred from the system clock and a `Date` header.
    pub(super) inferred: Duration,
    /// Time of suspension that the operating system has counted, at the last reading.
    asleep: Duration,
    stops: Stops,
    jumps: Jumps,
    pub(super) correction: Correction,
}

impl Shared {
    pub(super) fn new(source: Source) -> Arc<Self> {
        let shared = Self {
            source,
            state: Mutex::default(),
            moved: Notify::new(),
            is_watched: AtomicBool::new(false),
        };
        shared.read_clocks();
        Arc::new(shared)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
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
    pub(super) fn ran(&self) -> Duration {
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

impl State {
    /// Detects jumps between the clocks.
    pub(super) fn read(&mut self, readings: Readings) {
        let now = readings.now().saturating_add(self.inferred);
        self.jumps.read(now, readings.wall);
    }

    /// Evaluates the `Date` header of a response: explains jumps, and corrects the system clock.
    pub(super) fn observe_date(&mut self, header: DateHeader) -> Option<Change> {
        match self.jumps.explain(header, self.correction.offset()) {
            Some(Jump::Set(forward)) => self.correction.clock_was_set(forward),
            Some(Jump::Slept(slept)) => self.inferred = self.inferred.saturating_add(slept),
            None => {}
        }
        self.correction.observe(header.offset())
    }
}

/// The regular reading of the clocks by a thread. Dropped when the thread ends, also by a panic: gaps between readings are not
/// evaluated from then on.
pub(super) struct Watch(Weak<Shared>);

impl Watch {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        let now = shared.source.read().awake;
        shared.state().stops.begin(now);
        shared.is_watched.store(true, Ordering::Relaxed);
        Self(Arc::downgrade(shared))
    }

    pub(super) fn run(&self) {
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

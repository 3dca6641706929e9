//! The time of a run, for the service, the simulators and the model. It passes as real time does; in some runs it can also jump.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use starlink_telemetry::time::{Clock, ManualTime};

/// A time of a run, since its start.
pub type Elapsed = Duration;

/// The interval at which the clocks of a run that can jump follow real time.
const TICK: Duration = Duration::from_millis(20);

/// The clocks of a run. Clones share them.
#[derive(Debug, Clone)]
pub struct Timeline {
    clock: Clock,
    start: Instant,
    manual: Option<Arc<Manual>>,
}

/// Clocks that can jump.
#[derive(Debug)]
struct Manual {
    time: ManualTime,
    is_over: AtomicBool,
    /// Each reading of real time, with the time of the run from then on.
    ticks: Mutex<Vec<(Instant, Elapsed)>>,
}

impl Manual {
    fn ticks(&self) -> MutexGuard<'_, Vec<(Instant, Elapsed)>> {
        self.ticks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Advances the clocks by the real time since the last tick, and by `jump`.
    fn advance(&self, jump: Duration) {
        let mut ticks = self.ticks();
        let now = Instant::now();
        let (before, elapsed) = *ticks.last().unwrap();
        let passed = (now - before) + jump;
        self.time.advance(passed);
        ticks.push((now, elapsed + passed));
    }
}

/// The thread that lets time pass, until this is dropped.
pub struct Ticker(Option<(Arc<Manual>, JoinHandle<()>)>);

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some((manual, thread)) = self.0.take() {
            manual.is_over.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }
}

impl Timeline {
    /// The clocks of the operating system.
    pub fn real() -> (Self, Ticker) {
        let timeline = Self {
            clock: Clock::system(),
            start: Instant::now(),
            manual: None,
        };
        (timeline, Ticker(None))
    }

    /// Clocks that can jump.
    pub fn manual() -> (Self, Ticker) {
        let (clock, time) = Clock::manual(SystemTime::now());
        let start = Instant::now();
        let manual = Arc::new(Manual {
            time,
            is_over: AtomicBool::new(false),
            ticks: Mutex::new(vec![(start, Elapsed::ZERO)]),
        });
        let ticker = Arc::clone(&manual);
        let thread = std::thread::spawn(move || {
            while !ticker.is_over.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                ticker.advance(Duration::ZERO);
            }
        });
        let timeline = Self {
            clock,
            start,
            manual: Some(Arc::clone(&manual)),
        };
        (timeline, Ticker(Some((manual, thread))))
    }

    /// The clocks, for the service.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The system clock of the run.
    pub fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// [`Timeline::wall`] in nanoseconds since 1970.
    pub fn wall_nanos(&self) -> i64 {
        let since = self.wall().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_nanos()).unwrap()
    }

    pub fn now(&self) -> Elapsed {
        match self.manual {
            Some(_) => self.clock.elapsed(),
            None => self.start.elapsed(),
        }
    }

    /// The time of the run at an instant.
    pub fn at(&self, instant: Instant) -> Elapsed {
        let Some(manual) = &self.manual else {
            return instant.saturating_duration_since(self.start);
        };
        let ticks = manual.ticks();
        let later = ticks.partition_point(|(tick, _)| *tick <= instant);
        ticks[later.saturating_sub(1)].1
    }

    /// The clocks jump. Does nothing in runs that have no jumps.
    pub fn jump(&self, duration: Duration) {
        if let Some(manual) = &self.manual {
            manual.advance(duration);
        }
    }
}

//! The source of a clock's readings: the operating system, or a test.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The readings of all clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readings {
    /// Since the start, excluding suspensions of the machine.
    pub(super) awake: Duration,
    /// Since the start, also excluding stops of the process as far as the source knows them: only the manual source does.
    pub(super) ran: Duration,
    /// How long the machine was suspended since the start, as far as the operating system counts it.
    pub(super) asleep: Duration,
    /// The system clock.
    pub(super) wall: SystemTime,
}

impl Readings {
    /// Since the start, including suspensions.
    pub(super) fn now(&self) -> Duration {
        self.awake.saturating_add(self.asleep)
    }
}

#[derive(Debug)]
pub(super) enum Source {
    System(System),
    Manual(Manual),
}

impl Source {
    pub(super) fn read(&self) -> Readings {
        match self {
            Self::System(system) => system.read(),
            Self::Manual(manual) => manual.read(),
        }
    }
}

/// The operating system's clocks.
#[derive(Debug)]
pub(super) struct System {
    /// Excludes suspensions of the machine, on Linux and elsewhere.
    start: Instant,
    #[cfg(target_os = "linux")]
    booted: Duration,
}

impl System {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            #[cfg(target_os = "linux")]
            booted: since_boot(),
        }
    }

    fn read(&self) -> Readings {
        let awake = self.start.elapsed();
        Readings {
            awake,
            ran: awake,
            asleep: self.asleep(awake),
            wall: SystemTime::now(),
        }
    }

    /// `CLOCK_BOOTTIME` includes suspensions of the machine, `CLOCK_MONOTONIC` does not.
    #[cfg(target_os = "linux")]
    fn asleep(&self, awake: Duration) -> Duration {
        let asleep = since_boot()
            .saturating_sub(self.booted)
            .saturating_sub(awake);
        // The two clocks are not read at exactly the same time.
        if asleep < Duration::from_millis(100) {
            return Duration::ZERO;
        }
        asleep
    }

    /// Elsewhere, suspensions are inferred from the system clock and the `Date` of the next response.
    #[cfg(not(target_os = "linux"))]
    fn asleep(&self, _awake: Duration) -> Duration {
        Duration::ZERO
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// The readings that a test sets.
#[derive(Debug)]
pub(super) struct Manual(Mutex<Readings>);

impl Manual {
    pub(super) fn new(wall: SystemTime) -> Self {
        Self(Mutex::new(Readings {
            awake: Duration::ZERO,
            ran: Duration::ZERO,
            asleep: Duration::ZERO,
            wall,
        }))
    }

    fn read(&self) -> Readings {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the readings.
    pub(super) fn change(&self, change: impl FnOnce(&mut Readings)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

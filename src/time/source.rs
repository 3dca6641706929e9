//! Where clocks get their time from: the operating system, or a test.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::clock::Shared;

/// All clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readings {
    /// Since the start, without the time that the machine slept.
    pub(super) awake: Duration,
    /// Since the start, without what is known of time in which the process was stopped: a test knows.
    pub(super) ran: Duration,
    /// How long the machine slept since the start, as far as the operating system knows.
    pub(super) asleep: Duration,
    /// The system's wall clock.
    pub(super) wall: SystemTime,
}

impl Readings {
    /// Since the start, time slept included.
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
    /// Stands still while the machine sleeps, on Linux and elsewhere.
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

    /// `CLOCK_BOOTTIME` goes on while the machine sleeps, `CLOCK_MONOTONIC` does not.
    #[cfg(target_os = "linux")]
    fn asleep(&self, awake: Duration) -> Duration {
        let asleep = since_boot()
            .saturating_sub(self.booted)
            .saturating_sub(awake);
        // Two clocks are never read at the same moment.
        if asleep < Duration::from_millis(100) {
            return Duration::ZERO;
        }
        asleep
    }

    /// Elsewhere the system's clock and the next answer tell.
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

/// Clocks that a test moves.
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

    fn change(&self, change: impl FnOnce(&mut Readings)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Moves the clocks of [`Clock::manual`](super::Clock::manual). Clones move the same ones.
#[derive(Debug, Clone)]
pub struct Hands(Arc<Shared>);

impl Hands {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Lets time pass: all clocks go forward, and waits whose time has come end.
    pub fn advance(&self, duration: Duration) {
        self.change(|clocks| {
            clocks.awake = clocks.awake.saturating_add(duration);
            clocks.ran = clocks.ran.saturating_add(duration);
            clocks.wall += duration;
        });
    }

    /// Lets time pass in which the process is stopped.
    pub fn stop(&self, duration: Duration) {
        self.change(|clocks| {
            clocks.awake = clocks.awake.saturating_add(duration);
            clocks.wall += duration;
        });
    }

    /// Lets the machine sleep; the operating system counts how long.
    pub fn suspend(&self, duration: Duration) {
        self.change(|clocks| {
            clocks.asleep = clocks.asleep.saturating_add(duration);
            clocks.wall += duration;
        });
    }

    /// Sets the wall clock alone, as an operator or NTP does, or a machine that slept without knowing.
    pub fn set_wall(&self, wall: SystemTime) {
        self.change(|clocks| clocks.wall = wall);
    }

    fn change(&self, change: impl FnOnce(&mut Readings)) {
        let shared = &self.0;
        if let Source::Manual(manual) = &shared.source {
            manual.change(change);
        }
        shared.look();
        shared.moved.notify_waiters();
    }
}

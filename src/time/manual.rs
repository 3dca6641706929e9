//! The handle with which tests move a clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::shared::Shared;
use super::source::{Readings, Source};

/// Moves the clocks of [`Clock::manual`](super::Clock::manual). Clones move the same ones.
#[derive(Debug, Clone)]
pub struct ManualTime(Arc<Shared>);

impl ManualTime {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Advances all clocks. Waits that are due end.
    pub fn advance(&self, duration: Duration) {
        self.change(|clocks| {
            clocks.awake = clocks.awake.saturating_add(duration);
            clocks.ran = clocks.ran.saturating_add(duration);
            clocks.wall += duration;
        });
    }

    /// Advances the clocks as if the process had been stopped.
    pub fn stop(&self, duration: Duration) {
        self.change(|clocks| {
            clocks.awake = clocks.awake.saturating_add(duration);
            clocks.wall += duration;
        });
    }

    /// Advances the clocks as if the machine had been suspended; the operating system counts how long.
    pub fn suspend(&self, duration: Duration) {
        self.change(|clocks| {
            clocks.asleep = clocks.asleep.saturating_add(duration);
            clocks.wall += duration;
        });
    }

    /// Sets only the system clock, as an operator or NTP does, or a suspension that no monotonic clock counts.
    pub fn set_wall(&self, wall: SystemTime) {
        self.change(|clocks| clocks.wall = wall);
    }

    fn change(&self, change: impl FnOnce(&mut Readings)) {
        let shared = &self.0;
        if let Source::Manual(manual) = &shared.source {
            manual.change(change);
        }
        shared.read_clocks();
        shared.moved.notify_waiters();
    }
}

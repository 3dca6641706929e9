//! A terminal with what belongs to it at one tick, and its random numbers.

use super::{Fleet, TICK_SECONDS};
use crate::simulator::noise;

pub(super) const SOFTWARE_VERSIONS: [&str; 5] = [
    "2025.08.11.mr61518",
    "2025.09.22.mr63772",
    "2025.10.30.mr66841",
    "2025.11.20.mr69950",
    "2025.12.01.mr70001",
];

/// One terminal with what belongs to it, at one tick.
pub(super) struct Site<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) index: usize,
    /// The terminal's own random numbers.
    pub(super) key: u64,
    pub(super) tick: u64,
}

impl Site<'_> {
    pub(super) fn seconds(&self) -> u64 {
        self.tick * TICK_SECONDS
    }

    /// A smoothly moving number of `0.0..1.0` with its own `stream`, changing over `period` simulated seconds.
    pub(super) fn wave(&self, stream: u64, period: f64) -> f64 {
        noise::smooth(self.key, stream, self.seconds() as f64 / period)
    }

    /// A fixed property of this site, `0..choices`.
    pub(super) fn property(&self, stream: u64, choices: u64) -> u64 {
        noise::hash(self.key, stream, 0) % choices
    }

    /// Whether something of that chance happens at this tick.
    pub(super) fn happens(&self, stream: u64, chance: f64) -> bool {
        self.fleet.quirks && noise::unit(self.key, stream, self.tick) < chance
    }

    /// Clock of a row: up to a (simulated) second before the tick, another for each site and tick.
    pub(super) fn timestamp_ns(&self, stream: u64) -> u64 {
        let second = (self.fleet.tick_ns / TICK_SECONDS).max(1);
        let tick = self.fleet.origin_ns + self.tick * self.fleet.tick_ns;
        tick.saturating_sub(noise::hash(self.key, stream, self.tick) % second)
    }

    /// Which cell of a row is null at this tick, of those after the first three.
    pub(super) fn null_cell(&self, stream: u64, columns: usize) -> Option<usize> {
        self.happens(stream, 0.04)
            .then(|| 3 + noise::hash(self.key, stream + 1, self.tick) as usize % (columns - 3))
    }
}

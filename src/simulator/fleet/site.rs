//! A site: a terminal with its router and its IP allocation, at one tick, and its random numbers.

use super::{Fleet, TICK_SECONDS};
use crate::simulator::noise;

pub(super) const SOFTWARE_VERSIONS: [&str; 5] = [
    "2026.06.08.mr74120",
    "2026.07.20.mr75833",
    "2026.08.31.mr77409",
    "2026.10.05.mr80001",
    "2026.11.02.mr81264",
];

/// A terminal with its router and its IP allocation, at one tick.
pub(super) struct Site<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) index: usize,
    /// The seed of the random numbers of this site.
    pub(super) key: u64,
    pub(super) tick: u64,
}

impl Site<'_> {
    /// The time of the tick, in simulated seconds since the start.
    pub(super) fn seconds(&self) -> u64 {
        self.tick * TICK_SECONDS
    }

    /// A number of `0.0..1.0` that changes smoothly; values `period` simulated seconds apart are independent. Different `stream`s give
    /// independent numbers, here and below.
    pub(super) fn wave(&self, stream: u64, period: f64) -> f64 {
        noise::smooth(self.key, stream, self.seconds() as f64 / period)
    }

    /// A number of `0..choices` that is constant for this site.
    pub(super) fn property(&self, stream: u64, choices: u64) -> u64 {
        noise::hash(self.key, stream, 0) % choices
    }

    /// True at a random `chance` (0 to 1) of all ticks; never without quirks.
    pub(super) fn happens(&self, stream: u64, chance: f64) -> bool {
        self.fleet.quirks && noise::unit(self.key, stream, self.tick) < chance
    }

    /// The timestamp of a row in nanoseconds since 1970: at most a simulated second before the tick, by a random time.
    pub(super) fn timestamp_ns(&self, stream: u64) -> u64 {
        let second = (self.fleet.tick_ns / TICK_SECONDS).max(1);
        let tick = self.fleet.origin_ns + self.tick * self.fleet.tick_ns;
        tick.saturating_sub(noise::hash(self.key, stream, self.tick) % second)
    }

    /// The index of the cell that is null in a row of so many columns at this tick, if one is. The first three are never null.
    pub(super) fn null_cell(&self, stream: u64, columns: usize) -> Option<usize> {
        self.happens(stream, 0.04)
            .then(|| 3 + noise::hash(self.key, stream + 1, self.tick) as usize % (columns - 3))
    }
}

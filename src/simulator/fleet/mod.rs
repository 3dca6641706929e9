//! The simulated fleet: generates the rows of each device at each tick, as a pure function of seed, device and tick.
//!
//! No state is kept between ticks, so a fleet of any size needs no memory, and rows are computed only when a poll takes them.

mod allocation;
mod newest;
mod router;
mod site;
mod terminal;
#[cfg(test)]
mod tests;

use super::noise;

use self::site::Site;

/// The length of a tick in simulated seconds. Each device has one row in each tick (IP allocations: see [`allocation`]).
pub(super) const TICK_SECONDS: u64 = 15;
/// In each period of this many real seconds, one or two terminals have an outage. Real seconds, because the exporter measures the time
/// without rows by its own clock, at any speed of the simulation.
const OUTAGE_PERIOD_SECONDS: u64 = 600;
/// Smaller fleets have no outages, so that tests with one terminal always receive its rows.
const OUTAGE_TERMINALS: usize = 4;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The number in the IDs of the first terminal and its router.
pub(super) const FIRST_NUMBER: usize = 0x00aa_0001;

/// The DeviceId of the terminal `index`, counted from 0.
pub fn terminal_id(index: usize) -> String {
    format!("ut01000000-00000000-{:08x}", FIRST_NUMBER + index)
}

/// The DeviceId of the router of the terminal `index`, counted from 0.
pub fn router_id(index: usize) -> String {
    format!("Router-0100000000000000{:08X}", FIRST_NUMBER + index)
}

/// A fleet, and the clock of its rows' timestamps.
#[derive(Debug)]
pub(super) struct Fleet {
    pub seed: u64,
    /// The index of the first terminal for IDs and tracks.
    pub first: usize,
    pub terminals: usize,
    pub routers: bool,
    /// Whether there are nulls, doubled rows, repeated allocations, tombstones and outages; see [`super::Options::quirks`].
    pub quirks: bool,
    /// The wall-clock time of tick 0, in nanoseconds since 1970.
    pub origin_ns: u64,
    /// The length of a tick in real nanoseconds; above 0.
    pub tick_ns: u64,
}

impl Fleet {
    /// The rows of one site (a terminal, its router and its IP allocation) at `tick`, as JSON text. `position` is `0..terminals`. Which
    /// site is at a position changes with the tick, so that no terminal is always first.
    pub(super) fn rows(&self, tick: u64, position: usize) -> impl Iterator<Item = String> {
        let rotation = noise::hash(self.seed, 1, tick) as usize % self.terminals.max(1);
        let index = (position + rotation) % self.terminals.max(1);
        let mut rows = Vec::with_capacity(2);
        if !self.is_offline(tick, index) {
            let site = self.site(tick, index);
            terminal::push_rows(&site, &mut rows);
            if self.routers {
                rows.push(router::row(&site));
            }
            allocation::push_rows(&site, &mut rows);
        }
        rows.into_iter()
    }

    /// A site at `tick`.
    fn site(&self, tick: u64, index: usize) -> Site<'_> {
        Site {
            fleet: self,
            index: self.first + index,
            key: noise::hash(self.seed, 2, index as u64),
            tick,
        }
    }

    /// Whether the site of a terminal has an outage at `tick`: it reports no rows.
    fn is_offline(&self, tick: u64, index: usize) -> bool {
        if !self.quirks || self.terminals < OUTAGE_TERMINALS {
            return false;
        }
        let seconds = tick as f64 * self.tick_ns as f64 / NANOS_PER_SECOND as f64;
        let period = seconds as u64 / OUTAGE_PERIOD_SECONDS;
        let second = seconds as u64 % OUTAGE_PERIOD_SECONDS;
        let random = |stream| noise::hash(self.seed, stream, period);
        let start = 60 + random(3) % 180;
        let length = 180 + random(4) % 120;
        let affected = 1 + random(5) % 2;
        (start..start + length).contains(&second)
            && (0..affected).any(|number| random(6 + number) as usize % self.terminals == index)
    }
}

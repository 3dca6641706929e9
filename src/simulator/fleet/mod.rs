//! The fleet: every row of every device at every tick, as pure functions of seed, device and tick.
//!
//! Nothing is remembered between ticks, so that a fleet of any size costs nothing until its rows are asked for.

mod allocation;
mod router;
mod site;
mod terminal;
#[cfg(test)]
mod tests;

use super::noise;

use self::site::Site;

/// Simulated seconds between two rows of a device.
pub(super) const TICK_SECONDS: u64 = 15;
/// An outage of one or two terminals begins in each period of so many REAL seconds. Real, because what
/// watches the fleet judges silence by its own clock however fast the simulation runs.
const OUTAGE_PERIOD_SECONDS: u64 = 600;
/// A fleet smaller than this has no outages: a test of one terminal wants to see it.
const OUTAGE_TERMINALS: usize = 4;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The DeviceId of the terminal `index`, counted from 0.
pub fn terminal_id(index: usize) -> String {
    format!("ut01000000-00000000-{:08x}", 0x00aa_0001 + index)
}

/// The DeviceId of the router of the terminal `index`, counted from 0.
pub fn router_id(index: usize) -> String {
    format!("Router-0100000000000000{:08X}", 0x00aa_0001 + index)
}

/// A fleet and the wall clock that its rows are stamped with.
#[derive(Debug)]
pub(super) struct Fleet {
    pub seed: u64,
    pub terminals: usize,
    pub routers: bool,
    /// Nulls, doubled rows, repeats, tombstones, outages.
    pub quirks: bool,
    /// Wall clock of tick 0, nanoseconds since 1970.
    pub origin_ns: u64,
    /// Real nanoseconds between two ticks; above 0.
    pub tick_ns: u64,
}

impl Fleet {
    /// The rows that a site (a terminal, its router, its IP allocation) reports at `tick`, as JSON text. Sites
    /// are counted by `position`, `0..terminals`; the terminal at a position changes with the tick, so that
    /// no terminal is always first.
    pub(super) fn rows(&self, tick: u64, position: usize) -> impl Iterator<Item = String> {
        let rotation = noise::hash(self.seed, 1, tick) as usize % self.terminals.max(1);
        let index = (position + rotation) % self.terminals.max(1);
        let mut rows = Vec::with_capacity(2);
        if !self.is_offline(tick, index) {
            let site = Site {
                fleet: self,
                index,
                key: noise::hash(self.seed, 2, index as u64),
                tick,
            };
            terminal::push_rows(&site, &mut rows);
            if self.routers {
                rows.push(router::row(&site));
            }
            allocation::push_rows(&site, &mut rows);
        }
        rows.into_iter()
    }

    /// Whether a terminal is silent at `tick`.
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
        let victims = 1 + random(5) % 2;
        (start..start + length).contains(&second)
            && (0..victims).any(|victim| random(6 + victim) as usize % self.terminals == index)
    }
}

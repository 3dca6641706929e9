//! The rows of IP allocations.

use super::site::Site;
use super::terminal_id;
use crate::simulator::{cells::Cells, noise};

/// Simulated ticks between two rows of an IP allocation: five minutes.
const IP_TICKS: u64 = 20;

/// The allocation's rows: on change, every five minutes, and all at the very first tick; two or three
/// times within milliseconds.
pub(super) fn push_rows(site: &Site<'_>, rows: &mut Vec<String>) {
    let allocation = Allocation::at(site, site.tick);
    let has_changed =
        site.tick == 0 || allocation.serial != Allocation::at(site, site.tick - 1).serial;
    let is_due = (site.tick + site.property(60, IP_TICKS)).is_multiple_of(IP_TICKS);
    if !has_changed && (allocation.is_tombstone || !is_due) {
        return;
    }
    let repeats = if site.fleet.quirks {
        2 + noise::hash(site.key, 61, site.tick) % 2
    } else {
        1
    };
    let last = site.timestamp_ns(62);
    for repeat in (0..repeats).rev() {
        rows.push(allocation.row(site, last.saturating_sub(repeat * 3_000_000)));
    }
}

/// The addresses that a terminal holds, from the ranges that are set aside for documentation.
struct Allocation {
    /// Changes with the addresses.
    serial: u64,
    is_tombstone: bool,
}

impl Allocation {
    /// Addresses change after half an hour to six hours; at times a terminal loses them until the next change.
    fn at(site: &Site<'_>, tick: u64) -> Self {
        let life = 120 * (1 + site.property(63, 12));
        let phase = site.property(64, life);
        let serial = (tick + phase) / life;
        // The first allocation is a real one, so that every terminal starts with addresses.
        let is_tombstone =
            site.fleet.quirks && serial > 0 && noise::hash(site.key, 65, serial).is_multiple_of(8);
        Self {
            serial,
            is_tombstone,
        }
    }

    fn row(&self, site: &Site<'_>, timestamp_ns: u64) -> String {
        let random = noise::hash(site.key, 66, self.serial);
        let (ipv4_count, ipv6_count) = match (self.is_tombstone, random % 10) {
            (true, _) => (0, 0),
            (_, 0) => (2, 1),
            (_, 1) => (0, 1),
            _ => (1, 1),
        };
        let id = format!("ip-{}", terminal_id(site.index));
        let account = ["ACC-1234567-89012-34", "ACC-7654321-21098-43"][site.index % 2];
        let high = random >> 32 & 0xffff;
        let low = site.index as u64;
        let mut cells = Cells::new("i", timestamp_ns, &id, None);
        cells
            .text(account)
            .texts((0..ipv4_count).map(|nth| ipv4(random, nth)))
            .texts((0..ipv6_count).map(|_| format!("2001:db8:{high:x}:{:x}::/64", low & 0xffff)))
            .texts(
                (0..ipv6_count)
                    .map(|_| format!("2001:db8:{:x}:{:x}00::/56", low & 0xffff, high & 0xff)),
            );
        cells.finish()
    }
}

/// The `nth` IPv4 address of an allocation.
fn ipv4(random: u64, nth: u64) -> String {
    let net = ["192.0.2", "198.51.100", "203.0.113"][(random >> 8) as usize % 3];
    format!("{net}.{}", 1 + ((random >> 16) + nth) % 254)
}

//! Generates the rows of IP allocations.

use super::site::Site;
use super::terminal_id;
use crate::simulator::{cells::Cells, noise};

/// The ticks between two rows of an IP allocation that does not change: five simulated minutes.
const IP_TICKS: u64 = 20;

/// Adds the rows of the site's allocation: at the first tick, when its addresses change, and every five minutes. With quirks, a row is
/// repeated once or twice with timestamps 3 ms apart.
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

/// The addresses of a terminal, from the ranges that are reserved for documentation (RFC 5737, RFC 3849).
struct Allocation {
    /// Increases with each change of the addresses.
    serial: u64,
    /// Whether the terminal has no addresses until the next change.
    is_tombstone: bool,
}

impl Allocation {
    /// The allocation at a tick. Addresses change every half hour to six hours. With quirks, one of eight allocations is a tombstone.
    fn at(site: &Site<'_>, tick: u64) -> Self {
        let lifetime_ticks = 120 * (1 + site.property(63, 12));
        let phase = site.property(64, lifetime_ticks);
        let serial = (tick + phase) / lifetime_ticks;
        // The first allocation is never a tombstone, so that each terminal starts with addresses.
        let is_tombstone =
            site.fleet.quirks && serial > 0 && noise::hash(site.key, 65, serial).is_multiple_of(8);
        Self {
            serial,
            is_tombstone,
        }
    }

    /// The addresses and networks: IPv4, IPv6 of the terminal, IPv6 of its customer.
    fn addresses(&self, site: &Site<'_>) -> Addresses {
        let random = noise::hash(site.key, 66, self.serial);
        let (ipv4_count, ipv6_count) = match (self.is_tombstone, random % 10) {
            (true, _) => (0, 0),
            (_, 0) => (2, 1),
            (_, 1) => (0, 1),
            _ => (1, 1),
        };
        let high = random >> 32 & 0xffff;
        let low = site.index as u64 & 0xffff;
        let ipv6 = |text: String| (0..ipv6_count).map(|_| text.clone()).collect();
        Addresses {
            ipv4: (0..ipv4_count).map(|nth| ipv4(random, nth)).collect(),
            ipv6_ue: ipv6(format!("2001:db8:{high:x}:{low:x}::/64")),
            ipv6_cpe: ipv6(format!("2001:db8:{low:x}:{:x}00::/56", high & 0xff)),
        }
    }

    fn row(&self, site: &Site<'_>, timestamp_ns: u64) -> String {
        let addresses = self.addresses(site);
        let id = format!("ip-{}", terminal_id(site.index));
        let account = ["ACC-730215-48816-21", "ACC-730215-48816-22"][site.index % 2];
        let mut cells = Cells::new("i", timestamp_ns, &id, None);
        cells
            .text(account)
            .texts(addresses.ipv4)
            .texts(addresses.ipv6_ue)
            .texts(addresses.ipv6_cpe);
        cells.finish()
    }
}

/// The addresses of a terminal at its tick.
pub(super) fn addresses(site: &Site<'_>) -> Addresses {
    Allocation::at(site, site.tick).addresses(site)
}

/// Addresses and networks of an allocation.
pub(super) struct Addresses {
    pub ipv4: Vec<String>,
    pub ipv6_ue: Vec<String>,
    pub ipv6_cpe: Vec<String>,
}

/// The IPv4 address number `nth`, from 0, of the allocation with this random number.
fn ipv4(random: u64, nth: u64) -> String {
    let net = ["192.0.2", "198.51.100", "203.0.113"][(random >> 8) as usize % 3];
    format!("{net}.{}", 1 + ((random >> 16) + nth) % 254)
}

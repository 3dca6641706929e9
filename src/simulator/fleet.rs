//! The fleet: every row of every device at every tick, as pure functions of seed, device and tick.
//!
//! Nothing is remembered between ticks, so that a fleet of any size costs nothing until its rows are asked for.

use super::{cells::Cells, noise, track::Track};

/// Simulated seconds between two rows of a device.
pub(super) const TICK_SECONDS: u64 = 15;
/// Simulated ticks between two rows of an IP allocation: five minutes.
const IP_TICKS: u64 = 20;
/// An outage of one or two terminals begins in each period of so many REAL seconds. Real, because what
/// watches the fleet judges silence by its own clock however fast the simulation runs.
const OUTAGE_PERIOD_SECONDS: u64 = 600;
/// A fleet smaller than this has no outages: a test of one terminal wants to see it.
const OUTAGE_TERMINALS: usize = 4;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

const SOFTWARE_VERSIONS: [&str; 5] = [
    "2025.08.11.mr61518",
    "2025.09.22.mr63772",
    "2025.10.30.mr66841",
    "2025.11.20.mr69950",
    "2025.12.01.mr70001",
];
/// Each terminal alert that comes and goes by chance.
const CHANCE_ALERTS: [u32; 9] = [50, 51, 53, 54, 56, 62, 80, 84, 97];
const ALERT_OBSTRUCTED: u32 = 66;
const ALERT_HOT: u32 = 81;
const ALERT_REBOOT_PENDING: u32 = 82;
const ROUTER_ALERT_OFFLINE: u32 = 55;
/// A software update is announced this long before the reboot, in simulated seconds.
const REBOOT_NOTICE_SECONDS: u64 = 1800;

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
    /// are counted by `position`, `0..terminals`; which terminal stands there changes with the tick, so that
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
            site.push_terminal_rows(&mut rows);
            if self.routers {
                rows.push(site.router_row());
            }
            site.push_ip_rows(&mut rows);
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

/// One terminal with what belongs to it, at one tick.
struct Site<'a> {
    fleet: &'a Fleet,
    index: usize,
    /// The terminal's own random numbers.
    key: u64,
    tick: u64,
}

impl Site<'_> {
    fn seconds(&self) -> u64 {
        self.tick * TICK_SECONDS
    }

    /// A smoothly moving number of `0.0..1.0` with its own `stream`, changing over `period` simulated seconds.
    fn wave(&self, stream: u64, period: f64) -> f64 {
        noise::smooth(self.key, stream, self.seconds() as f64 / period)
    }

    /// A fixed property of this site, `0..choices`.
    fn property(&self, stream: u64, choices: u64) -> u64 {
        noise::hash(self.key, stream, 0) % choices
    }

    /// Whether something of that chance happens at this tick.
    fn happens(&self, stream: u64, chance: f64) -> bool {
        self.fleet.quirks && noise::unit(self.key, stream, self.tick) < chance
    }

    /// Clock of a row: up to a (simulated) second before the tick, another for each site and tick.
    fn timestamp_ns(&self, stream: u64) -> u64 {
        let second = (self.fleet.tick_ns / TICK_SECONDS).max(1);
        let tick = self.fleet.origin_ns + self.tick * self.fleet.tick_ns;
        tick.saturating_sub(noise::hash(self.key, stream, self.tick) % second)
    }

    /// Which cell of a row is null at this tick, of those after the first three.
    fn null_cell(&self, stream: u64, columns: usize) -> Option<usize> {
        self.happens(stream, 0.04)
            .then(|| 3 + noise::hash(self.key, stream + 1, self.tick) as usize % (columns - 3))
    }

    /// The terminal's row; at times a second one of half a tick ago after it, as the newer one comes first.
    fn push_terminal_rows(&self, rows: &mut Vec<String>) {
        let timestamp_ns = self.timestamp_ns(10);
        rows.push(self.terminal_row(timestamp_ns));
        if self.happens(11, 0.03) {
            rows.push(self.terminal_row(timestamp_ns.saturating_sub(self.fleet.tick_ns / 2)));
        }
    }

    fn terminal_row(&self, timestamp_ns: u64) -> String {
        let software = Software::of(self);
        let demand = self.wave(20, 600.0).powi(2) * self.wave(21, 60.0);
        let obstruction = self.obstruction();
        let position = Track::of(self.index, self.key).position(self.key, self.seconds() as f64);

        let id = terminal_id(self.index);
        let mut cells = Cells::new("u", timestamp_ns, &id, self.null_cell(12, 16));
        cells
            .decimal(0.02 + 220.0 * demand)
            .decimal(0.01 + 25.0 * self.wave(22, 300.0) * self.wave(23, 60.0))
            .decimal((self.wave(24, 120.0) - 0.85).max(0.0) * 2.0)
            .decimal(21.0 + 30.0 * self.wave(25, 300.0))
            .decimal(obstruction)
            .integer(software.uptime)
            .decimal(1.0 - (self.wave(26, 240.0) - 0.8).max(0.0) - obstruction);
        match position.cell() {
            Some(cell) => cells.integer(cell),
            None => cells.null(),
        };
        match self.property(27, 4) {
            0 => cells.integer(-1),
            1 => cells.null(),
            _ => cells.integer(software.until_reboot),
        };
        cells
            .text(software.version)
            .text(position.country)
            .flag(position.in_territorial_waters)
            .numbers(self.alerts(&software, obstruction));
        cells.finish()
    }

    /// Most terminals see the whole sky, few see much less of it.
    fn obstruction(&self) -> f64 {
        let usual = noise::unit(self.key, 28, 0).powi(6) * 0.3;
        usual * (0.8 + 0.4 * self.wave(29, 900.0))
    }

    fn alerts(&self, software: &Software, obstruction: f64) -> impl Iterator<Item = u32> {
        let hot = self.wave(30, 1200.0) > 0.97;
        let by_chance = self.chance_alert();
        [
            (ALERT_OBSTRUCTED, obstruction > 0.15),
            (ALERT_HOT, hot),
            (
                ALERT_REBOOT_PENDING,
                software.until_reboot < REBOOT_NOTICE_SECONDS,
            ),
        ]
        .into_iter()
        .filter_map(|(code, active)| active.then_some(code))
        .chain(by_chance)
    }

    /// In one of twelve ten-minute spans a terminal has an alert of those that come and go by chance.
    fn chance_alert(&self) -> Option<u32> {
        let span = self.seconds() / 600;
        let random = noise::hash(self.key, 31, span);
        random
            .is_multiple_of(12)
            .then(|| CHANCE_ALERTS[(random / 12) as usize % CHANCE_ALERTS.len()])
    }

    fn router_row(&self) -> String {
        let id = router_id(self.index);
        let uptime = self.seconds() + self.property(40, 3_000_000);
        let clients_2ghz = (self.wave(41, 600.0) * 5.0) as u32;
        let clients_5ghz = (self.wave(42, 600.0) * 9.0) as u32;
        let clients_eth = self.property(43, 4) as u32;
        let is_bypassed = self.property(44, 20) == 0;
        let latency = 21.0 + 30.0 * self.wave(25, 300.0);
        let drop = (self.wave(24, 120.0) - 0.85).max(0.0) * 2.0;

        let columns = super::body::ROUTER_COLUMNS.len();
        let mut cells = Cells::new("r", self.timestamp_ns(45), &id, self.null_cell(46, columns));
        cells
            .integer(uptime)
            .text(SOFTWARE_VERSIONS[self.property(47, 3) as usize + 2])
            .text(["v2", "v3", "v4"][self.property(48, 3) as usize])
            .flag(false)
            .integer(0)
            .flag(is_bypassed)
            .decimal(drop)
            .decimal(latency + 3.0)
            .decimal(drop)
            .decimal(latency)
            .integer(0)
            .decimal(0.4 + self.wave(49, 60.0))
            .integer(clients_2ghz + clients_5ghz + clients_eth)
            .integer(clients_2ghz)
            .integer(clients_5ghz)
            .integer(clients_eth)
            .integer(uptime * (100_000 + self.property(50, 900_000)))
            .integer(uptime * (10_000 + self.property(51, 90_000)));
        self.push_band(&mut cells, clients_2ghz, 60.0);
        self.push_band(&mut cells, clients_5ghz, 400.0);
        cells
            .text(&terminal_id(self.index))
            .integer(42)
            .numbers((self.wave(52, 1200.0) > 0.97).then_some(ROUTER_ALERT_OFFLINE));
        cells.finish()
    }

    /// Rates and signal strengths of a band's clients: null without clients.
    fn push_band(&self, cells: &mut Cells, clients: u32, rate: f64) {
        if clients == 0 {
            for _ in 0..6 {
                cells.null();
            }
            return;
        }
        let rate = rate * (0.5 + self.wave(53, 120.0));
        let signal = -60.0 - 10.0 * self.wave(54, 300.0);
        let spread = f64::from(clients - 1);
        cells
            .decimal(rate - spread)
            .decimal(rate + spread)
            .decimal(rate)
            .decimal(signal - spread)
            .decimal(signal + spread)
            .decimal(signal);
    }

    /// The allocation's rows: on change, every five minutes, and all at the very first tick; two or three
    /// times within milliseconds.
    fn push_ip_rows(&self, rows: &mut Vec<String>) {
        let allocation = Allocation::at(self, self.tick);
        let has_changed =
            self.tick == 0 || allocation.serial != Allocation::at(self, self.tick - 1).serial;
        let is_due = (self.tick + self.property(60, IP_TICKS)).is_multiple_of(IP_TICKS);
        if !has_changed && (allocation.is_tombstone || !is_due) {
            return;
        }
        let repeats = if self.fleet.quirks {
            2 + noise::hash(self.key, 61, self.tick) % 2
        } else {
            1
        };
        let last = self.timestamp_ns(62);
        for repeat in (0..repeats).rev() {
            rows.push(allocation.row(self, last.saturating_sub(repeat * 3_000_000)));
        }
    }
}

/// What runs on a terminal, and since when.
struct Software {
    /// Simulated seconds since the last reboot.
    uptime: u64,
    /// Simulated seconds to the next one.
    until_reboot: u64,
    version: &'static str,
}

impl Software {
    /// Every terminal reboots after some hours or days, each time with another version.
    fn of(site: &Site<'_>) -> Self {
        let life = 6 * 3600 * (1 + site.property(32, 40));
        let age = site.seconds() + site.property(33, life);
        let reboots = age / life + site.property(34, SOFTWARE_VERSIONS.len() as u64);
        Self {
            uptime: age % life,
            until_reboot: life - age % life,
            version: SOFTWARE_VERSIONS[reboots as usize % SOFTWARE_VERSIONS.len()],
        }
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::super::body;
    use super::*;

    const ORIGIN_NS: u64 = 1_756_537_212_000_000_000;

    fn fleet(terminals: usize) -> Fleet {
        Fleet {
            seed: 7,
            terminals,
            routers: true,
            quirks: true,
            origin_ns: ORIGIN_NS,
            tick_ns: TICK_SECONDS * NANOS_PER_SECOND,
        }
    }

    fn tick(fleet: &Fleet, tick: u64) -> Vec<Vec<Value>> {
        (0..fleet.terminals)
            .flat_map(|position| fleet.rows(tick, position))
            .map(|row| serde_json::from_str(&row).expect("a row is a JSON list"))
            .collect()
    }

    fn of_type<'a>(rows: &'a [Vec<Value>], code: &'a str) -> impl Iterator<Item = &'a Vec<Value>> {
        rows.iter().filter(move |row| row[0] == code)
    }

    #[test]
    fn rows_are_as_long_as_their_columns() {
        let rows = tick(&fleet(50), 3);
        for row in rows {
            let columns = match row[0].as_str() {
                Some("u") => body::TERMINAL_COLUMNS,
                Some("r") => body::ROUTER_COLUMNS,
                Some("i") => body::IP_COLUMNS,
                other => panic!("{other:?}"),
            };
            assert_eq!(row.len(), columns.len(), "{row:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_rows_and_another_seed_others() {
        assert_eq!(tick(&fleet(20), 9), tick(&fleet(20), 9));
        let other = Fleet {
            seed: 8,
            ..fleet(20)
        };
        assert_ne!(tick(&fleet(20), 9), tick(&other, 9));
    }

    #[test]
    fn the_first_tick_has_everybody() {
        let rows = tick(&fleet(300), 0);
        for code in ["u", "r", "i"] {
            let ids: BTreeSet<_> = of_type(&rows, code).map(|row| row[2].as_str()).collect();
            assert_eq!(ids.len(), 300, "{code}");
        }
        let addresses = |row: &Vec<Value>| serde_json::to_string(&row[4..]).expect("JSON");
        assert!(of_type(&rows, "i").all(|row| addresses(row) != "[[],[],[]]"));
    }

    #[test]
    fn a_tick_is_out_of_time_order_and_has_doubled_rows_newer_first() {
        let rows = tick(&fleet(300), 5);
        let times: Vec<_> = of_type(&rows, "u").map(|row| row[1].as_u64()).collect();
        assert!(!times.is_sorted());

        let mut by_id: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in of_type(&rows, "u") {
            by_id
                .entry(row[2].as_str())
                .or_default()
                .push(row[1].as_u64());
        }
        let doubled: Vec<_> = by_id.values().filter(|times| times.len() == 2).collect();
        assert!(!doubled.is_empty());
        assert!(doubled.iter().all(|times| times[0] > times[1]));
    }

    #[test]
    fn values_stay_within_their_ranges() {
        // Column, lowest, highest.
        let ranges = [
            (3, 0.0, 250.0),
            (4, 0.0, 30.0),
            (5, 0.0, 1.0),
            (6, 15.0, 60.0),
            (7, 0.0, 1.0),
            (9, 0.0, 1.0),
        ];
        let fleet = fleet(60);
        for number in (0..2000).step_by(97) {
            let rows = tick(&fleet, number);
            for row in of_type(&rows, "u") {
                for (column, lowest, highest) in ranges {
                    let value = row[column].as_f64().unwrap_or(lowest);
                    assert!((lowest..=highest).contains(&value), "{column}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn cells_are_null_at_times_and_alerts_come_and_go() {
        let fleet = fleet(60);
        let mut nulls = 0;
        let mut codes = BTreeSet::new();
        for number in 0..200 {
            let rows = tick(&fleet, number);
            nulls += of_type(&rows, "u").filter(|row| row[10].is_null()).count();
            codes.extend(
                of_type(&rows, "u")
                    .filter_map(|row| row[15].as_array())
                    .flatten()
                    .filter_map(Value::as_u64),
            );
        }
        assert!(nulls > 0);
        assert!(codes.len() > 5, "{codes:?}");
        let known: BTreeSet<_> = body::TERMINAL_ALERTS
            .iter()
            .map(|(code, _)| code.to_string())
            .collect();
        assert!(
            codes.iter().all(|code| known.contains(&code.to_string())),
            "{codes:?}"
        );
    }

    #[test]
    fn one_or_two_terminals_are_silent_for_minutes() {
        let fleet = fleet(30);
        let silent: Vec<_> = (0..80)
            .map(|number| {
                (0..30)
                    .filter(|&index| fleet.is_offline(number, index))
                    .count()
            })
            .collect();
        assert_eq!(silent[0], 0);
        assert!(silent.iter().all(|&count| count <= 2));
        // At least two outages of three minutes, 12 ticks each, in 20 minutes.
        assert!(silent.iter().filter(|&&count| count > 0).count() >= 24);
    }

    #[test]
    fn a_small_fleet_and_one_without_quirks_are_never_silent() {
        let plain = Fleet {
            quirks: false,
            ..fleet(30)
        };
        for number in 0..200 {
            assert_eq!(of_type(&tick(&fleet(1), number), "u").take(1).count(), 1);
            assert_eq!(of_type(&tick(&plain, number), "u").count(), 30);
        }
    }

    #[test]
    fn allocations_repeat_change_and_end() {
        let fleet = Fleet {
            routers: false,
            ..fleet(30)
        };
        let mut rows_by_id: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut tombstones = 0;
        for number in 0..3000 {
            let rows = tick(&fleet, number);
            for row in of_type(&rows, "i") {
                let addresses = serde_json::to_string(&row[4..]).expect("JSON");
                tombstones += usize::from(addresses == "[[],[],[]]");
                rows_by_id
                    .entry(row[2].to_string())
                    .or_default()
                    .insert(addresses);
            }
        }
        assert!(rows_by_id.values().all(|addresses| addresses.len() > 1));
        assert!(tombstones > 0);
        assert!(rows_by_id.keys().all(|id| id.starts_with("\"ip-ut")));
    }

    #[test]
    fn addresses_are_addresses() {
        for row in of_type(&tick(&fleet(100), 0), "i") {
            for (column, is_prefix) in [(4, false), (5, true), (6, true)] {
                for address in row[column].as_array().into_iter().flatten() {
                    let text = address.as_str().unwrap_or_default();
                    let address = text.split('/').next().unwrap_or_default();
                    assert!(address.parse::<std::net::IpAddr>().is_ok(), "{text}");
                    assert_eq!(text.contains('/'), is_prefix, "{text}");
                }
            }
        }
    }

    #[test]
    fn ids_look_like_starlinks() {
        assert_eq!(terminal_id(0), "ut01000000-00000000-00aa0001");
        assert_eq!(terminal_id(100_000), "ut01000000-00000000-00ab86a1");
        assert_eq!(router_id(0), "Router-010000000000000000AA0001");
    }
}

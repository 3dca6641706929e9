//! Generates the rows of terminals.

use super::site::{SOFTWARE_VERSIONS, Site};
use super::terminal_id;
use crate::simulator::{cells::Cells, noise, track::Track};

/// The codes of the alerts that are active at random.
const CHANCE_ALERTS: [u32; 9] = [50, 51, 53, 54, 56, ALERT_POP_CHANGE, 80, 84, 97];
pub(super) const ALERT_POP_CHANGE: u32 = 62;
const ALERT_OBSTRUCTED: u32 = 66;
pub(super) const ALERT_HOT: u32 = 81;
pub(super) const ALERT_REBOOT_PENDING: u32 = 82;
/// The alert of a pending reboot is active for this many simulated seconds before the reboot.
const REBOOT_NOTICE_SECONDS: u64 = 1800;

/// Adds the terminal's row. With quirks, an older row with a timestamp half a tick earlier sometimes follows it, as Starlink sends the newer
/// one first.
pub(super) fn push_rows(site: &Site<'_>, rows: &mut Vec<String>) {
    let timestamp_ns = site.timestamp_ns(10);
    rows.push(row(site, timestamp_ns));
    if site.happens(11, 0.03) {
        rows.push(row(
            site,
            timestamp_ns.saturating_sub(site.fleet.tick_ns / 2),
        ));
    }
}

/// The values of a terminal at a tick.
pub(super) struct Readings {
    pub downlink_mbps: f64,
    pub uplink_mbps: f64,
    pub drop_rate: f64,
    pub latency_ms: f64,
    pub obstruction: f64,
    pub uptime: u64,
    pub signal_quality: f64,
    pub cell: Option<u64>,
    /// -1: deferral is off.
    pub until_reboot: Option<i64>,
    pub version: &'static str,
    pub country: &'static str,
    pub in_territorial_waters: bool,
    pub alerts: Vec<u32>,
}

impl Readings {
    pub(super) fn of(site: &Site<'_>) -> Self {
        let software = Software::of(site);
        let demand = site.wave(20, 600.0).powi(2) * site.wave(21, 60.0);
        let obstruction = obstruction(site);
        let position = Track::of(site.index, site.key).position(site.key, site.seconds() as f64);
        Self {
            downlink_mbps: 0.02 + 220.0 * demand,
            uplink_mbps: 0.01 + 25.0 * site.wave(22, 300.0) * site.wave(23, 60.0),
            drop_rate: (site.wave(24, 120.0) - 0.85).max(0.0) * 2.0,
            latency_ms: 21.0 + 30.0 * site.wave(25, 300.0),
            obstruction,
            uptime: software.uptime,
            signal_quality: 1.0 - (site.wave(26, 240.0) - 0.8).max(0.0) - obstruction,
            cell: position.cell(),
            until_reboot: match site.property(27, 4) {
                0 => Some(-1),
                1 => None,
                _ => Some(software.until_reboot as i64),
            },
            version: software.version,
            country: position.country,
            in_territorial_waters: position.in_territorial_waters,
            alerts: alerts(site, &software, obstruction).collect(),
        }
    }
}

fn row(site: &Site<'_>, timestamp_ns: u64) -> String {
    let readings = Readings::of(site);
    let id = terminal_id(site.index);
    let mut cells = Cells::new("u", timestamp_ns, &id, site.null_cell(12, 16));
    cells
        .decimal(readings.downlink_mbps)
        .decimal(readings.uplink_mbps)
        .decimal(readings.drop_rate)
        .decimal(readings.latency_ms)
        .decimal(readings.obstruction)
        .integer(readings.uptime)
        .decimal(readings.signal_quality);
    match readings.cell {
        Some(cell) => cells.integer(cell),
        None => cells.null(),
    };
    match readings.until_reboot {
        Some(seconds) => cells.integer(seconds),
        None => cells.null(),
    };
    cells
        .text(readings.version)
        .text(readings.country)
        .flag(readings.in_territorial_waters)
        .numbers(readings.alerts);
    cells.finish()
}

/// The share of the time without a view of the sky, 0 to 1: near 0 for most terminals.
fn obstruction(site: &Site<'_>) -> f64 {
    let usual = noise::unit(site.key, 28, 0).powi(6) * 0.3;
    usual * (0.8 + 0.4 * site.wave(29, 900.0))
}

fn alerts(site: &Site<'_>, software: &Software, obstruction: f64) -> impl Iterator<Item = u32> {
    let hot = site.wave(30, 1200.0) > 0.97;
    let by_chance = chance_alert(site);
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

/// One of [`CHANCE_ALERTS`], in one of twelve periods of ten simulated minutes.
fn chance_alert(site: &Site<'_>) -> Option<u32> {
    let span = site.seconds() / 600;
    let random = noise::hash(site.key, 31, span);
    random
        .is_multiple_of(12)
        .then(|| CHANCE_ALERTS[(random / 12) as usize % CHANCE_ALERTS.len()])
}

/// The software of a terminal, and the time of its last reboot.
struct Software {
    /// Simulated seconds since the last reboot.
    uptime: u64,
    /// Simulated seconds until the next reboot.
    until_reboot: u64,
    version: &'static str,
}

impl Software {
    /// The software at this tick. Terminals reboot every 6 hours to 10 days, each time with the next version.
    fn of(site: &Site<'_>) -> Self {
        let between_reboots = 6 * 3600 * (1 + site.property(32, 40));
        let age = site.seconds() + site.property(33, between_reboots);
        let reboots = age / between_reboots + site.property(34, SOFTWARE_VERSIONS.len() as u64);
        Self {
            uptime: age % between_reboots,
            until_reboot: between_reboots - age % between_reboots,
            version: SOFTWARE_VERSIONS[reboots as usize % SOFTWARE_VERSIONS.len()],
        }
    }
}

//! Generates the rows of routers.

use super::site::{SOFTWARE_VERSIONS, Site};
use super::{router_id, terminal_id};
use crate::simulator::body::ROUTER_COLUMNS;
use crate::simulator::cells::Cells;

const ROUTER_ALERT_OFFLINE: u32 = 55;

pub(super) fn row(site: &Site<'_>) -> String {
    let id = router_id(site.index);
    let uptime = site.seconds() + site.property(40, 3_000_000);
    let clients_2ghz = (site.wave(41, 600.0) * 5.0) as u32;
    let clients_5ghz = (site.wave(42, 600.0) * 9.0) as u32;
    let clients_eth = site.property(43, 4) as u32;
    let is_bypassed = site.property(44, 20) == 0;
    let latency = 21.0 + 30.0 * site.wave(25, 300.0);
    let drop = (site.wave(24, 120.0) - 0.85).max(0.0) * 2.0;

    let columns = ROUTER_COLUMNS.len();
    let mut cells = Cells::new("r", site.timestamp_ns(45), &id, site.null_cell(46, columns));
    cells
        .integer(uptime)
        .text(SOFTWARE_VERSIONS[site.property(47, 3) as usize + 2])
        .text(["v2", "v3", "v4"][site.property(48, 3) as usize])
        .flag(false)
        .integer(0)
        .flag(is_bypassed)
        .decimal(drop)
        .decimal(latency + 3.0)
        .decimal(drop)
        .decimal(latency)
        .integer(0)
        .decimal(0.4 + site.wave(49, 60.0))
        .integer(clients_2ghz + clients_5ghz + clients_eth)
        .integer(clients_2ghz)
        .integer(clients_5ghz)
        .integer(clients_eth)
        .integer(uptime * (100_000 + site.property(50, 900_000)))
        .integer(uptime * (10_000 + site.property(51, 90_000)));
    push_band(site, &mut cells, clients_2ghz, 60.0);
    push_band(site, &mut cells, clients_5ghz, 400.0);
    cells
        .text(&terminal_id(site.index))
        .integer(42)
        .numbers((site.wave(52, 1200.0) > 0.97).then_some(ROUTER_ALERT_OFFLINE));
    cells.finish()
}

/// Adds the six columns of a Wi-Fi band: lowest, highest and mean rate, then signal strength, of its clients. Null without clients.
fn push_band(site: &Site<'_>, cells: &mut Cells, clients: u32, rate: f64) {
    if clients == 0 {
        for _ in 0..6 {
            cells.null();
        }
        return;
    }
    let rate = rate * (0.5 + site.wave(53, 120.0));
    let signal = -60.0 - 10.0 * site.wave(54, 300.0);
    let spread = f64::from(clients - 1);
    cells
        .decimal(rate - spread)
        .decimal(rate + spread)
        .decimal(rate)
        .decimal(signal - spread)
        .decimal(signal + spread)
        .decimal(signal);
}

//! What a fleet costs a destination, estimated from what terminals report as a rule.

use std::time::Duration;

use super::destination::{Destination, ProtocolChoice, Window};

/// The families with a sample in each row of a terminal, every 15 s.
const OF_ROWS: [&str; 16] = [
    "starlink_Uptime",
    "starlink_UplinkThroughput",
    "starlink_DownlinkThroughput",
    "starlink_SignalQuality",
    "starlink_PingLatencyMsAvg",
    "starlink_PingDropRateAvg",
    "starlink_ObstructionPercentTime",
    "starlink_SecondsUntilSwupdateRebootPossible",
    "starlink_InTerritorialWaters",
    "starlink_last_report_timestamp_seconds",
    "starlink_latitude",
    "starlink_longitude",
    "starlink_H3CellId",
    "starlink_Ipv4_numeric",
    "starlink_Ipv6Ue_numeric",
    "starlink_Ipv6Cpe_numeric",
];

/// The families with a sample of each terminal every 30 s.
const OF_HALF_MINUTES: [&str; 1] = ["starlink_info"];

/// The families of the exporter's own sets with a sample of each terminal, every 15 s and every minute.
const OWN_STATES: [&str; 1] = ["starlink_online"];
const OWN_LISTS: [&str; 2] = ["starlink_device_account", "starlink_device_name"];

/// The families of the inventory with a sample of each terminal, or of its service line, every minute, and how many.
const OF_INVENTORY: [(&str, f64); 10] = [
    ("starlink_terminal_info", 1.0),
    ("starlink_service_line_info", 1.0),
    ("starlink_service_line_active", 1.0),
    ("starlink_service_line_data_used_bytes", 4.0),
    ("starlink_service_line_data_limit_bytes", 1.0),
    ("starlink_service_line_data_overage_bytes", 1.0),
    ("starlink_service_line_overage_opted_in", 1.0),
    ("starlink_service_line_data_updated_timestamp_seconds", 1.0),
    (
        "starlink_service_line_billing_cycle_start_timestamp_seconds",
        1.0,
    ),
    (
        "starlink_service_line_billing_cycle_end_timestamp_seconds",
        1.0,
    ),
];

/// About how many series the exporter has of itself, and of each account with one destination; with a sample every 15 s.
const OF_PROCESS: f64 = 60.0;
const OF_ACCOUNT: f64 = 150.0;

/// How long rows wait at Starlink at most, and an hour for what arrives late.
const AT_STARLINK: Duration = Duration::from_secs(9 * 3600);

/// The fleet of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetSize {
    /// The number of terminals, each with a service line.
    pub terminals: usize,
    /// The number of accounts.
    pub accounts: usize,
    /// Whether the inventory is read.
    pub has_inventory: bool,
}

/// What a fleet costs a destination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Samples per second.
    pub samples: f64,
    /// Series.
    pub series: f64,
    /// Bytes per second of compressed requests.
    pub bytes: f64,
}

impl Destination {
    /// What a fleet costs. The size of samples is that of live rows in the protocol of the destination.
    #[must_use]
    pub fn cost(&self, fleet: FleetSize) -> Cost {
        let (terminals, accounts) = (fleet.terminals as f64, fleet.accounts as f64);
        let count = |families: &[&str]| {
            let sent = families.iter().filter(|family| self.sends(family));
            sent.count() as f64
        };
        let (rows, infos) = (count(&OF_ROWS), count(&OF_HALF_MINUTES));
        let inventory = match fleet.has_inventory {
            true => OF_INVENTORY
                .iter()
                .filter(|(family, _)| self.sends(family))
                .map(|(_, series)| series)
                .sum(),
            false => 0.0,
        };
        let (states, lists, exporter) = match self.own_metrics {
            true => {
                let process = match self.takes_process_metrics() {
                    true => OF_PROCESS,
                    false => 0.0,
                };
                let exporter = match self.sends("starlink_exporter_polls_total") {
                    true => process + accounts * OF_ACCOUNT,
                    false => 0.0,
                };
                (count(&OWN_STATES), count(&OWN_LISTS) + inventory, exporter)
            }
            false => (0.0, 0.0, 0.0),
        };
        let often = terminals * (rows + states) + exporter;
        let (infos, lists) = (terminals * infos, terminals * lists);
        let samples = often / 15.0 + infos / 30.0 + lists / 60.0;
        let size = match self.protocol {
            ProtocolChoice::V1 => 19.0,
            ProtocolChoice::Auto | ProtocolChoice::V2 => 13.9,
        };
        Cost {
            samples,
            series: often + infos + lists,
            bytes: samples * size,
        }
    }

    /// That the rate is too low for a fleet; `None` if it is not.
    #[must_use]
    pub fn too_slow(&self, fleet: FleetSize) -> Option<String> {
        let (rate, needed) = (self.max_samples_per_second, self.cost(fleet).samples);
        (rate > 0 && (rate as f64) < needed).then(|| {
            format!(
                "max_samples_per_second is {rate}, but the fleet has about {needed:.0} samples/s: rows arrive later and later, until the journal drops the oldest ones"
            )
        })
    }

    /// What is left out after an outage, if the journal keeps rows for this time; `None` if nothing is.
    #[must_use]
    pub fn left_out(&self, journal: Duration) -> Option<String> {
        let oldest = journal.saturating_add(AT_STARLINK);
        let hours = |duration: Duration| duration.as_secs_f64() / 3600.0;
        match self.out_of_order_window {
            Window::Limited(Duration::ZERO) => Some(
                "out_of_order_window is 0: rows that are older than the newest row of their device are left out".to_owned(),
            ),
            Window::Limited(window) if window < oldest => Some(format!(
                "out_of_order_window is {:.1} h, but rows can be {:.1} h old (JOURNAL_MAX_AGE and 9 h at Starlink): older ones are left out",
                hours(window),
                hours(oldest)
            )),
            Window::Limited(_) | Window::Unlimited => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::NameFilter;
    use crate::telemetry::fields::anchored;

    fn destination() -> Destination {
        Destination::new("a", "http://127.0.0.1:1/".parse().unwrap())
    }

    #[test]
    fn the_cost_follows_terminals_selection_and_protocol() {
        let mut a = destination();
        let mut fleet = FleetSize {
            terminals: 1000,
            accounts: 2,
            has_inventory: true,
        };
        assert!((a.cost(fleet).series - 33_360.0).abs() < 1e-6);
        fleet.has_inventory = false;
        let cost = a.cost(fleet);
        assert!((cost.series - 20_360.0).abs() < 1e-6, "{cost:?}");
        assert!((cost.samples - (17_360.0 / 15.0 + 1000.0 / 30.0 + 2000.0 / 60.0)).abs() < 1e-6);
        assert!((cost.bytes / cost.samples - 13.9).abs() < 1e-6);
        a.own_metrics = false;
        a.protocol = ProtocolChoice::V1;
        a.names = NameFilter::new(vec![anchored("starlink_Uptime").unwrap()], Vec::new());
        let cost = a.cost(FleetSize {
            terminals: 15,
            accounts: 1,
            has_inventory: true,
        });
        assert!((cost.series - 15.0).abs() < 1e-6);
        assert!((cost.bytes - 19.0).abs() < 1e-6);
    }

    #[test]
    fn the_rate_should_be_that_of_the_fleet() {
        let fleet = FleetSize {
            terminals: 1000,
            accounts: 2,
            has_inventory: false,
        };
        for (rate, expected) in [(0, false), (1223, true), (1225, false)] {
            let mut a = destination();
            a.max_samples_per_second = rate;
            let text = a.too_slow(fleet);
            assert_eq!(text.is_some(), expected, "{rate}: {text:?}");
            assert!(text.is_none_or(|text| text.contains("about 1224 samples/s")));
        }
    }

    #[test]
    fn the_window_should_cover_what_can_wait() {
        let day = Duration::from_secs(86_400);
        for (window, expected) in [
            (Window::Limited(Duration::ZERO), Some("is 0")),
            (Window::Limited(day), Some("33.0 h old")),
            (Window::Limited(Duration::from_secs(33 * 3600)), None),
            (Window::Unlimited, None),
        ] {
            let mut a = destination();
            a.out_of_order_window = window;
            let text = a.left_out(day);
            match expected {
                Some(part) => assert!(text.unwrap().contains(part)),
                None => assert_eq!(text, None),
            }
        }
    }
}

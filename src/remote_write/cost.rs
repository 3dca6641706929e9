//! What a fleet costs a destination, estimated from what terminals and routers report as a rule.

use std::ops::Add;
use std::time::Duration;

use super::destination::{Destination, ProtocolChoice, Window};
use crate::telemetry::catalogue::{InventoryFamily, TelemetryFamily, field_family};
use crate::telemetry::schema::LOCATION_FIELD;
use crate::telemetry::{AddressKind, FieldFilter};

/// What the rows of a kind of device give, with all their cells filled.
struct Rows {
    /// The fields that are numbers, each of which gives a sample in each row, every 15 s.
    numbers: &'static [&'static str],
    /// The fields that are texts, which together give a sample of `starlink_info` every 30 s.
    texts: &'static [&'static str],
    /// Further families with a sample in each row, and the field that they are made from, if there is one.
    derived: &'static [(TelemetryFamily<'static>, Option<&'static str>)],
}

/// The rows of a terminal, with those of its IP allocation.
const OF_TERMINAL: Rows = Rows {
    numbers: &[
        "DownlinkThroughput",
        LOCATION_FIELD,
        "InTerritorialWaters",
        "ObstructionPercentTime",
        "PingDropRateAvg",
        "PingLatencyMsAvg",
        "SecondsUntilSwupdateRebootPossible",
        "SignalQuality",
        "UplinkThroughput",
        "Uptime",
    ],
    texts: &["RunningSoftwareVersion", "CountryCode", "AccountNumber"],
    derived: &[
        (TelemetryFamily::LastReport, None),
        (TelemetryFamily::Latitude, Some(LOCATION_FIELD)),
        (TelemetryFamily::Longitude, Some(LOCATION_FIELD)),
        (address(AddressKind::Ipv4), Some("Ipv4")),
        (address(AddressKind::Ipv6Ue), Some("Ipv6Ue")),
        (address(AddressKind::Ipv6Cpe), Some("Ipv6Cpe")),
    ],
};

/// The rows of a router with clients on both bands.
const OF_ROUTER: Rows = Rows {
    numbers: &[
        "ApiVersion",
        "Clients",
        "Clients2Ghz",
        "Clients2GhzRxRateMbpsAvg",
        "Clients2GhzRxRateMbpsMax",
        "Clients2GhzRxRateMbpsMin",
        "Clients2GhzSignalStrengthAvg",
        "Clients2GhzSignalStrengthMax",
        "Clients2GhzSignalStrengthMin",
        "Clients5Ghz",
        "Clients5GhzRxRateMbpsAvg",
        "Clients5GhzRxRateMbpsMax",
        "Clients5GhzRxRateMbpsMin",
        "Clients5GhzSignalStrengthAvg",
        "Clients5GhzSignalStrengthMax",
        "Clients5GhzSignalStrengthMin",
        "ClientsEth",
        "DishPingDropRate",
        "DishPingLatencyMs",
        "InternetPingDropRate",
        "InternetPingLatencyMs",
        "WanRxBytes",
        "WanTxBytes",
        "WifiHopsFromController",
        "WifiIsBypassed",
        "WifiIsRepeater",
        "WifiPopPingDropRate",
        "WifiPopPingLatencyMs",
        "WifiUptimeS",
    ],
    texts: &["WifiSoftwareVersion", "WifiHardwareVersion", TERMINAL_FIELD],
    derived: &[(TelemetryFamily::LastReport, None)],
};

/// The field in which a router reports its terminal.
const TERMINAL_FIELD: &str = "DishId";

const fn address(kind: AddressKind) -> TelemetryFamily<'static> {
    TelemetryFamily::Address { kind, nth: None }
}

/// The families of the inventory with series of each terminal, or of its service line, every minute, and how many.
const OF_INVENTORY: [(InventoryFamily, f64); 10] = [
    (InventoryFamily::TerminalInfo, 1.0),
    (InventoryFamily::LineInfo, 1.0),
    (InventoryFamily::LineActive, 1.0),
    (InventoryFamily::LineUsed, 4.0),
    (InventoryFamily::LineLimit, 1.0),
    (InventoryFamily::LineOverage, 1.0),
    (InventoryFamily::LineOptedIn, 1.0),
    (InventoryFamily::LineUpdated, 1.0),
    (InventoryFamily::LineCycleStart, 1.0),
    (InventoryFamily::LineCycleEnd, 1.0),
];

/// About how many series the exporter has of itself, of each destination, of each account, and of each destination of an account; with a
/// sample every 15 s.
const OF_PROCESS: f64 = 45.0;
const OF_SENDERS: f64 = 15.0;
const OF_ACCOUNT: f64 = 140.0;
const OF_DESTINATION: f64 = 25.0;

/// How long rows wait at Starlink at most, and an hour for what arrives late.
const AT_STARLINK: Duration = Duration::from_secs(9 * 3600);

/// Bytes of a sample on the wire, in requests with the rows of a poll: version 1.0, then 2.0. With routers and in large fleets it is a little
/// less, in small ones more.
const BYTES: [f64; 2] = [19.0, 13.9];

/// The fleet of a process, and the settings that decide which series it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSize {
    /// The number of terminals, each with a service line.
    pub terminals: usize,
    /// The number of routers that are sent, each bonded to a terminal.
    pub routers: usize,
    /// The number of accounts.
    pub accounts: usize,
    /// The number of destinations of each account.
    pub destinations: usize,
    /// Whether the inventory is read.
    pub has_inventory: bool,
    /// Whether devices have names: those of the inventory, or of a file.
    pub has_names: bool,
    /// The fields that are sent.
    pub fields: FieldFilter,
}

/// What a fleet costs a destination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Samples per second.
    pub samples: f64,
    /// Series.
    pub series: f64,
    /// Bytes per second of compressed requests of version 1.0; `None` if the destination does not speak it.
    pub bytes_v1: Option<f64>,
    /// The same of version 2.0.
    pub bytes_v2: Option<f64>,
}

/// Numbers of series, by the time between two of their samples.
#[derive(Debug, Clone, Copy, Default)]
struct Series {
    /// 15 s.
    quarters: f64,
    /// 30 s.
    halves: f64,
    /// 60 s.
    minutes: f64,
}

impl Series {
    fn times(self, devices: usize) -> Self {
        let devices = devices as f64;
        Self {
            quarters: self.quarters * devices,
            halves: self.halves * devices,
            minutes: self.minutes * devices,
        }
    }

    fn count(self) -> f64 {
        self.quarters + self.halves + self.minutes
    }

    fn samples_per_second(self) -> f64 {
        self.quarters / 15.0 + self.halves / 30.0 + self.minutes / 60.0
    }
}

impl Add for Series {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            quarters: self.quarters + other.quarters,
            halves: self.halves + other.halves,
            minutes: self.minutes + other.minutes,
        }
    }
}

impl Rows {
    /// The families with a sample in each row, without the fields that are left out.
    fn families(&self, fields: &FieldFilter) -> impl Iterator<Item = String> {
        let numbers = self.numbers.iter().filter(|field| fields.keeps(field));
        let is_kept = |field: &Option<&str>| field.is_none_or(|field| fields.keeps(field));
        let derived = self.derived.iter().filter(move |(_, field)| is_kept(field));
        numbers
            .map(|field| field_family(field))
            .chain(derived.map(|(family, _)| family.name().into_owned()))
    }

    /// Whether there is a field for `starlink_info`.
    fn has_info(&self, fields: &FieldFilter) -> bool {
        self.texts.iter().any(|field| fields.keeps(field))
    }
}

impl Destination {
    /// What a fleet costs. The size of samples is that of live rows in the protocol of the destination.
    #[must_use]
    pub fn cost(&self, fleet: &FleetSize) -> Cost {
        let terminal = self.series_of_rows(&OF_TERMINAL, &fleet.fields)
            + self.own_series(fleet, self.listed_of_terminal(fleet));
        let router = self.series_of_rows(&OF_ROUTER, &fleet.fields)
            + self.own_series(fleet, self.listed_of_router(fleet));
        let all = terminal.times(fleet.terminals)
            + router.times(fleet.routers)
            + self.series_of_exporter(fleet);
        let samples = all.samples_per_second();
        let [v1, v2] = BYTES.map(|bytes| samples * bytes);
        let (has_v1, has_v2) = match self.protocol {
            ProtocolChoice::Auto => (true, true),
            ProtocolChoice::V1 => (true, false),
            ProtocolChoice::V2 => (false, true),
        };
        Cost {
            samples,
            series: all.count(),
            bytes_v1: has_v1.then_some(v1),
            bytes_v2: has_v2.then_some(v2),
        }
    }

    /// What the rows of a device give.
    fn series_of_rows(&self, rows: &Rows, fields: &FieldFilter) -> Series {
        let families = rows.families(fields);
        let is_info_sent = rows.has_info(fields) && self.sends(&TelemetryFamily::Info.name());
        Series {
            quarters: families.filter(|family| self.sends(family)).count() as f64,
            halves: f64::from(u8::from(is_info_sent)),
            minutes: 0.0,
        }
    }

    /// What the exporter's own sets have of a device, of which `listed` are its series of the inventory.
    fn own_series(&self, fleet: &FleetSize, listed: f64) -> Series {
        if !self.own_metrics {
            return Series::default();
        }
        let one = |is_there: bool, family: TelemetryFamily<'_>| {
            f64::from(u8::from(is_there && self.sends(&family.name())))
        };
        let name = TelemetryFamily::Inventory(InventoryFamily::DeviceName);
        let account = TelemetryFamily::Inventory(InventoryFamily::DeviceAccount);
        Series {
            quarters: one(true, TelemetryFamily::Online),
            halves: 0.0,
            minutes: one(fleet.has_names, name) + one(true, account) + listed,
        }
    }

    fn listed_of_terminal(&self, fleet: &FleetSize) -> f64 {
        let families = OF_INVENTORY.iter().filter(|_| fleet.has_inventory);
        let sent = families.filter(|(family, _)| self.sends(family.name()));
        sent.map(|(_, series)| series).sum()
    }

    fn listed_of_router(&self, fleet: &FleetSize) -> f64 {
        let is_known = fleet.has_inventory || fleet.fields.keeps(TERMINAL_FIELD);
        let is_sent = self.sends(InventoryFamily::RouterTerminal.name());
        f64::from(u8::from(is_known && is_sent))
    }

    /// What the exporter's own sets have of itself.
    fn series_of_exporter(&self, fleet: &FleetSize) -> Series {
        if !self.own_metrics || !self.sends("starlink_exporter_polls_total") {
            return Series::default();
        }
        let process = match self.takes_process_metrics() {
            true => OF_PROCESS + fleet.destinations as f64 * OF_SENDERS,
            false => 0.0,
        };
        let of_account = OF_ACCOUNT + fleet.destinations as f64 * OF_DESTINATION;
        Series {
            quarters: process + fleet.accounts as f64 * of_account,
            ..Series::default()
        }
    }

    /// That the rate is too low for a fleet; `None` if it is not.
    #[must_use]
    pub fn too_slow(&self, fleet: &FleetSize) -> Option<String> {
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
mod tests;

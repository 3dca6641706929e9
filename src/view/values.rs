//! The values of one device, as lists and its own page show them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::device::DeviceState;
use super::service_line::ServiceLine;

/// A device in a list. Absent values are `null` or an empty list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Device {
    /// The identifier, as Starlink spells it.
    pub id: String,
    /// The value of the label `device_type`.
    pub device_type: String,
    /// The name of the account that delivers it; unknown until one has delivered it since it was restored from an old state file.
    pub account: Option<String>,
    /// Its name: that in `NAMES_FILE`, else that of the inventory.
    pub name: Option<String>,
    /// Its group in `NAMES_FILE`.
    pub group: Option<String>,
    /// Whether it reports; `None` for a terminal of the inventory that is not expected to report. Lists have no such terminals.
    pub state: Option<DeviceState>,
    /// Whether it is a terminal of the inventory that has never reported.
    pub never_heard: bool,
    /// `UtcTimestampNs` of the last accepted row, in seconds since 1970; `None` if it has never reported.
    pub last_report_timestamp_seconds: Option<f64>,
    /// The time since that row arrived, by the exporter's clock, in seconds.
    pub silent_for_seconds: Option<f64>,
    /// Mbit/s.
    pub downlink_mbps: Option<f64>,
    /// Mbit/s.
    pub uplink_mbps: Option<f64>,
    /// Milliseconds.
    pub latency_ms: Option<f64>,
    /// 0 to 1.
    pub drop_rate: Option<f64>,
    /// 0 to 1, in spite of the field's name.
    pub obstruction: Option<f64>,
    /// 0 to 1.
    pub signal_quality: Option<f64>,
    /// Seconds.
    pub uptime_seconds: Option<f64>,
    /// Names of the active alerts, sorted; `None` if the device is not online, because they are unknown.
    pub alerts: Option<Vec<String>>,
    /// The version of its software.
    pub software: Option<String>,
    /// Two letters.
    pub country: Option<String>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Public addresses.
    pub ipv4: Vec<String>,
    /// The networks of the terminal's own interface.
    pub ipv6_ue: Vec<String>,
    /// The networks that are delegated to the customer.
    pub ipv6_cpe: Vec<String>,
    /// The serial number of the kit, for terminals of the inventory.
    pub kit_serial: Option<String>,
    /// The serial number of the dish.
    pub dish_serial: Option<String>,
    /// Its service line.
    pub service_line: Option<ServiceLine>,
}

/// All data of a device.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DeviceDetail {
    /// The data in lists.
    #[serde(flatten)]
    pub device: Device,
    /// The ID of the terminal to which a router is bonded.
    pub terminal: Option<String>,
    /// Its H3 cell in hexadecimal digits, because JSON numbers cannot hold the integer exactly.
    pub h3_cell: Option<String>,
    /// All numbers of a device that is online, by the name of the field in Starlink's spelling.
    pub fields: BTreeMap<String, f64>,
    /// The values of the last row, for a device that is not online but has reported.
    pub last_readings: Option<LastReadings>,
    /// All texts, by their label in `starlink_info`.
    pub info: BTreeMap<String, String>,
}

/// The values in the last row of a device that is not online.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastReadings {
    /// `UtcTimestampNs` of the row, in seconds since 1970.
    pub timestamp_seconds: f64,
    /// All numbers, by the name of the field in Starlink's spelling.
    pub fields: BTreeMap<String, f64>,
    /// Names of the alerts that were active at that time, sorted.
    pub alerts: Vec<String>,
}

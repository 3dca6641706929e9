//! Overview of the fleet: devices by state, active alerts, and locations.

use std::collections::HashMap;

use serde::Serialize;

use super::device::{DeviceState, DeviceTable, seconds};
use crate::fleet::Snapshot;

/// The numbers of devices of a type by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeCount {
    /// The value of the label `device_type`.
    pub device_type: String,
    /// A row within `STALE_AFTER`.
    pub online: usize,
    /// No row for `STALE_AFTER`, while polls succeeded.
    pub offline: usize,
    /// No row for `STALE_AFTER`, because polls failed.
    pub unknown: usize,
    /// Of the offline and unknown ones, the terminals of the inventory that have never reported.
    pub never_heard: usize,
}

impl TypeCount {
    /// The number of devices in a state.
    #[must_use]
    pub fn of(&self, state: DeviceState) -> usize {
        match state {
            DeviceState::Online => self.online,
            DeviceState::Unknown => self.unknown,
            DeviceState::Offline => self.offline,
        }
    }
}

/// The number of devices with an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertCount {
    /// The name of the alert.
    pub alert: String,
    /// The number of devices.
    pub devices: usize,
}

/// Overview of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Overview {
    /// By type, in the order of the type codes.
    pub types: Vec<TypeCount>,
    /// The most frequent first.
    pub alerts: Vec<AlertCount>,
    /// The number of devices that are not online, whose alerts are unknown.
    pub alerts_unknown: usize,
    /// The number of devices with a location.
    pub located: usize,
    /// The newest timestamp of all rows, by the devices' clocks, in seconds since 1970.
    pub last_report_timestamp_seconds: Option<f64>,
    /// The locations, for maps only.
    #[serde(skip)]
    pub dots: Dots,
}

/// The locations of devices by state, in the order of [`DeviceState::ALL`], without duplicates: x is tenths of degrees east of
/// 180° west, y tenths of degrees south of the North Pole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dots {
    places: [Vec<(u16, u16)>; DeviceState::ALL.len()],
}

impl Dots {
    /// Dots at these places, by state in the order of [`DeviceState::ALL`].
    #[must_use]
    pub fn new(mut places: [Vec<(u16, u16)>; DeviceState::ALL.len()]) -> Self {
        for places in &mut places {
            places.sort_unstable();
            places.dedup();
        }
        Self { places }
    }

    /// The locations of devices in a state, from west to east, then from north to south.
    #[must_use]
    pub fn of(&self, state: DeviceState) -> &[(u16, u16)] {
        &self.places[state as usize]
    }
}

impl Overview {
    /// Reads each device once.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut overview = Self::default();
        let mut alerts: HashMap<&str, usize> = HashMap::new();
        let mut places: [Vec<(u16, u16)>; DeviceState::ALL.len()] = Default::default();
        let mut newest = None;
        let tables: Vec<_> = snapshot.tables.iter().map(DeviceTable::new).collect();
        for table in &tables {
            let mut states = [0; DeviceState::ALL.len()];
            let mut never_heard = 0;
            for device in table.devices() {
                newest = newest.max(device.reported());
                never_heard += usize::from(device.reported().is_none());
                states[device.state as usize] += 1;
                for alert in device.alerts() {
                    *alerts.entry(alert).or_default() += 1;
                }
                if let Some(place) = device.location() {
                    overview.located += 1;
                    places[device.state as usize].push(dot(place));
                }
            }
            let [offline, unknown, online] = states;
            overview.alerts_unknown += offline + unknown;
            overview.types.push(TypeCount {
                device_type: table.name().to_owned(),
                online,
                offline,
                unknown,
                never_heard,
            });
        }
        overview.last_report_timestamp_seconds = newest.map(seconds);
        overview.dots = Dots::new(places);
        let counted = alerts.into_iter().map(|(alert, devices)| AlertCount {
            alert: alert.to_owned(),
            devices,
        });
        overview.alerts = counted.collect();
        let order = |count: &AlertCount| (std::cmp::Reverse(count.devices), count.alert.clone());
        overview.alerts.sort_by_cached_key(order);
        overview
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a saturating `as` cast is wanted"
)]
fn dot((latitude, longitude): (f64, f64)) -> (u16, u16) {
    let x = (longitude + 180.0) * 10.0;
    let y = (90.0 - latitude) * 10.0;
    (x.round() as u16, y.round() as u16)
}

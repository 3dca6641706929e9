//! One device of a snapshot, with its values under names that do not depend on Starlink's columns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::NamedFleet;
use super::service_line::ServiceLine;
use super::values::{Device, DeviceDetail, LastReadings};
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{AccountId, Listing, Presence};
use crate::inventory::ListedTerminal;
use crate::names::{Bonds, DeviceName, TableNames};
use crate::telemetry::catalogue::field_family;
use crate::telemetry::{AddressKind, DeviceKind};
use crate::time::Moment;

/// Numbers in lists. The value of each is that of the first of its fields that the device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Mbit/s to the terminal.
    Downlink,
    /// Mbit/s from the terminal.
    Uplink,
    /// Mean time of a ping, in milliseconds.
    Latency,
    /// Share of lost pings, 0 to 1.
    DropRate,
    /// Share of the time without a view of the sky, from 0 to 1 although the field is named a percentage.
    Obstruction,
    /// 0 to 1.
    Signal,
    /// Seconds since the device started.
    Uptime,
}

impl Measure {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Downlink,
        Self::Uplink,
        Self::Latency,
        Self::DropRate,
        Self::Obstruction,
        Self::Signal,
        Self::Uptime,
    ];

    /// The fields with this number: the terminal's, then the router's.
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Downlink => &["DownlinkThroughput"],
            Self::Uplink => &["UplinkThroughput"],
            Self::Latency => &["PingLatencyMsAvg", "InternetPingLatencyMs"],
            Self::DropRate => &["PingDropRateAvg", "InternetPingDropRate"],
            Self::Obstruction => &["ObstructionPercentTime"],
            Self::Signal => &["SignalQuality"],
            Self::Uptime => &["Uptime", "WifiUptimeS"],
        }
    }
}

/// Texts that lists show. Each is the first of its info fields that a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoField {
    /// The version of the device's software.
    Software,
    /// The code of the device's country: two letters.
    Country,
}

impl InfoField {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Software, Self::Country];

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Software => &["runningsoftwareversion", "wifisoftwareversion"],
            Self::Country => &["countrycode"],
        }
    }
}

/// Whether a device reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// No row for `STALE_AFTER`, while polls succeeded.
    Offline,
    /// No row for `STALE_AFTER`, because polls failed.
    Unknown,
    /// A row within `STALE_AFTER`.
    Online,
}

impl DeviceState {
    /// All states, the worst first.
    pub const ALL: [Self; 3] = [Self::Offline, Self::Unknown, Self::Online];

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Unknown => "unknown",
            Self::Online => "online",
        }
    }

    /// The state of the device in a slot; `None` for an empty slot, and for a terminal that is not expected to report.
    #[must_use]
    pub const fn of(presence: Presence) -> Option<Self> {
        match presence {
            Presence::Absent | Presence::Listed => None,
            Presence::Online => Some(Self::Online),
            Presence::Stale => Some(Self::Unknown),
            Presence::Offline => Some(Self::Offline),
        }
    }
}

/// All devices of one type, and the columns of their values.
#[derive(Debug)]
pub struct DeviceTable<'s> {
    view: &'s TableView,
    names: Option<TableNames<'s>>,
    measures: [Vec<usize>; Measure::ALL.len()],
    info_fields: [Vec<usize>; InfoField::ALL.len()],
}

impl<'s> DeviceTable<'s> {
    /// Looks up the columns, once for all devices.
    #[must_use]
    pub fn new(view: &'s TableView) -> Self {
        let gauges = |measure: Measure| {
            let families = measure.fields().iter().map(|field| field_family(field));
            families
                .filter_map(|name| view.gauges.find(&name))
                .collect()
        };
        let infos = |kind: InfoField| {
            let keys = kind.keys().iter();
            keys.filter_map(|key| view.infos.find(key)).collect()
        };
        Self {
            view,
            names: None,
            measures: Measure::ALL.map(gauges),
            info_fields: InfoField::ALL.map(infos),
        }
    }

    /// The same, with the names of the devices.
    #[must_use]
    pub fn with_names(view: &'s TableView, fleet: &'s NamedFleet) -> Self {
        Self {
            names: Some(TableNames::new(&fleet.names, &fleet.snapshot, view)),
            ..Self::new(view)
        }
    }

    /// The value of the label `device_type`.
    #[must_use]
    pub fn name(&self) -> &'s str {
        &self.view.name
    }

    /// Whether its devices are terminals.
    #[must_use]
    pub fn is_of_terminals(&self) -> bool {
        self.view.kind == DeviceKind::Terminal
    }

    /// The devices, in no particular order.
    pub fn devices(&'s self) -> impl Iterator<Item = DeviceRef<'s>> + Clone {
        self.view.blocks.iter().flat_map(move |block| {
            let presences = block.presences().iter().enumerate();
            presences.filter_map(move |(slot, &presence)| {
                Some(DeviceRef {
                    table: self,
                    block,
                    slot,
                    state: DeviceState::of(presence)?,
                })
            })
        })
    }
}

/// A device in a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct DeviceRef<'s> {
    table: &'s DeviceTable<'s>,
    block: &'s Block,
    slot: usize,
    /// Whether it reports.
    pub state: DeviceState,
}

impl<'s> DeviceRef<'s> {
    /// The identifier, as Starlink spells it.
    #[must_use]
    pub fn id(&self) -> &'s str {
        self.block.labels().id(self.slot)
    }

    /// The name of its type.
    #[must_use]
    pub fn device_type(&self) -> &'s str {
        &self.table.view.name
    }

    /// The account that delivers it; `None` until one has delivered it since it was restored from an old state file.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.block.account()
    }

    /// The name of that account.
    #[must_use]
    pub fn account_name(&self, fleet: &'s NamedFleet) -> Option<&'s str> {
        fleet
            .snapshot
            .account_name(self.account()?)
            .map(|name| &**name)
    }

    /// Its name and its group, if the table has names.
    #[must_use]
    pub fn name(&self) -> Option<DeviceName<'s>> {
        self.table.names.as_ref()?.get(self.block, self.slot)
    }

    /// The number of the terminal in the inventory.
    #[must_use]
    pub fn terminal_entry(&self) -> Option<u32> {
        match self.block.listing(self.slot) {
            Listing::Terminal(entry, _) => Some(entry),
            Listing::Router(_) | Listing::None => None,
        }
    }

    /// What the inventory says about a terminal.
    #[must_use]
    pub fn listed(&self, fleet: &'s NamedFleet) -> Option<ListedTerminal<'s>> {
        fleet.snapshot.directory.terminal(self.terminal_entry()?)
    }

    /// The ID of the terminal to which a router is bonded.
    fn terminal(&self, fleet: &'s NamedFleet) -> Option<String> {
        let bonds = Bonds::new(&fleet.snapshot, self.table.view);
        bonds.terminal(self.block, self.slot).map(Cow::into_owned)
    }

    /// `UtcTimestampNs` of the last accepted row; `None` for a terminal of the inventory that has never reported.
    #[must_use]
    pub fn reported(&self) -> Option<i64> {
        let has_reported = self.block.has_reported(self.slot);
        has_reported.then(|| self.block.reported(self.slot))
    }

    /// The time since that row arrived.
    #[must_use]
    pub fn silence(&self, now: Moment) -> Option<Duration> {
        self.reported().map(|_| self.block.age(self.slot, now))
    }

    /// A number for lists, if the device is online.
    #[must_use]
    pub fn measure(&self, measure: Measure) -> Option<f64> {
        let lanes = self.table.measures[measure as usize].iter();
        lanes.filter_map(|&lane| self.gauge(lane)).next()
    }

    /// A current number.
    fn gauge(&self, lane: usize) -> Option<f64> {
        self.last_gauge(lane)
            .filter(|_| self.state == DeviceState::Online)
    }

    /// A number of the last row, at any age.
    fn last_gauge(&self, lane: usize) -> Option<f64> {
        self.block.gauge(lane, self.slot)
    }

    /// All numbers of the last row, by the field's name.
    fn last_fields(&self) -> BTreeMap<String, f64> {
        let lanes = self.table.view.gauges.all().iter().enumerate();
        let fields = lanes
            .filter_map(|(lane, names)| Some((names.field.to_string(), self.last_gauge(lane)?)));
        fields.collect()
    }

    /// A text for lists.
    #[must_use]
    pub fn text(&self, kind: InfoField) -> Option<&'s str> {
        let lanes = self.table.info_fields[kind as usize].iter();
        let texts = lanes.filter_map(|&lane| Some(&**self.block.info(lane, self.slot)?));
        texts.into_iter().next()
    }

    /// The names of the active alerts, sorted; `None` for a device that is not online, whose alerts are unknown.
    pub fn alerts(&self) -> impl ExactSizeIterator<Item = &'s str> + use<'s> {
        let names = match self.state {
            DeviceState::Online => self.block.alerts(self.slot).as_ref(),
            DeviceState::Offline | DeviceState::Unknown => None,
        };
        names_of(names)
    }

    /// The values of the last row, for a device that is not online but has reported.
    fn last_readings(&self) -> Option<LastReadings> {
        let reported = self.reported()?;
        (self.state != DeviceState::Online).then(|| LastReadings {
            timestamp_seconds: seconds(reported),
            fields: self.last_fields(),
            alerts: names_of(self.block.alerts(self.slot).as_ref())
                .map(ToOwned::to_owned)
                .collect(),
        })
    }

    /// Degrees north and east.
    #[must_use]
    pub fn location(&self) -> Option<(f64, f64)> {
        let centre = self.block.location(self.slot)?.centre;
        Some((centre.latitude, centre.longitude))
    }

    /// All info fields: those of the device, then those of its allocation.
    pub fn infos(&self) -> impl Iterator<Item = (&'s str, &'s str)> + use<'s> {
        self.table.view.info_fields(self.block, self.slot)
    }

    /// Its public addresses of one kind, as text.
    pub fn addresses(&self, kind: AddressKind) -> impl Iterator<Item = String> + use<'s> {
        let allocation = self.block.allocation(self.slot).into_iter();
        let addresses = allocation.flat_map(move |found| &found.content.addresses[kind as usize]);
        addresses.map(ToString::to_string)
    }

    /// The values that lists show.
    #[must_use]
    pub fn device(&self, fleet: &'s NamedFleet) -> Device {
        let listed = self.listed(fleet);
        let terminal = listed.map(|listed| listed.terminal);
        let name = self.name();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let [latitude, longitude] = match self.location() {
            Some((latitude, longitude)) => [Some(latitude), Some(longitude)],
            None => [None; 2],
        };
        Device {
            id: self.id().to_owned(),
            device_type: self.device_type().to_owned(),
            account: owned(self.account_name(fleet)),
            name: owned(name.map(|name| name.name)),
            group: owned(name.and_then(group)),
            state: Some(self.state),
            never_heard: self.reported().is_none(),
            last_report_timestamp_seconds: self.reported().map(seconds),
            silent_for_seconds: self.silence(fleet.now).map(|silence| silence.as_secs_f64()),
            downlink_mbps: self.measure(Measure::Downlink),
            uplink_mbps: self.measure(Measure::Uplink),
            latency_ms: self.measure(Measure::Latency),
            drop_rate: self.measure(Measure::DropRate),
            obstruction: self.measure(Measure::Obstruction),
            signal_quality: self.measure(Measure::Signal),
            uptime_seconds: self.measure(Measure::Uptime),
            alerts: (self.state == DeviceState::Online)
                .then(|| self.alerts().map(ToOwned::to_owned).collect()),
            software: owned(self.text(InfoField::Software)),
            country: owned(self.text(InfoField::Country)),
            latitude,
            longitude,
            ipv4: self.addresses(AddressKind::Ipv4).collect(),
            ipv6_ue: self.addresses(AddressKind::Ipv6Ue).collect(),
            ipv6_cpe: self.addresses(AddressKind::Ipv6Cpe).collect(),
            kit_serial: owned(terminal.and_then(|terminal| terminal.kit_serial)),
            dish_serial: owned(terminal.and_then(|terminal| terminal.dish_serial)),
            service_line: listed.as_ref().and_then(ServiceLine::of),
        }
    }

    /// All data of the device.
    #[must_use]
    pub fn detail(&self, fleet: &'s NamedFleet) -> DeviceDetail {
        let infos = self.infos();
        let cell = self.block.location(self.slot);
        DeviceDetail {
            device: self.device(fleet),
            terminal: self.terminal(fleet),
            h3_cell: cell.map(|place| format!("{:x}", place.index)),
            fields: match self.state {
                DeviceState::Online => self.last_fields(),
                DeviceState::Offline | DeviceState::Unknown => BTreeMap::new(),
            },
            last_readings: self.last_readings(),
            info: infos
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// The group, if there is one.
pub(super) fn group(name: DeviceName<'_>) -> Option<&str> {
    (!name.group.is_empty()).then_some(name.group)
}

/// The names of alerts, sorted.
fn names_of(alerts: Option<&Arc<Vec<Arc<str>>>>) -> impl ExactSizeIterator<Item = &str> {
    let names = alerts.map_or(&[][..], |names| names.as_slice());
    names.iter().map(|name| &**name)
}

#[expect(clippy::cast_precision_loss, reason = "JSON's numbers are f64s")]
pub(super) fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

//! The telemetry of a snapshot, family by family, in chunks: a scrape of any fleet holds one chunk at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::own::{self, OwnFamily};
use super::text::{Family, Kind, header, label, line, number, string_field, tag};
use super::{Format, help};
use crate::fleet::Snapshot;
use crate::fleet::block::{Block, Presence};
use crate::fleet::snapshot::TableView;
use crate::telemetry::schema::ALERT_PREFIX;
use crate::telemetry::{AddressKind, DeviceKind};

/// A chunk is handed out when it has reached this many bytes.
const CHUNK: usize = 64 * 1024;

/// How much more than [`CHUNK`] a chunk may grow before it is looked at: the samples of one block.
const SLACK: usize = 64 * 1024;

/// Where a device stands in a snapshot: table, block, slot.
type DeviceRef = (usize, usize, usize);

/// One family and how its samples are found.
#[derive(Debug)]
enum Section {
    /// The numbers of a field.
    Gauge {
        name: Arc<str>,
        field: Arc<str>,
    },
    /// An address of IP allocations: of those that have one, or the nth of those that have several.
    Address {
        kind: AddressKind,
        nth: Option<usize>,
    },
    /// An alert, and the devices on which it is active.
    Alert {
        name: Arc<str>,
        devices: Vec<DeviceRef>,
    },
    Latitude,
    Longitude,
    LastReport,
    Online,
    Info,
}

/// The body of a scrape: an iterator over its chunks.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    snapshot: Arc<Snapshot>,
    sections: std::vec::IntoIter<Section>,
    current: Option<Progress>,
    own: Option<Vec<OwnFamily>>,
}

/// How far the writing of a section has come.
#[derive(Debug)]
struct Progress {
    section: Section,
    table: usize,
    block: usize,
    has_header: bool,
}

impl Exposition {
    /// The whole body: the telemetry of a snapshot, then the exporter's own families.
    #[must_use]
    pub fn new(format: Format, snapshot: Arc<Snapshot>, own: Vec<OwnFamily>) -> Self {
        Self {
            format,
            sections: sections(&snapshot).into_iter(),
            snapshot,
            current: None,
            own: Some(own),
        }
    }

    /// Writes the next block of the current section, or moves on to the next section. `false` at the end of all sections.
    fn advance(&mut self, out: &mut Vec<u8>) -> bool {
        let progress = match self.current.take() {
            Some(progress) => Some(progress),
            None => self.sections.next().map(Progress::new),
        };
        let Some(mut progress) = progress else {
            return false;
        };
        if let Some(table) = self.snapshot.tables.get(progress.table) {
            progress.write(out, self.format, table);
            progress.block += 1;
            if progress.block >= table.blocks.len() {
                progress.table += 1;
                progress.block = 0;
            }
            self.current = Some(progress);
        }
        true
    }
}

impl Iterator for Exposition {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut chunk = Vec::with_capacity(CHUNK + SLACK);
        while chunk.len() < CHUNK {
            if self.advance(&mut chunk) {
                continue;
            }
            if let Some(own) = self.own.take() {
                own::write(&mut chunk, self.format, &own);
                if self.format == Format::OpenMetrics {
                    line(&mut chunk, &["# EOF\n"]);
                }
            }
            break;
        }
        (!chunk.is_empty()).then_some(chunk)
    }
}

/// All families that the snapshot may have samples of, in their fixed order.
fn sections(snapshot: &Snapshot) -> Vec<Section> {
    let tables = snapshot.tables.iter();
    let lanes = tables.flat_map(|table| table.gauges.all());
    let mut gauges = BTreeMap::new();
    for lane in lanes {
        gauges.entry(&lane.name).or_insert(&lane.field);
    }
    let gauge = |(name, field): (&Arc<str>, &Arc<str>)| Section::Gauge {
        name: Arc::clone(name),
        field: Arc::clone(field),
    };
    let mut sections: Vec<_> = gauges.into_iter().map(gauge).collect();

    let Scattered { addresses, alerts } = Scattered::collect(snapshot);
    for kind in AddressKind::ALL {
        sections.push(Section::Address { kind, nth: None });
        let several = 0..addresses[kind as usize];
        sections.extend(several.map(|nth| Section::Address {
            kind,
            nth: Some(nth),
        }));
    }
    let alert = |(name, devices)| Section::Alert { name, devices };
    sections.extend(alerts.into_iter().map(alert));
    sections.extend([
        Section::Latitude,
        Section::Longitude,
        Section::LastReport,
        Section::Online,
        Section::Info,
    ]);
    sections
}

/// What few devices have, found in one pass over all.
#[derive(Default)]
struct Scattered {
    /// The most addresses that an allocation with several has, by kind.
    addresses: [usize; 3],
    /// The devices of each active alert.
    alerts: BTreeMap<Arc<str>, Vec<DeviceRef>>,
}

impl Scattered {
    fn collect(snapshot: &Snapshot) -> Self {
        let mut found = Self::default();
        for (table, view) in snapshot.tables.iter().enumerate() {
            for (block, devices) in view.blocks.iter().enumerate() {
                for slot in 0..devices.len() {
                    found.device(devices, (table, block, slot));
                }
            }
        }
        found
    }

    fn device(&mut self, block: &Block, at: DeviceRef) {
        let slot = at.2;
        if block.presence(slot) == Presence::Online {
            for name in block.alerts(slot).iter().flat_map(|names| names.iter()) {
                match self.alerts.get_mut(name) {
                    Some(devices) => devices.push(at),
                    None => drop(self.alerts.insert(Arc::clone(name), vec![at])),
                }
            }
        }
        if block.presence(slot) != Presence::Unknown
            && let Some(allocation) = block.allocation(slot)
        {
            for (most, addresses) in self.addresses.iter_mut().zip(&allocation.addresses) {
                if addresses.len() > 1 {
                    *most = addresses.len().max(*most);
                }
            }
        }
    }
}

impl Section {
    /// The name of the family's samples.
    fn name(&self) -> String {
        match self {
            Self::Gauge { name, .. } => name.to_string(),
            Self::Address { kind, nth: None } => kind.family().to_owned(),
            Self::Address {
                kind,
                nth: Some(nth),
            } => format!("{}_{nth}", kind.family()),
            Self::Alert { name, .. } => format!("{ALERT_PREFIX}{name}"),
            Self::Latitude => "starlink_latitude".to_owned(),
            Self::Longitude => "starlink_longitude".to_owned(),
            Self::LastReport => "starlink_last_report_timestamp_seconds".to_owned(),
            Self::Online => "starlink_online".to_owned(),
            Self::Info => "starlink_info".to_owned(),
        }
    }

    fn help(&self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::Gauge { field, .. } => help::field(field),
            Self::Address {
                kind: AddressKind::Ipv4,
                ..
            } => "IPv4 address allocated to the terminal, as a 32-bit integer.".into(),
            Self::Address {
                kind: AddressKind::Ipv6Ue,
                ..
            } => "IPv6 network of the terminal's own interface, folded into 52 bits.".into(),
            Self::Address {
                kind: AddressKind::Ipv6Cpe,
                ..
            } => "IPv6 network delegated to the terminal's customer, folded into 52 bits.".into(),
            Self::Alert { name, .. } => format!("Alert {name} is active on the device.").into(),
            Self::Latitude => "Latitude of the centre of the device's H3 cell, in degrees.".into(),
            Self::Longitude => {
                "Longitude of the centre of the device's H3 cell, in degrees.".into()
            }
            Self::LastReport => {
                "Timestamp of the device's last row that counted, in seconds since 1970.".into()
            }
            Self::Online => {
                "Whether the device reports: 1 online, 0 silent while the stream was heard.".into()
            }
            Self::Info => "What the device reports as text.".into(),
        }
    }

    /// The family's header.
    fn header(&self, out: &mut Vec<u8>, format: Format) {
        let (kind, unit) = match self {
            // Line protocol has neither HELP nor TYPE.
            Self::Info if format == Format::Mixed => return,
            Self::Info => (Kind::Info, None),
            Self::LastReport => (Kind::Gauge, Some("seconds")),
            _ => (Kind::Gauge, None),
        };
        let family = Family {
            name: &self.name(),
            help: &self.help(),
            kind,
            unit,
        };
        header(out, format, &family);
    }
}

impl Progress {
    fn new(section: Section) -> Self {
        Self {
            section,
            table: 0,
            block: 0,
            has_header: false,
        }
    }

    /// Writes the samples of one block, before the first of them the header.
    fn write(&mut self, out: &mut Vec<u8>, format: Format, table: &TableView) {
        let start = out.len();
        if !self.has_header {
            self.section.header(out, format);
        }
        let before = out.len();
        if let Some(block) = table.blocks.get(self.block) {
            self.samples(out, format, table, block);
        }
        if out.len() > before {
            self.has_header = true;
        } else {
            out.truncate(start);
        }
    }

    fn samples(&self, out: &mut Vec<u8>, format: Format, table: &TableView, block: &Block) {
        let known = |slot: &usize| block.presence(*slot) != Presence::Unknown;
        let online = |slot: &usize| block.presence(*slot) == Presence::Online;
        let slots = 0..block.len();
        let mut series = Series::new(out, &self.section.name(), table, block);
        match &self.section {
            Section::Gauge { name, .. } => {
                let lanes = table.gauges.all();
                let lane = lanes.iter().position(|lane| lane.name == *name);
                let values = lane.map_or(&[][..], |lane| block.gauges(lane));
                for (slot, &value) in values.iter().enumerate() {
                    if !value.is_nan() && online(&slot) {
                        series.sample(slot, value);
                    }
                }
            }
            Section::Address { kind, nth } => {
                for slot in slots.filter(known) {
                    let allocation = block.allocation(slot);
                    let addresses =
                        allocation.map_or(&[][..], |all| &all.addresses[*kind as usize]);
                    let address = match (nth, addresses) {
                        (None, [only]) => Some(only),
                        (Some(nth), [_, _, ..]) => addresses.get(*nth),
                        _ => None,
                    };
                    series.maybe(slot, address.copied());
                }
            }
            Section::Alert { devices, .. } => {
                let here = |at: &DeviceRef| (at.0, at.1).cmp(&(self.table, self.block));
                let first = devices.partition_point(|at| here(at).is_lt());
                let active = devices.iter().skip(first).take_while(|at| here(at).is_eq());
                active.for_each(|at| series.sample(at.2, 1.0));
            }
            Section::Latitude => {
                for slot in slots.filter(known) {
                    series.maybe(slot, block.place(slot).map(|place| place.centre.latitude));
                }
            }
            Section::Longitude => {
                for slot in slots.filter(known) {
                    series.maybe(slot, block.place(slot).map(|place| place.centre.longitude));
                }
            }
            Section::LastReport => {
                for slot in slots.filter(known) {
                    series.sample(slot, seconds(block.reported(slot)));
                }
            }
            Section::Online => {
                if matches!(table.kind, DeviceKind::Terminal | DeviceKind::Router) {
                    for slot in slots {
                        series.maybe(slot, online_value(block.presence(slot)));
                    }
                }
            }
            Section::Info => {
                for slot in slots.filter(known) {
                    info(series.out, format, table, block, slot);
                }
            }
        }
    }
}

/// The value of `starlink_online`; absent while nobody knows.
fn online_value(presence: Presence) -> Option<f64> {
    match presence {
        Presence::Online => Some(1.0),
        Presence::Offline => Some(0.0),
        Presence::Stale | Presence::Unknown => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Writes the samples of one family for one block; what they share is put together once.
struct Series<'a> {
    out: &'a mut Vec<u8>,
    block: &'a Block,
    prefix: Vec<u8>,
}

impl<'a> Series<'a> {
    fn new(out: &'a mut Vec<u8>, family: &str, table: &TableView, block: &'a Block) -> Self {
        let mut prefix = Vec::with_capacity(128);
        line(&mut prefix, &[family, "{"]);
        label(&mut prefix, "device_type", &table.name);
        line(&mut prefix, &[",deviceID=\""]);
        Self { out, block, prefix }
    }

    fn sample(&mut self, slot: usize, value: f64) {
        self.out.extend_from_slice(&self.prefix);
        let label = self.block.label(slot);
        let id = label.escaped.as_ref().unwrap_or(&label.id);
        self.out.extend_from_slice(id.as_bytes());
        self.out.extend_from_slice(b"\"} ");
        number(self.out, value);
        self.out.push(b'\n');
    }

    fn maybe(&mut self, slot: usize, value: Option<f64>) {
        if let Some(value) = value {
            self.sample(slot, value);
        }
    }
}

/// Writes a device's `starlink_info`, unless it has no info fields.
fn info(out: &mut Vec<u8>, format: Format, table: &TableView, block: &Block, slot: usize) {
    let mut fields = info_fields(table, block, slot).peekable();
    if fields.peek().is_none() {
        return;
    }
    let id = &*block.label(slot).id;
    if format == Format::Mixed {
        line(out, &["starlink_info"]);
        tag(out, "device_type", &table.name);
        tag(out, "deviceID", id);
        for (index, (key, value)) in fields.enumerate() {
            out.push(if index == 0 { b' ' } else { b',' });
            string_field(out, key, value);
        }
        out.push(b'\n');
    } else {
        line(out, &["starlink_info{"]);
        label(out, "device_type", &table.name);
        out.push(b',');
        label(out, "deviceID", id);
        for (key, value) in fields {
            out.push(b',');
            label(out, key, value);
        }
        line(out, &["} 1\n"]);
    }
}

/// The info fields of a device: its own in column order, then those of its allocation whose keys it has not itself.
fn info_fields<'a>(
    table: &'a TableView,
    block: &'a Block,
    slot: usize,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let own = table.info_order.iter().filter_map(move |&lane| {
        let key = &*table.infos.all().get(lane)?.name;
        Some((key, &**block.info(lane, slot)?))
    });
    let allocated = block.allocation(slot).into_iter();
    let allocated = allocated.flat_map(|allocation| allocation.infos.iter());
    let allocated = allocated.map(|(key, value)| (&**key, &**value));
    let is_own = own.clone();
    own.chain(allocated.filter(move |(key, _)| is_own.clone().all(|(own, _)| own != *key)))
}

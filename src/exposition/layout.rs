//! What a scrape of a snapshot will write, and in which order: families, and within them blocks of devices.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::shard::Shard;
use super::text::{Family, Kind, header};
use super::{Format, help};
use crate::fleet::Snapshot;
use crate::fleet::block::{Block, Presence};
use crate::fleet::snapshot::TableView;
use crate::names::Names;
use crate::telemetry::schema::ALERT_PREFIX;
use crate::telemetry::{AddressKind, DeviceKind};

/// The family of names that people give the devices.
pub const DEVICE_NAME: &str = "starlink_device_name";

/// A block of a snapshot: table and block.
pub type BlockRef = (u32, u32);

/// By table: in which lane a field's numbers are.
type LaneOf = Vec<Option<usize>>;

/// One family and how its samples are found.
#[derive(Debug)]
pub enum Section {
    /// The numbers of a field.
    Gauge {
        /// The family's name.
        name: Arc<str>,
        /// The field's name, as Starlink spells it.
        field: Arc<str>,
        /// In which lane each table has them.
        lanes: LaneOf,
    },
    /// An address of IP allocations: of those that have one, or the nth of those that have several.
    Address {
        /// Which addresses.
        kind: AddressKind,
        /// Which of several.
        nth: Option<usize>,
    },
    /// An alert, where it is active.
    Alert {
        /// The alert's name.
        name: Arc<str>,
        /// The slots of the devices that it is active on, by block.
        active: Vec<ActiveSlots>,
    },
    /// `starlink_latitude`
    Latitude,
    /// `starlink_longitude`
    Longitude,
    /// `starlink_last_report_timestamp_seconds`
    LastReport,
    /// `starlink_online`
    Online,
    /// `starlink_device_name`
    DeviceName(Arc<Names>),
    /// `starlink_info`
    Info,
}

/// The slots of a block, ascending.
pub type ActiveSlots = (BlockRef, Vec<u8>);

/// The samples of one family and one block: what is written at a time.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    section: u32,
    block: BlockRef,
    /// Whether the family's header stands before it.
    is_first: bool,
}

/// All that a scrape of a snapshot writes but the exporter's own families. Refers to the snapshot by number, and does not
/// keep it alive.
#[derive(Debug)]
pub struct Layout {
    sections: Vec<Section>,
    steps: Vec<Step>,
}

impl Layout {
    /// Looks once at every device of a shard. Families without samples are left out.
    ///
    /// Where there are names, their family's name is the exporter's own, and a field's family of that name is left out. Here and not
    /// where columns get their names: what the fleet knows may be older than the setting.
    #[must_use]
    pub fn new(snapshot: &Snapshot, shard: Shard, names: Option<&Arc<Names>>) -> Self {
        let scattered = Scattered::collect(snapshot, shard);
        let everywhere = everywhere(snapshot);
        let mut layout = Self {
            sections: Vec::new(),
            steps: Vec::new(),
        };
        for section in gauges(snapshot, names.map(|_| DEVICE_NAME)) {
            layout.add(section, &everywhere, snapshot, shard);
        }
        for kind in AddressKind::ALL {
            let several = 0..scattered.most_addresses[kind as usize];
            for nth in std::iter::once(None).chain(several.map(Some)) {
                let section = Section::Address { kind, nth };
                layout.add(section, &scattered.allocations, snapshot, shard);
            }
        }
        let mut alerts = scattered.alerts;
        alerts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (name, active) in alerts {
            let blocks: Vec<_> = active.iter().map(|(block, _)| *block).collect();
            layout.add(Section::Alert { name, active }, &blocks, snapshot, shard);
        }
        let sections = [
            Some(Section::Latitude),
            Some(Section::Longitude),
            Some(Section::LastReport),
            Some(Section::Online),
            names.map(|names| Section::DeviceName(Arc::clone(names))),
            Some(Section::Info),
        ];
        for section in sections.into_iter().flatten() {
            layout.add(section, &everywhere, snapshot, shard);
        }
        layout
    }

    /// Adds a section's steps, from the first block on that has samples; blocks that certainly have none are left out.
    fn add(&mut self, section: Section, blocks: &[BlockRef], snapshot: &Snapshot, shard: Shard) {
        let may_have = |&&at: &&BlockRef| section.may_have_samples(at, find(snapshot, at).2);
        let has_samples = |&&at: &&BlockRef| {
            let (_, view, block) = find(snapshot, at);
            section.has_samples(at, view, block, shard)
        };
        let mut blocks = blocks.iter().filter(may_have);
        let Some(first) = blocks.find(has_samples) else {
            return;
        };
        let number = u32::try_from(self.sections.len()).unwrap_or(u32::MAX);
        let steps = std::iter::once(first).chain(blocks).enumerate();
        self.steps.extend(steps.map(|(index, &block)| Step {
            section: number,
            block,
            is_first: index == 0,
        }));
        self.sections.push(section);
    }

    /// What is written, in this order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What a step writes: the family, whether its header comes first, and which devices.
    #[must_use]
    pub fn resolve<'s>(
        &'s self,
        step: &Step,
        snapshot: &'s Snapshot,
    ) -> (&'s Section, bool, BlockRef, &'s TableView, &'s Block) {
        let section = &self.sections[step.section as usize];
        let (_, view, block) = find(snapshot, step.block);
        (section, step.is_first, step.block, view, block)
    }
}

fn find(snapshot: &Snapshot, (table, block): BlockRef) -> (usize, &TableView, &Block) {
    let view = &snapshot.tables[table as usize];
    (table as usize, view, &view.blocks[block as usize])
}

fn everywhere(snapshot: &Snapshot) -> Vec<BlockRef> {
    let tables = (0..).zip(&snapshot.tables);
    let blocks = tables.flat_map(|(table, view)| {
        let blocks = (0..).zip(&view.blocks);
        blocks.map(move |(block, _)| (table, block))
    });
    blocks.collect()
}

/// The families of fields, by name, without one whose name is taken.
fn gauges(snapshot: &Snapshot, taken: Option<&str>) -> Vec<Section> {
    let mut families: BTreeMap<_, (&Arc<str>, LaneOf)> = BTreeMap::new();
    for (table, view) in snapshot.tables.iter().enumerate() {
        for (number, lane) in view.gauges.all().iter().enumerate() {
            if Some(&*lane.name) == taken {
                continue;
            }
            let absent = || (&lane.field, vec![None; snapshot.tables.len()]);
            let (_, lanes) = families.entry(&lane.name).or_insert_with(absent);
            lanes[table] = Some(number);
        }
    }
    let section = |(name, (field, lanes)): (&Arc<str>, (&Arc<str>, _))| Section::Gauge {
        name: Arc::clone(name),
        field: Arc::clone(field),
        lanes,
    };
    families.into_iter().map(section).collect()
}

/// What few devices have, found in one pass over all.
#[derive(Default)]
struct Scattered {
    /// The most addresses that an allocation with several has, by kind.
    most_addresses: [usize; 3],
    /// Where there are allocations.
    allocations: Vec<BlockRef>,
    /// Where each alert is active.
    alerts: Vec<(Arc<str>, Vec<ActiveSlots>)>,
    /// The places of the alerts there, by their text's address: each name is kept once, so that it need not be compared again and
    /// again.
    by_address: HashMap<*const u8, usize>,
    /// The same by name.
    by_name: HashMap<Arc<str>, usize>,
}

impl Scattered {
    fn collect(snapshot: &Snapshot, shard: Shard) -> Self {
        let mut found = Self::default();
        for at in everywhere(snapshot) {
            let (_, _, block) = find(snapshot, at);
            for slot in 0..block.len() {
                if shard.holds(block.labels().hash(slot)) {
                    found.device(block, slot, at);
                }
            }
        }
        found
    }

    fn device(&mut self, block: &Block, slot: usize, at: BlockRef) {
        let presence = block.presences()[slot];
        if presence == Presence::Online {
            for name in block.alerts(slot).iter().flat_map(|names| names.iter()) {
                self.alert(name, at, slot);
            }
        }
        if presence != Presence::Absent
            && let Some(allocation) = block.allocation(slot)
        {
            push_new(&mut self.allocations, at);
            let kinds = self.most_addresses.iter_mut();
            for (most, addresses) in kinds.zip(&allocation.content.addresses) {
                if addresses.len() > 1 {
                    *most = addresses.len().max(*most);
                }
            }
        }
    }
}

impl Scattered {
    fn alert(&mut self, name: &Arc<str>, at: BlockRef, slot: usize) {
        let address = name.as_ptr();
        let alert = match self.by_address.get(&address) {
            Some(alert) => *alert,
            None => {
                let alert = match self.by_name.get(name) {
                    Some(alert) => *alert,
                    None => {
                        self.alerts.push((Arc::clone(name), Vec::new()));
                        self.by_name.insert(Arc::clone(name), self.alerts.len() - 1);
                        self.alerts.len() - 1
                    }
                };
                self.by_address.insert(address, alert);
                alert
            }
        };
        let (_, active) = &mut self.alerts[alert];
        // A block has 256 slots.
        match active.last_mut() {
            Some((block, slots)) if *block == at => slots.push(slot as u8),
            _ => active.push((at, vec![slot as u8])),
        }
    }
}

/// Blocks are looked at one after the other.
fn push_new(blocks: &mut Vec<BlockRef>, block: BlockRef) {
    if blocks.last() != Some(&block) {
        blocks.push(block);
    }
}

impl Section {
    /// The name of the family's samples.
    #[must_use]
    pub fn name(&self) -> String {
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
            Self::DeviceName(_) => DEVICE_NAME.to_owned(),
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
                "Timestamp of the device's last accepted row, in seconds since 1970.".into()
            }
            Self::Online => {
                "Whether the device reports: 1 online, 0 offline (no data although polls succeeded).".into()
            }
            Self::DeviceName(_) => "Name and group from NAMES_FILE.".into(),
            Self::Info => "What the device reports as text.".into(),
        }
    }

    /// Writes the family's header.
    pub fn header(&self, out: &mut Vec<u8>, format: Format) {
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

    /// Whether a look at the block's devices is worth it.
    fn may_have_samples(&self, at: BlockRef, block: &Block) -> bool {
        match self {
            Self::Gauge { lanes, .. } => {
                lanes[at.0 as usize].is_some_and(|lane| block.gauges().may_have(lane))
            }
            _ => true,
        }
    }

    fn has_samples(&self, at: BlockRef, view: &TableView, block: &Block, shard: Shard) -> bool {
        let mut found = false;
        match self {
            Self::Info => {
                let has = |slot| info_fields(view, block, slot).next().is_some();
                found = known(block, shard).any(has);
            }
            Self::DeviceName(names) => {
                let has = |slot| names.get(block.labels().id(slot)).is_some();
                found = known(block, shard).any(has);
            }
            _ => self.each(at, view, block, shard, |_, _| found = true),
        }
        found
    }

    /// Calls `sample` with the slot and the value of each sample that a block has of the family. `starlink_info` and
    /// `starlink_device_name`, which have no values, have none here.
    pub fn each(
        &self,
        at: BlockRef,
        view: &TableView,
        block: &Block,
        shard: Shard,
        mut sample: impl FnMut(usize, f64),
    ) {
        let mut maybe = |slot: usize, value: Option<f64>| {
            if let Some(value) = value {
                sample(slot, value);
            }
        };
        match self {
            Self::Gauge { lanes, .. } => {
                let Some(lane) = lanes[at.0 as usize] else {
                    return;
                };
                block.gauges().each(lane, |slot, &value| {
                    let is_shown = block.presences()[slot] == Presence::Online;
                    if is_shown && shard.holds(block.labels().hash(slot)) {
                        sample(slot, value);
                    }
                });
            }
            Self::Address { kind, nth } => {
                for slot in known(block, shard) {
                    maybe(slot, address(block, slot, *kind, *nth));
                }
            }
            Self::Alert { active, .. } => {
                // Just those that the shard shows.
                if let Ok(found) = active.binary_search_by_key(&at, |(block, _)| *block) {
                    for &slot in &active[found].1 {
                        sample(usize::from(slot), 1.0);
                    }
                }
            }
            Self::Latitude => {
                for slot in known(block, shard) {
                    maybe(slot, block.place(slot).map(|place| place.centre.latitude));
                }
            }
            Self::Longitude => {
                for slot in known(block, shard) {
                    maybe(slot, block.place(slot).map(|place| place.centre.longitude));
                }
            }
            Self::LastReport => {
                for slot in known(block, shard) {
                    sample(slot, seconds(block.reported(slot)));
                }
            }
            Self::Online => {
                if matches!(view.kind, DeviceKind::Terminal | DeviceKind::Router) {
                    for slot in known(block, shard) {
                        maybe(slot, online(block.presences()[slot]));
                    }
                }
            }
            Self::DeviceName(_) | Self::Info => {}
        }
    }
}

/// The slots of the devices that a scrape shows.
pub fn known(block: &Block, shard: Shard) -> impl Iterator<Item = usize> {
    let is_shown = move |slot: &usize| shard.holds(block.labels().hash(*slot));
    block.known().filter(is_shown)
}

/// The info fields of a device: its own in column order, then those of its allocation whose keys it has not itself.
pub fn info_fields<'a>(
    view: &'a TableView,
    block: &'a Block,
    slot: usize,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let own = view.info_order.iter().filter_map(move |&lane| {
        let key = &*view.infos.all().get(lane)?.name;
        Some((key, &**block.info(lane, slot)?))
    });
    let allocated = block.allocation(slot).into_iter();
    let allocated = allocated.flat_map(|allocation| &allocation.content.infos);
    let allocated = allocated.map(|(key, value)| (&**key, &**value));
    let is_own = own.clone();
    own.chain(allocated.filter(move |(key, _)| is_own.clone().all(|(own, _)| own != *key)))
}

/// The only address of an allocation, or the nth of several.
fn address(block: &Block, slot: usize, kind: AddressKind, nth: Option<usize>) -> Option<f64> {
    let addresses = &block.allocation(slot)?.content.addresses[kind as usize];
    match (nth, addresses.as_slice()) {
        (None, [only]) => Some(only.numeric()),
        (Some(nth), [_, _, ..]) => Some(addresses.get(nth)?.numeric()),
        _ => None,
    }
}

/// The value of `starlink_online`; absent while nobody knows.
fn online(presence: Presence) -> Option<f64> {
    match presence {
        Presence::Online => Some(1.0),
        Presence::Offline => Some(0.0),
        Presence::Stale | Presence::Absent => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

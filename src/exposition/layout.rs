//! The order in which a scrape writes a snapshot: families, and blocks of devices within them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Format;
use super::shard::Shard;
use super::text::{Family, Kind, header};
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{AccountId, Presence, Snapshot};
use crate::names::{Names, TableNames};
use crate::telemetry::catalogue::{FamilyType, TelemetryFamily, Unit};
use crate::telemetry::{AddressKind, DeviceKind};

/// The index of a table in a snapshot, and of a block in the table.
pub type BlockRef = (u32, u32);

/// By table: the lane of a field's numbers, if the table has one.
type LaneOf = Vec<Option<usize>>;

/// A family, and where its samples are.
#[derive(Debug)]
pub enum Section {
    /// The numbers of a field.
    Gauge {
        /// The family's name.
        name: Arc<str>,
        /// The field's name, as Starlink spells it.
        field: Arc<str>,
        /// The lane in each table.
        lanes: LaneOf,
    },
    /// An address of IP allocations: the only one, or the nth of several.
    Address {
        /// The kind of address.
        kind: AddressKind,
        /// `None` for the allocations that have only one.
        nth: Option<usize>,
    },
    /// An alert, where it is active.
    Alert {
        /// The alert's name.
        name: Arc<str>,
        /// The slots of the devices for which it is active, by block.
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
    /// `starlink_info`
    Info,
    /// `starlink_device_name`, with the names of the file.
    DeviceName(Arc<Names>),
    /// `starlink_device_account`
    DeviceAccount,
}

/// A block, and some of its slots in ascending order.
pub type ActiveSlots = (BlockRef, Vec<u8>);

/// The samples of one family and one block, which are written together.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    section: u32,
    block: BlockRef,
    /// Whether the family's header comes before it.
    is_first: bool,
}

/// All steps of a scrape, without the exporter's own families. Refers to the snapshot by indices, so that it does not keep it in memory.
#[derive(Debug)]
pub struct Layout {
    sections: Vec<Section>,
    steps: Vec<Step>,
}

impl Layout {
    /// The steps of a shard of all accounts or of one. Reads every device once. Families without samples are left out.
    #[must_use]
    pub fn new(
        snapshot: &Snapshot,
        shard: Shard,
        account: Option<AccountId>,
        names: &Arc<Names>,
    ) -> Self {
        let blocks = blocks(snapshot, account);
        let rare = Rare::collect(snapshot, shard, &blocks);
        let mut layout = Self {
            sections: Vec::new(),
            steps: Vec::new(),
        };
        for section in gauges(snapshot) {
            layout.add(section, &blocks, snapshot, shard);
        }
        for kind in AddressKind::ALL {
            let several = 0..rare.most_addresses[kind as usize];
            for nth in std::iter::once(None).chain(several.map(Some)) {
                let section = Section::Address { kind, nth };
                layout.add(section, &rare.allocations, snapshot, shard);
            }
        }
        let mut alerts = rare.alerts;
        alerts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (name, active) in alerts {
            let with_alert: Vec<_> = active.iter().map(|(block, _)| *block).collect();
            layout.add(
                Section::Alert { name, active },
                &with_alert,
                snapshot,
                shard,
            );
        }
        let sections = [
            Section::Latitude,
            Section::Longitude,
            Section::LastReport,
            Section::Online,
            Section::Info,
            Section::DeviceName(Arc::clone(names)),
            Section::DeviceAccount,
        ];
        for section in sections {
            layout.add(section, &blocks, snapshot, shard);
        }
        layout
    }

    /// Adds a section's steps, from the first block with samples on. Of later blocks, those are left out that cannot have samples.
    fn add(&mut self, section: Section, blocks: &[BlockRef], snapshot: &Snapshot, shard: Shard) {
        let may_have = |&&at: &&BlockRef| section.may_have_samples(at, find(snapshot, at).2);
        let has_samples = |&&at: &&BlockRef| {
            let (_, view, block) = find(snapshot, at);
            section.has_samples(snapshot, at, view, block, shard)
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

    /// The steps, in the order in which they are written.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The content of a step: the family, whether its header comes first, and the devices.
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

/// The index of the table, the table, and the block.
fn find(snapshot: &Snapshot, (table, block): BlockRef) -> (usize, &TableView, &Block) {
    let view = &snapshot.tables[table as usize];
    (table as usize, view, &view.blocks[block as usize])
}

/// The blocks of all devices, or of those of one account.
fn blocks(snapshot: &Snapshot, account: Option<AccountId>) -> Vec<BlockRef> {
    let tables = (0..).zip(&snapshot.tables);
    let blocks = tables.flat_map(|(table, view)| {
        let blocks = (0..).zip(&view.blocks);
        let blocks =
            blocks.filter(move |(_, block)| account.is_none() || block.account() == account);
        blocks.map(move |(block, _)| (table, block))
    });
    blocks.collect()
}

/// The families of fields, by name.
fn gauges(snapshot: &Snapshot) -> Vec<Section> {
    let mut families: BTreeMap<_, (&Arc<str>, LaneOf)> = BTreeMap::new();
    for (table, view) in snapshot.tables.iter().enumerate() {
        for (number, lane) in view.gauges.all().iter().enumerate() {
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

/// Where families occur that few blocks have, found in one pass over all devices.
#[derive(Default)]
struct Rare {
    /// The most addresses of an allocation that has several, by kind.
    most_addresses: [usize; 3],
    /// The blocks with allocations.
    allocations: Vec<BlockRef>,
    /// Where each alert is active.
    alerts: Vec<(Arc<str>, Vec<ActiveSlots>)>,
    /// The index of each alert in `alerts`, by the address of its text. Most devices share one text, so that few names are compared.
    by_address: HashMap<*const u8, usize>,
    /// The same by name.
    by_name: HashMap<Arc<str>, usize>,
}

impl Rare {
    fn collect(snapshot: &Snapshot, shard: Shard, blocks: &[BlockRef]) -> Self {
        let mut found = Self::default();
        for &at in blocks {
            let (_, _, block) = find(snapshot, at);
            for slot in 0..block.len() {
                if shard.holds(block.labels().hash(slot)) {
                    found.device(block, slot, at);
                }
            }
        }
        found
    }

    /// Adds the active alerts and the addresses of a device.
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

    /// Records that an alert is active on a device.
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

/// Adds a block, unless it is the last one. Equal blocks come one after the other.
fn push_new(blocks: &mut Vec<BlockRef>, block: BlockRef) {
    if blocks.last() != Some(&block) {
        blocks.push(block);
    }
}

impl Section {
    /// The family, as the catalogue describes it.
    #[must_use]
    pub fn family(&self) -> TelemetryFamily<'_> {
        match self {
            Self::Gauge { name, field, .. } => TelemetryFamily::Field { name, field },
            Self::Address { kind, nth } => TelemetryFamily::Address {
                kind: *kind,
                nth: *nth,
            },
            Self::Alert { name, .. } => TelemetryFamily::Alert(name),
            Self::Latitude => TelemetryFamily::Latitude,
            Self::Longitude => TelemetryFamily::Longitude,
            Self::LastReport => TelemetryFamily::LastReport,
            Self::Online => TelemetryFamily::Online,
            Self::DeviceName(_) => TelemetryFamily::DeviceName,
            Self::DeviceAccount => TelemetryFamily::DeviceAccount,
            Self::Info => TelemetryFamily::Info,
        }
    }

    /// Writes the family's header.
    pub fn header(&self, out: &mut Vec<u8>, format: Format) {
        let described = self.family();
        let kind = match described.family_type() {
            // Line protocol has neither HELP nor TYPE.
            FamilyType::Info if format == Format::Mixed => return,
            FamilyType::Info => Kind::Info,
            FamilyType::Gauge => Kind::Gauge,
        };
        let name = described.name();
        let family = Family {
            name: &name,
            help: &described.help(),
            kind,
            // A unit is declared only where the name ends in it.
            unit: match described.unit() {
                Unit::Seconds if name.ends_with("_seconds") => Some("seconds"),
                Unit::Bytes if name.ends_with("_bytes") => Some("bytes"),
                _ => None,
            },
        };
        header(out, format, &family);
    }

    /// Whether the block's devices can have samples. Much cheaper than [`Section::has_samples`].
    fn may_have_samples(&self, at: BlockRef, block: &Block) -> bool {
        match self {
            Self::Gauge { lanes, .. } => {
                lanes[at.0 as usize].is_some_and(|lane| block.gauges().may_have(lane))
            }
            _ => true,
        }
    }

    /// Whether a device of the block and the shard has a sample.
    fn has_samples(
        &self,
        snapshot: &Snapshot,
        at: BlockRef,
        view: &TableView,
        block: &Block,
        shard: Shard,
    ) -> bool {
        let mut found = false;
        match self {
            Self::Info => {
                let has = |slot| view.info_fields(block, slot).next().is_some();
                found = shown_slots(block, shard).any(has);
            }
            Self::DeviceAccount => {
                found = block.account().is_some() && shown_slots(block, shard).next().is_some();
            }
            Self::DeviceName(names) => {
                let names = TableNames::new(names, snapshot, view);
                found = shown_slots(block, shard).any(|slot| names.get(block, slot).is_some());
            }
            _ => self.each(at, view, block, shard, |_, _| found = true),
        }
        found
    }

    /// Calls `sample` with the slot and the value of each sample of the family in a block. Does nothing for `starlink_info`,
    /// `starlink_device_name` and `starlink_device_account`, whose samples differ in labels only.
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
                for slot in shown_slots(block, shard) {
                    maybe(slot, address(block, slot, *kind, *nth));
                }
            }
            Self::Alert { active, .. } => {
                // `active` has only devices of the shard.
                if let Ok(found) = active.binary_search_by_key(&at, |(block, _)| *block) {
                    for &slot in &active[found].1 {
                        sample(usize::from(slot), 1.0);
                    }
                }
            }
            Self::Latitude => {
                for slot in shown_slots(block, shard) {
                    maybe(slot, block.location(slot).map(|at| at.centre.latitude));
                }
            }
            Self::Longitude => {
                for slot in shown_slots(block, shard) {
                    maybe(slot, block.location(slot).map(|at| at.centre.longitude));
                }
            }
            Self::LastReport => {
                for slot in shown_slots(block, shard) {
                    if block.has_reported(slot) {
                        sample(slot, seconds(block.reported(slot)));
                    }
                }
            }
            Self::Online => {
                if matches!(view.kind, DeviceKind::Terminal | DeviceKind::Router) {
                    for slot in shown_slots(block, shard) {
                        maybe(slot, online(block.presences()[slot]));
                    }
                }
            }
            Self::DeviceName(_) | Self::DeviceAccount | Self::Info => {}
        }
    }
}

/// The slots of the devices that a scrape shows.
pub fn shown_slots(block: &Block, shard: Shard) -> impl Iterator<Item = usize> {
    let is_shown = move |slot: &usize| shard.holds(block.labels().hash(*slot));
    block.known().filter(is_shown)
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

/// The value of `starlink_online`; absent if it is unknown.
fn online(presence: Presence) -> Option<f64> {
    match presence {
        Presence::Online => Some(1.0),
        Presence::Offline => Some(0.0),
        Presence::Stale | Presence::Listed | Presence::Absent => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

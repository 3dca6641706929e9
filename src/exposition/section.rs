//! The families of a scrape that are written in steps, and their samples.

use std::sync::Arc;

use super::devices::TerminalInfos;
use super::layout::{ActiveSlots, BlockRef};
use super::text::{Family, Kind, header};
use super::{Format, Shard};
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{Presence, Snapshot};
use crate::names::{Bonds, Names, TableNames};
use crate::telemetry::catalogue::{FamilyType, InventoryFamily, TelemetryFamily, Unit};
use crate::telemetry::{AddressKind, DeviceKind};

/// By table: the lane of a field's numbers, if the table has one.
pub type LaneOf = Vec<Option<usize>>;

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
    /// `starlink_terminal_info`, of the terminals that this account lists, or of all terminals if `None`.
    TerminalInfo(Option<Arc<str>>),
    /// `starlink_router_terminal`
    RouterTerminal,
    /// A family of service lines.
    Lines(InventoryFamily),
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
            Self::Info => TelemetryFamily::Info,
            Self::DeviceName(_) => TelemetryFamily::Inventory(InventoryFamily::DeviceName),
            Self::DeviceAccount => TelemetryFamily::Inventory(InventoryFamily::DeviceAccount),
            Self::TerminalInfo(_) => TelemetryFamily::Inventory(InventoryFamily::TerminalInfo),
            Self::RouterTerminal => TelemetryFamily::Inventory(InventoryFamily::RouterTerminal),
            Self::Lines(family) => TelemetryFamily::Inventory(*family),
        }
    }

    /// Writes the family's header.
    pub fn header(&self, out: &mut Vec<u8>, format: Format) {
        let described = self.family();
        let kind = match described.family_type() {
            // Line protocol has neither HELP nor TYPE.
            FamilyType::Info if format == Format::Mixed && matches!(self, Self::Info) => return,
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
    pub(super) fn may_have_samples(&self, at: BlockRef, block: &Block) -> bool {
        match self {
            Self::Gauge { lanes, .. } => {
                lanes[at.0 as usize].is_some_and(|lane| block.gauges().may_have(lane))
            }
            _ => true,
        }
    }

    /// Whether a device of the block and the shard has a sample.
    pub(super) fn has_samples(
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
                found = reported_slots(block, shard).any(has);
            }
            Self::TerminalInfo(account) => {
                let infos = TerminalInfos::new(&snapshot.directory, account.as_deref());
                found = shown_slots(block, shard).any(|slot| infos.get(block, slot).is_some());
            }
            Self::RouterTerminal => {
                let bonds = Bonds::new(snapshot, view);
                found = shown_slots(block, shard).any(|slot| bonds.terminal(block, slot).is_some());
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

    /// Calls `sample` with the slot and the value of each sample of the family in a block. Does nothing for families whose samples differ in
    /// labels only.
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
                for slot in reported_slots(block, shard) {
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
                for slot in reported_slots(block, shard) {
                    maybe(slot, block.location(slot).map(|at| at.centre.latitude));
                }
            }
            Self::Longitude => {
                for slot in reported_slots(block, shard) {
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
            Self::Info
            | Self::DeviceName(_)
            | Self::DeviceAccount
            | Self::TerminalInfo(_)
            | Self::RouterTerminal
            | Self::Lines(_) => {}
        }
    }
}

/// The slots of the devices that a scrape shows.
pub fn shown_slots(block: &Block, shard: Shard) -> impl Iterator<Item = usize> {
    let is_shown = move |slot: &usize| shard.holds(block.labels().hash(*slot));
    block.known().filter(is_shown)
}

/// The same, without terminals of the inventory of which no row is known.
pub fn reported_slots(block: &Block, shard: Shard) -> impl Iterator<Item = usize> {
    shown_slots(block, shard).filter(|slot| block.has_reported(*slot))
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

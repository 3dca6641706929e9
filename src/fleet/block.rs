//! Up to 256 devices of one type, column by column: the unit that a snapshot shares and a write copies.

use std::sync::Arc;
use std::time::Duration;

use super::Retention;
use super::moment::Moment;
use crate::telemetry::location::Location;

/// How many devices a block holds. Small enough that a batch of a few devices copies little, large enough that a column's
/// part of it fills cache lines.
pub const BLOCK_SIZE: usize = 256;

/// What is known of a device's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// No such device: a free place, or a terminal of which only the IP allocation is known.
    Unknown,
    /// A row counted within `STALE_AFTER`.
    Online,
    /// No row counted lately, but the stream was not heard for long enough to say that the device is silent.
    Stale,
    /// Silent for `STALE_AFTER` while the stream was heard.
    Offline,
}

/// A device's identifier, and its form in a label value where that differs.
#[derive(Debug, Clone, Default)]
pub struct Label {
    /// As Starlink spells it.
    pub id: Box<str>,
    /// Escaped for a label value; `None` when nothing needs escaping.
    pub escaped: Option<Box<str>>,
}

/// Where a device is, and the H3 index that says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The H3 cell.
    pub index: u64,
    /// Its centre.
    pub centre: Location,
}

/// What the last row of an IP allocation said.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// `UtcTimestampNs` of the row.
    pub reported: i64,
    /// When the row came.
    pub seen: Moment,
    /// The addresses as numbers, by [`crate::telemetry::AddressKind`]; none once they are stale.
    pub addresses: [Box<[f64]>; 3],
    /// Info keys and values, in column order.
    pub infos: Box<[(Arc<str>, Arc<str>)]>,
}

impl Allocation {
    fn has_addresses(&self) -> bool {
        self.addresses.iter().any(|addresses| !addresses.is_empty())
    }

    fn without_addresses(&self) -> Self {
        Self {
            addresses: Default::default(),
            ..self.clone()
        }
    }
}

/// Active alerts: sorted names, each once. `None` when there are none.
pub type Alerts = Option<Arc<[Arc<str>]>>;

/// The whole state that one row gives a device.
#[derive(Debug, Clone)]
pub struct DeviceState<'p> {
    /// `UtcTimestampNs`.
    pub reported: i64,
    /// Lane and value of each number.
    pub gauges: &'p [(usize, f64)],
    /// Lane and value of each text.
    pub infos: &'p [(usize, Arc<str>)],
    /// Where it is.
    pub place: Option<Place>,
    /// Its active alerts.
    pub alerts: Alerts,
}

/// One device's fixed-size state.
#[derive(Debug, Clone)]
struct Vital {
    presence: Presence,
    reported: i64,
    seen: Moment,
    seen_in_stream: Moment,
    place: Option<Place>,
}

/// Up to [`BLOCK_SIZE`] devices. Slots are the same in every lane; a lane may be shorter than the block, its rest is absent.
#[derive(Debug, Clone, Default)]
pub struct Block {
    labels: Arc<Vec<Label>>,
    vitals: Vec<Vital>,
    gauges: Vec<Vec<f64>>,
    infos: Vec<Vec<Option<Arc<str>>>>,
    alerts: Vec<Alerts>,
    allocations: Vec<Option<Arc<Allocation>>>,
}

/// What [`Block::review`] found about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The device's presence is another one now.
    Presence(Presence),
    /// The device is to be forgotten, its allocation kept.
    Forget,
    /// The allocation's addresses are stale.
    DropAddresses,
    /// The allocation of an unknown terminal is to be forgotten.
    DropAllocation,
    /// Nothing is known for this slot any more.
    Free,
}

impl Block {
    /// How many slots are in use or were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vitals.len()
    }

    /// Whether the block has no slots yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vitals.is_empty()
    }

    /// Puts an identifier into a free slot, or into the next one when `slot` is the length.
    pub fn claim(&mut self, slot: usize, label: Label) {
        let labels = Arc::make_mut(&mut self.labels);
        let vital = Vital {
            presence: Presence::Unknown,
            reported: 0,
            seen: Moment::default(),
            seen_in_stream: Moment::default(),
            place: None,
        };
        if slot == self.vitals.len() {
            labels.push(label);
            self.vitals.push(vital);
            self.alerts.push(None);
            self.allocations.push(None);
        } else {
            labels[slot] = label;
            self.vitals[slot] = vital;
        }
    }

    /// Forgets everything about a slot, its identifier included.
    pub fn free(&mut self, slot: usize) {
        self.clear(slot);
        Arc::make_mut(&mut self.labels)[slot] = Label::default();
        self.allocations[slot] = None;
    }

    /// Forgets the device at a slot; its identifier and allocation stay.
    pub fn clear(&mut self, slot: usize) {
        self.vitals[slot].presence = Presence::Unknown;
        self.clear_lanes(slot);
    }

    fn clear_lanes(&mut self, slot: usize) {
        for lane in &mut self.gauges {
            if let Some(value) = lane.get_mut(slot) {
                *value = f64::NAN;
            }
        }
        for lane in &mut self.infos {
            if let Some(text) = lane.get_mut(slot) {
                *text = None;
            }
        }
        self.alerts[slot] = None;
        self.vitals[slot].place = None;
    }

    /// Replaces the whole state of a device by what a row said.
    pub fn replace(&mut self, slot: usize, state: DeviceState<'_>, seen: Moment, stream: Moment) {
        self.clear_lanes(slot);
        self.vitals[slot] = Vital {
            presence: Presence::Online,
            reported: state.reported,
            seen,
            seen_in_stream: stream,
            place: state.place,
        };
        self.alerts[slot] = state.alerts;
        for &(lane, value) in state.gauges {
            *entry(&mut self.gauges, lane, slot, f64::NAN) = value;
        }
        for (lane, text) in state.infos {
            *entry(&mut self.infos, *lane, slot, None) = Some(Arc::clone(text));
        }
    }

    /// Sets a slot's IP allocation.
    pub fn allocate(&mut self, slot: usize, allocation: Arc<Allocation>) {
        self.allocations[slot] = Some(allocation);
    }

    /// Carries out what [`Block::review`] asked for.
    pub fn change(&mut self, slot: usize, change: Change) {
        match change {
            Change::Presence(presence) => self.vitals[slot].presence = presence,
            Change::Forget => self.clear(slot),
            Change::DropAllocation => self.allocations[slot] = None,
            Change::Free => self.free(slot),
            Change::DropAddresses => {
                if let Some(allocation) = &mut self.allocations[slot] {
                    *allocation = Arc::new(allocation.without_addresses());
                }
            }
        }
    }

    /// What time has done to a slot, and when it must be looked at again if nothing comes.
    #[must_use]
    pub fn review(
        &self,
        slot: usize,
        now: Moment,
        stream: Moment,
        retention: &Retention,
    ) -> (Option<Change>, Moment) {
        let (device, device_due) = self.review_device(slot, now, stream, retention);
        if device.is_some() {
            return (device, now);
        }
        let (allocation, allocation_due) = self.review_allocation(slot, now, retention);
        match allocation {
            Some(_) => (allocation, now),
            None => (None, device_due.min(allocation_due)),
        }
    }

    fn review_device(
        &self,
        slot: usize,
        now: Moment,
        stream: Moment,
        retention: &Retention,
    ) -> (Option<Change>, Moment) {
        let vital = &self.vitals[slot];
        let forgotten = vital.seen.after(retention.forget_after);
        let stale = vital.seen.after(retention.stale_after);
        let silent = vital.seen_in_stream.after(retention.stale_after);
        match vital.presence {
            Presence::Unknown => (None, Moment::NEVER),
            _ if now >= forgotten => (Some(Change::Forget), now),
            Presence::Online if now >= stale => (Some(Change::Presence(Presence::Stale)), now),
            Presence::Online => (None, stale.min(forgotten)),
            Presence::Stale if stream >= silent => (Some(Change::Presence(Presence::Offline)), now),
            // Stream time does not tell when it will advance.
            Presence::Stale => (None, now),
            Presence::Offline => (None, forgotten),
        }
    }

    fn review_allocation(
        &self,
        slot: usize,
        now: Moment,
        retention: &Retention,
    ) -> (Option<Change>, Moment) {
        let known = self.vitals[slot].presence != Presence::Unknown;
        let Some(allocation) = &self.allocations[slot] else {
            let free = !known && !self.labels[slot].id.is_empty();
            return (free.then_some(Change::Free), Moment::NEVER);
        };
        let stale = allocation.seen.after(retention.ip_stale_after);
        let forgotten = allocation.seen.after(retention.forget_after);
        if !known && now >= forgotten {
            return (Some(Change::DropAllocation), now);
        }
        if allocation.has_addresses() && now >= stale {
            return (Some(Change::DropAddresses), now);
        }
        let stale = if allocation.has_addresses() {
            stale
        } else {
            Moment::NEVER
        };
        let forgotten = if known { Moment::NEVER } else { forgotten };
        (None, stale.min(forgotten))
    }

    /// A slot's identifier.
    #[must_use]
    pub fn label(&self, slot: usize) -> &Label {
        &self.labels[slot]
    }

    /// A device's presence.
    #[must_use]
    pub fn presence(&self, slot: usize) -> Presence {
        self.vitals[slot].presence
    }

    /// `UtcTimestampNs` of the row that counts.
    #[must_use]
    pub fn reported(&self, slot: usize) -> i64 {
        self.vitals[slot].reported
    }

    /// How long ago the row that counts came.
    #[must_use]
    pub fn age(&self, slot: usize, now: Moment) -> Duration {
        now.since(self.vitals[slot].seen)
    }

    /// The numbers of a lane by slot, NaN where absent; may be shorter than the block.
    #[must_use]
    pub fn gauges(&self, lane: usize) -> &[f64] {
        self.gauges.get(lane).map_or(&[], Vec::as_slice)
    }

    /// A device's text in a lane.
    #[must_use]
    pub fn info(&self, lane: usize, slot: usize) -> Option<&Arc<str>> {
        self.infos.get(lane)?.get(slot)?.as_ref()
    }

    /// Where a device is.
    #[must_use]
    pub fn place(&self, slot: usize) -> Option<&Place> {
        self.vitals[slot].place.as_ref()
    }

    /// A device's active alerts.
    #[must_use]
    pub fn alerts(&self, slot: usize) -> &Alerts {
        &self.alerts[slot]
    }

    /// A slot's IP allocation.
    #[must_use]
    pub fn allocation(&self, slot: usize) -> Option<&Arc<Allocation>> {
        self.allocations[slot].as_ref()
    }
}

/// The place of a value in its lane, which grows as far as needed.
fn entry<T: Clone>(lanes: &mut Vec<Vec<T>>, lane: usize, slot: usize, absent: T) -> &mut T {
    if lanes.len() <= lane {
        lanes.resize(lane + 1, Vec::new());
    }
    let lane = &mut lanes[lane];
    if lane.len() <= slot {
        lane.resize(slot + 1, absent);
    }
    &mut lane[slot]
}

//! A block: up to 256 devices of one type, stored by column. Snapshots share blocks, and a write copies them.

use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::Retention;
use super::accounts::AccountId;
use super::allocation::Allocation;
use super::columns::Columns;
use super::interner::Text;
use super::labels::Labels;
use crate::telemetry::location::Location;
use crate::time::Moment;

/// The number of devices of a block: small enough that a batch of few devices copies little, and large enough that the column of a
/// block fills cache lines.
pub const BLOCK_SIZE: usize = 256;

/// The state of a slot's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// No device: a free slot, or a terminal with only an IP allocation so far.
    Absent,
    /// A row counted within `STALE_AFTER`.
    Online,
    /// No row within `STALE_AFTER`, but answers did not cover enough time to conclude that the device is silent.
    Stale,
    /// No row for `STALE_AFTER` of stream time.
    Offline,
}

/// The location of a device, and the H3 index that it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The H3 cell, which is never 0.
    pub index: NonZeroU64,
    /// Its centre.
    pub centre: Location,
}

/// Active alerts: sorted names without duplicates. `None` if there are none.
pub type Alerts = Option<Arc<Vec<Arc<str>>>>;

/// The memory of `count` alerts of a device in bytes, without the names themselves.
#[must_use]
pub const fn alert_bytes(count: usize) -> usize {
    count * size_of::<Arc<str>>()
}

fn bytes_of_alerts(alerts: &Alerts) -> usize {
    alert_bytes(alerts.as_ref().map_or(0, |names| names.len()))
}

fn bytes_of_allocation(allocation: Option<&Arc<Allocation>>) -> usize {
    allocation.map_or(0, |allocation| allocation.content.bytes())
}

/// The complete new state of a device from a row.
#[derive(Debug)]
pub struct DeviceState<'p> {
    /// `UtcTimestampNs`.
    pub reported: i64,
    /// The lanes in which it has numbers, ascending.
    pub lanes: &'p [u32],
    /// The numbers in these lanes.
    pub gauges: &'p [f64],
    /// All other changes.
    pub changes: &'p [Difference],
}

/// A change of a row compared with the previous one.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// The text of a lane.
    Info(usize, Option<Text>),
    /// The location.
    Place(Option<Place>),
    /// Its active alerts.
    Alerts(Alerts),
}

/// When a row arrived.
#[derive(Debug, Clone, Default)]
struct Vital {
    reported: i64,
    seen: Moment,
    seen_in_stream: Moment,
    /// When the account of the block last had a row of the device.
    delivered: Moment,
}

/// Up to [`BLOCK_SIZE`] devices of one account. Slots are the same in every column.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Whose devices they are, if that is known.
    account: Option<AccountId>,
    labels: Arc<Labels>,
    presences: Vec<Presence>,
    /// Whether only one row of the device was accepted since it became known.
    is_new: Vec<bool>,
    vitals: Vec<Vital>,
    places: Vec<Option<Place>>,
    alerts: Vec<Alerts>,
    allocations: Vec<Option<Arc<Allocation>>>,
    gauges: Columns<f64>,
    infos: Columns<Option<Text>>,
    /// The memory of the entries of `alerts` and `allocations`. Updated with each change, because it is read before each batch.
    entry_bytes: usize,
}

/// The result of [`Block::review`] for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ageing {
    /// The presence of the device changes.
    Presence(Presence),
    /// The device must be forgotten, but not its allocation.
    Forget,
    /// The allocation's addresses are stale.
    DropAddresses,
    /// The allocation of an unknown terminal must be forgotten.
    DropAllocation,
    /// The slot holds no data any more.
    Free,
}

/// When a slot or block must be reviewed again without new rows: at the earlier of two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// By the clock.
    pub clock: Moment,
    /// By stream time.
    pub stream: Moment,
}

impl Due {
    /// Never by time alone.
    pub const NEVER: Self = Self::by_clock(Moment::NEVER);

    /// At a moment of the clock.
    #[must_use]
    pub const fn by_clock(clock: Moment) -> Self {
        Self {
            clock,
            stream: Moment::NEVER,
        }
    }

    /// The earlier of both clocks' moments.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            clock: self.clock.min(other.clock),
            stream: self.stream.min(other.stream),
        }
    }

    /// Whether a review is due.
    #[must_use]
    pub fn is_over(self, clock: Moment, stream: Moment) -> bool {
        self.clock <= clock || self.stream <= stream
    }
}

/// All that is known of a device but its numbers.
#[derive(Debug)]
pub struct Taken {
    presence: Presence,
    is_new: bool,
    vital: Vital,
    place: Option<Place>,
    alerts: Alerts,
    allocation: Option<Arc<Allocation>>,
    infos: Vec<(usize, Text)>,
}

impl Block {
    /// A block without devices.
    #[must_use]
    pub fn of(account: Option<AccountId>) -> Self {
        Self {
            account,
            ..Self::default()
        }
    }

    /// Whose devices they are; `None` for those of a state file that did not say so.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// How many slots are in use or were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vitals.len()
    }

    /// The approximate memory of the block in bytes, without texts and labels, which are shared with other blocks.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(self.presences.as_slice())
            + size_of_val(self.vitals.as_slice())
            + size_of_val(self.places.as_slice())
            + size_of_val(self.alerts.as_slice())
            + size_of_val(self.allocations.as_slice())
            + self.value_bytes()
    }

    /// Whether the block has no slots yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vitals.is_empty()
    }

    /// Sets the identifier of a free slot, or of a new slot if `slot` is the length. `hash` determines the shard.
    pub fn claim(&mut self, slot: usize, id: &str, hash: u32) {
        Arc::make_mut(&mut self.labels).set(slot, id, hash);
        if slot == self.vitals.len() {
            self.presences.push(Presence::Absent);
            self.is_new.push(false);
            self.vitals.push(Vital::default());
            self.places.push(None);
            self.alerts.push(None);
            self.allocations.push(None);
        }
    }

    /// Clears a slot, including its identifier.
    pub fn free(&mut self, slot: usize) {
        self.clear(slot);
        Arc::make_mut(&mut self.labels).clear(slot);
        self.set_allocation(slot, None);
    }

    /// Takes a device out of its slot, which is free then.
    pub fn take(&mut self, slot: usize) -> Taken {
        let infos = self.infos.row(slot).into_iter();
        let infos = infos.filter_map(|(lane, text)| Some((lane, text.clone()?)));
        let taken = Taken {
            presence: self.presences[slot],
            is_new: self.is_new[slot],
            vital: self.vitals[slot].clone(),
            place: self.places[slot],
            alerts: self.alerts[slot].clone(),
            allocation: self.allocations[slot].clone(),
            infos: infos.collect(),
        };
        self.free(slot);
        taken
    }

    /// Puts a device that was taken into a slot that has its identifier.
    pub fn put(&mut self, slot: usize, taken: Taken) {
        self.presences[slot] = taken.presence;
        self.is_new[slot] = taken.is_new;
        self.vitals[slot] = taken.vital;
        self.places[slot] = taken.place;
        self.set_alerts(slot, &taken.alerts);
        self.set_allocation(slot, taken.allocation);
        for (lane, text) in taken.infos {
            self.infos.set(lane, slot, &Some(text));
        }
    }

    /// Notes that the account of the block has had a row of a device.
    pub fn deliver(&mut self, slot: usize, now: Moment) {
        self.vitals[slot].delivered = now;
    }

    /// When the account of the block last had a row of a device.
    #[must_use]
    pub fn delivered(&self, slot: usize) -> Moment {
        self.vitals[slot].delivered
    }

    /// Forgets the device at a slot; its identifier and allocation stay.
    pub fn clear(&mut self, slot: usize) {
        self.presences[slot] = Presence::Absent;
        self.is_new[slot] = false;
        self.vitals[slot] = Vital::default();
        self.places[slot] = None;
        self.set_alerts(slot, &None);
        self.gauges.clear(slot);
        self.infos.clear(slot);
    }

    /// Replaces the whole state of a device by what a row said, `seen` by the clock and at `stream` of the stream time of the block's
    /// account. Whether a scrape shows the difference.
    pub fn replace(
        &mut self,
        slot: usize,
        state: DeviceState<'_>,
        seen: Moment,
        stream: Moment,
    ) -> bool {
        let mut changed = !state.changes.is_empty();
        changed |= self.presences[slot] != Presence::Online;
        changed |= self.vitals[slot].reported != state.reported;
        changed |= self.gauges.replace(slot, state.lanes, state.gauges);
        self.is_new[slot] = self.presences[slot] == Presence::Absent;
        self.presences[slot] = Presence::Online;
        self.vitals[slot] = Vital {
            reported: state.reported,
            seen,
            seen_in_stream: stream,
            delivered: self.vitals[slot].delivered,
        };
        for change in state.changes {
            match change {
                Difference::Place(place) => self.places[slot] = *place,
                Difference::Alerts(alerts) => self.set_alerts(slot, alerts),
                Difference::Info(lane, text) => drop(self.infos.set(*lane, slot, text)),
            }
        }
        changed
    }

    /// Marks that more than one row of the device was accepted, by an earlier process.
    pub fn settle(&mut self, slot: usize) {
        self.is_new[slot] = false;
    }

    /// Sets the IP allocation of a slot. Returns whether a scrape shows a difference.
    pub fn allocate(&mut self, slot: usize, allocation: Arc<Allocation>) -> bool {
        let before = self.allocations[slot].as_ref();
        let same = before.is_some_and(|before| before.content == allocation.content);
        self.set_allocation(slot, Some(allocation));
        !same
    }

    fn set_allocation(&mut self, slot: usize, allocation: Option<Arc<Allocation>>) {
        self.entry_bytes += bytes_of_allocation(allocation.as_ref());
        let before = std::mem::replace(&mut self.allocations[slot], allocation);
        self.entry_bytes -= bytes_of_allocation(before.as_ref());
    }

    fn set_alerts(&mut self, slot: usize, alerts: &Alerts) {
        self.entry_bytes += bytes_of_alerts(alerts);
        self.entry_bytes -= bytes_of_alerts(&self.alerts[slot]);
        self.alerts[slot].clone_from(alerts);
    }

    /// Executes the result of [`Block::review`].
    pub fn change(&mut self, slot: usize, change: Ageing) {
        match change {
            Ageing::Presence(presence) => self.presences[slot] = presence,
            Ageing::Forget => self.clear(slot),
            Ageing::DropAllocation => self.set_allocation(slot, None),
            Ageing::Free => self.free(slot),
            Ageing::DropAddresses => {
                if let Some(mut allocation) = self.allocations[slot].clone() {
                    Arc::make_mut(&mut allocation).drop_addresses();
                    self.set_allocation(slot, Some(allocation));
                }
            }
        }
    }

    /// The change of a slot by the passing of time, or when it must be reviewed again without new rows.
    pub fn review(
        &self,
        slot: usize,
        now: Moment,
        stream: Moment,
        retention: &Retention,
    ) -> ControlFlow<Ageing, Due> {
        let device = self.review_device(slot, now, stream, retention)?;
        let allocation = self.review_allocation(slot, now, retention)?;
        ControlFlow::Continue(device.min(Due::by_clock(allocation)))
    }

    fn review_device(
        &self,
        slot: usize,
        now: Moment,
        stream: Moment,
        retention: &Retention,
    ) -> ControlFlow<Ageing, Due> {
        let vital = &self.vitals[slot];
        let forgotten = vital.seen.after(retention.forget_after);
        let stale = vital.seen.after(retention.stale_after);
        let silent = vital.seen_in_stream.after(retention.stale_after);
        match self.presences[slot] {
            Presence::Absent => ControlFlow::Continue(Due::NEVER),
            _ if now >= forgotten => ControlFlow::Break(Ageing::Forget),
            Presence::Online if now >= stale => {
                ControlFlow::Break(Ageing::Presence(Presence::Stale))
            }
            Presence::Online => ControlFlow::Continue(Due::by_clock(stale.min(forgotten))),
            Presence::Stale if stream >= silent => {
                ControlFlow::Break(Ageing::Presence(Presence::Offline))
            }
            Presence::Stale => ControlFlow::Continue(Due {
                clock: forgotten,
                stream: silent,
            }),
            Presence::Offline => ControlFlow::Continue(Due::by_clock(forgotten)),
        }
    }

    fn review_allocation(
        &self,
        slot: usize,
        now: Moment,
        retention: &Retention,
    ) -> ControlFlow<Ageing, Moment> {
        let known = self.presences[slot] != Presence::Absent;
        let Some(allocation) = &self.allocations[slot] else {
            let is_left_over = !known && !self.labels.id(slot).is_empty();
            return if is_left_over {
                ControlFlow::Break(Ageing::Free)
            } else {
                ControlFlow::Continue(Moment::NEVER)
            };
        };
        let stale = allocation.seen.after(retention.ip_stale_after);
        let forgotten = allocation.seen.after(retention.forget_after);
        if !known && now >= forgotten {
            return ControlFlow::Break(Ageing::DropAllocation);
        }
        let has_addresses = allocation.content.has_addresses();
        if has_addresses && now >= stale {
            return ControlFlow::Break(Ageing::DropAddresses);
        }
        let stale = if has_addresses { stale } else { Moment::NEVER };
        let forgotten = if known { Moment::NEVER } else { forgotten };
        ControlFlow::Continue(stale.min(forgotten))
    }

    /// The identifiers.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The devices' presences, by slot.
    #[must_use]
    pub fn presences(&self) -> &[Presence] {
        &self.presences
    }

    /// The slots of devices that are known, online or not.
    pub fn known(&self) -> impl Iterator<Item = usize> {
        let slots = self.presences.iter().enumerate();
        let known = slots.filter(|(_, presence)| **presence != Presence::Absent);
        known.map(|(slot, _)| slot)
    }

    /// `UtcTimestampNs` of the last accepted row.
    #[must_use]
    pub fn reported(&self, slot: usize) -> i64 {
        self.vitals[slot].reported
    }

    /// The time since the last accepted row arrived.
    #[must_use]
    pub fn age(&self, slot: usize, now: Moment) -> Duration {
        now.since(self.vitals[slot].seen)
    }

    /// When the last accepted row arrived, by the clock and by stream time.
    #[must_use]
    pub fn seen(&self, slot: usize) -> (Moment, Moment) {
        let vital = &self.vitals[slot];
        (vital.seen, vital.seen_in_stream)
    }

    /// Whether only one row of the device was accepted since it became known.
    #[must_use]
    pub fn is_new(&self, slot: usize) -> bool {
        self.is_new[slot]
    }

    /// Since when a slot is silent, if another device may replace it: it has reported once and is not online, or has only an allocation,
    /// for `stale_after`.
    #[must_use]
    pub fn gives_way(&self, slot: usize, now: Moment, stale_after: Duration) -> Option<Moment> {
        match self.presences[slot] {
            Presence::Online => None,
            Presence::Stale | Presence::Offline => {
                self.is_new[slot].then_some(self.vitals[slot].seen)
            }
            Presence::Absent => {
                let seen = self.allocations[slot].as_ref()?.seen;
                (now.since(seen) >= stale_after).then_some(seen)
            }
        }
    }

    /// The block with just these lanes, in this order.
    #[must_use]
    pub fn with_lanes(&self, gauges: &[usize], infos: &[usize]) -> Self {
        Self {
            gauges: self.gauges.only(gauges),
            infos: self.infos.only(infos),
            account: self.account,
            labels: Arc::clone(&self.labels),
            presences: self.presences.clone(),
            is_new: self.is_new.clone(),
            vitals: self.vitals.clone(),
            places: self.places.clone(),
            alerts: self.alerts.clone(),
            allocations: self.allocations.clone(),
            entry_bytes: self.entry_bytes,
        }
    }

    /// The devices' numbers.
    #[must_use]
    pub fn gauges(&self) -> &Columns<f64> {
        &self.gauges
    }

    /// The devices' texts.
    #[must_use]
    pub fn infos(&self) -> &Columns<Option<Text>> {
        &self.infos
    }

    /// The memory of numbers, references to texts and alerts, and entries of allocations in bytes, without the texts themselves.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.gauges.bytes() + self.infos.bytes() + self.entry_bytes
    }

    /// A device's number in a lane.
    #[must_use]
    pub fn gauge(&self, lane: usize, slot: usize) -> Option<f64> {
        self.gauges.get(lane, slot).copied()
    }

    /// A device's text in a lane.
    #[must_use]
    pub fn info(&self, lane: usize, slot: usize) -> Option<&Text> {
        self.infos.get(lane, slot)?.as_ref()
    }

    /// Where a device is.
    #[must_use]
    pub fn place(&self, slot: usize) -> Option<&Place> {
        self.places[slot].as_ref()
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

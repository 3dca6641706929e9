//! A block: up to 256 devices of one type, stored by column. Snapshots share blocks, and a write copies them.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::AccountId;
use super::ageing::{self, Ageing, Due};
use super::allocation::Allocation;
use super::columns::Columns;
use super::device::{
    Alerts, DeviceLocation, DeviceState, Difference, LastRow, Listing, Presence, Streamed,
    alert_bytes,
};
use super::interner::Text;
use super::labels::Labels;
use super::options::Retention;
use super::presences::{Counts, Presences};
use crate::time::Moment;

fn bytes_of_alerts(alerts: &Alerts) -> usize {
    alert_bytes(alerts.as_ref().map_or(0, |names| names.len()))
}

fn bytes_of_allocation(allocation: Option<&Arc<Allocation>>) -> usize {
    allocation.map_or(0, |allocation| allocation.content.bytes())
}

/// Up to [`BLOCK_SIZE`](super::columns::BLOCK_SIZE) devices of one account. Slots are the same in every column.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// The account of all devices; `None` if they come from a state file without accounts.
    account: Option<AccountId>,
    labels: Arc<Labels>,
    presences: Presences,
    streamed: Vec<Streamed>,
    last_rows: Vec<LastRow>,
    locations: Vec<Option<DeviceLocation>>,
    alerts: Vec<Alerts>,
    allocations: Vec<Option<Arc<Allocation>>>,
    listings: Vec<Listing>,
    gauges: Columns<f64>,
    infos: Columns<Option<Text>>,
    /// The memory of the entries of `alerts` and `allocations`. Updated with each change, because it is read before each batch.
    entry_bytes: usize,
}

/// The whole state of a device except its numbers.
#[derive(Debug)]
pub struct Taken {
    presence: Presence,
    streamed: Streamed,
    last_row: LastRow,
    location: Option<DeviceLocation>,
    alerts: Alerts,
    allocation: Option<Arc<Allocation>>,
    listing: Listing,
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

    /// The account of all devices; `None` if they come from a state file without accounts.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The number of slots, including free ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.last_rows.len()
    }

    /// The approximate memory of the block in bytes, without texts and labels, which are shared with other blocks.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(self.presences.as_slice())
            + size_of_val(self.last_rows.as_slice())
            + size_of_val(self.locations.as_slice())
            + size_of_val(self.alerts.as_slice())
            + size_of_val(self.allocations.as_slice())
            + size_of_val(self.listings.as_slice())
            + self.value_bytes()
    }

    /// Whether the block has no slots yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last_rows.is_empty()
    }

    /// Sets the identifier of a free slot, or of a new slot if `slot` is the length. `hash` determines the shard.
    pub fn claim(&mut self, slot: usize, id: &str, hash: u32) {
        Arc::make_mut(&mut self.labels).set(slot, id, hash);
        if slot == self.last_rows.len() {
            self.presences.push_absent();
            self.streamed.push(Streamed::default());
            self.last_rows.push(LastRow::default());
            self.locations.push(None);
            self.alerts.push(None);
            self.allocations.push(None);
            self.listings.push(Listing::default());
        }
    }

    /// Clears a slot, including its identifier and its allocation.
    pub fn free(&mut self, slot: usize) {
        self.clear(slot);
        Arc::make_mut(&mut self.labels).clear(slot);
        self.set_allocation(slot, None);
        self.listings[slot] = Listing::None;
    }

    /// Removes a device from its slot, which becomes free, and returns its state except its numbers.
    pub fn take(&mut self, slot: usize) -> Taken {
        let infos = self.infos.row(slot).into_iter();
        let infos = infos.filter_map(|(lane, text)| Some((lane, text.clone()?)));
        let taken = Taken {
            presence: self.presences[slot],
            streamed: self.streamed[slot],
            last_row: self.last_rows[slot].clone(),
            location: self.locations[slot],
            alerts: self.alerts[slot].clone(),
            allocation: self.allocations[slot].clone(),
            listing: self.listings[slot],
            infos: infos.collect(),
        };
        self.free(slot);
        taken
    }

    /// Writes the state of a removed device to a slot that has its identifier.
    pub fn put(&mut self, slot: usize, taken: Taken) {
        self.presences.set(slot, taken.presence);
        self.streamed[slot] = taken.streamed;
        self.last_rows[slot] = taken.last_row;
        self.locations[slot] = taken.location;
        self.set_alerts(slot, &taken.alerts);
        self.set_allocation(slot, taken.allocation);
        self.listings[slot] = taken.listing;
        for (lane, text) in taken.infos {
            self.infos.set(lane, slot, &Some(text));
        }
    }

    /// Records that the account of the block has delivered a row of a device at `now`, accepted or not.
    pub fn deliver(&mut self, slot: usize, now: Moment) {
        self.last_rows[slot].delivered = now;
    }

    /// When the account of the block last delivered a row of a device.
    #[must_use]
    pub fn delivered(&self, slot: usize) -> Moment {
        self.last_rows[slot].delivered
    }

    /// Sets what the inventory says about the device of a slot. `stream` is the stream time of the block's account: a terminal that is
    /// expected to report from now on has `STALE_AFTER` from then on for its first row.
    pub fn list(&mut self, slot: usize, listing: Listing, stream: Moment) {
        match self.presences[slot] {
            Presence::Absent | Presence::Listed => self.list_anew(slot, listing, stream),
            before => {
                self.listings[slot] = listing;
                if !self.has_reported(slot) {
                    self.presences.set(slot, listing.without_rows(before));
                }
            }
        }
    }

    /// [`Block::list`] for a terminal without a row of the stream that has come to the block's account: its silence begins at `stream`, also if it was
    /// offline in another account.
    pub fn list_anew(&mut self, slot: usize, listing: Listing, stream: Moment) {
        self.listings[slot] = listing;
        self.last_rows[slot].seen_in_stream = stream;
        let presence = match self.has_reported(slot) {
            true => Presence::Stale,
            false => listing.without_rows(Presence::Absent),
        };
        self.presences.set(slot, presence);
    }

    /// Removes the rows of a device at a slot. A terminal of the inventory stays.
    fn forget(&mut self, slot: usize) {
        let before = self.presences[slot];
        let silent_since = self.last_rows[slot].seen_in_stream;
        self.clear(slot);
        self.last_rows[slot].seen_in_stream = silent_since;
        let presence = self.listings[slot].without_rows(before);
        self.presences.set(slot, presence);
    }

    /// Restores a terminal of which no row is known, from a state file.
    pub fn restore_unreported(&mut self, slot: usize, silent_since: Moment) {
        self.last_rows[slot].seen_in_stream = silent_since;
        self.presences.set(slot, Presence::Stale);
    }

    /// Removes the device at a slot; the identifier and the allocation of the slot are kept.
    pub fn clear(&mut self, slot: usize) {
        self.presences.set(slot, Presence::Absent);
        self.streamed[slot] = Streamed::Never;
        self.last_rows[slot] = LastRow::default();
        self.locations[slot] = None;
        self.set_alerts(slot, &None);
        self.gauges.clear(slot);
        self.infos.clear(slot);
    }

    /// Replaces the whole state of a device by that of a row, which arrived at `seen` by the clock and at `stream` by the stream time of the
    /// block's account. Returns whether a scrape shows a difference.
    pub fn replace(
        &mut self,
        slot: usize,
        state: DeviceState<'_>,
        seen: Moment,
        stream: Moment,
    ) -> bool {
        let mut changed = !state.changes.is_empty();
        let presence = self.presences.set(slot, Presence::Online);
        changed |= presence != Presence::Online;
        changed |= self.last_rows[slot].reported != state.reported;
        changed |= self.gauges.replace(slot, state.lanes, state.gauges);
        self.streamed[slot] = self.streamed[slot].next();
        self.last_rows[slot] = LastRow {
            reported: state.reported,
            seen,
            seen_in_stream: stream,
            delivered: self.last_rows[slot].delivered,
        };
        for change in state.changes {
            match change {
                Difference::Location(location) => self.locations[slot] = *location,
                Difference::Alerts(alerts) => self.set_alerts(slot, alerts),
                Difference::Info(lane, text) => drop(self.infos.set(*lane, slot, text)),
            }
        }
        changed
    }

    /// Makes the row that a slot has just got its last known values: they are no row of the stream, the device is stale or offline as
    /// before, and silent since `silent_since` by stream time.
    pub fn make_last_known(&mut self, slot: usize, before: Presence, silent_since: Moment) {
        let presence = match before {
            Presence::Offline => Presence::Offline,
            _ => Presence::Stale,
        };
        self.presences.set(slot, presence);
        self.streamed[slot] = Streamed::Never;
        self.last_rows[slot].seen_in_stream = silent_since;
    }

    /// Marks that more than one row of a device was accepted, by an earlier process.
    pub fn mark_as_not_new(&mut self, slot: usize) {
        self.streamed[slot] = Streamed::Repeatedly;
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
            Ageing::Presence(presence) => {
                self.presences.set(slot, presence);
            }
            Ageing::Forget => self.forget(slot),
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

    /// The change of a slot at `now` by the clock and `stream` by the account's stream time, or when to review it again without new rows.
    pub fn review(
        &self,
        slot: usize,
        now: Moment,
        stream: Moment,
        retention: &Retention,
    ) -> ControlFlow<Ageing, Due> {
        let presence = self.presences[slot];
        let last = &self.last_rows[slot];
        let listing = self.listings[slot];
        let device = ageing::review_device(presence, last, listing, now, stream, retention)?;
        let allocation = match &self.allocations[slot] {
            Some(allocation) => {
                let has_reported = self.has_reported(slot);
                ageing::review_allocation(has_reported, allocation, now, retention)?
            }
            None if presence == Presence::Absent && !self.labels.id(slot).is_empty() => {
                return ControlFlow::Break(Ageing::Free);
            }
            None => Due::NEVER,
        };
        ControlFlow::Continue(device.min(allocation))
    }

    /// The identifiers.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The devices' presences, by slot.
    #[must_use]
    pub fn presences(&self) -> &[Presence] {
        self.presences.as_slice()
    }

    /// The numbers of devices by state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.presences.counts()
    }

    /// The slots of devices that are known, online or not.
    pub fn known(&self) -> impl Iterator<Item = usize> {
        let slots = self.presences().iter().enumerate();
        let known = slots.filter(|(_, presence)| **presence != Presence::Absent);
        known.map(|(slot, _)| slot)
    }

    /// What the inventory says about the device of a slot.
    #[must_use]
    pub fn listing(&self, slot: usize) -> Listing {
        self.listings[slot]
    }

    /// Whether a row or the last known values of the device are known. Only terminals of the inventory have neither.
    #[must_use]
    pub fn has_reported(&self, slot: usize) -> bool {
        self.last_rows[slot].reported != 0
    }

    /// `UtcTimestampNs` of the last accepted row; 0 without one.
    #[must_use]
    pub fn reported(&self, slot: usize) -> i64 {
        self.last_rows[slot].reported
    }

    /// The time since the last accepted row arrived.
    #[must_use]
    pub fn age(&self, slot: usize, now: Moment) -> Duration {
        now.since(self.last_rows[slot].seen)
    }

    /// When the last accepted row arrived, by the clock and by stream time.
    #[must_use]
    pub fn seen(&self, slot: usize) -> (Moment, Moment) {
        let last = &self.last_rows[slot];
        (last.seen, last.seen_in_stream)
    }

    /// The accepted rows of the stream.
    #[must_use]
    pub fn streamed(&self, slot: usize) -> Streamed {
        self.streamed[slot]
    }

    /// Whether a row of the stream was accepted. Last known values are not current at any age, and no account has delivered them.
    #[must_use]
    pub fn has_streamed(&self, slot: usize) -> bool {
        self.streamed[slot] != Streamed::Never
    }

    /// When the last row of a slot arrived, if the slot may be evicted to make room for a new device; `None` if not. A device may be evicted if
    /// it has reported only once, is not online and is no terminal of the inventory; an allocation without a device, if it is at least
    /// `stale_after` old; a terminal of the inventory without a row of the stream always, and before all others.
    #[must_use]
    pub fn evictable_since(
        &self,
        slot: usize,
        now: Moment,
        stale_after: Duration,
    ) -> Option<Moment> {
        let is_listed = matches!(self.listings[slot], Listing::Terminal(..));
        if self.has_streamed(slot) {
            let is_online = self.presences[slot] == Presence::Online;
            let may_go = self.streamed[slot] == Streamed::Once && !is_online && !is_listed;
            return may_go.then_some(self.last_rows[slot].seen);
        }
        match &self.allocations[slot] {
            Some(allocation) if !allocation.is_last_known() => {
                let is_old = now.since(allocation.seen) >= stale_after;
                is_old.then_some(allocation.seen)
            }
            // The inventory must not keep out what the stream delivers.
            Some(_) | None => (is_listed || self.has_reported(slot)).then(Moment::default),
        }
    }

    /// The block with only these lanes, in this order.
    #[must_use]
    pub fn with_lanes(&self, gauges: &[usize], infos: &[usize]) -> Self {
        Self {
            gauges: self.gauges.only(gauges),
            infos: self.infos.only(infos),
            account: self.account,
            labels: Arc::clone(&self.labels),
            presences: self.presences.clone(),
            streamed: self.streamed.clone(),
            last_rows: self.last_rows.clone(),
            locations: self.locations.clone(),
            alerts: self.alerts.clone(),
            allocations: self.allocations.clone(),
            listings: self.listings.clone(),
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

    /// The location of a device.
    #[must_use]
    pub fn location(&self, slot: usize) -> Option<&DeviceLocation> {
        self.locations[slot].as_ref()
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

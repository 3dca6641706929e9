//! Commits a plan: writes its values to the tables. Nothing here can fail.

use std::sync::Arc;

use super::accounts::AccountId;
use super::changes::{self, Before, What};
use super::device::{DeviceState, Listing, Presence};
use super::double_delivery::DoubleDelivery;
use super::plan::{Owner, Plan, PlanKind, PlannedDevice};
use super::table::Table;
use super::tables::Tables;
use super::{Committed, Coverage, Fleet, TakenOver};
use crate::time::Moment;

impl Fleet {
    /// Commits a plan. `coverage` is the time that the batch covers; it ends at the moment for which the batch was planned.
    pub fn commit(&mut self, plan: &Plan, coverage: Coverage) -> Committed {
        let now = coverage.to;
        let has_rows = plan.tally.rows.iter().any(|rows| *rows > 0);
        let id = plan.account;
        if plan.kind == PlanKind::Stream
            && let Some(account) = self.accounts.get_mut(id)
        {
            account.stream_time.advance(coverage.covers, has_rows);
            account.gaps.add(plan.tally.gaps, now);
        }
        let mut committed = Committed {
            tally: plan.tally,
            ..Committed::default()
        };
        let mut changed = false;
        for &(table, slot) in &plan.evicted {
            let changes = &mut committed.changes;
            changed |= self.tables.get_mut(table).evict(slot, changes);
        }
        changed |= self.commit_allocations(plan, now);
        changed |= self.commit_devices(plan, now, &mut committed);
        if plan.kind == PlanKind::LastKnown {
            // The names of types are those of the stream.
            changed |= self.tables.apply_orders_and_names(&[]);
            self.version += u64::from(changed);
            return committed;
        }
        changed |= self.tables.apply_orders_and_names(&plan.tables);
        if let Some(name) = &plan.terminal_name {
            changed |= self.tables.name_unheard_terminals(name);
        }
        self.version += u64::from(changed);
        committed.double_delivery = self.update_double_deliveries(plan, now);
        let online = online(&self.tables, id);
        if has_rows && let Some(account) = self.accounts.get_mut(id) {
            account.stream_time.note_online(online);
        }
        committed
    }

    /// Writes the allocations. Returns whether a scrape shows a difference. Must precede [`Fleet::commit_devices`], which moves devices to other
    /// slots.
    fn commit_allocations(&mut self, plan: &Plan, now: Moment) -> bool {
        let mut changed = false;
        let retention = self.options.retention;
        let due = now.after(retention.ip_stale_after.min(retention.forget_after));
        for planned in &plan.allocations {
            let slots = self.tables.get_mut(planned.table).slots_mut();
            let (block, slot) = slots.block_mut(planned.slot, due);
            changed |= block.allocate(slot, Arc::clone(&planned.allocation));
        }
        changed
    }

    /// Writes the devices, and adds their changes. Returns whether a scrape shows a difference.
    fn commit_devices(&mut self, plan: &Plan, now: Moment, committed: &mut Committed) -> bool {
        let mut changed = false;
        let retention = self.options.retention;
        let clocks = self.accounts.clocks(retention.stale_after);
        // Nothing here changes the name of a type, or adds a lane.
        let types = self.tables.tables.iter();
        let types = types.map(|table| (Arc::clone(&table.name), table.software_lane(), table.kind));
        let types: Vec<_> = types.collect();
        let (mut gauges, mut differences) = (plan.gauges.as_slice(), plan.changes.as_slice());
        let due = now.after(retention.stale_after.min(retention.forget_after));
        for device in &plan.devices {
            let number = device.table as usize;
            let slot = match device.owner {
                Owner::New => self.take_over(device, plan.account, committed),
                Owner::This | Owner::Other => device.slot as usize,
            };
            let (name, software, kind) = &types[number];
            let slots = self.tables.get_mut(number).slots_mut();
            let (block, slot) = slots.block_mut(slot, due);
            let state = DeviceState {
                reported: device.reported,
                lanes: &plan.lanes[device.lanes as usize..][..device.gauges as usize],
                gauges: take(&mut gauges, device.gauges),
                changes: take(&mut differences, device.changes),
            };
            let presence = block.presences()[slot];
            let has_reported = block.has_reported(slot);
            let has_streamed = block.has_streamed(slot);
            let silent_since = block.seen(slot).1;
            if block.listing(slot) == Listing::None && !has_reported {
                let listing = self.directory.listing_of(*kind, block.labels().id(slot));
                block.list(slot, listing, Moment::default());
            }
            let before = Before {
                presence,
                has_streamed,
                alerts: block.alerts(slot),
                software: software.and_then(|lane| block.info(lane, slot)),
            };
            changes::of_row(&before, state.changes, *software, |what| {
                committed.changes.add(name, block.labels().id(slot), what);
            });
            let stream = clocks.of(block.account()).stream;
            changed |= device.owner == Owner::New;
            changed |= block.replace(slot, state, now, stream);
            if plan.kind == PlanKind::LastKnown {
                let silent_since = match presence {
                    Presence::Absent | Presence::Listed => stream,
                    _ => silent_since,
                };
                block.make_last_known(slot, presence, silent_since);
                continue;
            }
            if device.owner != Owner::Other {
                block.deliver(slot, now);
            }
        }
        for &(table, slot) in &plan.delivered {
            let slots = self.tables.get_mut(table).slots_mut();
            let (block, slot) = slots.block_mut(slot, Moment::NEVER);
            block.deliver(slot, now);
        }
        changed
    }

    /// Moves a device to the account of the batch. Returns its new slot.
    fn take_over(
        &mut self,
        device: &PlannedDevice,
        account: AccountId,
        committed: &mut Committed,
    ) -> usize {
        let (number, slot) = (device.table as usize, device.slot as usize);
        self.double_deliveries.forget((number, slot));
        let table = self.tables.get_mut(number);
        let (block, at) = table.block(slot);
        let name_of = |id| Some(Arc::clone(&self.accounts.get(id)?.name));
        if block.has_streamed(at)
            && let Some(to) = name_of(account)
        {
            let from = block.account().and_then(name_of);
            let id = block.labels().id(at);
            committed
                .taken_over
                .extend(from.clone().map(|from| TakenOver {
                    from,
                    code: Arc::clone(&table.code),
                    id: id.into(),
                }));
            let moved = What::Moved { from, to };
            committed.changes.add(&table.name, id, moved);
        }
        table.relocate(slot, account)
    }

    /// Records the devices that both the account of the batch and another one deliver. Returns one that both have delivered for at least
    /// `STALE_AFTER`.
    fn update_double_deliveries(&mut self, plan: &Plan, now: Moment) -> Option<DoubleDelivery> {
        let stale_after = self.options.retention.stale_after;
        self.double_deliveries.prune(now, stale_after);
        let device_slot = |device: &PlannedDevice| (device.table as usize, device.slot as usize);
        let of = |owner| {
            plan.devices
                .iter()
                .filter(move |device| device.owner == owner)
        };
        let others = of(Owner::Other).map(device_slot);
        for device in others.chain(plan.delivered_of_others.iter().copied()) {
            self.double_deliveries
                .record_other(device, plan.account, now);
        }
        if self.double_deliveries.is_empty() {
            return None;
        }
        let own = of(Owner::This).map(device_slot);
        let mut own = own.chain(plan.delivered.iter().copied());
        let (device, other) = own.find_map(|device| {
            let other = self
                .double_deliveries
                .long_term_other(device, now, stale_after)?;
            Some((device, other))
        })?;
        let name = |id| Some(Arc::clone(&self.accounts.get(id)?.name));
        let (block, slot) = self.tables.get(device.0).block(device.1);
        Some(DoubleDelivery {
            device_id: block.labels().id(slot).into(),
            accounts: [name(plan.account)?, name(other)?],
        })
    }
}

/// The number of an account's devices that are online.
fn online(tables: &Tables, account: AccountId) -> usize {
    let blocks = tables.tables.iter().flat_map(Table::blocks);
    let own = blocks.filter(|block| block.account() == Some(account));
    own.map(|block| block.counts().online).sum()
}

/// The first `count` elements of `rest`, which are removed from it.
fn take<'a, T>(rest: &mut &'a [T], count: u32) -> &'a [T] {
    let (taken, left) = rest.split_at(count as usize);
    *rest = left;
    taken
}

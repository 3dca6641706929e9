//! Selects the rows of a batch that are used: the newest of each device, of known types, with valid times, within the limits.

use std::sync::Arc;

use super::super::RowIgnored;
use super::super::slots::Subject;
use super::super::table::Table;
use super::super::tally::{RowCode, RowFault};
use super::{Example, Owner, PlanKind, Planner, counted};
use crate::telemetry::readings::{Identity, Row};
use crate::telemetry::schema::{TERMINAL_CODE, TypeSchema};
use crate::telemetry::{Batch, Cell, DeviceKind, Rows};

/// The most devices of other accounts that are recorded for a batch, because the batch has older rows of them.
const MOST_RECORDED: usize = 64;

/// A row that is used, unless the batch contains a newer one.
pub(super) struct Candidate<'b> {
    pub(super) table: usize,
    pub(super) slot: usize,
    pub(super) reported: i64,
    /// The number of rows of the batch that are newer than the known one of its subject. Rows with the same timestamp count once.
    pub(super) reports: u32,
    pub(super) row: Row<'b>,
}

/// One row for each subject, in the order in which the subjects first occur.
pub(super) struct Candidates<'b> {
    subject: Subject,
    pub(super) rows: Vec<Candidate<'b>>,
}

impl<'b> Candidates<'b> {
    fn of(subject: Subject, at_most: usize) -> Self {
        Self {
            subject,
            rows: Vec::with_capacity(at_most),
        }
    }

    /// Whether there is a row for the subject at a slot of the table with this number.
    fn has(&self, number: usize, slot: usize, table: &Table) -> bool {
        let index = table.slots().candidate_index(slot, self.subject);
        let row = self.rows.get(index as usize);
        row.is_some_and(|row| (row.table, row.slot) == (number, slot))
    }

    /// Adds the row, or replaces an earlier one of its subject in the batch, unless that or the `known` timestamp of the fleet is newer.
    /// Returns whether the row is used.
    ///
    /// The slot holds the index of the subject's row in the batch. An index from an earlier batch is recognised because the row at it, if
    /// there is one, belongs to another slot.
    fn offer(
        &mut self,
        mut candidate: Candidate<'b>,
        table: &mut Table,
        known: Option<i64>,
    ) -> bool {
        let is_new = known.is_none_or(|reported| candidate.reported > reported);
        let slots = table.slots_mut();
        let index = slots.candidate_index_mut(candidate.slot, self.subject);
        if let Some(before) = self.rows.get_mut(*index as usize)
            && (before.table, before.slot) == (candidate.table, candidate.slot)
        {
            let newer = candidate.reported >= before.reported;
            let is_another = is_new && candidate.reported != before.reported;
            let reports = before.reports.saturating_add(u32::from(is_another));
            if newer {
                *before = candidate;
            }
            before.reports = reports;
            return newer;
        }
        candidate.reports = u32::from(is_new);
        let newer = known.is_none_or(|reported| candidate.reported >= reported);
        if newer {
            *index = counted(self.rows.len());
            self.rows.push(candidate);
        }
        newer
    }
}

/// A device type, and what its rows describe. Rows of a type mostly follow each other, so this is computed once for all of them.
struct Type<'b> {
    code: &'b str,
    counter: RowCode,
    target: Result<Target<'b>, NotUsed>,
}

/// What the rows of a type describe: devices, or allocations of terminals, of a table.
#[derive(Clone, Copy)]
struct Target<'b> {
    subject: Subject,
    table: usize,
    schema: &'b Arc<TypeSchema>,
}

/// Why a row is not used.
#[derive(Clone, Copy)]
enum NotUsed {
    Rejected(RowFault),
    Ignored(RowIgnored),
    /// The limit of devices is reached, and the device is new.
    NoRoom,
}

impl Planner<'_> {
    /// Selects the rows of devices, and those of allocations.
    pub(super) fn select<'b>(&mut self, batch: &'b Batch) -> (Candidates<'b>, Candidates<'b>) {
        let mut devices = Candidates::of(Subject::Device, batch.rows.iter().len());
        let mut allocations = Candidates::of(Subject::Allocation, 0);
        let mut last = None;
        let mut without_room = Vec::new();
        for cells in batch.rows.iter() {
            let row = self.target(batch, cells, &mut last).and_then(|target| {
                let candidates = match target.subject {
                    Subject::Device => &mut devices,
                    Subject::Allocation => &mut allocations,
                };
                let row = self.select_row(&batch.rows, cells, target, candidates);
                // Last known values displace no device.
                if matches!(row, Err(NotUsed::NoRoom)) && self.plan.kind == PlanKind::Stream {
                    without_room.push((target, cells));
                    return Ok(());
                }
                row
            });
            self.count_unused(row);
        }
        if !without_room.is_empty() || self.devices > self.room {
            self.make_room(&batch.rows, without_room, &mut devices, &mut allocations);
        }
        (devices, allocations)
    }

    /// Makes room for the rows `without_room`, which belong to new devices, and selects these rows. Plans the removal of terminals of the
    /// inventory without any row, then of devices that have reported only once and are silent, the longest silent first, but of none that
    /// has a row in this batch.
    fn make_room<'b>(
        &mut self,
        rows: &'b Rows,
        without_room: Vec<(Target<'b>, &'b [Cell])>,
        devices: &mut Candidates<'b>,
        allocations: &mut Candidates<'b>,
    ) {
        let limit = self.room;
        let stale_after = self.options.retention.stale_after;
        let mut evictable = Vec::new();
        for (number, table) in self.tables.tables.iter().enumerate() {
            for (slot, since) in table.evictable(self.now, stale_after) {
                let has_row = [&*devices, &*allocations]
                    .into_iter()
                    .any(|candidates| candidates.has(number, slot, table));
                if !has_row {
                    evictable.push((since, number, slot));
                }
            }
        }
        self.room = limit.saturating_add(evictable.len());
        for (target, cells) in without_room {
            let candidates = match target.subject {
                Subject::Device => &mut *devices,
                Subject::Allocation => &mut *allocations,
            };
            let row = self.select_row(rows, cells, target, candidates);
            self.count_unused(row);
        }
        let needed = self.devices.saturating_sub(limit).min(evictable.len());
        evictable.sort_unstable();
        for (_, table, slot) in evictable.into_iter().take(needed) {
            self.plan.evicted.push((table, slot));
            let (block, at) = self.tables.get(table).block(slot);
            // No row is lost with a terminal that only the inventory has.
            if block.has_streamed(at) || block.allocation(at).is_some() {
                self.plan.tally.count_eviction();
            }
        }
    }

    /// Counts a row that is not used, by the reason.
    fn count_unused(&mut self, row: Result<(), NotUsed>) {
        match row {
            Ok(()) => {}
            Err(NotUsed::Rejected(fault)) => self.plan.tally.reject_rows(fault, 1),
            Err(NotUsed::Ignored(reason)) => self.plan.tally.ignore_row(reason),
            Err(NotUsed::NoRoom) => self.plan.tally.ignore_row(RowIgnored::DeviceLimit),
        }
    }

    /// Counts a row by its type, and returns what it describes. `last` is the type of the previous row.
    fn target<'b>(
        &mut self,
        batch: &'b Batch,
        cells: &[Cell],
        last: &mut Option<Type<'b>>,
    ) -> Result<Target<'b>, NotUsed> {
        let Some(code) = batch.rows.code(cells) else {
            self.plan.tally.count_rows(RowCode::Other, 1);
            return Err(NotUsed::Rejected(RowFault::DeviceType));
        };
        let known = match last {
            Some(known) if known.code == code => known,
            _ => last.insert(Type {
                code,
                counter: RowCode::of(code),
                target: self.target_of(batch, code),
            }),
        };
        self.plan.tally.count_rows(known.counter, 1);
        known.target
    }

    /// What the rows of a type describe; an error if rows of this type are not used.
    fn target_of<'b>(&mut self, batch: &'b Batch, code: &str) -> Result<Target<'b>, NotUsed> {
        let kind = DeviceKind::of(code);
        if kind == DeviceKind::Router && !self.options.include_routers {
            return Err(NotUsed::Ignored(RowIgnored::Router));
        }
        let schema = batch.schema.get(code);
        let schema = schema.ok_or(NotUsed::Rejected(RowFault::NoColumns))?;
        let (subject, code) = match kind {
            DeviceKind::Allocation => (Subject::Allocation, TERMINAL_CODE),
            _ => (Subject::Device, code),
        };
        Ok(Target {
            subject,
            table: self.find_or_add_table(code)?,
            schema,
        })
    }

    /// The table of a type code, added if there is room.
    fn find_or_add_table(&mut self, code: &str) -> Result<usize, NotUsed> {
        let limits = &self.options.limits;
        match self.tables.find(code) {
            Some(table) => Ok(table),
            None if code.len() > limits.identifier => Err(NotUsed::Rejected(RowFault::Limit)),
            None if self.tables.tables.len() >= limits.types => {
                Err(NotUsed::Ignored(RowIgnored::DeviceLimit))
            }
            None => Ok(self.tables.add(code)),
        }
    }

    /// The slot of a device. If it has none, it gets one if there is room.
    fn find_or_add_slot(&mut self, table: usize, id: &str) -> Result<usize, NotUsed> {
        if id.len() > self.options.limits.identifier {
            return Err(NotUsed::Rejected(RowFault::Limit));
        }
        let may_add = self.devices < self.room;
        let table = self.tables.get_mut(table);
        let before = table.slots().devices();
        let slot = table.slot(id, may_add, Some(self.plan.account));
        self.devices += table.slots().devices() - before;
        slot.ok_or(NotUsed::NoRoom)
    }

    /// Rejects rows with an impossible time, before they get a slot.
    fn check_time(&mut self, identity: Identity<'_>) -> Result<(), NotUsed> {
        let example = || Example::of(identity);
        if identity.reported < self.options.limits.earliest {
            self.plan.early.get_or_insert_with(example);
            return Err(NotUsed::Rejected(RowFault::Timestamp));
        }
        if identity.reported > self.latest {
            self.plan.future.get_or_insert_with(example);
            return Err(NotUsed::Ignored(RowIgnored::Future));
        }
        Ok(())
    }

    /// Finds the slot of a row's subject, and adds the row to the candidates if it is used.
    fn select_row<'b>(
        &mut self,
        rows: &'b Rows,
        cells: &'b [Cell],
        target: Target<'b>,
        candidates: &mut Candidates<'b>,
    ) -> Result<(), NotUsed> {
        let row = Row::new(rows, target.schema, cells);
        let identity = row.identity();
        let identity = identity.map_err(|fault| NotUsed::Rejected(fault.into()))?;
        self.check_time(identity)?;
        let id = match target.subject {
            Subject::Device => Some(identity.device_id),
            Subject::Allocation => identity.terminal(),
        };
        let id = id.ok_or(NotUsed::Rejected(RowFault::DeviceId))?;
        let slot = self.find_or_add_slot(target.table, id)?;
        if self.plan.kind == PlanKind::LastKnown && self.is_known(target, slot) {
            return Err(NotUsed::Ignored(RowIgnored::Older));
        }
        let table = self.tables.get(target.table);
        let known = match target.subject {
            Subject::Device => self.newest_row(table, slot),
            Subject::Allocation => self.newest_allocation(table, slot),
        };
        let candidate = Candidate {
            table: target.table,
            slot,
            reported: identity.reported,
            reports: 0,
            row,
        };
        let table = self.tables.get_mut(target.table);
        if candidates.offer(candidate, table, known) {
            return Ok(());
        }
        if target.subject == Subject::Device {
            self.record_delivery(target.table, slot);
        }
        Err(NotUsed::Ignored(RowIgnored::Older))
    }

    /// Whether a row of the device, or its allocation, is known.
    fn is_known(&self, target: Target<'_>, slot: usize) -> bool {
        let (block, slot) = self.tables.get(target.table).block(slot);
        match target.subject {
            Subject::Device => block.has_reported(slot),
            Subject::Allocation => block.allocation(slot).is_some(),
        }
    }

    /// Records that the account of the batch delivers a device, although the row is too old to be used.
    fn record_delivery(&mut self, table: usize, slot: usize) {
        let (block, at) = self.tables.get(table).block(slot);
        match self.owner(table, slot) {
            // If no other account has delivered it since, the accepted row has recorded the delivery.
            Owner::This if block.delivered(at) != block.seen(at).0 => {
                self.plan.delivered.push((table, slot));
            }
            Owner::Other if self.plan.delivered_of_others.len() < MOST_RECORDED => {
                self.plan.delivered_of_others.push((table, slot));
            }
            Owner::This | Owner::Other | Owner::New => {}
        }
    }

    /// The account of a device that has a row in the batch. The device moves to the account of the batch if its own account has not
    /// delivered it for `STALE_AFTER` or was removed, or if it has none.
    pub(super) fn owner(&self, table: usize, slot: usize) -> Owner {
        let (block, slot) = self.tables.get(table).block(slot);
        match block.account() {
            Some(account) if account == self.plan.account => Owner::This,
            // Last known values are no delivery.
            Some(account)
                if !self.accounts.is_removed(account) && self.plan.kind == PlanKind::LastKnown =>
            {
                Owner::Other
            }
            Some(account) if !self.accounts.is_removed(account) => {
                let silent = self.now.since(block.delivered(slot));
                match block.has_streamed(slot) && silent < self.options.retention.stale_after {
                    true => Owner::Other,
                    false => Owner::New,
                }
            }
            Some(_) | None => Owner::New,
        }
    }

    /// The timestamp of a device's last accepted row; older rows are ignored. `None` if the device is unknown, if only last known values of
    /// it are known, or if its last row arrived more than `STALE_AFTER` ago, so that a device whose clock was once in the future recovers.
    fn newest_row(&self, table: &Table, slot: usize) -> Option<i64> {
        let (block, slot) = table.block(slot);
        let fresh = block.age(slot, self.now) < self.options.retention.stale_after;
        (block.has_streamed(slot) && fresh).then(|| block.reported(slot))
    }

    /// The same for the allocation of a terminal.
    fn newest_allocation(&self, table: &Table, slot: usize) -> Option<i64> {
        let (block, slot) = table.block(slot);
        let allocation = block.allocation(slot)?;
        let fresh = self.now.since(allocation.seen) < self.options.retention.stale_after;
        fresh.then_some(allocation.reported)
    }
}

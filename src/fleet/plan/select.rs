//! Selects the rows of a batch that are used: the newest of each device, of known types, with valid times, within the limits.

use std::sync::Arc;

use super::super::RowIgnored;
use super::super::device::Presence;
use super::super::slots::Subject;
use super::super::table::Table;
use super::super::tally::{RowCode, RowFault};
use super::{Example, Owner, Planner, counted};
use crate::telemetry::readings::{Identity, Row};
use crate::telemetry::schema::TypeSchema;
use crate::telemetry::{Batch, Cell, DeviceKind, Rows};

/// The most devices of other accounts with older rows that are recorded in a batch.
const MOST_NOTED: usize = 64;

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

    /// Whether there is a row for the subject at a slot.
    fn has(&self, table: usize, slot: usize, known: &Table) -> bool {
        let row = self
            .rows
            .get(known.slots().noted(slot, self.subject) as usize);
        row.is_some_and(|row| (row.table, row.slot) == (table, slot))
    }

    /// Adds the row, unless a newer one of its subject is known. Returns whether it was added. A note at the slot has the index of the
    /// subject's earlier row in the batch. A note from an earlier batch is recognised because the row at its index, if any, has another
    /// subject.
    fn offer(
        &mut self,
        mut candidate: Candidate<'b>,
        table: &mut Table,
        known: Option<i64>,
    ) -> bool {
        let is_new = known.is_none_or(|reported| candidate.reported > reported);
        let note = table.slots_mut().note(candidate.slot, self.subject);
        if let Some(before) = self.rows.get_mut(*note as usize)
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
            *note = counted(self.rows.len());
            self.rows.push(candidate);
        }
        newer
    }
}

/// The meaning of the rows of one type. Rows of a type mostly follow each other, so it is computed once for all of them.
struct Type<'b> {
    code: &'b str,
    counter: RowCode,
    meaning: Result<Meaning<'b>, NotCounted>,
}

/// The meaning of a row.
#[derive(Clone, Copy)]
struct Meaning<'b> {
    subject: Subject,
    table: usize,
    schema: &'b Arc<TypeSchema>,
}

/// Why a row is not used.
#[derive(Clone, Copy)]
enum NotCounted {
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
            let row = self.meaning(batch, cells, &mut last).and_then(|meaning| {
                let candidates = match meaning.subject {
                    Subject::Device => &mut devices,
                    Subject::Allocation => &mut allocations,
                };
                let row = self.row(&batch.rows, cells, meaning, candidates);
                if matches!(row, Err(NotCounted::NoRoom)) {
                    without_room.push((meaning, cells));
                    return Ok(());
                }
                row
            });
            self.count(row);
        }
        if !without_room.is_empty() || self.devices > self.room {
            self.make_room(&batch.rows, without_room, &mut devices, &mut allocations);
        }
        (devices, allocations)
    }

    /// Makes room for new devices: removes devices that have reported only once and are silent, the longest silent first, but none that has
    /// a row in this batch.
    fn make_room<'b>(
        &mut self,
        rows: &'b Rows,
        without_room: Vec<(Meaning<'b>, &'b [Cell])>,
        devices: &mut Candidates<'b>,
        allocations: &mut Candidates<'b>,
    ) {
        let limit = self.room;
        let stale_after = self.options.retention.stale_after;
        let mut giving_way = Vec::new();
        for (number, table) in self.tables.tables.iter().enumerate() {
            for (slot, since) in table.giving_way(self.now, stale_after) {
                let has_row = [&*devices, &*allocations]
                    .into_iter()
                    .any(|candidates| candidates.has(number, slot, table));
                if !has_row {
                    giving_way.push((since, number, slot));
                }
            }
        }
        self.room = limit.saturating_add(giving_way.len());
        for (meaning, cells) in without_room {
            let candidates = match meaning.subject {
                Subject::Device => &mut *devices,
                Subject::Allocation => &mut *allocations,
            };
            let row = self.row(rows, cells, meaning, candidates);
            self.count(row);
        }
        let needed = self.devices.saturating_sub(limit).min(giving_way.len());
        giving_way.sort_unstable();
        for (_, table, slot) in giving_way.into_iter().take(needed) {
            self.plan.evicted.push((table, slot));
            self.plan.tally.give_way();
        }
    }

    fn count(&mut self, row: Result<(), NotCounted>) {
        match row {
            Ok(()) => {}
            Err(NotCounted::Rejected(fault)) => self.plan.tally.reject_rows(fault, 1),
            Err(NotCounted::Ignored(reason)) => self.plan.tally.ignore_row(reason),
            Err(NotCounted::NoRoom) => self.plan.tally.ignore_row(RowIgnored::DeviceLimit),
        }
    }

    /// Counts a row, and returns the meaning of its type. `last` is the type of the previous row.
    fn meaning<'b>(
        &mut self,
        batch: &'b Batch,
        cells: &[Cell],
        last: &mut Option<Type<'b>>,
    ) -> Result<Meaning<'b>, NotCounted> {
        let Some(code) = batch.rows.code(cells) else {
            self.plan.tally.count_rows(RowCode::Other, 1);
            return Err(NotCounted::Rejected(RowFault::DeviceType));
        };
        let known = match last {
            Some(known) if known.code == code => known,
            _ => last.insert(Type {
                code,
                counter: RowCode::of(code),
                meaning: self.meaning_of(batch, code),
            }),
        };
        self.plan.tally.count_rows(known.counter, 1);
        known.meaning
    }

    fn meaning_of<'b>(&mut self, batch: &'b Batch, code: &str) -> Result<Meaning<'b>, NotCounted> {
        let kind = DeviceKind::of(code);
        if kind == DeviceKind::Router && !self.options.include_routers {
            return Err(NotCounted::Ignored(RowIgnored::Router));
        }
        let schema = batch.schema.get(code);
        let schema = schema.ok_or(NotCounted::Rejected(RowFault::NoColumns))?;
        let (subject, code) = match kind {
            DeviceKind::Allocation => (Subject::Allocation, "u"),
            _ => (Subject::Device, code),
        };
        Ok(Meaning {
            subject,
            table: self.table(code)?,
            schema,
        })
    }

    fn table(&mut self, code: &str) -> Result<usize, NotCounted> {
        let limits = &self.options.limits;
        match self.tables.find(code) {
            Some(table) => Ok(table),
            None if code.len() > limits.identifier => Err(NotCounted::Rejected(RowFault::Limit)),
            None if self.tables.tables.len() >= limits.types => {
                Err(NotCounted::Ignored(RowIgnored::DeviceLimit))
            }
            None => Ok(self.tables.add(code)),
        }
    }

    /// The slot of a device. If it has none, it gets one if there is room.
    fn slot(&mut self, table: usize, id: &str) -> Result<usize, NotCounted> {
        if id.len() > self.options.limits.identifier {
            return Err(NotCounted::Rejected(RowFault::Limit));
        }
        let may_add = self.devices < self.room;
        let table = self.tables.get_mut(table);
        let before = table.slots().devices();
        let slot = table.slot(id, may_add, Some(self.plan.account));
        self.devices += table.slots().devices() - before;
        slot.ok_or(NotCounted::NoRoom)
    }

    /// Rejects rows with an impossible time, before they get a slot.
    fn in_time(&mut self, identity: Identity<'_>) -> Result<(), NotCounted> {
        let example = || Example::of(identity);
        if identity.reported < self.options.limits.earliest {
            self.plan.early.get_or_insert_with(example);
            return Err(NotCounted::Rejected(RowFault::Timestamp));
        }
        if identity.reported > self.latest {
            self.plan.future.get_or_insert_with(example);
            return Err(NotCounted::Ignored(RowIgnored::Future));
        }
        Ok(())
    }

    /// Finds the device of a row, and decides whether the row is used.
    fn row<'b>(
        &mut self,
        rows: &'b Rows,
        cells: &'b [Cell],
        meaning: Meaning<'b>,
        candidates: &mut Candidates<'b>,
    ) -> Result<(), NotCounted> {
        let row = Row::new(rows, meaning.schema, cells);
        let identity = row.identity();
        let identity = identity.map_err(|fault| NotCounted::Rejected(fault.into()))?;
        self.in_time(identity)?;
        let id = match meaning.subject {
            Subject::Device => Some(identity.device_id),
            Subject::Allocation => identity.terminal(),
        };
        let id = id.ok_or(NotCounted::Rejected(RowFault::DeviceId))?;
        let slot = self.slot(meaning.table, id)?;
        let table = self.tables.get(meaning.table);
        let known = match meaning.subject {
            Subject::Device => self.newest_row(table, slot),
            Subject::Allocation => self.newest_allocation(table, slot),
        };
        let candidate = Candidate {
            table: meaning.table,
            slot,
            reported: identity.reported,
            reports: 0,
            row,
        };
        let table = self.tables.get_mut(meaning.table);
        if candidates.offer(candidate, table, known) {
            return Ok(());
        }
        if meaning.subject == Subject::Device {
            self.note_older(meaning.table, slot);
        }
        Err(NotCounted::Ignored(RowIgnored::Older))
    }

    /// Records which account delivers a device, although the row is too old to be used.
    fn note_older(&mut self, table: usize, slot: usize) {
        let (block, at) = self.tables.get(table).block(slot);
        match self.owner(table, slot) {
            // If no other account has delivered it since, the accepted row has recorded the delivery.
            Owner::This if block.delivered(at) != block.seen(at).0 => {
                self.plan.delivered.push((table, slot));
            }
            Owner::Other if self.plan.delivered_too.len() < MOST_NOTED => {
                self.plan.delivered_too.push((table, slot));
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
            Some(account) if !self.accounts.is_removed(account) => {
                let silent = self.now.since(block.delivered(slot));
                let is_known = block.presences()[slot] != Presence::Absent;
                match is_known && silent < self.options.retention.stale_after {
                    true => Owner::Other,
                    false => Owner::New,
                }
            }
            Some(_) | None => Owner::New,
        }
    }

    /// The timestamp that the next row of a device must have at least. `None` if the device is unknown or stale, so that a device whose
    /// clock was once in the future recovers.
    fn newest_row(&self, table: &Table, slot: usize) -> Option<i64> {
        let (block, slot) = table.block(slot);
        let known = block.presences()[slot] != Presence::Absent;
        let fresh = block.age(slot, self.now) < self.options.retention.stale_after;
        (known && fresh).then(|| block.reported(slot))
    }

    fn newest_allocation(&self, table: &Table, slot: usize) -> Option<i64> {
        let (block, slot) = table.block(slot);
        let allocation = block.allocation(slot)?;
        let fresh = self.now.since(allocation.seen) < self.options.retention.stale_after;
        fresh.then_some(allocation.reported)
    }
}

//! What a batch will do to the fleet, worked out in full before anything is written.
//!
//! Everything that can fail (judging cells, interning texts, giving slots and lanes) happens here, and leaves nothing behind
//! that a scrape could see. So a panic needs no undo, and the same batch can be planned again. What is left to the commit
//! copies and stores values.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::allocation::{ADDRESS_BYTES, Added, Allocation, AllocationContent, INFO_BYTES};
use super::block::{Alerts, Difference, Place, Presence};
use super::interner::{Interner, Text};
use super::table::{Subject, Table};
use super::tally::{RowCode, RowFault, RowIgnored, Tally};
use super::{FleetOptions, Tables};
use crate::telemetry::batch::{ElementKind, List};
use crate::telemetry::ip::Address;
use crate::telemetry::schema::{Column, Field, TypeSchema};
use crate::telemetry::values::LongNumbers;
use crate::telemetry::{AddressKind, Batch, Cell, CellFault, DeviceKind, Rows, location, values};
use crate::time::Moment;

/// What a batch will do.
#[derive(Debug, Default)]
pub struct Plan {
    /// What it counts.
    pub tally: Tally,
    /// The first row whose timestamp is too far ahead of the corrected clock.
    pub future: Option<Example>,
    /// The first row whose timestamp is before 2019.
    pub early: Option<Example>,
    pub(super) devices: Vec<PlannedDevice>,
    pub(super) allocations: Vec<PlannedAllocation>,
    /// Devices and waiting allocations that give way to new ones: table and slot.
    pub(super) evicted: Vec<(usize, usize)>,
    /// Lists of ascending lanes; devices of the same lanes share one.
    pub(super) lanes: Vec<u32>,
    /// Reads texts that are numbers.
    numbers: LongNumbers,
    pub(super) gauges: Vec<f64>,
    pub(super) changes: Vec<Difference>,
    /// Fields whose text has turned out to change in nearly every row of most devices.
    pub churning: Vec<Arc<str>>,
}

impl Plan {
    /// Whether it does nothing to any device.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.allocations.is_empty() && self.evicted.is_empty()
    }
}

/// A row that is named in a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its DeviceId, escaped, at most 100 characters of it.
    pub id: String,
    /// `UtcTimestampNs`.
    pub reported: i64,
}

impl Example {
    const LONGEST: usize = 100;

    fn of(heading: &Heading<'_>) -> Self {
        Self {
            id: heading.id.escape_debug().take(Self::LONGEST).collect(),
            reported: heading.reported,
        }
    }
}

/// The new state of one device. Its numbers and differences follow those of the device before it in the plan.
#[derive(Debug)]
pub(super) struct PlannedDevice {
    pub(super) table: u32,
    pub(super) slot: u32,
    pub(super) reported: i64,
    /// Where the lanes of its numbers begin in the plan.
    pub(super) lanes: u32,
    /// How many numbers it has.
    pub(super) gauges: u32,
    /// How many differences.
    pub(super) changes: u32,
}

/// The new allocation of one terminal, known or not.
#[derive(Debug)]
pub(super) struct PlannedAllocation {
    pub(super) table: usize,
    pub(super) slot: usize,
    pub(super) allocation: Arc<Allocation>,
}

/// A row that counts, unless a later one of the batch outdoes it.
struct Candidate<'b> {
    table: usize,
    slot: usize,
    reported: i64,
    schema: &'b Arc<TypeSchema>,
    cells: &'b [Cell],
}

/// The rows that count, in the order of their subjects' first appearance; one for each.
struct Candidates<'b> {
    subject: Subject,
    rows: Vec<Candidate<'b>>,
}

impl<'b> Candidates<'b> {
    fn of(subject: Subject, at_most: usize) -> Self {
        Self {
            subject,
            rows: Vec::with_capacity(at_most),
        }
    }

    /// Whether there is a row about the subject at a slot.
    fn has(&self, table: usize, slot: usize, known: &Table) -> bool {
        let row = self.rows.get(known.noted(slot, self.subject) as usize);
        row.is_some_and(|row| (row.table, row.slot) == (table, slot))
    }

    /// Takes the row unless what is known of its subject is newer. Which row of the batch named the subject before is noted
    /// at its slot; a note that an earlier batch left leads to a row about something else, or to none.
    fn offer(&mut self, candidate: Candidate<'b>, table: &mut Table, known: Option<i64>) -> bool {
        let note = table.note(candidate.slot, self.subject);
        if let Some(before) = self.rows.get_mut(*note as usize)
            && (before.table, before.slot) == (candidate.table, candidate.slot)
        {
            let newer = candidate.reported >= before.reported;
            if newer {
                *before = candidate;
            }
            return newer;
        }
        let newer = known.is_none_or(|reported| candidate.reported >= reported);
        if newer {
            *note = counted(self.rows.len());
            self.rows.push(candidate);
        }
        newer
    }
}

/// What the rows of one type are. Rows of a type mostly follow each other, so that it is found out once for all of them.
struct Kind<'b> {
    code: &'b str,
    counter: RowCode,
    meaning: Result<Meaning<'b>, Left>,
}

/// What is made of a row.
#[derive(Clone, Copy)]
struct Meaning<'b> {
    subject: Subject,
    table: usize,
    schema: &'b Arc<TypeSchema>,
}

/// What a row is about.
struct Heading<'b> {
    id: &'b str,
    reported: i64,
}

pub(super) struct Planner<'f> {
    pub(super) options: &'f FleetOptions,
    pub(super) tables: &'f mut Tables,
    pub(super) texts: &'f mut Interner<Text>,
    pub(super) alert_names: &'f mut Interner<Arc<str>>,
    /// How many devices there are.
    pub(super) devices: usize,
    /// How many there may be, those that give way included.
    pub(super) room: usize,
    /// Whether devices get no values in lanes that they have none in, and no more alerts and entries of allocations than they have.
    pub(super) is_tight: bool,
    pub(super) now: Moment,
    /// The latest `UtcTimestampNs` that is not in the future.
    pub(super) latest: i64,
    pub(super) plan: Plan,
}

impl Planner<'_> {
    pub(super) fn plan(mut self, batch: &Batch) -> Plan {
        let tally = &mut self.plan.tally;
        tally.reject_rows(RowFault::Shape, batch.rows.malformed());
        tally.count_rows(RowCode::Other, batch.rows.malformed());
        tally.reject_rows(RowFault::Limit, batch.rows.beyond());
        tally.count_rows(RowCode::Other, batch.rows.beyond());
        let (devices, allocations) = self.select(batch);
        self.devices(&batch.rows, &devices.rows);
        self.allocations(&batch.rows, &allocations.rows);
        self.plan
    }

    /// Finds out which rows count.
    fn select<'b>(&mut self, batch: &'b Batch) -> (Candidates<'b>, Candidates<'b>) {
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
                if matches!(row, Err(Left::NoRoom)) {
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

    /// Gives the rows of new devices the places of those that have reported once and are silent, the longest silent first. None that
    /// this batch has a row of gives way.
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
                let is_heard = [&*devices, &*allocations]
                    .into_iter()
                    .any(|candidates| candidates.has(number, slot, table));
                if !is_heard {
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

    fn count(&mut self, row: Result<(), Left>) {
        match row {
            Ok(()) => {}
            Err(Left::Rejected(fault)) => self.plan.tally.reject_rows(fault, 1),
            Err(Left::Ignored(reason)) => self.plan.tally.ignore_row(reason),
            Err(Left::NoRoom) => self.plan.tally.ignore_row(RowIgnored::DeviceLimit),
        }
    }

    /// Counts a row, and finds out what its type is. `last` is the type of the row before.
    fn meaning<'b>(
        &mut self,
        batch: &'b Batch,
        cells: &[Cell],
        last: &mut Option<Kind<'b>>,
    ) -> Result<Meaning<'b>, Left> {
        let Some(&Cell::Text(code)) = cells.first() else {
            self.plan.tally.count_rows(RowCode::Other, 1);
            return Err(Left::Rejected(RowFault::DeviceType));
        };
        let code = batch.rows.text(code);
        let kind = match last {
            Some(kind) if kind.code == code => kind,
            _ => last.insert(Kind {
                code,
                counter: RowCode::of(code),
                meaning: self.meaning_of(batch, code),
            }),
        };
        self.plan.tally.count_rows(kind.counter, 1);
        kind.meaning
    }

    fn meaning_of<'b>(&mut self, batch: &'b Batch, code: &str) -> Result<Meaning<'b>, Left> {
        let kind = DeviceKind::of(code);
        if kind == DeviceKind::Router && !self.options.include_routers {
            return Err(Left::Ignored(RowIgnored::Router));
        }
        let schema = batch.schema.get(code);
        let schema = schema.ok_or(Left::Rejected(RowFault::NoColumns))?;
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

    fn table(&mut self, code: &str) -> Result<usize, Left> {
        let limits = &self.options.limits;
        match self.tables.find(code) {
            Some(table) => Ok(table),
            None if code.len() > limits.identifier => Err(Left::Rejected(RowFault::Limit)),
            None if self.tables.tables.len() >= limits.types => {
                Err(Left::Ignored(RowIgnored::DeviceLimit))
            }
            None => Ok(self.tables.add(code)),
        }
    }

    /// The slot of a device, which gets one if it has none and there is room.
    fn slot(&mut self, table: usize, id: &str) -> Result<usize, Left> {
        if id.len() > self.options.limits.identifier {
            return Err(Left::Rejected(RowFault::Limit));
        }
        let may_add = self.devices < self.room;
        let table = self.tables.get_mut(table);
        let before = table.devices();
        let slot = table.slot(id, may_add);
        self.devices += table.devices() - before;
        slot.ok_or(Left::NoRoom)
    }

    /// Leaves out rows of a time that cannot be, before they take a slot.
    fn in_time(&mut self, heading: &Heading<'_>) -> Result<(), Left> {
        let example = || Example::of(heading);
        if heading.reported < self.options.limits.earliest {
            self.plan.early.get_or_insert_with(example);
            return Err(Left::Rejected(RowFault::Timestamp));
        }
        if heading.reported > self.latest {
            self.plan.future.get_or_insert_with(example);
            return Err(Left::Ignored(RowIgnored::Future));
        }
        Ok(())
    }

    /// Finds out whose row it is and whether it counts.
    fn row<'b>(
        &mut self,
        rows: &'b Rows,
        cells: &'b [Cell],
        meaning: Meaning<'b>,
        candidates: &mut Candidates<'b>,
    ) -> Result<(), Left> {
        let heading = heading(rows, meaning.schema, cells)?;
        self.in_time(&heading)?;
        let id = match meaning.subject {
            Subject::Device => heading.id,
            Subject::Allocation => {
                terminal_of(heading.id).ok_or(Left::Rejected(RowFault::DeviceId))?
            }
        };
        let slot = self.slot(meaning.table, id)?;
        let table = self.tables.get(meaning.table);
        let known = match meaning.subject {
            Subject::Device => self.newest_row(table, slot),
            Subject::Allocation => self.newest_allocation(table, slot),
        };
        let candidate = Candidate {
            table: meaning.table,
            slot,
            reported: heading.reported,
            schema: meaning.schema,
            cells,
        };
        let table = self.tables.get_mut(meaning.table);
        if candidates.offer(candidate, table, known) {
            Ok(())
        } else {
            Err(Left::Ignored(RowIgnored::Older))
        }
    }

    /// The timestamp that a device's next row must reach: none where the device is unknown or stale, so that a clock that was
    /// once in the future heals.
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

    /// Works out the whole new state of each device.
    fn devices(&mut self, rows: &Rows, candidates: &[Candidate<'_>]) {
        let lanes = candidates.first().map_or(0, |candidate| {
            let table = self.tables.get(candidate.table);
            table.gauges().all().len()
        });
        let numbers = (candidates.len() * lanes).min(rows.cells());
        self.plan.gauges.reserve(numbers);
        self.plan.devices.reserve_exact(candidates.len());
        let (mut numbers, mut texts, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in candidates {
            let table = self.tables.get_mut(candidate.table);
            table.adopt(candidate.schema);
            texts.clear();
            texts.resize(table.infos().all().len(), Seen::Absent);
            numbers.clear();
            numbers.resize(table.gauges().all().len(), f64::NAN);
            plain_numbers(table, candidate, &mut numbers, &mut rest);
            let row = DeviceRow {
                rows,
                schema: candidate.schema,
                table,
                slot: candidate.slot,
                options: self.options,
                interner: self.texts,
                alert_names: self.alert_names,
                numbers,
                texts,
                place: None,
                alerts: Vec::new(),
                is_tight: self.is_tight,
                plan: &mut self.plan,
            };
            (numbers, texts) = row.plan(candidate, &rest);
        }
        for table in &mut self.tables.tables {
            self.plan.churning.extend(table.churning());
        }
    }

    /// Works out the new allocation of each terminal.
    fn allocations(&mut self, rows: &Rows, candidates: &[Candidate<'_>]) {
        self.plan.allocations.reserve_exact(candidates.len());
        let mut content = AllocationContent::default();
        for candidate in candidates {
            content.addresses.iter_mut().for_each(Vec::clear);
            content.infos.clear();
            let most = self.most_bytes(candidate);
            self.allocation(rows, candidate, &mut content, most);
            let (block, slot) = self.tables.get(candidate.table).block(candidate.slot);
            let content = match block.allocation(slot) {
                Some(known) if *known.content == content => Arc::clone(&known.content),
                _ => Arc::new(content.clone()),
            };
            self.plan.allocations.push(PlannedAllocation {
                table: candidate.table,
                slot: candidate.slot,
                allocation: Arc::new(Allocation {
                    reported: candidate.reported,
                    seen: self.now,
                    content,
                }),
            });
        }
    }

    /// How many bytes the entries of a terminal's new allocation may take: as many as those that it has, where no others have room.
    fn most_bytes(&self, candidate: &Candidate<'_>) -> usize {
        if !self.is_tight {
            return usize::MAX;
        }
        let (block, slot) = self.tables.get(candidate.table).block(candidate.slot);
        let known = block.allocation(slot);
        known.map_or(0, |known| known.content.bytes())
    }

    /// Reads a row of an allocation, whose entries may take `most` bytes.
    fn allocation(
        &mut self,
        rows: &Rows,
        candidate: &Candidate<'_>,
        content: &mut AllocationContent,
        most: usize,
    ) {
        for (column, &cell) in candidate.schema.columns.iter().zip(candidate.cells) {
            match column {
                Column::Addresses(kind) => self.addresses(rows, cell, *kind, content, most),
                Column::Field(field) => match as_text(rows, cell) {
                    Ok(Some(text)) => {
                        if let Some(key) = &field.info {
                            let has_room = content.bytes().saturating_add(INFO_BYTES) <= most;
                            let text = has_room
                                .then(|| bounded(self.texts, &text, self.options.limits.text));
                            match text.unwrap_or(Err(CellFault::Limit)) {
                                Ok(text) => content.infos.push((Arc::clone(key), text)),
                                Err(fault) => self.plan.tally.reject_cell(fault),
                            }
                        }
                    }
                    Ok(None) => {}
                    Err(fault) => self.plan.tally.reject_cell(fault),
                },
                Column::Ignored | Column::Location(_) | Column::Alerts(_) => {}
            }
        }
    }

    /// The valid addresses of a cell; a bare string is a list of one.
    fn addresses(
        &mut self,
        rows: &Rows,
        cell: Cell,
        kind: AddressKind,
        content: &mut AllocationContent,
        most: usize,
    ) {
        let room = most.saturating_sub(content.bytes()) / ADDRESS_BYTES;
        let most = self.options.limits.addresses.min(room);
        let mut entry = |address: Option<Address>| {
            let added = address.map_or(Added::WrongFamily, |it| content.add(kind, it, most));
            match added {
                Added::Yes => {}
                Added::WrongFamily => self.plan.tally.reject_cell(CellFault::Address),
                Added::Full => self.plan.tally.reject_cell(CellFault::Limit),
            }
        };
        match cell {
            Cell::Absent => {}
            Cell::Text(text) => entry(Address::parse(rows.text(text))),
            Cell::List(list) => {
                for element in rows.elements(list) {
                    entry(Address::parse(rows.text(element.text)));
                }
            }
            Cell::Bool(_) | Cell::Integer(_) | Cell::Float(_) => entry(None),
            Cell::Unreadable(fault) => self.plan.tally.reject_cell(fault),
        }
    }
}

/// Takes the numbers of all fields that have had numbers before, which are most cells of most rows, to their lanes in
/// `numbers`. The columns of all other cells that mean anything are left in `rest`.
#[expect(clippy::cast_precision_loss, reason = "a gauge is an f64")]
fn plain_numbers(
    table: &Table,
    candidate: &Candidate<'_>,
    numbers: &mut [f64],
    rest: &mut Vec<usize>,
) {
    rest.clear();
    let columns = candidate.schema.columns.iter().zip(table.gauge_lanes());
    for (index, ((column, lane), &cell)) in columns.zip(candidate.cells).enumerate() {
        let number = match cell {
            Cell::Absent => continue,
            Cell::Integer(value) => Some(value as f64),
            Cell::Float(value) => Some(value),
            _ => None,
        };
        match (column, number, lane.and_then(|lane| numbers.get_mut(lane))) {
            (Column::Ignored, ..) => {}
            (Column::Field(_), Some(number), Some(place)) => *place = number,
            _ => rest.push(index),
        }
    }
}

/// What a row says about an info lane.
#[derive(Debug, Clone)]
enum Seen {
    /// Nothing.
    Absent,
    /// What stands there.
    Known,
    /// Something else.
    New(Text),
}

/// The row of one device, while its cells are judged.
struct DeviceRow<'a> {
    rows: &'a Rows,
    schema: &'a TypeSchema,
    table: &'a mut Table,
    slot: usize,
    options: &'a FleetOptions,
    interner: &'a mut Interner<Text>,
    alert_names: &'a mut Interner<Arc<str>>,
    plan: &'a mut Plan,
    /// By lane, NaN where absent.
    numbers: Vec<f64>,
    texts: Vec<Seen>,
    place: Option<Place>,
    alerts: Vec<Arc<str>>,
    /// Whether it gets no values in lanes that it has none in, and no more alerts than it has.
    is_tight: bool,
}

impl DeviceRow<'_> {
    /// Judges the cells that are left, and plans the device. Gives the lists of numbers and texts back, to be used again.
    fn plan(mut self, candidate: &Candidate<'_>, rest: &[usize]) -> (Vec<f64>, Vec<Seen>) {
        for &index in rest {
            let cell = candidate.cells[index];
            match &candidate.schema.columns[index] {
                Column::Field(field) => self.field(index, field, cell),
                Column::Location(field) => self.location(index, field, cell),
                Column::Alerts(_) => self.alerts(cell),
                Column::Ignored | Column::Addresses(_) => {}
            }
        }
        self.table.note_row();
        let changes = self.plan.changes.len();
        self.differences();
        let (lanes, gauges) = self.keep_numbers();
        self.plan.devices.push(PlannedDevice {
            table: counted(candidate.table),
            slot: counted(candidate.slot),
            reported: candidate.reported,
            lanes,
            gauges,
            changes: counted(self.plan.changes.len() - changes),
        });
        (self.numbers, self.texts)
    }

    /// Takes the numbers that there are into the plan, with their lanes, which are mostly those of the row before. Where the lanes
    /// begin, and how many there are.
    fn keep_numbers(&mut self) -> (u32, u32) {
        let (block, slot) = self.table.block(self.slot);
        let plan = &mut *self.plan;
        let begin = plan.lanes.len();
        for (lane, &number) in self.numbers.iter().enumerate() {
            if number.is_nan() {
                continue;
            }
            if self.is_tight && block.gauge(lane, slot).is_none() {
                plan.tally.reject_cell(CellFault::Limit);
                continue;
            }
            plan.lanes.push(counted(lane));
            plan.gauges.push(number);
        }
        let count = counted(plan.lanes.len() - begin);
        if let Some(last) = plan.devices.last() {
            let known = last.lanes as usize;
            let (before, these) = plan.lanes.split_at(begin);
            if before.get(known..known + these.len()) == Some(these) {
                plan.lanes.truncate(begin);
                return (last.lanes, count);
            }
        }
        (counted(begin), count)
    }

    fn field(&mut self, index: usize, field: &Field, cell: Cell) {
        // Most texts are what they were, and so neither numbers nor new.
        if let Cell::Text(text) = cell
            && let Some(lane) = self.table.known_info_lane(index)
            && self.known(lane) == Some(self.rows.text(text))
        {
            return self.text(lane, Seen::Known);
        }
        match judge(self.rows, cell, &mut self.plan.numbers) {
            Judged::Absent => {}
            Judged::Number(number) => self.gauge(index, field, number),
            Judged::Fault(fault) => self.plan.tally.reject_cell(fault),
            Judged::Text(text) => {
                if field.info.is_some()
                    && let Err(fault) = self.new_text(index, field, &text)
                {
                    self.plan.tally.reject_cell(fault);
                }
            }
        }
    }

    /// A text of a column that has had none yet, or another one.
    fn new_text(&mut self, index: usize, field: &Field, text: &str) -> Result<(), CellFault> {
        let limits = &self.options.limits;
        let lane = self.table.info_lane(index, field, limits.lanes);
        let lane = lane.ok_or(CellFault::Limit)?;
        let seen = match self.known(lane) == Some(text) {
            true => Seen::Known,
            false => Seen::New(bounded(self.interner, text, limits.text)?),
        };
        self.text(lane, seen);
        Ok(())
    }

    fn text(&mut self, lane: usize, seen: Seen) {
        if lane >= self.texts.len() {
            self.texts.resize(lane + 1, Seen::Absent);
        }
        self.texts[lane] = seen;
    }

    /// What the device's text in an info lane is so far.
    fn known(&self, lane: usize) -> Option<&str> {
        let (block, slot) = self.table.block(self.slot);
        block.info(lane, slot).map(|text| &**text)
    }

    fn gauge(&mut self, index: usize, field: &Field, number: f64) {
        if field.gauge.is_none() {
            return;
        }
        let lanes = self.options.limits.lanes;
        let Some(lane) = self.table.gauge_lane(index, field, lanes) else {
            return self.plan.tally.reject_cell(CellFault::Limit);
        };
        if lane >= self.numbers.len() {
            self.numbers.resize(lane + 1, f64::NAN);
        }
        self.numbers[lane] = number;
    }

    /// The place that an H3 index names; integers are gauges too, whether they name one or not.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is an f64; the place is computed from all bits"
    )]
    fn location(&mut self, index: usize, field: &Field, cell: Cell) {
        match cell {
            Cell::Absent => return,
            Cell::Unreadable(fault) => return self.plan.tally.reject_cell(fault),
            Cell::Integer(integer) => self.gauge(index, field, integer as f64),
            _ => {}
        }
        self.place = self.place(cell);
        if self.place.is_none() {
            self.plan.tally.reject_cell(CellFault::Location);
        }
    }

    /// Where the device is: the trigonometry is done only when it has moved to another cell.
    fn place(&self, cell: Cell) -> Option<Place> {
        let index = NonZeroU64::new(location::index(self.rows, cell)?)?;
        let (block, slot) = self.table.block(self.slot);
        match block.place(slot) {
            Some(known) if known.index == index => Some(*known),
            _ => location::centre(index.get()).map(|centre| Place { index, centre }),
        }
    }

    /// Collects the names of the active codes of one alert column.
    fn alerts(&mut self, cell: Cell) {
        let schema = self.schema;
        if !matches!(schema.kind, DeviceKind::Terminal | DeviceKind::Router) {
            return;
        }
        match cell {
            Cell::Absent => {}
            Cell::Integer(code) => self.alert(itoa::Buffer::new().format(code)),
            Cell::Text(code) => self.alert(self.rows.text(code)),
            Cell::List(list) => {
                for element in self.rows.elements(list) {
                    let code = self.rows.text(element.text);
                    match element.kind {
                        ElementKind::Text if code.is_empty() => {}
                        ElementKind::Integer | ElementKind::Text => self.alert(code),
                        _ => self.plan.tally.reject_cell(CellFault::Alert),
                    }
                }
            }
            Cell::Bool(_) | Cell::Float(_) => self.plan.tally.reject_cell(CellFault::Alert),
            Cell::Unreadable(fault) => self.plan.tally.reject_cell(fault),
        }
    }

    /// Adds the name of an active code.
    fn alert(&mut self, code: &str) {
        let limits = &self.options.limits;
        let is_bounded = code.len() <= limits.alert && self.alerts.len() < limits.alerts;
        let name = is_bounded.then(|| self.schema.alert(code));
        match name.and_then(|name| self.alert_names.intern(&name)) {
            Some(name) => self.alerts.push(name),
            None => self.plan.tally.reject_cell(CellFault::Limit),
        }
    }

    /// Plans what is other than it was: texts, the place, alerts. Most rows differ in numbers alone.
    fn differences(&mut self) {
        for (lane, seen) in self.texts.iter_mut().enumerate() {
            let (block, slot) = self.table.block(self.slot);
            let had_text = block.info(lane, slot).is_some();
            match std::mem::replace(seen, Seen::Absent) {
                Seen::Known => self.table.note_text(lane, false),
                Seen::New(_) if self.is_tight && !had_text => {
                    self.plan.tally.reject_cell(CellFault::Limit);
                }
                Seen::New(text) => {
                    self.plan.changes.push(Difference::Info(lane, Some(text)));
                    if had_text {
                        self.table.note_text(lane, true);
                    }
                }
                Seen::Absent if had_text => {
                    self.plan.changes.push(Difference::Info(lane, None));
                }
                Seen::Absent => {}
            }
        }
        let (block, slot) = self.table.block(self.slot);
        let changes = &mut self.plan.changes;
        if self.place.as_ref() != block.place(slot) {
            changes.push(Difference::Place(self.place));
        }
        self.alerts.sort_unstable();
        self.alerts.dedup();
        let known = block.alerts(slot).as_ref().map_or(&[][..], |names| names);
        if *self.alerts != *known {
            let mut names = std::mem::take(&mut self.alerts);
            if self.is_tight && names.len() > known.len() {
                // Those that are known go first.
                names.sort_by_key(|name| known.binary_search(name).is_err());
                for _ in names.drain(known.len()..) {
                    self.plan.tally.reject_cell(CellFault::Limit);
                }
                names.sort_unstable();
            }
            names.shrink_to_fit();
            let alerts: Alerts = (!names.is_empty()).then(|| Arc::new(names));
            changes.push(Difference::Alerts(alerts));
        }
    }
}

/// The one copy of a text that is not too long, if there is room for it.
fn bounded(texts: &mut Interner<Text>, text: &str, longest: usize) -> Result<Text, CellFault> {
    let text = (text.len() <= longest).then(|| texts.intern(text));
    text.flatten().ok_or(CellFault::Limit)
}

/// Why a row does not count.
#[derive(Clone, Copy)]
enum Left {
    Rejected(RowFault),
    Ignored(RowIgnored),
    /// There are as many devices as may be, and it is of another one.
    NoRoom,
}

/// A count as a plan keeps it: an answer has less than 2^32 bytes, so no more of anything.
fn counted(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn heading<'b>(rows: &'b Rows, schema: &TypeSchema, cells: &[Cell]) -> Result<Heading<'b>, Left> {
    let cell = |column: Option<usize>| column.and_then(|column| cells.get(column));
    let Some(&Cell::Text(id)) = cell(schema.identifier) else {
        return Err(Left::Rejected(RowFault::DeviceId));
    };
    let Some(&Cell::Integer(reported)) = cell(schema.timestamp) else {
        return Err(Left::Rejected(RowFault::Timestamp));
    };
    Ok(Heading {
        id: rows.text(id),
        reported,
    })
}

/// The terminal that an allocation's identifier names.
fn terminal_of(id: &str) -> Option<&str> {
    let terminal = id.strip_prefix("ip-").unwrap_or(id);
    (!terminal.is_empty()).then_some(terminal)
}

/// What a field's cell comes to.
enum Judged<'r> {
    Absent,
    Number(f64),
    Text(Cow<'r, str>),
    Fault(CellFault),
}

/// A number, a boolean, or a text that is a number: a number. Any other text: a text. A list is its joined elements.
#[expect(clippy::cast_precision_loss, reason = "a gauge is an f64")]
fn judge<'r>(rows: &'r Rows, cell: Cell, numbers: &mut LongNumbers) -> Judged<'r> {
    let text: Cow<'_, str> = match cell {
        Cell::Absent => return Judged::Absent,
        Cell::Bool(value) => return Judged::Number(f64::from(u8::from(value))),
        Cell::Integer(value) => return Judged::Number(value as f64),
        Cell::Float(value) => return Judged::Number(value),
        Cell::Unreadable(fault) => return Judged::Fault(fault),
        Cell::Text(text) => rows.text(text).into(),
        Cell::List(list) => match joined(rows, list) {
            Ok(text) => text.into(),
            Err(fault) => return Judged::Fault(fault),
        },
    };
    match values::decimal(&text, numbers) {
        Some(number) => Judged::Number(number),
        None if text.is_empty() => Judged::Absent,
        None => Judged::Text(text),
    }
}

/// The cell as a text, whatever it looks like.
fn as_text(rows: &Rows, cell: Cell) -> Result<Option<Cow<'_, str>>, CellFault> {
    Ok(Some(match cell {
        Cell::Absent => return Ok(None),
        Cell::Bool(value) => if value { "true" } else { "false" }.into(),
        Cell::Integer(value) => value.to_string().into(),
        Cell::Float(value) => value.to_string().into(),
        Cell::Unreadable(fault) => return Err(fault),
        Cell::Text(text) => rows.text(text).into(),
        Cell::List(list) => match joined(rows, list)? {
            text if text.is_empty() => return Ok(None),
            text => text.into(),
        },
    }))
}

/// The elements of a list with `;` between them.
fn joined(rows: &Rows, list: List) -> Result<String, CellFault> {
    let mut text = String::new();
    for (index, element) in rows.elements(list).iter().enumerate() {
        if element.kind == ElementKind::Unreadable {
            return Err(CellFault::Shape);
        }
        if index > 0 {
            text.push(';');
        }
        text.push_str(rows.text(element.text));
    }
    Ok(text)
}

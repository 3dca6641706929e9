//! What a batch will do to the fleet, worked out in full before anything is written.
//!
//! Everything that can fail (judging cells, interning texts, giving slots and lanes) happens here, and leaves nothing behind
//! that a scrape could see. So a panic needs no undo, and the same batch can be planned again. What is left to the commit
//! copies and stores values.

use std::collections::HashMap;
use std::sync::Arc;

use super::block::{Alerts, Allocation, Place};
use super::interner::Interner;
use super::moment::Moment;
use super::table::Table;
use super::tally::{RowFault, RowIgnored, Tally};
use super::{FleetOptions, Tables};
use crate::telemetry::batch::{ElementKind, List};
use crate::telemetry::schema::{Column, Field, TypeSchema};
use crate::telemetry::{Batch, Cell, CellFault, DeviceKind, Rows, ip, location, values};

/// What a batch will do.
#[derive(Debug, Default)]
pub struct Plan {
    /// What it counts.
    pub tally: Tally,
    pub(super) devices: Vec<PlannedDevice>,
    pub(super) allocations: Vec<PlannedAllocation>,
    pub(super) gauges: Vec<(usize, f64)>,
    pub(super) infos: Vec<(usize, Arc<str>)>,
}

/// The new state of one device. Its numbers and texts follow those of the device before it in the plan.
#[derive(Debug)]
pub(super) struct PlannedDevice {
    pub(super) table: usize,
    pub(super) slot: usize,
    pub(super) reported: i64,
    pub(super) gauges: usize,
    pub(super) infos: usize,
    pub(super) place: Option<Place>,
    pub(super) alerts: Alerts,
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

/// The rows that count, in the order of their devices' first appearance; one for each device.
#[derive(Default)]
struct Candidates<'b> {
    rows: Vec<Candidate<'b>>,
    by_slot: HashMap<(usize, usize), usize, hashbrown::DefaultHashBuilder>,
}

impl<'b> Candidates<'b> {
    /// Takes the row unless what is known of the device is newer. `known` is asked for the fleet's own knowledge: the
    /// timestamp that an older row must not replace.
    fn offer(&mut self, candidate: Candidate<'b>, known: impl FnOnce() -> Option<i64>) -> bool {
        let place = (candidate.table, candidate.slot);
        match self.by_slot.get(&place) {
            Some(&before) => {
                let newer = candidate.reported >= self.rows[before].reported;
                if newer {
                    self.rows[before] = candidate;
                }
                newer
            }
            None => {
                let newer = known().is_none_or(|reported| candidate.reported >= reported);
                if newer {
                    self.by_slot.insert(place, self.rows.len());
                    self.rows.push(candidate);
                }
                newer
            }
        }
    }
}

/// What a row is about.
struct Heading<'b> {
    id: &'b str,
    reported: i64,
}

pub(super) struct Planner<'f> {
    pub(super) options: &'f FleetOptions,
    pub(super) tables: &'f mut Tables,
    pub(super) texts: &'f mut Interner,
    pub(super) now: Moment,
    pub(super) plan: Plan,
}

impl Planner<'_> {
    pub(super) fn plan(mut self, batch: &Batch) -> Plan {
        self.plan
            .tally
            .reject_rows(RowFault::Shape, batch.rows.malformed());
        self.plan.tally.count_other_rows(batch.rows.malformed());
        let mut devices = Candidates::default();
        let mut allocations = Candidates::default();
        for cells in batch.rows.iter() {
            match self.row(batch, cells, &mut devices, &mut allocations) {
                Ok(()) => {}
                Err(Left::Rejected(fault)) => self.plan.tally.reject_rows(fault, 1),
                Err(Left::Ignored(reason)) => self.plan.tally.ignore_row(reason),
            }
        }
        for candidate in &devices.rows {
            self.device(&batch.rows, candidate);
        }
        for candidate in &allocations.rows {
            self.allocation(&batch.rows, candidate);
        }
        self.plan
    }

    /// Finds out whose row it is and whether it counts.
    fn row<'b>(
        &mut self,
        batch: &'b Batch,
        cells: &'b [Cell],
        devices: &mut Candidates<'b>,
        allocations: &mut Candidates<'b>,
    ) -> Result<(), Left> {
        let code = match cells.first() {
            Some(&Cell::Text(code)) => batch.rows.text(code),
            _ => {
                self.plan.tally.count_other_rows(1);
                return Err(Left::Rejected(RowFault::DeviceType));
            }
        };
        self.plan.tally.count_row(code);
        let kind = DeviceKind::of(code);
        if kind == DeviceKind::Router && !self.options.include_routers {
            return Err(Left::Ignored(RowIgnored::Router));
        }
        let schema = batch
            .schema
            .get(code)
            .ok_or(Left::Rejected(RowFault::NoColumns))?;
        let heading = heading(&batch.rows, schema, cells)?;
        let counts = if kind == DeviceKind::Allocation {
            let table = self.tables.find_or_add("u");
            let terminal = terminal_of(heading.id).ok_or(Left::Rejected(RowFault::DeviceId))?;
            let slot = self.tables.get_mut(table).slot(terminal);
            let known = || self.newest_allocation(self.tables.get(table), slot);
            allocations.offer(
                candidate(table, slot, heading.reported, schema, cells),
                known,
            )
        } else {
            let table = self.tables.find_or_add(code);
            let slot = self.tables.get_mut(table).slot(heading.id);
            let known = || self.newest_row(self.tables.get(table), slot);
            devices.offer(
                candidate(table, slot, heading.reported, schema, cells),
                known,
            )
        };
        if counts {
            Ok(())
        } else {
            Err(Left::Ignored(RowIgnored::Older))
        }
    }

    /// The timestamp that a device's next row must reach: none where the device is unknown or stale, so that a clock that was
    /// once in the future heals.
    fn newest_row(&self, table: &Table, slot: usize) -> Option<i64> {
        let (block, slot) = table.block(slot);
        let known = block.presence(slot) != super::block::Presence::Unknown;
        let fresh = block.age(slot, self.now) < self.options.retention.stale_after;
        (known && fresh).then(|| block.reported(slot))
    }

    fn newest_allocation(&self, table: &Table, slot: usize) -> Option<i64> {
        let (block, slot) = table.block(slot);
        let allocation = block.allocation(slot)?;
        let fresh = self.now.since(allocation.seen) < self.options.retention.stale_after;
        fresh.then_some(allocation.reported)
    }

    /// Works out the whole new state of a device.
    fn device(&mut self, rows: &Rows, candidate: &Candidate<'_>) {
        let (gauges, infos) = (self.plan.gauges.len(), self.plan.infos.len());
        let mut place = None;
        let mut alerts: Vec<Arc<str>> = Vec::new();
        let table = self.tables.get_mut(candidate.table);
        table.adopt(candidate.schema);
        let columns = candidate.schema.columns.iter().enumerate();
        for ((index, column), &cell) in columns.zip(candidate.cells) {
            match column {
                Column::Field(field) => self.field(rows, candidate, index, field, cell),
                Column::Location(field) if self.options.location => {
                    self.location_gauge(candidate, index, field, cell);
                    place = self.place(rows, candidate, cell);
                }
                Column::Alerts => self.alerts(rows, candidate.schema, cell, &mut alerts),
                Column::Ignored | Column::Location(_) | Column::Addresses(_) => {}
            }
        }
        let alerts = self.shared_alerts(candidate, alerts);
        self.plan.devices.push(PlannedDevice {
            table: candidate.table,
            slot: candidate.slot,
            reported: candidate.reported,
            gauges: self.plan.gauges.len() - gauges,
            infos: self.plan.infos.len() - infos,
            place,
            alerts,
        });
    }

    fn field(
        &mut self,
        rows: &Rows,
        candidate: &Candidate<'_>,
        index: usize,
        field: &Field,
        cell: Cell,
    ) {
        match judge(rows, cell) {
            Judged::Absent => {}
            Judged::Number(number) => self.gauge(candidate, index, field, number),
            Judged::Text(text) => {
                let table = self.tables.get_mut(candidate.table);
                if let Some(lane) = table.info_lane(index, field) {
                    let (block, slot) = table.block(candidate.slot);
                    let text = match block.info(lane, slot) {
                        Some(known) if **known == *text => Arc::clone(known),
                        _ => self.texts.intern(&text),
                    };
                    self.plan.infos.push((lane, text));
                }
            }
            Judged::Fault(fault) => self.plan.tally.reject_cell(fault),
        }
    }

    fn gauge(&mut self, candidate: &Candidate<'_>, index: usize, field: &Field, number: f64) {
        let table = self.tables.get_mut(candidate.table);
        if let Some(lane) = table.gauge_lane(index, field) {
            self.plan.gauges.push((lane, number));
        }
    }

    /// The H3 index as a gauge: integers only.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is an f64; the place is computed from all bits"
    )]
    fn location_gauge(
        &mut self,
        candidate: &Candidate<'_>,
        index: usize,
        field: &Field,
        cell: Cell,
    ) {
        match cell {
            Cell::Integer(integer) => self.gauge(candidate, index, field, integer as f64),
            Cell::Unreadable(fault) => self.plan.tally.reject_cell(fault),
            _ => {}
        }
    }

    /// Where the device is: the trigonometry is done only when it has moved to another cell.
    fn place(&self, rows: &Rows, candidate: &Candidate<'_>, cell: Cell) -> Option<Place> {
        let index = location::index(rows, cell)?;
        let (block, slot) = self.tables.get(candidate.table).block(candidate.slot);
        match block.place(slot) {
            Some(known) if known.index == index => Some(*known),
            _ => location::centre(index).map(|centre| Place { index, centre }),
        }
    }

    /// Collects the names of the active codes of one alert column.
    fn alerts(&mut self, rows: &Rows, schema: &TypeSchema, cell: Cell, names: &mut Vec<Arc<str>>) {
        if !matches!(schema.kind, DeviceKind::Terminal | DeviceKind::Router) {
            return;
        }
        match cell {
            Cell::Absent => {}
            Cell::Integer(code) => names.push(schema.alert(&code.to_string())),
            Cell::Text(code) => names.push(schema.alert(rows.text(code))),
            Cell::List(list) => {
                for element in rows.elements(list) {
                    let code = rows.text(element.text);
                    match element.kind {
                        ElementKind::Text if code.is_empty() => {}
                        ElementKind::Integer | ElementKind::Text => names.push(schema.alert(code)),
                        _ => self.plan.tally.reject_cell(CellFault::Alert),
                    }
                }
            }
            Cell::Bool(_) | Cell::Float(_) => self.plan.tally.reject_cell(CellFault::Alert),
            Cell::Unreadable(fault) => self.plan.tally.reject_cell(fault),
        }
    }

    /// Each name once; the list that the device has already, if it is the same.
    fn shared_alerts(&self, candidate: &Candidate<'_>, mut names: Vec<Arc<str>>) -> Alerts {
        if names.is_empty() {
            return None;
        }
        names.sort_unstable();
        names.dedup();
        let (block, slot) = self.tables.get(candidate.table).block(candidate.slot);
        match block.alerts(slot) {
            Some(known) if **known == *names => Some(Arc::clone(known)),
            _ => Some(names.into()),
        }
    }

    /// Works out the new allocation of a terminal.
    fn allocation(&mut self, rows: &Rows, candidate: &Candidate<'_>) {
        let mut addresses: [Box<[f64]>; 3] = Default::default();
        let mut infos = Vec::new();
        for (column, &cell) in candidate.schema.columns.iter().zip(candidate.cells) {
            match column {
                Column::Addresses(kind) => addresses[*kind as usize] = self.addresses(rows, cell),
                Column::Field(field) => match as_text(rows, cell) {
                    Ok(Some(text)) => {
                        let key = field.info.iter();
                        infos.extend(key.map(|key| (Arc::clone(key), self.texts.intern(&text))));
                    }
                    Ok(None) => {}
                    Err(fault) => self.plan.tally.reject_cell(fault),
                },
                Column::Ignored | Column::Location(_) | Column::Alerts => {}
            }
        }
        self.plan.allocations.push(PlannedAllocation {
            table: candidate.table,
            slot: candidate.slot,
            allocation: Arc::new(Allocation {
                reported: candidate.reported,
                seen: self.now,
                addresses,
                infos: infos.into(),
            }),
        });
    }

    /// The valid addresses of a cell, in its order; a bare string is a list of one.
    fn addresses(&mut self, rows: &Rows, cell: Cell) -> Box<[f64]> {
        let mut valid = Vec::new();
        let mut entry = |number: Option<f64>| match number {
            Some(number) => valid.push(number),
            None => self.plan.tally.reject_cell(CellFault::Address),
        };
        match cell {
            Cell::Absent => {}
            Cell::Text(text) => entry(ip::numeric(rows.text(text))),
            Cell::List(list) => {
                for element in rows.elements(list) {
                    entry(ip::numeric(rows.text(element.text)));
                }
            }
            Cell::Bool(_) | Cell::Integer(_) | Cell::Float(_) => entry(None),
            Cell::Unreadable(fault) => self.plan.tally.reject_cell(fault),
        }
        valid.into()
    }
}

/// Why a row does not count.
enum Left {
    Rejected(RowFault),
    Ignored(RowIgnored),
}

fn candidate<'b>(
    table: usize,
    slot: usize,
    reported: i64,
    schema: &'b Arc<TypeSchema>,
    cells: &'b [Cell],
) -> Candidate<'b> {
    Candidate {
        table,
        slot,
        reported,
        schema,
        cells,
    }
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
    Text(std::borrow::Cow<'r, str>),
    Fault(CellFault),
}

/// A number, a boolean, or a text that is a number: a number. Any other text: a text. A list is its joined elements.
#[expect(clippy::cast_precision_loss, reason = "a gauge is an f64")]
fn judge(rows: &Rows, cell: Cell) -> Judged<'_> {
    let text: std::borrow::Cow<'_, str> = match cell {
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
    match values::decimal(&text) {
        Some(number) => Judged::Number(number),
        None if text.is_empty() => Judged::Absent,
        None => Judged::Text(text),
    }
}

/// The cell as a text, whatever it looks like.
fn as_text(rows: &Rows, cell: Cell) -> Result<Option<String>, CellFault> {
    Ok(Some(match cell {
        Cell::Absent => return Ok(None),
        Cell::Bool(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Float(value) => value.to_string(),
        Cell::Unreadable(fault) => return Err(fault),
        Cell::Text(text) => rows.text(text).to_owned(),
        Cell::List(list) => match joined(rows, list)? {
            text if text.is_empty() => return Ok(None),
            text => text,
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

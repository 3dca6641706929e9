//! Plans the effect of a device's row: the complete new state, and which parts of it change.

use std::sync::Arc;

use super::super::device::{Alerts, Difference, Place};
use super::super::interner::{Interner, Text};
use super::super::options::FleetOptions;
use super::super::table::Table;
use super::{Candidate, Owner, Plan, PlannedDevice, Planner, bounded, counted};
use crate::telemetry::readings::{Alert, Judged, RawAlerts, RawPlace, RawText};
use crate::telemetry::schema::Field;
use crate::telemetry::{CellFault, Reading, Rows, location};

/// The text of a row in an info lane.
#[derive(Debug, Clone)]
enum Seen {
    /// None.
    Absent,
    /// The same text as before.
    Known,
    /// A different text.
    New(Text),
}

/// The values of a row. Reused for each row.
#[derive(Default)]
struct Scratch {
    /// By lane, NaN where absent.
    numbers: Vec<f64>,
    /// By lane.
    texts: Vec<Seen>,
    alerts: Vec<Arc<str>>,
    place: Option<Place>,
}

impl Scratch {
    fn begin(&mut self, table: &Table) {
        self.numbers.clear();
        self.numbers.resize(table.gauges().all().len(), f64::NAN);
        self.texts.clear();
        self.texts.resize(table.infos().all().len(), Seen::Absent);
        self.alerts.clear();
        self.place = None;
    }
}

impl Planner<'_> {
    /// Plans the complete new state of each device.
    pub(super) fn devices(&mut self, rows: &Rows, candidates: &[Candidate<'_>]) {
        let lanes = candidates.first().map_or(0, |candidate| {
            let table = self.tables.get(candidate.table);
            table.gauges().all().len()
        });
        let numbers = (candidates.len() * lanes).min(rows.cells());
        self.plan.gauges.reserve(numbers);
        self.plan.devices.reserve_exact(candidates.len());
        let mut scratch = Scratch::default();
        for candidate in candidates {
            if !self.plan.tables.contains(&candidate.table) {
                self.plan.tables.push(candidate.table);
            }
            let owner = self.owner(candidate.table, candidate.slot);
            let table = self.tables.get_mut(candidate.table);
            table.adopt(candidate.row.schema());
            scratch.begin(table);
            let device = DevicePlanner {
                table,
                slot: candidate.slot,
                options: self.options,
                texts: self.texts,
                alert_names: self.alert_names,
                scratch: &mut scratch,
                is_tight: self.is_tight,
                plan: &mut self.plan,
            };
            device.plan(candidate, owner);
        }
    }
}

/// Plans one device.
struct DevicePlanner<'a> {
    table: &'a mut Table,
    slot: usize,
    options: &'a FleetOptions,
    texts: &'a mut Interner<Text>,
    alert_names: &'a mut Interner<Arc<str>>,
    scratch: &'a mut Scratch,
    /// Whether memory for values is short. Then the device gets no values in further lanes, and not more alerts than it has.
    is_tight: bool,
    plan: &'a mut Plan,
}

impl DevicePlanner<'_> {
    fn plan(mut self, candidate: &Candidate<'_>, owner: Owner) {
        for (column, reading) in candidate.row.readings() {
            match reading {
                // The fast path: most cells are numbers of fields that had numbers before.
                Reading::Number(_, number)
                    if let Some(lane) = self.table.known_gauge_lane(column)
                        && let Some(place) = self.scratch.numbers.get_mut(lane) =>
                {
                    *place = number;
                }
                reading => self.read(column, reading),
            }
        }
        self.table.churn().note_row();
        let changes = self.plan.changes.len();
        self.differences();
        let (lanes, gauges) = self.keep_numbers();
        self.plan.devices.push(PlannedDevice {
            table: counted(candidate.table),
            slot: counted(candidate.slot),
            reported: candidate.reported,
            owner,
            lanes,
            gauges,
            changes: counted(self.plan.changes.len() - changes),
        });
    }

    fn read(&mut self, column: usize, reading: Reading<'_>) {
        let read = match reading {
            Reading::Number(field, number) => self.number(column, field, number),
            Reading::Text(field, raw) => self.text(column, field, raw),
            Reading::Place(field, place) => self.place(column, field, place),
            Reading::Alerts(alerts) => {
                self.alerts(alerts);
                Ok(())
            }
            Reading::Fault(fault) => Err(fault),
            // The columns of a device have no such readings.
            Reading::Info(..) | Reading::Addresses(..) => Ok(()),
        };
        self.plan.tally.cells.note(read);
    }

    fn number(&mut self, column: usize, field: &Field, number: f64) -> Result<(), CellFault> {
        if field.gauge.is_none() {
            return Ok(());
        }
        let lanes = self.options.limits.lanes;
        let lane = self.table.gauge_lane(column, field, lanes);
        let lane = lane.ok_or(CellFault::Limit)?;
        let numbers = &mut self.scratch.numbers;
        if lane >= numbers.len() {
            numbers.resize(lane + 1, f64::NAN);
        }
        numbers[lane] = number;
        Ok(())
    }

    fn text(&mut self, column: usize, field: &Field, raw: RawText<'_>) -> Result<(), CellFault> {
        // Most texts are unchanged, so they need not be parsed as numbers or interned.
        if let RawText::Plain(text) = raw
            && let Some(lane) = self.table.known_info_lane(column)
            && self.known(lane) == Some(text)
        {
            self.set_text(lane, Seen::Known);
            return Ok(());
        }
        match raw.judge(&mut self.plan.numbers)? {
            Judged::Absent => Ok(()),
            Judged::Number(number) => self.number(column, field, number),
            Judged::Text(text) if field.info.is_some() => self.new_text(column, field, &text),
            Judged::Text(_) => Ok(()),
        }
    }

    /// A text in a column that had none, or a different one.
    fn new_text(&mut self, column: usize, field: &Field, text: &str) -> Result<(), CellFault> {
        let limits = &self.options.limits;
        let lane = self.table.info_lane(column, field, limits.lanes);
        let lane = lane.ok_or(CellFault::Limit)?;
        let seen = match self.known(lane) == Some(text) {
            true => Seen::Known,
            false => Seen::New(bounded(self.texts, text, limits.text)?),
        };
        self.set_text(lane, seen);
        Ok(())
    }

    fn set_text(&mut self, lane: usize, seen: Seen) {
        let texts = &mut self.scratch.texts;
        if lane >= texts.len() {
            texts.resize(lane + 1, Seen::Absent);
        }
        texts[lane] = seen;
    }

    /// The known text of the device in an info lane.
    fn known(&self, lane: usize) -> Option<&str> {
        let (block, slot) = self.table.block(self.slot);
        block.info(lane, slot).map(|text| &**text)
    }

    /// The location. It is computed only if the device has moved to another cell, because that needs trigonometry.
    fn place(&mut self, column: usize, field: &Field, place: RawPlace) -> Result<(), CellFault> {
        if let Some(number) = place.number {
            let number = self.number(column, field, number);
            self.plan.tally.cells.note(number);
        }
        let (block, slot) = self.table.block(self.slot);
        self.scratch.place = match (place.index, block.place(slot)) {
            (Some(index), Some(known)) if known.index == index => Some(*known),
            (Some(index), _) => location::centre(index.get()).map(|centre| Place { index, centre }),
            (None, _) => None,
        };
        self.scratch.place.map(drop).ok_or(CellFault::Location)
    }

    /// Collects the names of the active codes of one alert column.
    fn alerts(&mut self, alerts: RawAlerts<'_>) {
        alerts.each(|alert| {
            let added = alert.and_then(|alert| self.alert(alert));
            self.plan.tally.cells.note(added);
        });
    }

    fn alert(&mut self, alert: Alert<'_>) -> Result<(), CellFault> {
        let limits = &self.options.limits;
        let names = &mut self.scratch.alerts;
        let is_bounded = alert.code.len() <= limits.alert && names.len() < limits.alerts;
        let name = is_bounded.then(|| alert.name());
        let name = name.and_then(|name| self.alert_names.intern(&name));
        names.push(name.ok_or(CellFault::Limit)?);
        Ok(())
    }

    /// Adds the numbers to the plan, with their lanes, unless these are the same as those of the previous row. Returns where the lanes
    /// begin, and their number.
    fn keep_numbers(&mut self) -> (u32, u32) {
        let (block, slot) = self.table.block(self.slot);
        let plan = &mut *self.plan;
        let begin = plan.lanes.len();
        for (lane, &number) in self.scratch.numbers.iter().enumerate() {
            if number.is_nan() {
                continue;
            }
            if self.is_tight && block.gauge(lane, slot).is_none() {
                plan.tally.cells.count(CellFault::Limit);
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

    /// Plans the changes of texts, location and alerts. Most rows differ only in numbers.
    fn differences(&mut self) {
        self.different_texts();
        let (block, slot) = self.table.block(self.slot);
        if self.scratch.place.as_ref() != block.place(slot) {
            let place = Difference::Place(self.scratch.place);
            self.plan.changes.push(place);
        }
        self.different_alerts();
    }

    fn different_texts(&mut self) {
        for (lane, seen) in self.scratch.texts.iter_mut().enumerate() {
            let (block, slot) = self.table.block(self.slot);
            let had_text = block.info(lane, slot).is_some();
            match std::mem::replace(seen, Seen::Absent) {
                Seen::Known => self.table.churn().note_text(lane, false),
                Seen::New(_) if self.is_tight && !had_text => {
                    self.plan.tally.cells.count(CellFault::Limit);
                }
                Seen::New(text) => {
                    self.plan.changes.push(Difference::Info(lane, Some(text)));
                    if had_text {
                        self.table.churn().note_text(lane, true);
                    }
                }
                Seen::Absent if had_text => {
                    self.plan.changes.push(Difference::Info(lane, None));
                }
                Seen::Absent => {}
            }
        }
    }

    fn different_alerts(&mut self) {
        let (block, slot) = self.table.block(self.slot);
        let names = &mut self.scratch.alerts;
        names.sort_unstable();
        names.dedup();
        let known = block.alerts(slot).as_ref().map_or(&[][..], |names| names);
        if **names == *known {
            return;
        }
        let mut names = std::mem::take(names);
        if self.is_tight && names.len() > known.len() {
            // Keeps the known ones.
            names.sort_by_key(|name| known.binary_search(name).is_err());
            for _ in names.drain(known.len()..) {
                self.plan.tally.cells.count(CellFault::Limit);
            }
            names.sort_unstable();
        }
        names.shrink_to_fit();
        let alerts: Alerts = (!names.is_empty()).then(|| Arc::new(names));
        self.plan.changes.push(Difference::Alerts(alerts));
    }
}

//! Plans the effect of a device's row: the complete new state, and which parts of it change.

use std::sync::Arc;

use super::super::device::{Alerts, DeviceLocation, Difference};
use super::super::interner::{Interner, Text};
use super::super::options::FleetOptions;
use super::super::table::Table;
use super::{Candidate, Owner, Plan, PlannedDevice, Planner, counted, intern_bounded};
use crate::telemetry::location::centre;
use crate::telemetry::readings::{Alert, Interpreted, RawAlerts, RawLocation, RawText};
use crate::telemetry::schema::Field;
use crate::telemetry::{CellFault, Reading, Rows};

/// The text of a row in an info lane, compared with the device's text before.
#[derive(Debug, Clone)]
enum LaneText {
    /// The row has no text.
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
    texts: Vec<LaneText>,
    alerts: Vec<Arc<str>>,
    location: Option<DeviceLocation>,
}

impl Scratch {
    fn reset(&mut self, table: &Table) {
        self.numbers.clear();
        self.numbers.resize(table.gauges().all().len(), f64::NAN);
        self.texts.clear();
        self.texts
            .resize(table.infos().all().len(), LaneText::Absent);
        self.alerts.clear();
        self.location = None;
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
            scratch.reset(table);
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
                        && let Some(value) = self.scratch.numbers.get_mut(lane) =>
                {
                    *value = number;
                }
                reading => self.read(column, reading),
            }
        }
        self.table.churn().note_row();
        let changes = self.plan.changes.len();
        self.add_differences();
        let (lanes, gauges) = self.add_numbers();
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

    /// Stores the value of a cell in the scratch, and counts the cell if it is left out.
    fn read(&mut self, column: usize, reading: Reading<'_>) {
        let read = match reading {
            Reading::Number(field, number) => self.number(column, field, number),
            Reading::Text(field, raw) => self.text(column, field, raw),
            Reading::Location(field, location) => self.location(column, field, location),
            Reading::Alerts(alerts) => {
                self.alerts(alerts);
                Ok(())
            }
            Reading::Fault(fault) => Err(fault),
            // The columns of a device have no such readings.
            Reading::Info(..) | Reading::Addresses(..) => Ok(()),
        };
        self.plan.tally.cells.count_error(read);
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
            && self.known_text(lane) == Some(text)
        {
            self.set_text(lane, LaneText::Known);
            return Ok(());
        }
        match raw.interpret(&mut self.plan.numbers)? {
            Interpreted::Absent => Ok(()),
            Interpreted::Number(number) => self.number(column, field, number),
            Interpreted::Text(text) if field.info.is_some() => self.new_text(column, field, &text),
            Interpreted::Text(_) => Ok(()),
        }
    }

    /// A text in a column that had none, or a different one.
    fn new_text(&mut self, column: usize, field: &Field, text: &str) -> Result<(), CellFault> {
        let limits = &self.options.limits;
        let lane = self.table.info_lane(column, field, limits.lanes);
        let lane = lane.ok_or(CellFault::Limit)?;
        let text = match self.known_text(lane) == Some(text) {
            true => LaneText::Known,
            false => LaneText::New(intern_bounded(self.texts, text, limits.text)?),
        };
        self.set_text(lane, text);
        Ok(())
    }

    fn set_text(&mut self, lane: usize, text: LaneText) {
        let texts = &mut self.scratch.texts;
        if lane >= texts.len() {
            texts.resize(lane + 1, LaneText::Absent);
        }
        texts[lane] = text;
    }

    /// The device's text before the row in an info lane.
    fn known_text(&self, lane: usize) -> Option<&str> {
        let (block, slot) = self.table.block(self.slot);
        block.info(lane, slot).map(|text| &**text)
    }

    /// The location. It is computed only if the device has moved to another cell, because that needs trigonometry.
    fn location(
        &mut self,
        column: usize,
        field: &Field,
        location: RawLocation,
    ) -> Result<(), CellFault> {
        if let Some(number) = location.number {
            let number = self.number(column, field, number);
            self.plan.tally.cells.count_error(number);
        }
        let (block, slot) = self.table.block(self.slot);
        self.scratch.location = match (location.index, block.location(slot)) {
            (Some(index), Some(known)) if known.index == index => Some(*known),
            (Some(index), _) => centre(index.get()).map(|centre| DeviceLocation { index, centre }),
            (None, _) => None,
        };
        self.scratch.location.map(drop).ok_or(CellFault::Location)
    }

    /// Collects the names of the active codes of one alert column.
    fn alerts(&mut self, alerts: RawAlerts<'_>) {
        alerts.each(|alert| {
            let added = alert.and_then(|alert| self.alert(alert));
            self.plan.tally.cells.count_error(added);
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
    fn add_numbers(&mut self) -> (u32, u32) {
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

    /// Adds the changes of texts, location and alerts to the plan. Most rows differ only in numbers.
    fn add_differences(&mut self) {
        self.add_different_texts();
        let (block, slot) = self.table.block(self.slot);
        if self.scratch.location.as_ref() != block.location(slot) {
            let location = Difference::Location(self.scratch.location);
            self.plan.changes.push(location);
        }
        self.add_different_alerts();
    }

    fn add_different_texts(&mut self) {
        for (lane, text) in self.scratch.texts.iter_mut().enumerate() {
            let (block, slot) = self.table.block(self.slot);
            let had_text = block.info(lane, slot).is_some();
            match std::mem::replace(text, LaneText::Absent) {
                LaneText::Known => self.table.churn().note_text(lane, false),
                LaneText::New(_) if self.is_tight && !had_text => {
                    self.plan.tally.cells.count(CellFault::Limit);
                }
                LaneText::New(text) => {
                    self.plan.changes.push(Difference::Info(lane, Some(text)));
                    if had_text {
                        self.table.churn().note_text(lane, true);
                    }
                }
                LaneText::Absent if had_text => {
                    self.plan.changes.push(Difference::Info(lane, None));
                }
                LaneText::Absent => {}
            }
        }
    }

    fn add_different_alerts(&mut self) {
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
            // No more alerts than before: those that were active before come first, and the rest is cut off.
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

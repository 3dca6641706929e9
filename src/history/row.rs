//! The samples of one row, before they are compared with those of the row before.

use std::borrow::Cow;
use std::sync::Arc;

use super::centres::Centres;
use super::columns::PreparedType;
use super::devices::Allocation;
use super::families::{Families, FamilyId, LAST_REPORT, LATITUDE, LONGITUDE};
use super::info::Info;
use super::slice::Sample;
use crate::fleet::Limits;
use crate::telemetry::readings::{Interpreted, RawAlerts, RawLocation, Row};
use crate::telemetry::values::LongNumbers;
use crate::telemetry::{AddressKind, Reading};

/// The samples and info fields of a row. Reused for each row.
#[derive(Debug, Default)]
pub(super) struct RowSamples<'b> {
    /// By family; each family occurs once.
    pub(super) samples: Vec<Sample>,
    /// By key; each key occurs once.
    texts: Vec<(Arc<str>, Cow<'b, str>)>,
    /// Parses texts that are numbers.
    numbers: LongNumbers,
}

/// What reading a row needs of its history.
pub(super) struct Tools<'h> {
    pub(super) families: &'h mut Families,
    pub(super) columns: &'h mut PreparedType,
    pub(super) centres: &'h mut Centres,
    pub(super) limits: &'h Limits,
}

impl<'b> RowSamples<'b> {
    /// Reads a row, with the allocation of its device. Cells that cannot be read have been counted where the batch was applied to the fleet.
    pub(super) fn read(&mut self, row: Row<'b>, allocation: Option<&Allocation>, tools: Tools<'_>) {
        self.samples.clear();
        self.texts.clear();
        let Tools {
            families,
            columns,
            centres,
            limits,
        } = tools;
        for (column, reading) in row.readings() {
            let Some(target) = columns.targets.get(column) else {
                continue;
            };
            match reading {
                Reading::Number(_, value) => self.push(target.gauge, Some(value)),
                Reading::Text(_, raw) => match raw.interpret(&mut self.numbers) {
                    Ok(Interpreted::Number(value)) => self.push(target.gauge, Some(value)),
                    Ok(Interpreted::Text(text)) if text.len() <= limits.text => {
                        if let Some(key) = &target.key {
                            self.texts.push((Arc::clone(key), text));
                        }
                    }
                    Ok(Interpreted::Absent | Interpreted::Text(_)) | Err(_) => {}
                },
                Reading::Location(_, location) => {
                    let gauge = target.gauge;
                    self.location(gauge, location, families, centres);
                }
                Reading::Alerts(alerts) => self.alerts(alerts, columns, families, limits),
                // The first two are cells of allocations.
                Reading::Info(..) | Reading::Addresses(..) | Reading::Fault(_) => {}
            }
        }
        if let Some(reported) = row.reported() {
            self.push(families.kept(LAST_REPORT), Some(seconds(reported)));
        }
        if let Some(allocation) = allocation {
            self.addresses(allocation, families);
        }
        // Columns are mostly in the order of their families, so this is fast.
        self.samples.sort_unstable_by_key(|sample| sample.family);
        // Alerts may be repeated.
        self.samples.dedup_by_key(|sample| sample.family);
        self.texts.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.texts.dedup_by(|(later, _), (first, _)| later == first);
    }

    /// The info fields of the row and, after them, those of the allocation whose keys the row does not have, by key.
    pub(super) fn infos<'a>(
        &'a self,
        allocation: Option<&'a Info>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a str)> {
        let own = self.texts.iter().map(|(key, value)| (key, &**value));
        let mut own = own.peekable();
        let others = allocation.into_iter().flat_map(Info::shared);
        let mut others = others.peekable();
        std::iter::from_fn(move || {
            let first = own.peek().map(|(key, _)| *key);
            let Some(first) = first else {
                return others.next();
            };
            if let Some(before) = others.next_if(|(key, _)| *key < first) {
                return Some(before);
            }
            others.next_if(|(key, _)| *key == first);
            own.next()
        })
    }

    fn push(&mut self, family: Option<FamilyId>, value: Option<f64>) {
        if let (Some(family), Some(value)) = (family, value) {
            self.samples.push(Sample { family, value });
        }
    }

    fn location(
        &mut self,
        gauge: Option<FamilyId>,
        location: RawLocation,
        families: &Families,
        centres: &mut Centres,
    ) {
        self.push(gauge, location.number);
        if let Some(centre) = location.index.and_then(|index| centres.get(index)) {
            self.push(families.kept(LATITUDE), Some(centre.latitude));
            self.push(families.kept(LONGITUDE), Some(centre.longitude));
        }
    }

    fn alerts(
        &mut self,
        alerts: RawAlerts<'_>,
        columns: &mut PreparedType,
        families: &mut Families,
        limits: &Limits,
    ) {
        let mut count = 0;
        alerts.each(|alert| {
            let alert = alert.ok().filter(|alert| alert.code.len() <= limits.alert);
            let Some(alert) = alert.filter(|_| count < limits.alerts) else {
                return;
            };
            count += 1;
            self.push(columns.alert(alert, families), Some(1.0));
        });
    }

    fn addresses(&mut self, allocation: &Allocation, families: &mut Families) {
        let mut numbers = allocation.numbers.iter().copied();
        for (kind, &count) in AddressKind::ALL.into_iter().zip(&allocation.counts) {
            for (nth, value) in numbers.by_ref().take(usize::from(count)).enumerate() {
                let family = families.address(kind, (count > 1).then_some(nth));
                self.push(family, Some(value));
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

//! The columns of a device type, prepared for a destination: the families and info keys of their values.

use std::collections::HashMap;
use std::sync::Arc;

use super::families::{Families, FamilyId, INFO};
use super::labels::DestinationLabels;
use crate::telemetry::bounds::{MOST_ALERT_NAMES, MOST_TYPES};
use crate::telemetry::catalogue::TelemetryFamily;
use crate::telemetry::readings::Alert;
use crate::telemetry::schema::{Column, Field, TypeSchema};

/// What the values of a column become. Both are `None` where the destination does not get the metric.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    /// The family of its numbers.
    pub(super) gauge: Option<FamilyId>,
    /// The info key of its texts.
    pub(super) key: Option<Arc<str>>,
}

/// The columns of a device type.
#[derive(Debug)]
pub(super) struct PreparedType {
    pub(super) schema: Arc<TypeSchema>,
    /// One entry for each column.
    pub(super) targets: Vec<Target>,
    /// The families of alerts, by code.
    alerts: HashMap<Box<str>, Option<FamilyId>>,
}

impl PreparedType {
    fn new(schema: &Arc<TypeSchema>, families: &mut Families, labels: &DestinationLabels) -> Self {
        let has_info = families.kept(INFO).is_some();
        let key = |field: &Field| {
            let key = field.info.as_ref().filter(|_| has_info);
            key.map(|key| labels.free_key(key))
        };
        let mut gauge = |field: &Field| {
            let (name, field) = (field.gauge.as_deref()?, &*field.name);
            families.intern(TelemetryFamily::Field { name, field })
        };
        let target = |column: &Column| match column {
            Column::Field(field) | Column::Location(field) => Target {
                gauge: gauge(field),
                key: key(field),
            },
            Column::Info(field) => Target {
                gauge: None,
                key: key(field),
            },
            Column::Ignored | Column::Alerts(_) | Column::Addresses(_) => Target::default(),
        };
        Self {
            targets: schema.columns.iter().map(target).collect(),
            schema: Arc::clone(schema),
            alerts: HashMap::new(),
        }
    }

    /// The family of an active alert.
    pub(super) fn alert(&mut self, alert: Alert<'_>, families: &mut Families) -> Option<FamilyId> {
        if let Some(known) = self.alerts.get(alert.code) {
            return *known;
        }
        let family = families.intern(TelemetryFamily::Alert(&alert.name()));
        if self.alerts.len() < MOST_ALERT_NAMES {
            self.alerts.insert(alert.code.into(), family);
        }
        family
    }
}

/// The types that occurred last.
#[derive(Debug, Default)]
pub(super) struct PreparedTypes(Vec<PreparedType>);

impl PreparedTypes {
    /// The index of a type's columns. Call [`PreparedTypes::begin`] before each batch; until then, the index stays valid.
    pub(super) fn find_or_add(
        &mut self,
        schema: &Arc<TypeSchema>,
        families: &mut Families,
        labels: &DestinationLabels,
    ) -> usize {
        // The list keeps the `Arc`s, so equal addresses are equal columns.
        let is_it = |known: &PreparedType| Arc::ptr_eq(&known.schema, schema);
        self.0.iter().rposition(is_it).unwrap_or_else(|| {
            self.0.push(PreparedType::new(schema, families, labels));
            self.0.len() - 1
        })
    }

    /// Forgets types, if there are too many.
    pub(super) fn begin(&mut self) {
        if self.0.len() > MOST_TYPES {
            self.0.clear();
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut PreparedType> {
        self.0.get_mut(index)
    }
}

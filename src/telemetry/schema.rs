//! What the columns of an answer mean: a plain value, computed by [`super::schema_cache`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalogue::AddressKind;
use super::values::sanitise;

/// The field that gives the location of a device.
pub const LOCATION_FIELD: &str = "H3CellId";

/// The field that identifies a device.
pub(super) const IDENTIFIER_FIELD: &str = "DeviceId";

/// The field with the time of a row.
pub const TIMESTAMP_FIELD: &str = "UtcTimestampNs";

/// What a device type is to the exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// `u`, a user terminal.
    Terminal,
    /// `r`, a router.
    Router,
    /// `i`, an IP allocation: merged into its terminal.
    Allocation,
    /// Any other type: exported, without alerts and `starlink_online`.
    Other,
}

/// The type code of user terminals.
pub const TERMINAL_CODE: &str = "u";

impl DeviceKind {
    /// The kind of a device type code.
    #[must_use]
    pub fn of(code: &str) -> Self {
        match code {
            TERMINAL_CODE => Self::Terminal,
            "r" => Self::Router,
            "i" => Self::Allocation,
            _ => Self::Other,
        }
    }
}

/// A field and the names of its metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The column's name, as Starlink spells it.
    pub name: Arc<str>,
    /// The family of its numbers, `starlink_<Field>`; `None` if another column or the exporter has that name.
    pub gauge: Option<Arc<str>>,
    /// The info key of its texts; `None` if another column or the exporter has that key.
    pub info: Option<Arc<str>>,
}

/// The meaning of a column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Column {
    /// The type code, the timestamp, the identifier, a name that is not a string, or a field that is filtered out.
    Ignored,
    /// An ordinary field.
    Field(Field),
    /// A field of an IP allocation: an info field of its terminal, even if its values are numbers.
    Info(Field),
    /// `H3CellId`.
    Location(Field),
    /// Active alert codes of a terminal or a router, in the column of this name.
    Alerts(&'static str),
    /// The addresses of an IP allocation.
    Addresses(AddressKind),
}

impl Column {
    /// The column's name, unless it is ignored.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Ignored => None,
            Self::Field(field) | Self::Info(field) | Self::Location(field) => Some(&field.name),
            Self::Alerts(name) => Some(name),
            Self::Addresses(kind) => Some(kind.field()),
        }
    }
}

/// The columns of one device type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct TypeSchema {
    /// The type code.
    pub code: Arc<str>,
    /// The kind of the type.
    pub kind: DeviceKind,
    /// The value of the label `device_type`; no other type of the answer has it.
    pub name: Arc<str>,
    /// One entry for each column.
    pub columns: Vec<Column>,
    /// The index of the column `DeviceId`.
    pub identifier: Option<usize>,
    /// The index of the column `UtcTimestampNs`.
    pub timestamp: Option<usize>,
    pub(super) alerts: Arc<AlertNames>,
}

impl TypeSchema {
    /// The name of an alert, fit for a metric's name: the one in the enum, or the code itself.
    #[must_use]
    pub fn alert(&self, code: &str) -> Arc<str> {
        match self.alerts.0.get(code) {
            Some(name) => Arc::clone(name),
            None => sanitise(code).into(),
        }
    }

    /// The names of the columns that are not ignored, with the identifier and the timestamp.
    pub(super) fn column_names(&self) -> impl Iterator<Item = &str> {
        let identifier = self.identifier.map(|_| IDENTIFIER_FIELD);
        let timestamp = self.timestamp.map(|_| TIMESTAMP_FIELD);
        let fields = self.columns.iter().filter_map(Column::name);
        identifier.into_iter().chain(timestamp).chain(fields)
    }
}

/// Names by alert code, fit for a metric's name. Names without a letter or digit are left out, because their code is more useful.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct AlertNames(BTreeMap<Box<str>, Arc<str>>);

impl AlertNames {
    pub(super) fn new(names: &BTreeMap<String, String>) -> Self {
        let is_useful = |name: &&String| name.contains(|c: char| c.is_ascii_alphanumeric());
        let names = names.iter().filter(|(_, name)| is_useful(name));
        let named = names.map(|(code, name)| (code.as_str().into(), sanitise(name).into()));
        Self(named.collect())
    }
}

/// The columns of all device types of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Schema {
    types: Vec<Arc<TypeSchema>>,
    terminal_name: Option<Arc<str>>,
}

impl Schema {
    pub(super) fn new(types: Vec<Arc<TypeSchema>>, terminal_name: Option<Arc<str>>) -> Self {
        Self {
            types,
            terminal_name,
        }
    }

    /// The value of the label `device_type` that the enum gives to terminals, also if the answer has no columns for them; `None` if it gives
    /// none.
    #[must_use]
    pub fn terminal_name(&self) -> Option<&Arc<str>> {
        self.terminal_name.as_ref()
    }

    /// The columns of a type, if the answer has them. Answers have a handful of types, found faster in a list than in a map.
    #[must_use]
    pub fn get(&self, code: &str) -> Option<&Arc<TypeSchema>> {
        self.types.iter().find(|schema| *schema.code == *code)
    }
}

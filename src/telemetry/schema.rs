//! What the columns of an answer mean, computed once for as long as they stay the same.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::decode::Metadata;
use super::values::{info_key, sanitise};

/// The metric name of an alert that is active begins with this.
pub const ALERT_PREFIX: &str = "starlink_alert_active_";

/// The metric names of IP allocations begin with these, by [`AddressKind`].
const ADDRESS_FAMILIES: [&str; 3] = [
    "starlink_Ipv4_numeric",
    "starlink_Ipv6Ue_numeric",
    "starlink_Ipv6Cpe_numeric",
];

/// The exporter's own families: a column that ends in one of these names is ignored.
const OWN_FAMILIES: [&str; 6] = [
    "starlink_info",
    "starlink_up",
    "starlink_online",
    "starlink_latitude",
    "starlink_longitude",
    "starlink_last_report_timestamp_seconds",
];

/// The field that locations are made from.
pub const LOCATION_FIELD: &str = "H3CellId";

/// The labels that every series has; no info field may take their place.
const OWN_INFO_KEYS: [&str; 2] = ["device_type", "deviceid"];

/// How many device types an answer may explain: columns and names of further ones are left out.
const MOST_TYPES: usize = 64;

/// How many columns a type may have: further ones are nobody's.
const MOST_COLUMNS: usize = 1024;

/// How many alert codes a type may have names for: further ones are their own names.
const MOST_ALERT_NAMES: usize = 4096;

/// The most bytes of a name: a longer one of a column is nobody's, of a type or an alert none.
const LONGEST_NAME: usize = 256;

/// What a device type is to the exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl DeviceKind {
    /// The kind that a device type code stands for.
    #[must_use]
    pub fn of(code: &str) -> Self {
        match code {
            "u" => Self::Terminal,
            "r" => Self::Router,
            "i" => Self::Allocation,
            _ => Self::Other,
        }
    }
}

/// The three address columns of an IP allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// `Ipv4`
    Ipv4,
    /// `Ipv6Ue`
    Ipv6Ue,
    /// `Ipv6Cpe`
    Ipv6Cpe,
}

impl AddressKind {
    /// All three, in the order of their families.
    pub const ALL: [Self; 3] = [Self::Ipv4, Self::Ipv6Ue, Self::Ipv6Cpe];

    /// The family of an allocation with one address; those of several append `_0`, `_1`, ….
    #[must_use]
    pub fn family(self) -> &'static str {
        ADDRESS_FAMILIES[self as usize]
    }
}

/// The names that a field's values go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The column's name, as Starlink spells it.
    pub name: Arc<str>,
    /// The family of its numbers, `starlink_<Field>`; `None` when another column or the exporter has that name.
    pub gauge: Option<Arc<str>>,
    /// The info key of its texts; `None` when another column or the exporter has that key.
    pub info: Option<Arc<str>>,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// The type code, the timestamp, the identifier, or a name that is no string.
    Ignored,
    /// A field like any other.
    Field(Field),
    /// `H3CellId`.
    Location(Field),
    /// Active alert codes.
    Alerts,
    /// The addresses of an IP allocation.
    Addresses(AddressKind),
}

/// The columns of one device type.
#[derive(Debug, PartialEq, Eq)]
pub struct TypeSchema {
    /// The type code.
    pub code: Arc<str>,
    /// What the code stands for.
    pub kind: DeviceKind,
    /// The value of the label `device_type`.
    pub name: Arc<str>,
    /// One entry for each column.
    pub columns: Vec<Column>,
    /// Which column is `DeviceId`.
    pub identifier: Option<usize>,
    /// Which column is `UtcTimestampNs`.
    pub timestamp: Option<usize>,
    /// Sanitised names by alert code.
    alerts: BTreeMap<String, Arc<str>>,
}

impl TypeSchema {
    /// The name of an alert, fit for a metric's name: what the enum says, or the code itself.
    #[must_use]
    pub fn alert(&self, code: &str) -> Arc<str> {
        match self.alerts.get(code) {
            Some(name) => Arc::clone(name),
            None => sanitise(code).into(),
        }
    }
}

/// The columns of all device types of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Schema {
    types: Vec<Arc<TypeSchema>>,
}

impl Schema {
    /// The columns of a type, if the answer has them. Answers have a handful of types, found faster in a list than in a map.
    #[must_use]
    pub fn get(&self, code: &str) -> Option<&Arc<TypeSchema>> {
        self.types.iter().find(|schema| *schema.code == *code)
    }
}

/// A column that is left out because its name is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The device type's code.
    pub device_type: Arc<str>,
    /// The column's name.
    pub column: Arc<str>,
    /// The metric name or info key that it ended in.
    pub name: String,
}

/// What [`SchemaCache::resolve`] found.
#[derive(Debug)]
pub struct Resolved {
    /// The schema that holds for the answer: the same `Arc` as before when nothing changed.
    pub schema: Arc<Schema>,
    /// The types whose columns are other than when they were last seen.
    pub changed: Vec<Arc<str>>,
    /// The columns that new column lists leave out.
    pub collisions: Vec<Collision>,
    /// How many names of columns, types and alerts are left out because they are too many or too long; 0 while nothing changed.
    pub left_out: usize,
}

/// The schemas seen last. Answers repeat their columns, so that what is derived from them is derived once.
#[derive(Debug, Default)]
pub struct SchemaCache {
    last: Option<(Metadata, Arc<Schema>)>,
    types: BTreeMap<String, LastSeen>,
    device_types: BTreeMap<String, String>,
    alerts: BTreeMap<String, BTreeMap<String, String>>,
}

/// How many column lists of a type are remembered as told about: answers may go back and forth between a few.
const TOLD_AT_MOST: usize = 16;

/// A type's columns when they were last seen, and what was made of them.
#[derive(Debug)]
struct LastSeen {
    columns: Vec<Option<String>>,
    schema: Arc<TypeSchema>,
    /// The column lists whose collisions were told, the latest first.
    told: VecDeque<Vec<Option<String>>>,
}

impl SchemaCache {
    /// The schema of an answer. Column lists are the answer's own; an enum that it lacks is the one seen last.
    pub fn resolve(&mut self, mut metadata: Metadata) -> Resolved {
        let left_out = bound(&mut metadata);
        if let Some((last, schema)) = &self.last
            && *last == metadata
        {
            return Resolved {
                schema: Arc::clone(schema),
                changed: Vec::new(),
                collisions: Vec::new(),
                left_out: 0,
            };
        }
        if let Some(names) = &metadata.device_types {
            self.device_types.clone_from(names);
        }
        let enums = metadata.alerts.iter();
        self.alerts
            .extend(enums.map(|(code, names)| (code.clone(), names.clone())));

        let mut changed = Vec::new();
        let mut collisions = Vec::new();
        let mut types = Vec::with_capacity(metadata.columns.len());
        for (code, columns) in &metadata.columns {
            let before = self.types.get(code);
            let same_columns = before.is_some_and(|before| before.columns == *columns);
            let (schema, left_out) = self.type_schema(code, columns);
            if !same_columns && before.is_some() {
                changed.push(Arc::clone(&schema.code));
            }
            let mut told = before.map_or_else(VecDeque::new, |before| before.told.clone());
            if !told.contains(columns) {
                collisions.extend(left_out);
                told.truncate(TOLD_AT_MOST - 1);
                told.push_front(columns.clone());
            }
            let schema = match before {
                Some(before) if *before.schema == schema => Arc::clone(&before.schema),
                _ => Arc::new(schema),
            };
            types.push(Arc::clone(&schema));
            let columns = columns.clone();
            self.types.insert(
                code.clone(),
                LastSeen {
                    columns,
                    schema,
                    told,
                },
            );
        }
        let schema = Arc::new(Schema { types });
        self.last = Some((metadata, Arc::clone(&schema)));
        self.forget_types();
        Resolved {
            schema,
            changed,
            collisions,
            left_out,
        }
    }

    /// Forgets what answers said about types that the last one does not explain, once that is too much.
    fn forget_types(&mut self) {
        if self.types.len() > MOST_TYPES {
            let last = self.last.as_ref().map(|(metadata, _)| &metadata.columns);
            self.types
                .retain(|code, _| last.is_some_and(|last| last.contains_key(code)));
        }
        if self.alerts.len() > MOST_TYPES {
            let types = &self.types;
            self.alerts.retain(|code, _| types.contains_key(code));
        }
    }

    fn type_schema(&self, code: &str, names: &[Option<String>]) -> (TypeSchema, Vec<Collision>) {
        let code: Arc<str> = code.into();
        let kind = DeviceKind::of(&code);
        let mut namer = Namer::new(&code);
        let columns: Vec<_> = names
            .iter()
            .map(|name| column(kind, name.as_deref(), &mut namer))
            .collect();
        let place = |wanted| {
            names
                .iter()
                .position(|name| name.as_deref() == Some(wanted))
        };
        let named = self
            .device_types
            .get(&*code)
            .filter(|name| !name.is_empty());
        let alerts = self.alerts.get(&*code).into_iter().flatten();
        let schema = TypeSchema {
            name: named.map_or_else(|| Arc::clone(&code), |name| name.as_str().into()),
            identifier: place("DeviceId"),
            timestamp: place("UtcTimestampNs"),
            alerts: alerts
                .map(|(code, name)| (code.clone(), sanitise(name).into()))
                .collect(),
            kind,
            columns,
            code,
        };
        (schema, namer.collisions)
    }
}

/// Leaves out what no honest answer has. How much.
fn bound(metadata: &mut Metadata) -> usize {
    let is_long = |name: &String| name.len() > LONGEST_NAME;
    let mut left_out = 0;
    bound_map(&mut metadata.columns, MOST_TYPES, &mut left_out);
    for columns in metadata.columns.values_mut() {
        left_out += columns.len().saturating_sub(MOST_COLUMNS);
        columns.truncate(MOST_COLUMNS);
        for column in columns {
            left_out += usize::from(column.take_if(|name| is_long(name)).is_some());
        }
    }
    if let Some(names) = &mut metadata.device_types {
        bound_map(names, MOST_TYPES, &mut left_out);
        names.retain(|_, name| !is_long(name));
    }
    bound_map(&mut metadata.alerts, MOST_TYPES, &mut left_out);
    for names in metadata.alerts.values_mut() {
        bound_map(names, MOST_ALERT_NAMES, &mut left_out);
        names.retain(|_, name| !is_long(name));
    }
    left_out
}

/// Leaves out long keys, and those behind the first `most`.
fn bound_map<V>(map: &mut BTreeMap<String, V>, most: usize, left_out: &mut usize) {
    let before = map.len();
    map.retain(|key, _| key.len() <= LONGEST_NAME);
    if map.len() > most {
        let mut kept = 0;
        map.retain(|_, _| {
            kept += 1;
            kept <= most
        });
    }
    *left_out += before - map.len();
}

fn column(kind: DeviceKind, name: Option<&str>, namer: &mut Namer) -> Column {
    let Some(name) = name else {
        return Column::Ignored;
    };
    match (name, kind) {
        ("DeviceType" | "UtcTimestampNs" | "DeviceId", _) => Column::Ignored,
        ("ActiveAlerts" | "ActiveAlert" | "Alerts" | "ActiveAlertIds", _) => Column::Alerts,
        ("Ipv4", DeviceKind::Allocation) => namer.addresses(name, AddressKind::Ipv4),
        ("Ipv6Ue", DeviceKind::Allocation) => namer.addresses(name, AddressKind::Ipv6Ue),
        ("Ipv6Cpe", DeviceKind::Allocation) => namer.addresses(name, AddressKind::Ipv6Cpe),
        (LOCATION_FIELD, _) => namer.location(name),
        _ => Column::Field(namer.field(name)),
    }
}

/// Gives names to the fields of one column list: each name once, the first column winning.
struct Namer {
    device_type: Arc<str>,
    families: HashSet<String>,
    keys: HashSet<String>,
    collisions: Vec<Collision>,
}

impl Namer {
    fn new(device_type: &Arc<str>) -> Self {
        Self {
            device_type: Arc::clone(device_type),
            families: HashSet::new(),
            keys: HashSet::new(),
            collisions: Vec::new(),
        }
    }

    fn field(&mut self, column: &str) -> Field {
        let name: Arc<str> = column.into();
        let family = format!("starlink_{}", sanitise(column));
        let key = info_key(column);
        let family_is_free = is_free_family(&family) && self.families.insert(family.clone());
        let key_is_free = is_free_key(&key) && self.keys.insert(key.clone());
        Field {
            gauge: self.granted(&name, family, family_is_free),
            info: self.granted(&name, key, key_is_free),
            name,
        }
    }

    /// The column that locations are made from. A second one ends in the same names and is a field without any.
    fn location(&mut self, column: &str) -> Column {
        let field = self.field(column);
        if field.gauge.is_some() {
            Column::Location(field)
        } else {
            Column::Field(field)
        }
    }

    /// A column of addresses, whose series have names of their own.
    fn addresses(&mut self, column: &str, kind: AddressKind) -> Column {
        let is_free = self.families.insert(kind.family().to_owned());
        match self.granted(&column.into(), kind.family().to_owned(), is_free) {
            Some(_) => Column::Addresses(kind),
            None => Column::Ignored,
        }
    }

    fn granted(&mut self, column: &Arc<str>, name: String, free: bool) -> Option<Arc<str>> {
        if free {
            return Some(name.into());
        }
        self.collisions.push(Collision {
            device_type: Arc::clone(&self.device_type),
            column: Arc::clone(column),
            name,
        });
        None
    }
}

/// Whether a field may have this family.
#[must_use]
pub fn is_free_family(family: &str) -> bool {
    family.starts_with("starlink_") && sanitise(family) == family && !is_own_family(family)
}

/// Whether a field may have this info key.
#[must_use]
pub fn is_free_key(key: &str) -> bool {
    info_key(key) == key && !OWN_INFO_KEYS.contains(&key)
}

/// Whether a family is one that the exporter writes by itself.
fn is_own_family(family: &str) -> bool {
    let is_address = |base: &&str| {
        family.strip_prefix(*base).is_some_and(|rest| {
            let number = rest.strip_prefix('_').unwrap_or_default();
            rest.is_empty() || (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    OWN_FAMILIES.contains(&family)
        || family.starts_with("starlink_exporter_")
        || family.starts_with(ALERT_PREFIX)
        || ADDRESS_FAMILIES.iter().any(is_address)
}

#[cfg(test)]
mod tests;

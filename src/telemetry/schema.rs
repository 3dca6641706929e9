//! The meaning of an answer's columns, computed once as long as the columns do not change.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use ring::digest;

use super::bounds::MOST_TYPES;
use super::catalogue::{AddressKind, field_family, is_free_key, is_reserved_family};
use super::decode::Metadata;
use super::device_types::DeviceTypes;
use super::fields::FieldFilter;
use super::values::{info_key, sanitise};

/// The field that locations are made from.
pub const LOCATION_FIELD: &str = "H3CellId";

/// The field that identifies a device, and the one with the time of its row.
const IDENTIFIER_FIELD: &str = "DeviceId";
const TIMESTAMP_FIELD: &str = "UtcTimestampNs";

/// The fields that have active alerts.
const ALERT_FIELDS: [&str; 4] = ["ActiveAlerts", "ActiveAlert", "Alerts", "ActiveAlertIds"];

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
    /// The type code, the timestamp, the identifier, a name that is no string, or a field that is left out.
    Ignored,
    /// A field like any other.
    Field(Field),
    /// A field of an IP allocation: an info field of its terminal, whatever its values look like.
    Info(Field),
    /// `H3CellId`.
    Location(Field),
    /// Active alert codes of a terminal or a router, in the column of this name.
    Alerts(&'static str),
    /// The addresses of an IP allocation.
    Addresses(AddressKind),
}

impl Column {
    /// The column's name, where something is made of it.
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
#[derive(Debug, PartialEq, Eq)]
pub struct TypeSchema {
    /// The type code.
    pub code: Arc<str>,
    /// What the code stands for.
    pub kind: DeviceKind,
    /// The value of the label `device_type`; no other type of the answer has it.
    pub name: Arc<str>,
    /// One entry for each column.
    pub columns: Vec<Column>,
    /// Which column is `DeviceId`.
    pub identifier: Option<usize>,
    /// Which column is `UtcTimestampNs`.
    pub timestamp: Option<usize>,
    alerts: Arc<AlertNames>,
}

/// Names by alert code, fit for a metric's name. Those without a letter or digit are left out: their code says more.
#[derive(Debug, Default, PartialEq, Eq)]
struct AlertNames(BTreeMap<Box<str>, Arc<str>>);

impl AlertNames {
    fn new(names: &BTreeMap<String, String>) -> Self {
        let says_something = |name: &&String| name.contains(|c: char| c.is_ascii_alphanumeric());
        let names = names.iter().filter(|(_, name)| says_something(name));
        let named = names.map(|(code, name)| (code.as_str().into(), sanitise(name).into()));
        Self(named.collect())
    }
}

impl TypeSchema {
    /// The name of an alert, fit for a metric's name: what the enum says, or the code itself.
    #[must_use]
    pub fn alert(&self, code: &str) -> Arc<str> {
        match self.alerts.0.get(code) {
            Some(name) => Arc::clone(name),
            None => sanitise(code).into(),
        }
    }
}

impl TypeSchema {
    /// The names of the columns that something is made of.
    fn column_names(&self) -> impl Iterator<Item = &str> {
        let identifier = self.identifier.map(|_| IDENTIFIER_FIELD);
        let timestamp = self.timestamp.map(|_| TIMESTAMP_FIELD);
        let fields = self.columns.iter().filter_map(Column::name);
        identifier.into_iter().chain(timestamp).chain(fields)
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

/// How many of the columns that are left out are named; the others are counted.
pub const MOST_NAMED: usize = 10;

/// The columns that new column lists leave out because their names are taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collisions {
    /// The first [`MOST_NAMED`] of them.
    pub named: Vec<Collision>,
    /// How many there are.
    pub count: usize,
}

impl Collisions {
    fn push(&mut self, collision: Collision) {
        if self.named.len() < MOST_NAMED {
            self.named.push(collision);
        }
        self.count += 1;
    }

    fn append(&mut self, others: Self) {
        let room = MOST_NAMED - self.named.len();
        self.named.extend(others.named.into_iter().take(room));
        self.count += others.count;
    }
}

/// How the columns of types differ from when these were last seen. Columns that nothing is made of are not compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The types.
    pub types: Vec<Arc<str>>,
    /// Columns that are new.
    pub added: Named,
    /// Columns that are gone.
    pub removed: Named,
}

/// Names of columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The first [`MOST_NAMED`] of them.
    pub names: Vec<Arc<str>>,
    /// How many there are.
    pub count: usize,
}

impl Named {
    /// Adds the columns of `all` that `others` lacks.
    fn add_missing(&mut self, all: &TypeSchema, others: &TypeSchema) {
        let known: HashSet<&str> = others.column_names().collect();
        for name in all.column_names().filter(|name| !known.contains(name)) {
            if self.names.len() < MOST_NAMED {
                self.names.push(name.into());
            }
            self.count += 1;
        }
    }
}

/// What [`SchemaCache::resolve`] found.
#[derive(Debug)]
pub struct Resolved {
    /// The schema that holds for the answer: the same `Arc` as before when nothing changed.
    pub schema: Arc<Schema>,
    /// How columns differ from when their types were last seen.
    pub changed: Changes,
    /// The columns that new column lists leave out.
    pub collisions: Collisions,
    /// How many names of columns, types and alerts are left out because they are too many or too long; 0 while nothing changed.
    pub left_out: usize,
}

/// The schemas seen last. Answers repeat their columns, so that what is derived from them is derived once. What was seen is
/// remembered by its digest: answers may have megabytes of names.
#[derive(Debug, Default)]
pub struct SchemaCache {
    fields: FieldFilter,
    last: Option<(Digest, Arc<Schema>)>,
    types: BTreeMap<Arc<str>, LastSeen>,
    device_types: BTreeMap<String, String>,
    alerts: BTreeMap<String, Arc<AlertNames>>,
}

/// How many column lists of a type are remembered as told about: answers may go back and forth between a few.
const TOLD_AT_MOST: usize = 16;

/// A type's columns when they were last seen, and what was made of them.
#[derive(Debug)]
struct LastSeen {
    columns: Digest,
    schema: Arc<TypeSchema>,
    /// The column lists whose collisions were told, the latest first.
    told: VecDeque<Digest>,
}

impl SchemaCache {
    /// A cache that has seen no answer, for schemas without the fields that the filter leaves out.
    #[must_use]
    pub fn new(fields: FieldFilter) -> Self {
        Self {
            fields,
            ..Self::default()
        }
    }

    /// The schema of an answer. Column lists are the answer's own; an enum that it lacks is the one seen last.
    pub fn resolve(&mut self, metadata: &Metadata) -> Resolved {
        let seen = digest_of(metadata);
        if let Some((last, schema)) = &self.last
            && *last == seen
        {
            return Resolved {
                schema: Arc::clone(schema),
                changed: Changes::default(),
                collisions: Collisions::default(),
                left_out: 0,
            };
        }
        self.take_names(metadata);
        let mut changed = Changes::default();
        let mut collisions = Collisions::default();
        let mut types = Vec::with_capacity(metadata.columns.len());
        let codes = metadata.columns.keys().map(String::as_str);
        let names = DeviceTypes::new(&self.device_types, codes);
        for (code, columns) in &metadata.columns {
            let list = digest_of_columns(columns);
            let (schema, left_out) = self.type_schema(code, columns, &names);
            let mut schema = Arc::new(schema);
            let mut told = VecDeque::new();
            if let Some(before) = self.types.remove(&**code) {
                if before.columns != list {
                    changed.types.push(Arc::clone(&schema.code));
                    changed.added.add_missing(&schema, &before.schema);
                    changed.removed.add_missing(&before.schema, &schema);
                }
                if *before.schema == *schema {
                    schema = before.schema;
                }
                told = before.told;
            }
            if !told.contains(&list) {
                collisions.append(left_out);
                told.truncate(TOLD_AT_MOST - 1);
                told.push_front(list);
            }
            let last_seen = LastSeen {
                columns: list,
                schema: Arc::clone(&schema),
                told,
            };
            self.types.insert(Arc::clone(&schema.code), last_seen);
            types.push(schema);
        }
        let schema = Arc::new(Schema { types });
        self.last = Some((seen, Arc::clone(&schema)));
        self.forget_types(metadata);
        Resolved {
            schema,
            changed,
            collisions,
            left_out: metadata.left_out,
        }
    }

    /// Takes the enums that an answer has.
    fn take_names(&mut self, metadata: &Metadata) {
        if let Some(names) = &metadata.device_types {
            self.device_types.clone_from(names);
        }
        for (code, names) in &metadata.alerts {
            let names = AlertNames::new(names);
            match self.alerts.get(code) {
                Some(known) if **known == names => {}
                _ => drop(self.alerts.insert(code.clone(), Arc::new(names))),
            }
        }
    }

    /// Forgets what answers said about types that the last one does not explain, once that is too much.
    fn forget_types(&mut self, last: &Metadata) {
        if self.types.len() > MOST_TYPES {
            self.types
                .retain(|code, _| last.columns.contains_key(&**code));
        }
        if self.alerts.len() > MOST_TYPES {
            let types = &self.types;
            self.alerts
                .retain(|code, _| types.contains_key(code.as_str()));
        }
    }

    fn type_schema(
        &self,
        code: &str,
        names: &[Option<String>],
        device_types: &DeviceTypes,
    ) -> (TypeSchema, Collisions) {
        let code: Arc<str> = code.into();
        let kind = DeviceKind::of(&code);
        let mut namer = Namer::new(&code);
        let columns: Vec<_> = names
            .iter()
            .map(|name| column(kind, name.as_deref(), &self.fields, &mut namer))
            .collect();
        let place = |wanted| {
            names
                .iter()
                .position(|name| name.as_deref() == Some(wanted))
        };
        let alerts = self.alerts.get(&*code).map(Arc::clone);
        let schema = TypeSchema {
            name: device_types.of(&code),
            identifier: place(IDENTIFIER_FIELD),
            timestamp: place(TIMESTAMP_FIELD),
            alerts: alerts.unwrap_or_default(),
            kind,
            columns,
            code,
        };
        (schema, namer.collisions)
    }
}

/// SHA-256, which no two texts share that anybody could find.
type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// Computes the digest of texts and numbers, each of which ends where it does.
struct Digester(digest::Context);

impl Digester {
    fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    fn number(&mut self, number: usize) {
        self.0.update(&(number as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text.as_bytes());
    }

    fn columns(&mut self, columns: &[Option<String>]) {
        self.number(columns.len());
        for column in columns {
            self.number(usize::from(column.is_some()));
            self.text(column.as_deref().unwrap_or_default());
        }
    }

    fn names(&mut self, names: &BTreeMap<String, String>) {
        self.number(names.len());
        for (code, name) in names {
            self.text(code);
            self.text(name);
        }
    }

    fn finish(self) -> Digest {
        let mut all = Digest::default();
        all.copy_from_slice(self.0.finish().as_ref());
        all
    }
}

fn digest_of_columns(columns: &[Option<String>]) -> Digest {
    let mut digester = Digester::new();
    digester.columns(columns);
    digester.finish()
}

fn digest_of(metadata: &Metadata) -> Digest {
    let mut digester = Digester::new();
    digester.number(metadata.columns.len());
    for (code, columns) in &metadata.columns {
        digester.text(code);
        digester.columns(columns);
    }
    digester.number(usize::from(metadata.device_types.is_some()));
    metadata
        .device_types
        .iter()
        .for_each(|names| digester.names(names));
    digester.number(metadata.alerts.len());
    for (code, names) in &metadata.alerts {
        digester.text(code);
        digester.names(names);
    }
    digester.number(metadata.left_out);
    digester.finish()
}

fn column(kind: DeviceKind, name: Option<&str>, fields: &FieldFilter, namer: &mut Namer) -> Column {
    let Some(name) = name else {
        return Column::Ignored;
    };
    if let Some(field) = ALERT_FIELDS.into_iter().find(|field| *field == name) {
        return match kind {
            DeviceKind::Terminal | DeviceKind::Router => Column::Alerts(field),
            DeviceKind::Allocation | DeviceKind::Other => Column::Ignored,
        };
    }
    match (name, kind) {
        ("DeviceType" | TIMESTAMP_FIELD | IDENTIFIER_FIELD, _) => Column::Ignored,
        _ if !fields.keeps(name) => Column::Ignored,
        ("Ipv4", DeviceKind::Allocation) => namer.addresses(name, AddressKind::Ipv4),
        ("Ipv6Ue", DeviceKind::Allocation) => namer.addresses(name, AddressKind::Ipv6Ue),
        ("Ipv6Cpe", DeviceKind::Allocation) => namer.addresses(name, AddressKind::Ipv6Cpe),
        (LOCATION_FIELD, DeviceKind::Allocation) => {
            // It gives nothing, and yet takes its names.
            namer.field(name);
            Column::Ignored
        }
        (LOCATION_FIELD, _) => namer.location(name),
        (_, DeviceKind::Allocation) => Column::Info(namer.field(name)),
        _ => Column::Field(namer.field(name)),
    }
}

/// Gives names to the fields of one column list: each name once, the first column winning.
struct Namer {
    device_type: Arc<str>,
    families: HashSet<String>,
    keys: HashSet<String>,
    collisions: Collisions,
}

impl Namer {
    fn new(device_type: &Arc<str>) -> Self {
        Self {
            device_type: Arc::clone(device_type),
            families: HashSet::new(),
            keys: HashSet::new(),
            collisions: Collisions::default(),
        }
    }

    fn field(&mut self, column: &str) -> Field {
        let name: Arc<str> = column.into();
        let family = field_family(column);
        let key = info_key(column);
        let family_is_free = !is_reserved_family(&family) && self.families.insert(family.clone());
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

#[cfg(test)]
mod tests;

//! Derives the meaning of a column list, and gives each field a name that no other column has.

use std::collections::HashSet;
use std::sync::Arc;

use super::catalogue::{AddressKind, field_family, is_free_key, is_reserved_family};
use super::fields::FieldFilter;
use super::schema::{Column, DeviceKind, Field, IDENTIFIER_FIELD, LOCATION_FIELD, TIMESTAMP_FIELD};
use super::values::info_key;

/// The fields that have active alerts.
const ALERT_FIELDS: [&str; 4] = ["ActiveAlerts", "ActiveAlert", "Alerts", "ActiveAlertIds"];

/// How many columns are listed by name; all are counted.
pub const MOST_NAMED: usize = 10;

/// A name of a column that is not used, because it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The device type's code.
    pub device_type: Arc<str>,
    /// The column's name.
    pub column: Arc<str>,
    /// The metric name or info key that the column would have.
    pub name: String,
}

/// The collisions in new column lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collisions {
    /// The first [`MOST_NAMED`] of them.
    pub named: Vec<Collision>,
    /// The number of all.
    pub count: usize,
}

impl Collisions {
    fn push(&mut self, collision: Collision) {
        if self.named.len() < MOST_NAMED {
            self.named.push(collision);
        }
        self.count += 1;
    }

    pub(super) fn append(&mut self, others: Self) {
        let room = MOST_NAMED - self.named.len();
        self.named.extend(others.named.into_iter().take(room));
        self.count += others.count;
    }
}

/// The meaning of each column of a type, and the collisions among them. A name that is not a string is `None`.
pub(super) fn interpret(
    code: &Arc<str>,
    names: &[Option<String>],
    fields: &FieldFilter,
) -> (Vec<Column>, Collisions) {
    let kind = DeviceKind::of(code);
    let mut namer = Namer::new(code);
    let columns = names.iter().map(|name| match name {
        Some(name) => column(kind, name, fields, &mut namer),
        None => Column::Ignored,
    });
    (columns.collect(), namer.collisions)
}

fn column(kind: DeviceKind, name: &str, fields: &FieldFilter, namer: &mut Namer) -> Column {
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
            // The column has no values in the output, but its names stay taken.
            namer.field(name);
            Column::Ignored
        }
        (LOCATION_FIELD, _) => namer.location(name),
        (_, DeviceKind::Allocation) => Column::Info(namer.field(name)),
        _ => Column::Field(namer.field(name)),
    }
}

/// Gives names to the fields of one column list. Of columns with the same name, the first gets it.
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

    /// The location column. A second one is an ordinary field, whose names are taken.
    fn location(&mut self, column: &str) -> Column {
        let field = self.field(column);
        if field.gauge.is_some() {
            Column::Location(field)
        } else {
            Column::Field(field)
        }
    }

    /// A column of addresses, whose families have fixed names.
    fn addresses(&mut self, column: &str, kind: AddressKind) -> Column {
        let is_free = self.families.insert(kind.family().to_owned());
        match self.granted(&column.into(), kind.family().to_owned(), is_free) {
            Some(_) => Column::Addresses(kind),
            None => Column::Ignored,
        }
    }

    /// The name if it is free; records a collision if not.
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

//! Computes the schemas of an account's answers, again only if their columns or names have changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::bounds::MOST_TYPES;
use super::column_changes::Changes;
use super::columns::{Collisions, interpret};
use super::device_types::DeviceTypes;
use super::digest::{self, Digest};
use super::fields::FieldFilter;
use super::metadata::Metadata;
use super::schema::{
    AlertNames, DeviceKind, IDENTIFIER_FIELD, Schema, TERMINAL_CODE, TIMESTAMP_FIELD, TypeSchema,
};
use super::shared_schemas::SharedSchemas;

/// The result of [`SchemaCache::resolve`].
#[derive(Debug)]
pub struct Resolved {
    /// The schema of the answer: the same `Arc` as before if nothing changed.
    pub schema: Arc<Schema>,
    /// How the columns of types differ from those in the last answer with these types.
    pub changed: Changes,
    /// The names that columns of new column lists do not get, because they are taken.
    pub collisions: Collisions,
    /// The number of names of columns, types and alerts that exceed the limits; 0 if nothing changed.
    pub left_out: usize,
}

impl Resolved {
    fn unchanged(schema: &Arc<Schema>) -> Self {
        Self {
            schema: Arc::clone(schema),
            changed: Changes::default(),
            collisions: Collisions::default(),
            left_out: 0,
        }
    }
}

/// The last schemas and names of an account. Answers repeat their columns, so they are recognised by a digest.
#[derive(Debug, Default)]
pub struct SchemaCache {
    shared: SharedSchemas,
    last: Option<(Digest, Arc<Schema>)>,
    types: BTreeMap<Arc<str>, LastSeen>,
    device_types: BTreeMap<String, String>,
    alerts: BTreeMap<String, Arc<AlertNames>>,
}

/// The collisions of a column list are reported once. This many lists of a type are remembered as reported, because answers may alternate
/// between a few.
const MOST_REPORTED: usize = 16;

/// The columns in the last answer with a type.
#[derive(Debug)]
struct LastSeen {
    columns: Digest,
    schema: Arc<TypeSchema>,
    /// The column lists whose collisions were reported, the latest first.
    reported: VecDeque<Digest>,
}

impl SchemaCache {
    /// A cache that shares its column lists with no other, without the fields that the filter leaves out.
    #[must_use]
    pub fn new(fields: FieldFilter) -> Self {
        Self::sharing(SharedSchemas::new(fields))
    }

    /// A cache that shares its column lists with other accounts.
    #[must_use]
    pub fn sharing(shared: SharedSchemas) -> Self {
        Self {
            shared,
            ..Self::default()
        }
    }

    /// The schema of an answer. Column lists are always the answer's own; an enum that the answer lacks is the last one seen.
    pub fn resolve(&mut self, metadata: &Metadata) -> Resolved {
        let seen = digest::of_metadata(metadata);
        if let Some((last, schema)) = &self.last
            && *last == seen
        {
            return Resolved::unchanged(schema);
        }
        self.update_names(metadata);
        let mut changed = Changes::default();
        let mut collisions = Collisions::default();
        let codes = metadata.columns.keys().map(String::as_str);
        let names = DeviceTypes::new(&self.device_types, codes);
        let types = metadata.columns.iter().map(|(code, columns)| {
            self.resolve_type(code, columns, &names, &mut changed, &mut collisions)
        });
        let types = types.collect();
        let schema = Arc::new(Schema::new(types, names.named(TERMINAL_CODE)));
        self.last = Some((seen, Arc::clone(&schema)));
        self.forget_types(metadata);
        Resolved {
            schema,
            changed,
            collisions,
            left_out: metadata.left_out,
        }
    }

    /// Remembers the enums of an answer.
    fn update_names(&mut self, metadata: &Metadata) {
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

    /// The schema of one type. Adds its changes since the last answer with this type, and its collisions if its column list is new.
    fn resolve_type(
        &mut self,
        code: &str,
        columns: &[Option<String>],
        device_types: &DeviceTypes,
        changed: &mut Changes,
        collisions: &mut Collisions,
    ) -> Arc<TypeSchema> {
        let list = digest::of_columns(columns);
        let (schema, found) = self.type_schema(code, columns, device_types);
        let schema = self.shared.share(schema);
        if let Some(alerts) = self.alerts.get_mut(code) {
            // Equal, and perhaps those of another account.
            alerts.clone_from(&schema.alerts);
        }
        let mut reported = VecDeque::new();
        if let Some(before) = self.types.remove(code) {
            if before.columns != list {
                changed.add(&before.schema, &schema);
            }
            reported = before.reported;
        }
        if !reported.contains(&list) {
            collisions.append(found);
            reported.truncate(MOST_REPORTED - 1);
            reported.push_front(list);
        }
        let last_seen = LastSeen {
            columns: list,
            schema: Arc::clone(&schema),
            reported,
        };
        self.types.insert(Arc::clone(&schema.code), last_seen);
        schema
    }

    fn type_schema(
        &self,
        code: &str,
        names: &[Option<String>],
        device_types: &DeviceTypes,
    ) -> (TypeSchema, Collisions) {
        let code: Arc<str> = code.into();
        let (columns, collisions) = interpret(&code, names, self.shared.fields());
        let index_of = |wanted| {
            let mut names = names.iter();
            names.position(|name| name.as_deref() == Some(wanted))
        };
        let alerts = self.alerts.get(&*code).map(Arc::clone);
        let schema = TypeSchema {
            name: device_types.of(&code),
            identifier: index_of(IDENTIFIER_FIELD),
            timestamp: index_of(TIMESTAMP_FIELD),
            alerts: alerts.unwrap_or_default(),
            kind: DeviceKind::of(&code),
            columns,
            code,
        };
        (schema, collisions)
    }

    /// Forgets types that the last answer does not have, if there are too many.
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
}

#[cfg(test)]
mod tests;

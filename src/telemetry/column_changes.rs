//! Compares the columns of a type with those that it had before.

use std::collections::HashSet;
use std::sync::Arc;

use super::columns::MOST_NAMED;
use super::schema::TypeSchema;

/// The types whose columns have changed since their last answer, and their differences. Ignored columns are not compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The codes of the types.
    pub types: Vec<Arc<str>>,
    /// New columns.
    pub added: Named,
    /// Columns that the last answer does not have.
    pub removed: Named,
}

impl Changes {
    /// Adds a type whose columns differ.
    pub(super) fn add(&mut self, before: &TypeSchema, now: &TypeSchema) {
        self.types.push(Arc::clone(&now.code));
        self.added.add_missing(now, before);
        self.removed.add_missing(before, now);
    }
}

/// Names of columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The first [`MOST_NAMED`] of them.
    pub names: Vec<Arc<str>>,
    /// The number of all.
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

//! Shares equal column lists among accounts, so that each is in memory once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::fields::FieldFilter;
use super::schema::TypeSchema;

/// The column lists that the caches of all accounts hold. Clones share them. Lists that no cache holds any more are freed.
#[derive(Debug, Clone, Default)]
pub struct SharedSchemas {
    fields: FieldFilter,
    hasher: RandomState,
    known: Arc<Mutex<Known>>,
}

impl SharedSchemas {
    /// For column lists without the fields that the filter leaves out.
    #[must_use]
    pub fn new(fields: FieldFilter) -> Self {
        Self {
            fields,
            ..Self::default()
        }
    }

    /// The filter.
    pub(super) fn fields(&self) -> &FieldFilter {
        &self.fields
    }

    /// The shared value that is equal to `schema`.
    pub(super) fn share(&self, schema: TypeSchema) -> Arc<TypeSchema> {
        let hash = self.hasher.hash_one(&schema);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.share(hash, schema)
    }
}

/// Entries of freed lists are searched only if there are at least this many entries.
const SWEEP_FROM: usize = 64;

/// The lists by hash.
#[derive(Debug)]
struct Known {
    by_hash: HashMap<u64, Weak<TypeSchema>>,
    /// The number of entries at which those of freed lists are removed.
    sweep_at: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            by_hash: HashMap::new(),
            sweep_at: SWEEP_FROM,
        }
    }
}

impl Known {
    fn share(&mut self, hash: u64, schema: TypeSchema) -> Arc<TypeSchema> {
        if let Some(known) = self.by_hash.get(&hash).and_then(Weak::upgrade) {
            // Of two different lists with the same hash, only the first is shared.
            return match *known == schema {
                true => known,
                false => Arc::new(schema),
            };
        }
        if self.by_hash.len() >= self.sweep_at {
            self.by_hash.retain(|_, known| known.strong_count() > 0);
            // Amortised: the next search is when the number of entries has doubled.
            self.sweep_at = SWEEP_FROM.max(2 * self.by_hash.len());
        }
        let schema = Arc::new(schema);
        self.by_hash.insert(hash, Arc::downgrade(&schema));
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Metadata, SchemaCache};

    fn resolve(cache: &mut SchemaCache, columns: &[&str]) -> Arc<TypeSchema> {
        let schema = cache
            .resolve(&Metadata::of_columns(&[("u", columns)]))
            .schema;
        Arc::clone(schema.get("u").unwrap())
    }

    #[test]
    fn equal_lists_of_two_accounts_are_one_value() {
        let shared = SharedSchemas::default();
        let [mut one, mut other] = [(); 2].map(|()| SchemaCache::sharing(shared.clone()));
        for columns in [&["A", "B"][..], &["A"], &["A", "B"]] {
            let schema = resolve(&mut one, columns);
            assert!(Arc::ptr_eq(&schema, &resolve(&mut other, columns)));
        }
        let (a, b) = (resolve(&mut one, &["A"]), resolve(&mut other, &["B"]));
        assert_ne!(a, b);
        let mut alone = SchemaCache::default();
        assert!(!Arc::ptr_eq(&a, &resolve(&mut alone, &["A"])));
    }

    #[test]
    fn freed_lists_do_not_accumulate() {
        let shared = SharedSchemas::default();
        let mut cache = SchemaCache::sharing(shared.clone());
        let mut kept = SchemaCache::sharing(shared.clone());
        let first = resolve(&mut kept, &["A"]);
        for number in 0..10 * SWEEP_FROM {
            let schema = Arc::downgrade(&resolve(&mut cache, &[&format!("N{number}")]));
            resolve(&mut cache, &["B"]);
            assert_eq!(schema.strong_count(), 0, "{number}");
        }
        let entries = shared.known.lock().unwrap().by_hash.len();
        assert!(entries <= SWEEP_FROM, "{entries}");
        assert!(Arc::ptr_eq(&first, &resolve(&mut cache, &["A"])));
    }

    #[test]
    fn different_lists_with_the_same_hash_stay_different() {
        let mut cache = SchemaCache::default();
        let [a, b] = ["A", "B"].map(|name| resolve(&mut cache, &[name]));
        let copy = |schema: &TypeSchema| TypeSchema {
            code: Arc::clone(&schema.code),
            name: Arc::clone(&schema.name),
            columns: schema.columns.clone(),
            alerts: Arc::clone(&schema.alerts),
            ..*schema
        };
        let mut known = Known::default();
        let first = known.share(1, copy(&a));
        assert_eq!(known.share(1, copy(&b)), b);
        assert!(Arc::ptr_eq(&first, &known.share(1, copy(&a))));
    }
}

//! Stores equal values once, as long as they are used.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Unused values are removed only if there are at least this many values.
const SWEEP_FROM: usize = 64;

/// Values that many devices share.
#[derive(Debug)]
pub(super) struct Interner<T> {
    values: HashTable<Arc<T>>,
    hasher: DefaultHashBuilder,
    /// The number of values at which the unused ones are removed.
    sweep_at: usize,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            sweep_at: SWEEP_FROM,
        }
    }
}

impl<T: Hash> Interner<T> {
    /// The shared value that is equal to `wanted`, which has the same hash; made from it if there is none.
    pub(super) fn intern<Q: Hash + ?Sized>(
        &mut self,
        wanted: &Q,
        is_equal: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let hash = self.hasher.hash_one(wanted);
        if let Some(known) = self.values.find(hash, |known| is_equal(known)) {
            return Arc::clone(known);
        }
        if self.values.len() >= self.sweep_at {
            // Amortised: the next search is when the number of values has doubled.
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = SWEEP_FROM.max(2 * self.values.len());
        }
        let value = Arc::new(make());
        let hasher = &self.hasher;
        let rehash = |value: &Arc<T>| hasher.hash_one(&**value);
        self.values.insert_unique(hash, Arc::clone(&value), rehash);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(interner: &mut Interner<Box<[u32]>>, wanted: &[u32]) -> Arc<Box<[u32]>> {
        interner.intern(wanted, |known| **known == *wanted, || wanted.into())
    }

    #[test]
    fn equal_values_are_shared_and_unused_ones_are_removed() {
        let mut interner = Interner::default();
        let kept = intern(&mut interner, &[1, 2]);
        for number in 0..10_000 {
            drop(intern(&mut interner, &[number]));
            assert!(interner.values.len() <= SWEEP_FROM, "{number}");
        }
        assert!(Arc::ptr_eq(&kept, &intern(&mut interner, &[1, 2])));
        assert_eq!(**kept, [1, 2]);
    }
}

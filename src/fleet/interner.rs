//! Stores each text once, as long as it is used, within a limit of memory.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

/// A shared text. It is half as large as an `Arc<str>`, which matters because a fleet may have millions of references.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Arc<Box<str>>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Arc::new(text.into()))
    }
}

/// A text with a reference count.
pub trait Shared: Clone + Eq + Hash + Borrow<str> + for<'t> From<&'t str> {
    /// The number of references.
    fn holders(&self) -> usize;
}

impl Shared for Text {
    fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl Shared for Arc<str> {
    fn holders(&self) -> usize {
        Self::strong_count(self)
    }
}

/// Unused texts are removed only if there are at least this many texts, or no room.
const SWEEP_FROM: usize = 1024;

/// The memory of a text in addition to its bytes: pointers, counters, and its entry in the table.
const OVERHEAD: usize = 64;

/// Stores texts that many devices have: software versions, country codes, account numbers.
#[derive(Debug)]
pub struct Interner<T> {
    texts: HashSet<T>,
    sweep_at: usize,
    bytes: usize,
    limit: usize,
    may_sweep: bool,
}

impl<T: Shared> Interner<T> {
    /// An interner with a limit of bytes for all texts.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            texts: HashSet::new(),
            sweep_at: SWEEP_FROM,
            bytes: 0,
            limit,
            may_sweep: true,
        }
    }

    /// Call it before each batch. If there is no room, unused texts are removed at most once in each batch.
    pub fn begin_batch(&mut self) {
        self.may_sweep = true;
    }

    /// The shared copy of a text; `None` if there is no room for a new one.
    pub fn intern(&mut self, text: &str) -> Option<T> {
        if let Some(known) = self.texts.get(text) {
            return Some(known.clone());
        }
        if self.texts.len() >= self.sweep_at {
            // Amortised: the next search is when the number of texts has doubled.
            self.sweep();
            self.sweep_at = SWEEP_FROM.max(self.texts.len() * 2);
        }
        if !self.has_room(text) && self.may_sweep {
            self.may_sweep = false;
            self.sweep();
        }
        if !self.has_room(text) {
            return None;
        }
        self.bytes += cost(text);
        let text = T::from(text);
        self.texts.insert(text.clone());
        Some(text)
    }

    /// The number of texts, including unused ones.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    fn has_room(&self, text: &str) -> bool {
        self.bytes + cost(text) <= self.limit
    }

    /// Removes unused texts, in time proportional to the number of all texts.
    fn sweep(&mut self) {
        self.texts.retain(|text| text.holders() > 1);
        self.bytes = self.texts.iter().map(|text| cost(text.borrow())).sum();
    }
}

fn cost(text: &str) -> usize {
    text.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_copy() {
        let mut interner: Interner<Text> = Interner::new(1000);
        let (one, two) = (interner.intern("a").unwrap(), interner.intern("a").unwrap());
        assert!(Arc::ptr_eq(&one.0, &two.0));
    }

    #[test]
    fn unused_texts_are_removed() {
        let mut interner: Interner<Text> = Interner::new(usize::MAX);
        let kept = interner.intern("kept").unwrap();
        for number in 0..100 * SWEEP_FROM {
            interner.intern(&number.to_string()).unwrap();
        }
        assert!(interner.len() <= SWEEP_FROM + 1);
        assert!(Arc::ptr_eq(&kept.0, &interner.intern("kept").unwrap().0));
    }

    #[test]
    fn the_memory_is_limited() {
        let mut interner: Interner<Arc<str>> = Interner::new(2 * OVERHEAD + 4);
        let one = interner.intern("aa");
        let two = interner.intern("bb");
        assert!(one.is_some() && two.is_some());
        assert_eq!(interner.intern("c"), None);
        assert_eq!(interner.intern("aa"), one, "a known text needs no room");
        drop(two);
        assert_eq!(
            interner.intern("c"),
            None,
            "unused texts are searched once in a batch"
        );
        interner.begin_batch();
        assert!(interner.intern("c").is_some());
    }
}

//! The identifiers of a block's devices, concatenated in one text and already escaped as label values.

use std::collections::BTreeMap;

use crate::text::escape::escape_label;
use crate::text::fnv;
use crate::text::padded::{PADDING, push_padded};

/// The position of a device's label value.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    start: usize,
    length: u32,
    /// The hash that determines the shard of the device.
    hash: u32,
}

/// The identifiers of a block's devices, by slot. A free slot has the empty identifier, which no device has.
#[derive(Debug, Clone)]
pub struct Labels {
    /// All label values, escaped, followed by padding.
    text: String,
    entries: Vec<Entry>,
    /// The few identifiers that differ from their escaped label values.
    unescaped: BTreeMap<usize, Box<str>>,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            text: " ".repeat(PADDING),
            entries: Vec::new(),
            unescaped: BTreeMap::new(),
        }
    }
}

impl Labels {
    /// How many slots there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no slots yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets the identifier of a slot, or of a new slot if `slot` is the length.
    pub fn set(&mut self, slot: usize, id: &str, hash: u32) {
        if slot == self.entries.len() {
            let end = self.text.len() - PADDING;
            self.entries.push(Entry {
                start: end,
                ..Entry::default()
            });
        }
        let escaped = escape_label(id);
        self.replace(slot, escaped.as_deref().unwrap_or(id));
        self.entries[slot].hash = hash;
        match escaped {
            Some(_) => self.unescaped.insert(slot, id.into()),
            None => self.unescaped.remove(&slot),
        };
    }

    /// Removes the identifier of a slot.
    pub fn clear(&mut self, slot: usize) {
        self.replace(slot, "");
        self.unescaped.remove(&slot);
    }

    /// Replaces the text of a slot, and moves those after it.
    fn replace(&mut self, slot: usize, text: &str) {
        let (start, length) = self.range_of(slot);
        self.text.replace_range(start..start + length, text);
        // An identifier is a part of an answer, which is shorter than 4 GiB.
        self.entries[slot].length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        for entry in &mut self.entries[slot + 1..] {
            entry.start = entry.start - length + text.len();
        }
    }

    /// An identifier in Starlink's spelling.
    #[must_use]
    pub fn id(&self, slot: usize) -> &str {
        if !self.unescaped.is_empty()
            && let Some(id) = self.unescaped.get(&slot)
        {
            return id;
        }
        self.escaped(slot)
    }

    /// An identifier, escaped as label value.
    #[must_use]
    pub fn escaped(&self, slot: usize) -> &str {
        let (start, length) = self.range_of(slot);
        &self.text[start..start + length]
    }

    /// Appends a label value.
    pub fn push(&self, slot: usize, out: &mut Vec<u8>) {
        let (start, length) = self.range_of(slot);
        let padded = length.next_multiple_of(PADDING);
        push_padded(out, &self.text.as_bytes()[start..start + padded], length);
    }

    /// The hash that determines the shard of a slot's device.
    #[must_use]
    pub fn hash(&self, slot: usize) -> u32 {
        self.entries[slot].hash
    }

    /// Where a label value begins in `text`, and its length, in bytes.
    fn range_of(&self, slot: usize) -> (usize, usize) {
        let entry = &self.entries[slot];
        (entry.start, entry.length as usize)
    }
}

/// The hash of an identifier for sharding: equal in every process and on every machine.
///
/// FNV-1a in 64 bits, folded to 32.
#[must_use]
pub fn stable_hash(code: &str, id: &str) -> u32 {
    let parts = [code.as_bytes(), &[0], id.as_bytes()];
    let hash = parts.into_iter().fold(fnv::EMPTY, fnv::append);
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    u32::from_le_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn labels_equal_those_that_were_set(
            changes in prop::collection::vec((0..8_usize, "[a-z\"\\\\é]{0,80}"), 0..40),
        ) {
            let mut labels = Labels::default();
            let mut model: Vec<String> = Vec::new();
            for (slot, id) in changes {
                let slot = slot.min(model.len());
                if slot == model.len() {
                    model.push(String::new());
                }
                if id.is_empty() && slot < labels.len() {
                    labels.clear(slot);
                } else {
                    labels.set(slot, &id, stable_hash("u", &id));
                }
                model[slot] = id;
            }
            prop_assert_eq!(labels.len(), model.len());
            for (slot, id) in model.iter().enumerate() {
                prop_assert_eq!(labels.id(slot), id);
                let escaped = escape_label(id);
                let escaped = escaped.as_ref().unwrap_or(id);
                prop_assert_eq!(labels.escaped(slot), escaped);
                let mut out = b"before ".to_vec();
                labels.push(slot, &mut out);
                prop_assert_eq!(out, format!("before {escaped}").into_bytes());
            }
        }
    }

    #[test]
    fn the_hash_of_a_device_never_changes() {
        // Changing these moves devices between shards.
        for (code, id, expected) in [
            ("u", "ut01000000-00000000-00aa0001", 54_065_145),
            ("r", "ut01000000-00000000-00aa0001", 4_068_365_342),
            ("u", "é", 1_057_664_838),
        ] {
            assert_eq!(stable_hash(code, id), expected, "{code} {id}");
        }
    }
}

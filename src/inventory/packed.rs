//! A sorted list of entries, each with some texts and some facts. All texts share one allocation, because a list may have a million
//! entries.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Entries with `N` texts and the facts `F`, sorted by the first text, which is the key: not empty, and unique.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Packed<F, const N: usize> {
    text: String,
    rows: Vec<Row<F, N>>,
}

/// Where the texts of an entry are, and its facts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row<F, const N: usize> {
    start: u32,
    lengths: [u16; N],
    /// Whether the last complete reading lacked the entry.
    is_missing: bool,
    facts: F,
}

/// An entry to be packed. An absent text is empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'t, F, const N: usize> {
    pub(super) texts: [&'t str; N],
    pub(super) facts: F,
    pub(super) is_missing: bool,
}

impl<'t, F, const N: usize> Entry<'t, F, N> {
    /// An entry of an answer.
    pub(super) fn new(texts: [&'t str; N], facts: F) -> Self {
        Self {
            texts,
            facts,
            is_missing: false,
        }
    }
}

impl<F, const N: usize> Default for Packed<F, N> {
    fn default() -> Self {
        Self {
            text: String::new(),
            rows: Vec::new(),
        }
    }
}

/// The facts of an entry.
pub(super) trait Facts: Copy {
    /// A total order. Of two entries with the same key and different facts, the greater one counts, so that the order of pages does not matter.
    fn order(&self, other: &Self) -> Ordering;
}

impl Facts for () {
    fn order(&self, (): &Self) -> Ordering {
        Ordering::Equal
    }
}

impl<F: Facts, const N: usize> Entry<'_, F, N> {
    /// The order of entries with the same key: by their facts, then by their texts, of which an absent one is the least.
    fn order(&self, other: &Self) -> Ordering {
        let by_facts = self.facts.order(&other.facts);
        by_facts.then_with(|| self.texts.cmp(&other.texts))
    }
}

impl<F: Facts, const N: usize> Packed<F, N> {
    /// A list of entries in any order. Of entries with the same key, the greatest counts ([`Facts::order`]); at most `most` entries are kept, in the order of
    /// their keys. Returns also the number of those that were left out. A text with more than 65,535 bytes is removed, and an entry with
    /// such a key too.
    pub(super) fn of<'t>(
        entries: impl IntoIterator<Item = Entry<'t, F, N>>,
        most: usize,
    ) -> (Self, usize) {
        let mut by_key: HashMap<&str, Entry<'t, F, N>> = HashMap::new();
        for entry in entries {
            let [key, ..] = entry.texts.as_slice() else {
                continue;
            };
            let is_greatest = |known: &Entry<'t, F, N>| known.order(&entry).is_lt();
            let is_key = !key.is_empty() && key.len() <= usize::from(u16::MAX);
            if is_key && by_key.get(key).is_none_or(is_greatest) {
                by_key.insert(key, entry);
            }
        }
        let mut entries: Vec<_> = by_key.into_values().collect();
        entries.sort_unstable_by(|one, other| one.texts[0].cmp(other.texts[0]));
        let all = entries.len();
        entries.truncate(most);
        let mut packed = Self::default();
        packed.rows.reserve_exact(entries.len());
        let lengths = entries.iter().flat_map(|entry| entry.texts);
        packed.text.reserve_exact(lengths.map(str::len).sum());
        for entry in &entries {
            packed.push(entry);
        }
        let left_out = all - packed.len();
        (packed, left_out)
    }

    /// The list after a complete reading, of which these are the pages. An entry that the pages lack is kept if the list before had it and
    /// the reading before that too. Returns also the number of entries that were left out, because there are more than `most`.
    pub(super) fn merged(before: Option<&Self>, pages: &[&Self], most: usize) -> (Self, usize) {
        let read = pages.iter().flat_map(|page| page.iter());
        let known: HashMap<&str, ()> = read.clone().map(|entry| (entry.texts[0], ())).collect();
        let before = before.into_iter().flat_map(Self::iter);
        let kept = before.filter(|entry| !entry.is_missing && !known.contains_key(entry.texts[0]));
        let kept = kept.map(|entry| Entry {
            is_missing: true,
            ..entry
        });
        let read = read.map(|entry| Entry {
            is_missing: false,
            ..entry
        });
        Self::of(read.chain(kept), most)
    }

    /// Adds an entry, if its position can be written with 32 bits.
    fn push(&mut self, entry: &Entry<'_, F, N>) {
        let Ok(start) = u32::try_from(self.text.len()) else {
            return;
        };
        let lengths = entry.texts.map(|text| {
            let length = u16::try_from(text.len()).unwrap_or_default();
            if length > 0 {
                self.text.push_str(text);
            }
            length
        });
        self.rows.push(Row {
            start,
            lengths,
            is_missing: entry.is_missing,
            facts: entry.facts,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The entry at a position.
    pub(super) fn get(&self, index: usize) -> Option<Entry<'_, F, N>> {
        let row = self.rows.get(index)?;
        let mut rest = self.text.get(row.start as usize..)?;
        let texts = row.lengths.map(|length| {
            let (text, after) = rest.split_at_checked(length.into()).unwrap_or_default();
            rest = after;
            text
        });
        Some(Entry {
            texts,
            facts: row.facts,
            is_missing: row.is_missing,
        })
    }

    /// The position of a key.
    pub(super) fn find(&self, key: &str) -> Option<usize> {
        let key_at = |row: &Row<F, N>| {
            let start = row.start as usize;
            let length = usize::from(row.lengths.first().copied().unwrap_or_default());
            self.text.get(start..start + length).unwrap_or_default()
        };
        self.rows.binary_search_by(|row| key_at(row).cmp(key)).ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_, F, N>> + Clone {
        (0..self.rows.len()).filter_map(|index| self.get(index))
    }

    /// The memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.rows.capacity() * size_of::<Row<F, N>>()
    }
}

impl<F: Facts + Serialize, const N: usize> Serialize for Packed<F, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = self.iter();
        serializer
            .collect_seq(entries.map(|entry| (entry.texts.to_vec(), entry.facts, entry.is_missing)))
    }
}

impl<'de, F: Facts + Deserialize<'de>, const N: usize> Deserialize<'de> for Packed<F, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<F, const N: usize>(std::marker::PhantomData<F>);

        impl<'de, F: Facts + Deserialize<'de>, const N: usize> Visitor<'de> for Entries<F, N> {
            type Value = Packed<F, N>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a list of entries with {N} texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut read: Vec<([String; N], F, bool)> = Vec::new();
                while let Some((texts, facts, is_missing)) =
                    entries.next_element::<(Vec<String>, F, bool)>()?
                {
                    let texts = texts
                        .try_into()
                        .map_err(|texts: Vec<String>| Error::invalid_length(texts.len(), &self))?;
                    read.push((texts, facts, is_missing));
                }
                let entries = read.iter().map(|(texts, facts, is_missing)| Entry {
                    texts: texts.each_ref().map(String::as_str),
                    facts: *facts,
                    is_missing: *is_missing,
                });
                Ok(Packed::of(entries, usize::MAX).0)
            }
        }

        deserializer.deserialize_seq(Entries(std::marker::PhantomData))
    }
}

//! The faults of the management API's lists, and where in a page they show.

use serde_json::{Value, json};

use super::Part;
use crate::simulator::answer::Answer;

/// A fault of the answers of a part. Several can be combined.
///
/// A *reading* begins with each request of page 0. Faults that depend on the reading repeat in the same order, so that a test
/// is reproducible. Other faults (statuses, garbage, delays, cut bodies) are an [`Answer`].
#[derive(Debug, Clone)]
pub enum Fault {
    /// A page is answered by something else.
    Page {
        /// The page, from 0.
        page: usize,
        /// How many times; `None`: always.
        times: Option<u32>,
        /// The answer. One without a body ([`Answer::ordinary`]) changes the ordinary page.
        answer: Box<Answer>,
    },
    /// The order changes between the requests of pages. In one of three readings the first entry of a page is missing and the
    /// last one of the page before it is doubled, in the next one it is the other way round, in the third there is no fault.
    /// No entry is missing from two readings in a row.
    UnstableOrder,
    /// The list changes after page 0. In four readings, in turn: the first entry is removed, so that the first one of page 1
    /// is missed; an entry is added before the first, so that the last one of page 0 is doubled; the later entries get
    /// another nickname; an entry is added at the end, with `-new` at the end of its ID. The next reading begins with the
    /// list as it was.
    Changes,
    /// `isLastPage` is left out.
    WithoutLastPage,
    /// `isLastPage` is false on all pages. Pages after the last one are empty.
    NeverLastPage,
    /// `isLastPage` is false on all pages. Pages after the last one have the entries of the last one.
    EndlessPages,
    /// Each page has wrong entries among the others: null, a text, a number, a list, an object without members, and one whose
    /// ID is a number.
    BadEntries,
}

/// Which entry is at each position of a list while it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The number of the reading, from 0.
    pub number: u64,
    pub page: usize,
    pub size: usize,
    /// The length of the list without faults.
    pub count: usize,
}

/// An entry of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// That of the list.
    Ordinary(usize),
    /// That of the list, with another nickname.
    Renamed(usize),
    /// A new one, made of that of the list.
    New(usize),
}

impl Reading {
    /// The entry at a position under [`Fault::Changes`]; `None` after the last one.
    pub(super) fn changed(&self, position: usize) -> Option<Entry> {
        let has_changed = self.page > 0;
        let ordinary = |index: usize| (index < self.count).then_some(Entry::Ordinary(index));
        match self.number % 4 {
            0 if has_changed => ordinary(position + 1),
            1 if has_changed => ordinary(position.checked_sub(1)?),
            2 if has_changed => (position < self.count).then_some(Entry::Renamed(position)),
            3 if has_changed && position == self.count => Some(Entry::New(0)),
            _ => ordinary(position),
        }
    }

    /// The position that is shown instead of a position under [`Fault::UnstableOrder`].
    pub(super) fn swapped(&self, position: usize) -> usize {
        let state = |boundary: usize| (self.number + boundary as u64) % 3;
        let is_first = (1..self.count).contains(&position) && position.is_multiple_of(self.size);
        let is_last = (position + 1).is_multiple_of(self.size) && position + 1 < self.count;
        if is_first && state(position / self.size) == 1 {
            position - 1
        } else if is_last && state((position + 1) / self.size) == 2 {
            position + 1
        } else {
            position
        }
    }
}

impl Entry {
    /// The text of the entry, made of the texts of the list.
    pub(super) fn text(self, part: Part, text_of: impl Fn(usize) -> String) -> String {
        let (index, member) = match self {
            Self::Ordinary(index) => return text_of(index),
            Self::Renamed(index) => (index, "nickname"),
            Self::New(index) => (index, part.key()),
        };
        let text = text_of(index);
        let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
            return text;
        };
        if let Some(member) = value.get_mut(member) {
            let old = member.as_str().unwrap_or_default();
            *member = json!(format!("{old}-new"));
        }
        value.to_string()
    }
}

/// The entries that [`Fault::BadEntries`] adds.
pub(super) fn bad_entries(part: Part) -> Vec<String> {
    let wrong_id = json!({part.key(): 7});
    ["null", "\"entry\"", "42", "[]", "{}"]
        .map(str::to_owned)
        .into_iter()
        .chain([wrong_id.to_string()])
        .collect()
}

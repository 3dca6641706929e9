//! The answers of a reading that is not complete, and the inventory that they make.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::inventory::{
    AccountInfo, AnswerError, Balance, Bounds, Inventory, Known, Lines, Page, Parsed, Part,
    Rejected, Terminals, Usages, check_reading,
};

/// The content of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// That of a part.
    Part(Parsed),
    /// The last values of terminals, which the store has taken, and those that cannot be read.
    LastValues(Rejected),
}

/// The end of a complete reading: its time, and the entries that were left out.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    /// When its last answer arrived, in seconds since 1970.
    pub(super) at: f64,
    /// Because they are invalid.
    pub(super) rejected: Rejected,
    /// Because there are more than `MAX_DEVICES`.
    pub(super) left_out: usize,
}

/// The least memory of the pages of a reading, and what each entry of `MAX_DEVICES` adds to it.
const LEAST_BYTES: usize = 64 * 1024 * 1024;
const BYTES_PER_ENTRY: usize = 1024;

/// What an answer adds to its reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Added {
    /// Whether it has an entry that the pages before it lack. True for what is no list.
    pub(super) has_new: bool,
    /// Whether the pages are as much as an inventory may have.
    pub(super) is_full: bool,
}

/// The pages of a list. Clones share them.
#[derive(Debug, Clone)]
struct Pages<T> {
    pages: Arc<Vec<T>>,
    /// The hashes of the keys.
    keys: Arc<HashSet<u64>>,
    /// The memory of the pages.
    bytes: usize,
    /// The entries that were left out because they are invalid.
    rejected: Rejected,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self {
            pages: Arc::default(),
            keys: Arc::default(),
            bytes: 0,
            rejected: Rejected::default(),
        }
    }
}

/// A page of a list, or a list.
trait List: Clone {
    /// The keys of the entries.
    fn keys(&self) -> impl Iterator<Item = &str>;
    /// The memory in bytes.
    fn bytes(&self) -> usize;
}

impl List for Terminals {
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|terminal| terminal.id)
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }
}

impl List for Lines {
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|line| line.number)
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }
}

impl List for Usages {
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|usage| usage.line)
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }
}

impl<T: List> Pages<T> {
    fn add(&mut self, page: Page<T>, hasher: &RandomState, bounds: &Bounds) -> Added {
        let before = self.keys.len();
        let keys = page.entries.keys().map(|key| hasher.hash_one(key));
        Arc::make_mut(&mut self.keys).extend(keys);
        self.bytes = self.bytes.saturating_add(page.entries.bytes());
        self.rejected.append(page.rejected);
        Arc::make_mut(&mut self.pages).push(page.entries);
        let of_entries = bounds.entries.saturating_mul(BYTES_PER_ENTRY);
        let most_bytes = of_entries.saturating_add(LEAST_BYTES);
        Added {
            has_new: self.keys.len() > before,
            is_full: self.keys.len() > bounds.entries || self.bytes > most_bytes,
        }
    }

    /// The number of valid entries, doubled ones included.
    fn len(&self) -> usize {
        self.pages.iter().map(|page| page.keys().count()).sum()
    }
}

/// The answers of the readings in progress. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    account: Option<AccountInfo>,
    terminals: Pages<Terminals>,
    lines: Pages<Lines>,
    usage: Pages<Usages>,
    balance: Option<Vec<Balance>>,
    /// When the last answer arrived, in seconds since 1970.
    at: f64,
    hasher: RandomState,
}

impl Answers {
    /// Adds an answer that arrived at this time in seconds since 1970.
    pub(super) fn add(&mut self, parsed: Parsed, at: f64, bounds: &Bounds) -> Added {
        self.at = at;
        let hasher = &self.hasher;
        match parsed {
            Parsed::Terminals(page) => return self.terminals.add(page, hasher, bounds),
            Parsed::Lines(page) => return self.lines.add(page, hasher, bounds),
            Parsed::Usage(page) => return self.usage.add(page, hasher, bounds),
            Parsed::Account(account) => self.account = Some(account),
            Parsed::Balance(balance) => self.balance = Some(balance),
        }
        Added {
            has_new: true,
            is_full: false,
        }
    }

    /// The entries of a part that were left out because they are invalid.
    fn rejected(&self, part: Part) -> Rejected {
        match part {
            Part::Terminals => self.terminals.rejected.clone(),
            Part::ServiceLines => self.lines.rejected.clone(),
            Part::DataUsage => self.usage.rejected.clone(),
            Part::Account | Part::Balance => Rejected::default(),
        }
    }

    /// The entries of a part that were left out, if this is the inventory that [`Answers::merge`] has made.
    pub(super) fn skipped(&self, part: Part, merged: &Inventory) -> Skipped {
        Skipped {
            at: self.at,
            rejected: self.rejected(part),
            left_out: merged.left_out(part),
        }
    }

    /// Drops the answers about a part.
    pub(super) fn drop_part(&mut self, part: Part) {
        match part {
            Part::Account => self.account = None,
            Part::Terminals => self.terminals = Pages::default(),
            Part::ServiceLines => self.lines = Pages::default(),
            Part::DataUsage => self.usage = Pages::default(),
            Part::Balance => self.balance = None,
        }
    }

    /// The inventory after a complete reading of a part. A value that has not changed is shared with the inventory before.
    ///
    /// # Errors
    /// All entries of the part are invalid.
    pub(super) fn merge(
        self,
        part: Part,
        before: Inventory,
        bounds: &Bounds,
    ) -> Result<Inventory, AnswerError> {
        check_reading(self.entries(part), &self.rejected(part))?;
        let at = self.at;
        let mut inventory = before;
        match part {
            Part::Account => {
                let value = self.account.unwrap_or_default();
                inventory.account = Some(known(inventory.account, value, at));
            }
            Part::Terminals => {
                let before = inventory.terminals;
                let value =
                    Terminals::merged(value(before.as_ref()), &self.terminals.pages, bounds);
                inventory.terminals = Some(known(before, value, at));
            }
            Part::ServiceLines => {
                let before = inventory.lines;
                let value = Lines::merged(value(before.as_ref()), &self.lines.pages, bounds);
                inventory.lines = Some(known(before, value, at));
            }
            Part::DataUsage => {
                let before = inventory.usage;
                let value = Usages::merged(value(before.as_ref()), &self.usage.pages, bounds);
                inventory.usage = Some(known(before, value, at));
            }
            Part::Balance => {
                let value = self.balance.unwrap_or_default();
                inventory.balance = Some(known(inventory.balance, value, at));
            }
        }
        Ok(inventory)
    }

    /// The number of valid entries of a list, doubled ones included.
    fn entries(&self, part: Part) -> usize {
        match part {
            Part::Terminals => self.terminals.len(),
            Part::ServiceLines => self.lines.len(),
            Part::DataUsage => self.usage.len(),
            Part::Account | Part::Balance => 0,
        }
    }
}

fn value<T>(known: Option<&Known<T>>) -> Option<&T> {
    known.map(|known| &*known.value)
}

/// The value with its time. If it equals the one before, it is shared.
fn known<T: PartialEq>(before: Option<Known<T>>, value: T, at: f64) -> Known<T> {
    let same = before.map(|before| before.value);
    let same = same.filter(|before| **before == value);
    Known {
        at,
        value: same.unwrap_or_else(|| Arc::new(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(first: usize, entries: usize) -> Parsed {
        let entry = |number| format!(r#"{{"userTerminalId":"{number}"}}"#);
        let entries: Vec<_> = (first..first + entries).map(entry).collect();
        let body = format!(r#"{{"content":{{"results":[{}]}}}}"#, entries.join(","));
        Parsed::parse(Part::Terminals, body.as_bytes(), 1.0, &Bounds::STANDARD).unwrap()
    }

    fn added(has_new: bool, is_full: bool) -> Added {
        Added { has_new, is_full }
    }

    #[test]
    fn a_reading_is_full_with_more_entries_than_an_inventory_may_have() {
        let bounds = Bounds {
            entries: 200,
            ..Bounds::STANDARD
        };
        let mut answers = Answers::default();
        for (first, expected) in [
            (0, added(true, false)),
            (0, added(false, false)),
            (100, added(true, false)),
            (100, added(false, false)),
            (101, added(true, true)),
        ] {
            assert_eq!(
                answers.add(page(first, 100), 1.0, &bounds),
                expected,
                "{first}"
            );
        }
        answers.drop_part(Part::Terminals);
        assert_eq!(answers.add(page(0, 100), 1.0, &bounds), added(true, false));
    }

    #[test]
    fn a_reading_is_full_with_more_memory_than_an_inventory_may_have() {
        let bounds = Bounds {
            entries: 1000,
            ..Bounds::STANDARD
        };
        let blocks = vec![r#"{"totalAmountGB":1}"#; 10_000].join(",");
        let pool = format!(r#"{{"dataPoolId":"pool","dataBlocks":[{blocks}]}}"#);
        let line =
            format!(r#"{{"serviceLineNumber":"line","servicePlan":{{"dataPoolUsage":{pool}}}}}"#);
        let body = format!(r#"{{"content":{{"results":[{line}]}}}}"#);
        let Ok(Parsed::Usage(page)) = Parsed::parse(Part::DataUsage, body.as_bytes(), 1.0, &bounds)
        else {
            panic!("not read");
        };
        let bytes = page.entries.clone().bytes();
        assert!(bytes > 500_000, "{bytes}");
        let most = (LEAST_BYTES + 1000 * BYTES_PER_ENTRY) / bytes;
        let mut answers = Answers::default();
        for number in 0..=most {
            let page = Page {
                entries: page.entries.clone(),
                is_last: false,
                rejected: Rejected::default(),
            };
            let is_full = answers.add(Parsed::Usage(page), 1.0, &bounds).is_full;
            assert_eq!(is_full, number == most, "{number} of {most}");
        }
    }
}

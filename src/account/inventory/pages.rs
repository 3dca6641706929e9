//! The answers of a reading that is not complete, and the inventory that they make.

use std::sync::Arc;

use crate::inventory::{
    AccountInfo, AnswerError, Balance, Bounds, Inventory, Known, Lines, Parsed, Part, Rejected,
    Terminals, Usages, check_reading,
};

/// The content of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// That of a part.
    Part(Parsed),
    /// The last values of terminals, which the store has taken, and those that cannot be read.
    LastValues(Rejected),
}

/// The entries of a complete reading that were left out.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    /// Because they are invalid.
    pub(super) rejected: Rejected,
    /// Because there are more than `MAX_DEVICES`.
    pub(super) left_out: usize,
}

/// The answers of the readings in progress. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    account: Option<AccountInfo>,
    terminals: Arc<Vec<Terminals>>,
    lines: Arc<Vec<Lines>>,
    usage: Arc<Vec<Usages>>,
    balance: Option<Vec<Balance>>,
    /// The entries of each part that were left out because they are invalid.
    rejected: [Rejected; Part::ALL.len()],
    /// When the last answer arrived, in seconds since 1970.
    at: f64,
}

impl Pages {
    /// Whether a page of a list has an entry that these pages lack. True for other answers.
    pub(super) fn lack(&self, parsed: &Parsed) -> bool {
        match parsed {
            Parsed::Terminals(page) => page.entries.adds_to(&self.terminals),
            Parsed::Lines(page) => page.entries.adds_to(&self.lines),
            Parsed::Usage(page) => page.entries.adds_to(&self.usage),
            Parsed::Account(_) | Parsed::Balance(_) => true,
        }
    }

    /// Adds an answer that arrived at this time in seconds since 1970.
    pub(super) fn add(&mut self, parsed: Parsed, at: f64) {
        self.at = at;
        match parsed {
            Parsed::Account(account) => self.account = Some(account),
            Parsed::Terminals(page) => {
                self.rejected[Part::Terminals as usize].append(page.rejected);
                Arc::make_mut(&mut self.terminals).push(page.entries);
            }
            Parsed::Lines(page) => {
                self.rejected[Part::ServiceLines as usize].append(page.rejected);
                Arc::make_mut(&mut self.lines).push(page.entries);
            }
            Parsed::Usage(page) => {
                self.rejected[Part::DataUsage as usize].append(page.rejected);
                Arc::make_mut(&mut self.usage).push(page.entries);
            }
            Parsed::Balance(balance) => self.balance = Some(balance),
        }
    }

    /// The entries of a part that were left out, if this is the inventory that [`Pages::merge`] has made.
    pub(super) fn skipped(&self, part: Part, merged: &Inventory) -> Skipped {
        Skipped {
            rejected: self.rejected[part as usize].clone(),
            left_out: merged.left_out(part),
        }
    }

    /// Drops the answers about a part.
    pub(super) fn drop_part(&mut self, part: Part) {
        self.rejected[part as usize] = Rejected::default();
        match part {
            Part::Account => self.account = None,
            Part::Terminals => self.terminals = Arc::default(),
            Part::ServiceLines => self.lines = Arc::default(),
            Part::DataUsage => self.usage = Arc::default(),
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
        check_reading(self.entries(part), &self.rejected[part as usize])?;
        let at = self.at;
        let mut inventory = before;
        match part {
            Part::Account => {
                let value = self.account.unwrap_or_default();
                inventory.account = Some(known(inventory.account, value, at));
            }
            Part::Terminals => {
                let before = inventory.terminals;
                let value = Terminals::merged(value(before.as_ref()), &self.terminals, bounds);
                inventory.terminals = Some(known(before, value, at));
            }
            Part::ServiceLines => {
                let before = inventory.lines;
                let value = Lines::merged(value(before.as_ref()), &self.lines, bounds);
                inventory.lines = Some(known(before, value, at));
            }
            Part::DataUsage => {
                let before = inventory.usage;
                let value = Usages::merged(value(before.as_ref()), &self.usage, bounds);
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
            Part::Terminals => self.terminals.iter().map(Terminals::len).sum(),
            Part::ServiceLines => self.lines.iter().map(Lines::len).sum(),
            Part::DataUsage => self.usage.iter().map(Usages::len).sum(),
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

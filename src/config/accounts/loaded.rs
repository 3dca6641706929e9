//! What an accounts file says, and which accounts follow from it if credential files of some entries cannot be used.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::config::account::Account;
use crate::config::accounts_error::AccountsFileErrors;
use crate::config::error::Warning;
use crate::text::Problems;

/// What a file says. It has at least one entry, and all settings of all entries are accepted, except for the contents of credential
/// files.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The accounts of the entries that can be used, in the order of the file.
    pub(super) accounts: Vec<Account>,
    /// The entries whose credential files cannot be used, in the order of the file.
    pub(super) unusable: Vec<UnusableEntry>,
    /// Values that are accepted, but are probably wrong.
    pub(super) warnings: Vec<Warning>,
}

/// An entry whose credential files cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnusableEntry {
    /// The name of the account.
    pub(super) name: Arc<str>,
    /// What is wrong, and on which lines of the accounts file. Not empty.
    pub(super) problems: Vec<(usize, String)>,
}

impl UnusableEntry {
    /// The first line with a problem.
    pub(super) fn line(&self) -> usize {
        self.problems.first().map_or(0, |(line, _)| *line)
    }

    /// All problems.
    pub(super) fn error(&self) -> String {
        let problems = self.problems.iter().map(|(_, what)| what.as_str());
        problems.collect::<Vec<_>>().join("; ")
    }
}

/// The accounts that are in use after a reload.
#[derive(Debug)]
pub(super) struct Resolved {
    /// At least one.
    pub(super) accounts: Vec<Account>,
    /// The entries that cannot be used, of accounts that continue with their previous settings.
    pub(super) kept: Vec<UnusableEntry>,
    /// The entries that cannot be used and have no account.
    pub(super) left_out: Vec<UnusableEntry>,
}

impl Loaded {
    /// The accounts and the warnings, if all entries can be used.
    ///
    /// # Errors
    /// What is wrong with the others. `path` is that of the file.
    pub(super) fn complete(
        self,
        path: &Path,
    ) -> Result<(Vec<Account>, Vec<Warning>), AccountsFileErrors> {
        match self.unusable.is_empty() {
            true => Ok((self.accounts, self.warnings)),
            false => Err(errors(self.unusable, path)),
        }
    }

    /// The accounts that follow the accounts `in_use`. An account whose new entry cannot be used continues with all its previous
    /// settings, unless another entry has its client ID now: half of an entry, such as a new client ID with the old secret, would not
    /// work.
    ///
    /// # Errors
    /// No account is left. `path` is that of the file.
    pub(super) fn resolve(
        self,
        in_use: &[Account],
        path: &Path,
    ) -> Result<Resolved, AccountsFileErrors> {
        let mut accounts = self.accounts;
        let identity = |account: &Account| account.client_id.identity();
        let taken: HashSet<String> = accounts.iter().map(identity).collect();
        let (mut kept, mut left_out) = (Vec::new(), Vec::new());
        for entry in self.unusable {
            let previous = in_use.iter().find(|account| account.name == entry.name);
            match previous.filter(|account| !taken.contains(&identity(account))) {
                Some(previous) => {
                    accounts.push(previous.clone());
                    kept.push(entry);
                }
                None => left_out.push(entry),
            }
        }
        if accounts.is_empty() {
            return Err(errors(left_out, path));
        }
        Ok(Resolved {
            accounts,
            kept,
            left_out,
        })
    }

    /// What is wrong with the first entry that cannot be used, and how many others there are.
    pub(super) fn obstacle(&self) -> Option<String> {
        let (first, others) = self.unusable.split_first()?;
        let (name, line, error) = (&first.name, first.line(), first.error());
        let others = match others.len() {
            0 => String::new(),
            others => format!("; {others} more accounts have such problems"),
        };
        Some(format!("account {name}, line {line}: {error}{others}"))
    }
}

fn errors(entries: Vec<UnusableEntry>, path: &Path) -> AccountsFileErrors {
    let mut problems = Problems::default();
    problems.add_all(entries.into_iter().flat_map(|entry| entry.problems));
    AccountsFileErrors::of(problems, path)
}

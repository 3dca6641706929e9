//! Reads an accounts file: its list, and the constraints between entries.

use std::collections::HashMap;
use std::collections::hash_map::Entry as HashEntry;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::defaults::Defaults;
use super::entry::{self, ACCOUNT_KEYS, Draft, Entry};
use super::loaded::{Loaded, UnusableEntry};
use crate::config::account::Account;
use crate::config::accounts_error::AccountsFileErrors;
use crate::files;
use crate::text::yaml::{Document, Node, Value};
use crate::text::{Problems, nearest};

const EXAMPLE: &str = "a list with a name, a client_id and a client_secret for each account";

/// The most accounts: each has threads of its own.
pub const MOST_ACCOUNTS: usize = 256;

/// Reads a file and the credential files that it names.
pub(super) fn load(
    path: &Path,
    defaults: &Defaults,
    files: &mut files::FileReader,
) -> Result<Loaded, AccountsFileErrors> {
    let bytes = files
        .read(path, files::SMALL)
        .map_err(|source| AccountsFileErrors::unreadable(path, source))?;
    let mut context = Context {
        directory: path.parent().unwrap_or(Path::new("")),
        defaults,
        files,
        problems: Problems::default(),
        warnings: Vec::new(),
        unusable: Vec::new(),
        unusable_files: Vec::new(),
    };
    let accounts = context.read(&bytes);
    let Context {
        mut problems,
        warnings,
        unusable,
        ..
    } = context;
    if !problems.is_empty() {
        // A file that is refused has all its problems reported.
        problems.add_all(unusable.into_iter().flat_map(|entry| entry.problems));
        return Err(AccountsFileErrors::of(problems, path));
    }
    Ok(Loaded {
        accounts,
        unusable,
        warnings,
    })
}

/// Reads the accounts, and collects everything that is wrong with them.
impl Context<'_> {
    fn read(&mut self, bytes: &[u8]) -> Vec<Account> {
        let expected = format!("accounts: and {EXAMPLE}");
        match self.problems.document(bytes, &expected) {
            Some(document) => self.accounts(&document),
            None => Vec::new(),
        }
    }

    fn accounts(&mut self, document: &Document) -> Vec<Account> {
        for (line, key) in &document.repeated {
            let what = match entry::is_known(key) {
                true => format!("{key} is repeated: leave one of them out"),
                false => "a key is repeated: leave one of them out".to_owned(),
            };
            self.problems.add(*line, what);
        }
        let Some(items) = self.items(&document.root) else {
            return Vec::new();
        };
        let mut first = First::default();
        let mut accounts = Vec::new();
        for item in items {
            let Some(entry) = self.entry(item) else {
                continue;
            };
            let draft = entry.draft(self);
            first.compare(&entry, &draft, &mut self.problems);
            let problems = std::mem::take(&mut self.unusable_files);
            match draft.name.clone() {
                Some(name) if !problems.is_empty() => {
                    self.unusable.push(UnusableEntry { name, problems });
                }
                _ => {
                    self.problems.add_all(problems);
                    accounts.extend(draft.complete());
                }
            }
        }
        accounts
    }

    /// The list of entries, if there is one.
    fn items<'n>(&mut self, root: &'n Node) -> Option<&'n [Node]> {
        let entries = match &root.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Text(_) | Value::List(_) => {
                let what = format!("expected the key accounts: give accounts: and {EXAMPLE}");
                self.problems.add(root.line, what);
                return None;
            }
        };
        let mut accounts = None;
        for (key, node) in entries {
            match key.as_str() {
                "accounts" => accounts = Some(node),
                _ => self.unknown(node.line, key, &["accounts"]),
            }
        }
        let line = accounts.map_or(root.line, |node| node.line);
        match accounts.map(|node| &node.value) {
            Some(Value::List(items)) if items.len() > MOST_ACCOUNTS => {
                let line = items[MOST_ACCOUNTS].line;
                let what = format!("too many accounts: give {MOST_ACCOUNTS} at most");
                self.problems.add(line, what);
                Some(&items[..MOST_ACCOUNTS])
            }
            Some(Value::List(items)) if !items.is_empty() => Some(items),
            Some(Value::Map(_) | Value::Text(_)) => {
                let what = format!("accounts is not a list: give {EXAMPLE}");
                self.problems.add(line, what);
                None
            }
            Some(Value::List(_) | Value::Null) | None => {
                let what = format!("there are no accounts: give accounts: and {EXAMPLE}");
                self.problems.add(line, what);
                None
            }
        }
    }

    /// The known keys of an item of the list; `None` if the item is not a mapping.
    fn entry<'n>(&mut self, item: &'n Node) -> Option<Entry<'n>> {
        let Value::Map(keys) = &item.value else {
            let list = ACCOUNT_KEYS.join(", ");
            let what = format!("this is no account: give keys with values: {list}");
            self.problems.add(item.line, what);
            return None;
        };
        let mut entry = Entry {
            line: item.line,
            texts: Vec::new(),
            refused: Vec::new(),
        };
        for (key, node) in keys {
            let Some(key) = ACCOUNT_KEYS.into_iter().find(|known| known == key) else {
                self.unknown(node.line, key, &ACCOUNT_KEYS);
                continue;
            };
            match &node.value {
                Value::Null => {}
                Value::Text(text) => entry.texts.push((key, node.line, text.as_str())),
                Value::Map(_) | Value::List(_) => {
                    let accepted = entry::accepted(key);
                    let what = format!("{key} is a list or a mapping: give {accepted}");
                    self.problems.add(node.line, what);
                    entry.refused.push(key);
                }
            }
        }
        Some(entry)
    }

    /// Adds a problem for an unknown key, which is not shown because it may be a secret.
    fn unknown(&mut self, line: usize, key: &str, known: &[&str]) {
        let advice = match nearest(key, known.iter().copied()) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("use {}", known.join(", ")),
        };
        self.problems.add(line, format!("unknown key: {advice}"));
    }
}

/// The lines on which each name and each client ID occurs first.
#[derive(Default)]
struct First {
    names: HashMap<Arc<str>, usize>,
    client_ids: HashMap<String, usize>,
}

impl First {
    /// Adds a problem if the name or the client ID of an entry occurred before.
    fn compare(&mut self, entry: &Entry<'_>, draft: &Draft, problems: &mut Problems) {
        if let Some(name) = &draft.name {
            let line = entry.line_of("name");
            if let Some(first) = first_line(&mut self.names, Arc::clone(name), line) {
                let what = format!(
                    "duplicate name (first on line {first}): give each account a name of its own"
                );
                problems.add(line, what);
            }
        }
        if let Some(client_id) = &draft.client_id {
            let line = match entry.text("client_id") {
                Some((line, _)) => line,
                None => entry.line_of("client_id_file"),
            };
            let identity = client_id.identity();
            if let Some(first) = first_line(&mut self.client_ids, identity, line) {
                let what = format!(
                    "duplicate client ID (first on line {first}): give each account a service account of its own"
                );
                problems.add(line, what);
            }
        }
    }
}

/// The line on which a value occurred before; `None` if `line` is the first.
fn first_line<K: Hash + Eq>(first: &mut HashMap<K, usize>, value: K, line: usize) -> Option<usize> {
    match first.entry(value) {
        HashEntry::Occupied(known) => Some(*known.get()),
        HashEntry::Vacant(new) => {
            new.insert(line);
            None
        }
    }
}

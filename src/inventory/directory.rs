//! The inventories of all accounts together, by the IDs that telemetry uses.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::terminals::{ROUTER_PREFIX, TERMINAL_PREFIX, without_prefix};
use super::{Inventory, Line, Lines, Router, Terminal, Usage, Usages};

/// The position of something that does not exist.
const NOWHERE: u32 = u32::MAX;

/// Whether a terminal is expected to report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activity {
    /// It has a service line, but those of its account are not known or too many, or Starlink has left out whether its line is active.
    #[default]
    Unknown,
    /// It has an active service line.
    Active,
    /// It has no service line, or one that is not active or not listed.
    Inactive,
}

/// The terminals and routers of all accounts, each once. Entries have numbers from 0.
#[derive(Debug, Default)]
pub struct Directory {
    /// Sorted by name.
    accounts: Vec<(Arc<str>, Arc<Inventory>)>,
    index: Arc<Index>,
}

/// Where the terminals, with their service lines, and the routers are. This depends on no other part of the inventories.
#[derive(Debug, Default)]
struct Index {
    terminals: Vec<TerminalAt>,
    terminals_by_id: HashTable<u32>,
    routers: Vec<RouterAt>,
    routers_by_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Where a terminal and its line are.
#[derive(Debug, Clone, Copy)]
struct TerminalAt {
    account: u16,
    activity: Activity,
    terminal: u32,
    line: u32,
}

/// Where a router is.
#[derive(Debug, Clone, Copy)]
struct RouterAt {
    account: u16,
    router: u32,
}

/// A terminal with what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct ListedTerminal<'d> {
    /// The name of the account that lists it.
    pub account: &'d Arc<str>,
    /// The terminal.
    pub terminal: Terminal<'d>,
    /// Its service line, if that is known.
    pub line: Option<Line<'d>>,
    /// The use of the service lines of its account, if that is known.
    usages: Option<&'d Usages>,
    /// Whether it is expected to report.
    pub activity: Activity,
}

impl<'d> ListedTerminal<'d> {
    /// Its name: the nickname of the terminal, else that of its service line, else the tail number of the aircraft.
    #[must_use]
    pub fn name(&self) -> Option<&'d str> {
        let of_line = |text: fn(Line<'d>) -> Option<&'d str>| self.line.and_then(text);
        let names = [
            self.terminal.nickname,
            of_line(|line| line.nickname),
            of_line(|line| line.tail_number),
        ];
        names
            .into_iter()
            .flatten()
            .find(|name| !name.trim().is_empty())
    }

    /// The use of its service line, if that is known.
    #[must_use]
    pub fn usage(&self) -> Option<Usage<'d>> {
        let usages = self.usages?;
        usages.get(usages.find(self.terminal.service_line?)?)
    }
}

impl Directory {
    /// Joins the inventories of accounts, each with its name.
    #[must_use]
    pub fn of(mut accounts: Vec<(Arc<str>, Arc<Inventory>)>) -> Self {
        accounts.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut index = Index::default();
        for (number, (_, inventory)) in (0..).zip(&accounts) {
            index.add_terminals(&accounts, number, inventory);
            index.add_routers(&accounts, number, inventory);
        }
        index.terminals.shrink_to_fit();
        index.routers.shrink_to_fit();
        Self {
            accounts,
            index: Arc::new(index),
        }
    }

    /// The directory with another inventory of an account. Its entries keep their numbers. `None` if the account had no inventory, or its
    /// terminals or service lines were read again: then the inventories must be joined again.
    #[must_use]
    pub fn with_same_lists(&self, account: &str, inventory: Arc<Inventory>) -> Option<Self> {
        let mut accounts = self.accounts.clone();
        let (_, before) = accounts.get_mut(self.position(account)?)?;
        if !before.has_same_lists(&inventory) {
            return None;
        }
        *before = inventory;
        Some(Self {
            accounts,
            index: Arc::clone(&self.index),
        })
    }

    /// The names of the accounts with their inventories, sorted by name.
    #[must_use]
    pub fn accounts(&self) -> &[(Arc<str>, Arc<Inventory>)] {
        &self.accounts
    }

    /// The inventory of the account with this name.
    #[must_use]
    pub fn inventory(&self, account: &str) -> Option<&Arc<Inventory>> {
        Some(&self.accounts.get(self.position(account)?)?.1)
    }

    fn position(&self, account: &str) -> Option<usize> {
        let by_name = |(name, _): &(Arc<str>, _)| (**name).cmp(account);
        self.accounts.binary_search_by(by_name).ok()
    }

    /// The number of terminals.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.terminals.len()
    }

    /// Whether there are no terminals.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.terminals.is_empty()
    }

    /// The terminal with this number.
    #[must_use]
    pub fn terminal(&self, entry: u32) -> Option<ListedTerminal<'_>> {
        let at = self.index.terminals.get(entry as usize)?;
        let (account, inventory) = self.accounts.get(usize::from(at.account))?;
        let lines = inventory.lines.as_ref();
        Some(ListedTerminal {
            account,
            terminal: inventory
                .terminals
                .as_ref()?
                .value
                .get(at.terminal as usize)?,
            line: lines.and_then(|lines| lines.value.get(at.line as usize)),
            usages: inventory.usage.as_ref().map(|known| &*known.value),
            activity: at.activity,
        })
    }

    /// The router with this number.
    #[must_use]
    pub fn router(&self, entry: u32) -> Option<Router<'_>> {
        let at = self.index.routers.get(entry as usize)?;
        let (_, inventory) = self.accounts.get(usize::from(at.account))?;
        inventory
            .terminals
            .as_ref()?
            .value
            .router(at.router as usize)
    }

    /// The number of the terminal with an ID, as telemetry or the management API writes it, in any case.
    #[must_use]
    pub fn find_terminal(&self, id: &str) -> Option<u32> {
        let key = key(id, TERMINAL_PREFIX);
        let id_of = |entry: u32| self.terminal(entry).map(|listed| listed.terminal.id);
        let is_it =
            |&entry: &u32| id_of(entry).is_some_and(|id| self::key(id, TERMINAL_PREFIX) == key);
        self.index
            .terminals_by_id
            .find(self.index.hasher.hash_one(&*key), is_it)
            .copied()
    }

    /// The number of the router with an ID, as telemetry or the management API writes it, in any case.
    #[must_use]
    pub fn find_router(&self, id: &str) -> Option<u32> {
        let key = key(id, ROUTER_PREFIX);
        let is_it = |&entry: &u32| {
            let router = self.router(entry);
            router.is_some_and(|router| self::key(router.id, ROUTER_PREFIX) == key)
        };
        self.index
            .routers_by_id
            .find(self.index.hasher.hash_one(&*key), is_it)
            .copied()
    }

    /// The numbers of all terminals.
    #[must_use]
    pub fn entries(&self) -> std::ops::Range<u32> {
        0..count(self.index.terminals.len())
    }

    /// The memory in bytes, without that of the inventories.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.index.terminals.capacity() * size_of::<TerminalAt>()
            + self.index.routers.capacity() * size_of::<RouterAt>()
            + self.index.terminals_by_id.allocation_size()
            + self.index.routers_by_id.allocation_size()
    }
}

impl Index {
    fn add_terminals(
        &mut self,
        accounts: &[(Arc<str>, Arc<Inventory>)],
        account: u16,
        inventory: &Inventory,
    ) {
        let Some(terminals) = &inventory.terminals else {
            return;
        };
        let lines = inventory.lines.as_ref().map(|known| &*known.value);
        for (number, terminal) in (0..).zip(terminals.value.iter()) {
            let line = position(
                lines
                    .zip(terminal.service_line)
                    .and_then(|(lines, line)| lines.find(line)),
            );
            let at = TerminalAt {
                account,
                activity: activity(lines, terminal.service_line, line),
                terminal: number,
                line,
            };
            let key = key(terminal.id, TERMINAL_PREFIX);
            let id_of = |at: &TerminalAt| {
                let (_, inventory) = accounts.get(usize::from(at.account))?;
                let terminals = inventory.terminals.as_ref()?;
                Some(terminals.value.get(at.terminal as usize)?.id)
            };
            let id_at = |all: &[TerminalAt], entry: u32| {
                all.get(entry as usize).and_then(id_of).unwrap_or_default()
            };
            let hash = self.hasher.hash_one(&*key);
            let all = &self.terminals;
            let is_it = |&entry: &u32| self::key(id_at(all, entry), TERMINAL_PREFIX) == key;
            if let Some(&known) = self.terminals_by_id.find(hash, is_it) {
                let known = &mut self.terminals[known as usize];
                // Accounts come in the order of their names, so the first stays, unless only this one has an active line.
                if known.activity != Activity::Active && at.activity == Activity::Active {
                    *known = at;
                }
                continue;
            }
            let entry = count(self.terminals.len());
            self.terminals.push(at);
            let (all, hasher) = (&self.terminals, &self.hasher);
            let hash_of =
                |&entry: &u32| hasher.hash_one(&*self::key(id_at(all, entry), TERMINAL_PREFIX));
            self.terminals_by_id.insert_unique(hash, entry, hash_of);
        }
    }

    fn add_routers(
        &mut self,
        accounts: &[(Arc<str>, Arc<Inventory>)],
        account: u16,
        inventory: &Inventory,
    ) {
        let Some(terminals) = &inventory.terminals else {
            return;
        };
        for number in 0..terminals.value.router_count() {
            let Some(router) = terminals.value.router(number) else {
                continue;
            };
            let id_of = |at: &RouterAt| {
                let (_, inventory) = accounts.get(usize::from(at.account))?;
                let terminals = inventory.terminals.as_ref()?;
                Some(terminals.value.router(at.router as usize)?.id)
            };
            let id_at = |all: &[RouterAt], entry: u32| {
                all.get(entry as usize).and_then(id_of).unwrap_or_default()
            };
            let key = key(router.id, ROUTER_PREFIX);
            let hash = self.hasher.hash_one(&*key);
            let all = &self.routers;
            let is_it = |&entry: &u32| self::key(id_at(all, entry), ROUTER_PREFIX) == key;
            if self.routers_by_id.find(hash, is_it).is_some() {
                continue;
            }
            let entry = count(self.routers.len());
            self.routers.push(RouterAt {
                account,
                router: count(number),
            });
            let (all, hasher) = (&self.routers, &self.hasher);
            let hash_of =
                |&entry: &u32| hasher.hash_one(&*self::key(id_at(all, entry), ROUTER_PREFIX));
            self.routers_by_id.insert_unique(hash, entry, hash_of);
        }
    }
}

/// The activity of a terminal of an account with these lines. Its line has this number, and is at this position. Without a line it is inactive,
/// also while the lines are not known.
fn activity(lines: Option<&Lines>, number: Option<&str>, line: u32) -> Activity {
    if number.is_none() {
        return Activity::Inactive;
    }
    let Some(lines) = lines else {
        return Activity::Unknown;
    };
    let Some(line) = lines.get(line as usize) else {
        // The line may be one of those for which there was no room.
        return match lines.left_out() > 0 {
            true => Activity::Unknown,
            false => Activity::Inactive,
        };
    };
    match line.is_active {
        Some(true) => Activity::Active,
        Some(false) => Activity::Inactive,
        None => Activity::Unknown,
    }
}

/// The key of an ID: without the prefix, in lower case.
fn key<'i>(id: &'i str, prefix: &str) -> Cow<'i, str> {
    let bare = without_prefix(id, prefix);
    match bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => bare.to_ascii_lowercase().into(),
        false => bare.into(),
    }
}

fn position(index: Option<usize>) -> u32 {
    index.map_or(NOWHERE, count)
}

/// A number of entries or a position. Lists are bounded far below.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NOWHERE)
}

//! The inventory of the simulated account: its terminals, service lines and data use, as the management API lists them.
//!
//! Entries are computed from seed, index and time when a page is requested, so an inventory of any size needs no memory.
//! Entries of a test and the faults of a [`script`] replace or change them.

pub(super) mod dates;
mod lines;
pub(super) mod listing;
mod parts;
pub(super) mod query;
mod script;
mod terminals;
#[cfg(test)]
mod tests;
mod usage;

use serde_json::{Value, json};

use super::noise;

pub use self::{parts::Part, script::Fault};

/// What the management API lists besides the terminals that report, and about the account.
///
/// Terminals are listed in this order, with rising IDs: those that report ([`super::Options::terminals`]), `silent`,
/// `never_heard`, `deactivated`, `in_store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryOptions {
    /// Terminals with an active service line that stopped reporting two to three days before the start: they have no rows
    /// in the stream, but old values in `telemetry/query`.
    pub silent: usize,
    /// Terminals with an active service line that have never reported.
    pub never_heard: usize,
    /// Terminals that have never reported, with a service line that is not active any more.
    pub deactivated: usize,
    /// Terminals without a service line.
    pub in_store: usize,
    /// The entries of a page (100 for Starlink); at least one.
    pub page_size: usize,
    /// The most entries of a page of data use (250 for Starlink), whatever `limit` requests.
    pub usage_page_size: usize,
    /// The account's number.
    pub account_number: String,
    /// The account's name.
    pub account_name: Option<String>,
    /// The reasons for which the account is suspended.
    pub suspensions: Vec<String>,
}

impl Default for InventoryOptions {
    /// The terminals that report, in an account that is not suspended; pages as Starlink's.
    fn default() -> Self {
        Self {
            silent: 0,
            never_heard: 0,
            deactivated: 0,
            in_store: 0,
            page_size: 100,
            usage_page_size: 250,
            account_number: "ACC-730215-48816-21".to_owned(),
            // With a blank at its end, as a real one.
            account_name: Some("Example Navigation ".to_owned()),
            suspensions: Vec::new(),
        }
    }
}

impl InventoryOptions {
    /// Of an account without a name and without terminals.
    pub(super) fn nameless() -> Self {
        Self {
            account_name: None,
            ..Self::default()
        }
    }
}

/// The generated inventory. Indices of terminals are counted from 0.
#[derive(Debug)]
pub(super) struct Inventory {
    pub options: InventoryOptions,
    pub seed: u64,
    /// The index of the first terminal for IDs, as in the fleet.
    pub first: usize,
    /// The number of terminals that report.
    pub reporting: usize,
    pub routers: bool,
    /// When the simulated time began, in Unix seconds.
    pub origin: f64,
    /// Simulated seconds in a real one.
    pub speed: f64,
}

/// What is true of a terminal of the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reporting,
    Silent,
    NeverHeard,
    Deactivated,
    InStore,
}

/// What a site is used for, which decides its names and its service plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Aircraft,
    Ship,
    /// Takes its data from a pool.
    Pooled,
    Office,
    Depot,
    /// A plan without a limit.
    Unlimited,
}

impl Inventory {
    /// How a terminal of the inventory is used: as the tracks of the fleet are, by index.
    fn use_of(&self, index: usize) -> Use {
        match (self.first + index) % 6 {
            0 => Use::Aircraft,
            1 => Use::Pooled,
            2 => Use::Depot,
            3 => Use::Ship,
            4 => Use::Office,
            _ => Use::Unlimited,
        }
    }

    /// The kind of the terminal, `None` after the last one.
    fn kind(&self, index: usize) -> Option<Kind> {
        let options = &self.options;
        let mut rest = index;
        for (count, kind) in [
            (self.reporting, Kind::Reporting),
            (options.silent, Kind::Silent),
            (options.never_heard, Kind::NeverHeard),
            (options.deactivated, Kind::Deactivated),
            (options.in_store, Kind::InStore),
        ] {
            if rest < count {
                return Some(kind);
            }
            rest -= count;
        }
        None
    }

    /// The number of active service lines, which are the first ones.
    fn active_lines(&self) -> usize {
        self.reporting + self.options.silent + self.options.never_heard
    }

    /// The number of service lines.
    fn lines(&self) -> usize {
        self.active_lines() + self.options.deactivated
    }

    /// The number of terminals.
    fn terminals(&self) -> usize {
        self.lines() + self.options.in_store
    }

    /// A number of `0..choices` that is constant for a site.
    fn property(&self, index: usize, stream: u64, choices: u64) -> u64 {
        let key = noise::hash(self.seed, 2, index as u64);
        noise::hash(key, stream, 0) % choices
    }

    /// How long before the start of the simulation a silent terminal reported last.
    pub(super) fn silence_ns(&self, index: usize) -> Option<u64> {
        let hours = 48 + self.property(index, 73, 24);
        (self.kind(index) == Some(Kind::Silent)).then_some(hours * 3600 * 1_000_000_000)
    }

    /// The content of `GET account`.
    pub(super) fn account(&self) -> Value {
        json!({
            "accountNumber": self.options.account_number,
            "regionCode": "US",
            "accountName": self.options.account_name,
            "activeSuspensions": self.options.suspensions,
        })
    }

    /// The content of `GET billing/balance`: an amount is due if the account is suspended.
    pub(super) fn balance(&self) -> Value {
        let mut balances = vec![json!({"currency": "USD", "dueAmount": 0})];
        if !self.options.suspensions.is_empty() {
            balances.push(json!({"currency": "EUR", "dueAmount": 84.5}));
        }
        json!({"balances": balances})
    }
}

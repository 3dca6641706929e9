//! What Starlink's management API says about an account: its terminals, service lines, data use, suspensions and balance. Pure: bytes of
//! answers in, values out; time is an argument.
//!
//! An account is read in parts ([`Part`]). Lists are read page by page; [`Terminals::merged`] and its equals make one list of the pages and the list before.
//! The result is an [`Inventory`], which never changes; a [`Directory`] joins those of all accounts.

mod account;
mod answer;
mod client;
mod directory;
mod entry;
pub mod last_known;
mod lines;
mod packed;
mod parsed;
mod terminals;
#[cfg(test)]
mod tests;
mod time;
mod usage;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::account::{AccountInfo, Balance, parse_account, parse_balances};
pub use self::answer::{AnswerError, Page, Rejected, check_reading};
pub use self::client::ClientDigest;
pub use self::directory::{Activity, Directory, ListedTerminal};
pub use self::lines::{Line, Lines};
pub use self::parsed::Parsed;
pub use self::terminals::{Router, Terminal, Terminals, usual_terminal_id};
pub use self::usage::{Pool, PoolBlock, Usage, UsageFacts, Usages};

/// A part of the inventory, which has its own requests and its own permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Number, name, region and suspensions of the account.
    Account,
    /// The user terminals, with their routers.
    Terminals,
    /// The service lines.
    ServiceLines,
    /// The data use of the service lines in the current billing cycle.
    DataUsage,
    /// The amounts due.
    Balance,
}

impl Part {
    /// All parts, in the order in which they are read.
    pub const ALL: [Self; 5] = [
        Self::Account,
        Self::Terminals,
        Self::ServiceLines,
        Self::DataUsage,
        Self::Balance,
    ];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Terminals => "terminals",
            Self::ServiceLines => "service_lines",
            Self::DataUsage => "data_usage",
            Self::Balance => "balance",
        }
    }

    /// The permission that the service account needs, as the settings page of Starlink names it.
    #[must_use]
    pub const fn permission(self) -> &'static str {
        match self {
            Self::Account => "Account information, View",
            Self::Terminals => "Device management, View",
            Self::ServiceLines | Self::DataUsage => "Service plan, View",
            Self::Balance => "Financial, View",
        }
    }
}

/// The limits of an inventory, which hold for any answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Terminals, service lines and routers, each.
    pub entries: usize,
    /// Bytes of a text. A longer one is left out; an entry with a longer key too.
    pub text: usize,
    /// Whether routers are read.
    pub routers: bool,
}

impl Bounds {
    /// Texts of 16 KiB, as in telemetry; entries as the default of `MAX_DEVICES`; no routers.
    pub const STANDARD: Self = Self {
        entries: 1_000_000,
        text: 16 * 1024,
        routers: false,
    };

    /// The text, unless it is empty or too long.
    fn text<'t>(&self, text: Option<&'t str>) -> Option<&'t str> {
        text.filter(|text| !text.is_empty() && text.len() <= self.text)
    }
}

/// Pools of an account, blocks of a pool, suspensions of an account and balances, each. Further ones are left out.
const MOST_OF_FEW: usize = 10_000;

/// A value, and when it was read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Known<T> {
    /// When Starlink answered, in seconds since 1970.
    pub at: f64,
    /// The value.
    pub value: Arc<T>,
}

impl<T> Clone for Known<T> {
    fn clone(&self) -> Self {
        Self {
            at: self.at,
            value: Arc::clone(&self.value),
        }
    }
}

/// What is known about an account. A part is `None` until it was read, and while its permission is missing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// The service account that has read it.
    pub client: Option<ClientDigest>,
    /// The account itself.
    pub account: Option<Known<AccountInfo>>,
    /// Its terminals and their routers.
    pub terminals: Option<Known<Terminals>>,
    /// Its service lines.
    pub lines: Option<Known<Lines>>,
    /// The use of its service lines and data pools.
    pub usage: Option<Known<Usages>>,
    /// The amounts due, by currency.
    pub balance: Option<Known<Vec<Balance>>>,
}

impl Inventory {
    /// Removes a part.
    pub fn forget(&mut self, part: Part) {
        match part {
            Part::Account => self.account = None,
            Part::Terminals => self.terminals = None,
            Part::ServiceLines => self.lines = None,
            Part::DataUsage => self.usage = None,
            Part::Balance => self.balance = None,
        }
    }

    /// Whether the terminals and the service lines are of the same readings.
    fn has_same_lists(&self, other: &Self) -> bool {
        fn is_same<T>(one: Option<&Known<T>>, other: Option<&Known<T>>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => {
                    one.at == other.at && Arc::ptr_eq(&one.value, &other.value)
                }
                (one, other) => one.is_none() && other.is_none(),
            }
        }
        is_same(self.terminals.as_ref(), other.terminals.as_ref())
            && is_same(self.lines.as_ref(), other.lines.as_ref())
    }

    /// Whether no part is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.account.is_none()
            && self.terminals.is_none()
            && self.lines.is_none()
            && self.usage.is_none()
            && self.balance.is_none()
    }

    /// When a part was read, in seconds since 1970; `None` if it is not known.
    #[must_use]
    pub fn read_at(&self, part: Part) -> Option<f64> {
        match part {
            Part::Account => self.account.as_ref().map(|known| known.at),
            Part::Terminals => self.terminals.as_ref().map(|known| known.at),
            Part::ServiceLines => self.lines.as_ref().map(|known| known.at),
            Part::DataUsage => self.usage.as_ref().map(|known| known.at),
            Part::Balance => self.balance.as_ref().map(|known| known.at),
        }
    }

    /// The number of entries of a list that were left out, because there are more than [`Bounds::entries`].
    #[must_use]
    pub fn left_out(&self, part: Part) -> usize {
        let left_out = match part {
            Part::Terminals => self.terminals.as_ref().map(|known| known.value.left_out()),
            Part::ServiceLines => self.lines.as_ref().map(|known| known.value.left_out()),
            Part::DataUsage => self.usage.as_ref().map(|known| known.value.left_out()),
            Part::Account | Part::Balance => None,
        };
        left_out.unwrap_or_default()
    }
}

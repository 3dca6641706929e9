//! What is known of an account from Starlink's management API.

use serde::Serialize;

use crate::account::AccountStatus;
use crate::fleet::Snapshot;
use crate::inventory::{self, Part};
use crate::self_metrics::Gauge;
use crate::web::state::WebState;

/// The inventory of an account. What is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inventory {
    /// Whether it is read: not with `INVENTORY=off`.
    pub enabled: bool,
    /// The number of the account.
    pub account_number: Option<String>,
    /// The name that the customer gave it.
    pub account_name: Option<String>,
    /// The code of its region.
    pub region: Option<String>,
    /// The reasons of the active suspensions.
    pub suspensions: Vec<String>,
    /// The number of terminals, also those without an active service line.
    pub terminals: Option<usize>,
    /// The number of service lines.
    pub service_lines: Option<usize>,
    /// The number of data pools.
    pub data_pools: Option<usize>,
    /// The parts, each with its own permission.
    pub parts: Vec<PartState>,
}

/// The state of a part of the inventory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartState {
    /// The name.
    pub part: &'static str,
    /// The permission that it needs, as the settings page of Starlink names it.
    pub permission: &'static str,
    /// When it was read, in seconds since 1970; `None` if it is not known.
    pub read_timestamp_seconds: Option<f64>,
    /// Whether the last reading succeeded; `None` before the first one ends, and while the permission is missing.
    pub up: Option<bool>,
    /// Whether the service account has the permission; `None` until Starlink has answered.
    pub permitted: Option<bool>,
}

/// An account with its inventory.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountInventory {
    /// The name of the account.
    pub name: String,
    /// Its inventory.
    pub inventory: Inventory,
}

impl AccountInventory {
    /// The inventory of an account in a snapshot.
    #[must_use]
    pub fn of(account: &AccountStatus, snapshot: &Snapshot) -> Self {
        let known = snapshot.directory.inventory(&account.name);
        Self {
            name: account.name.to_string(),
            inventory: Inventory::of(account, known.map(|known| &**known)),
        }
    }

    /// The inventories of all accounts, in the order of the accounts.
    #[must_use]
    pub fn all(state: &WebState, snapshot: &Snapshot) -> Vec<Self> {
        let accounts = state.sources.accounts.all();
        let accounts = accounts.iter();
        accounts
            .map(|account| Self::of(account, snapshot))
            .collect()
    }
}

/// The most suspensions of an account that are listed.
const MOST_SUSPENSIONS: usize = 20;

impl Inventory {
    /// What is known of an account, if anything.
    fn of(account: &AccountStatus, known: Option<&inventory::Inventory>) -> Self {
        let parts = Part::ALL.map(|part| {
            let metrics = account.metrics.inventory(part);
            let is_set = |gauge: &Gauge| gauge.value().map(|value| value > 0.0);
            PartState {
                part: part.name(),
                permission: part.permission(),
                read_timestamp_seconds: known.and_then(|known| known.read_at(part)),
                up: is_set(&metrics.up),
                permitted: is_set(&metrics.permitted),
            }
        });
        let none = Self {
            enabled: account.has_inventory(),
            parts: parts.into(),
            ..Self::default()
        };
        let Some(known) = known else {
            return none;
        };
        let account = known.account.as_ref().map(|known| &known.value);
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let suspensions = account.map_or(&[][..], |account| &account.suspensions);
        Self {
            account_number: account.and_then(|account| text(&account.number)),
            account_name: account.and_then(|account| text(&account.name)),
            region: account.and_then(|account| text(&account.region)),
            suspensions: suspensions.iter().take(MOST_SUSPENSIONS).cloned().collect(),
            terminals: known.terminals.as_ref().map(|known| known.value.len()),
            service_lines: known.lines.as_ref().map(|known| known.value.len()),
            data_pools: known.usage.as_ref().map(|known| known.value.pools().len()),
            ..none
        }
    }
}

//! The status of the configured accounts, for scrapes, probes, the page and the API.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::inventory::KnownInventory;
use super::metrics::AccountMetrics;
use crate::exposition::{Kind, OwnFamily};
use crate::inventory::{Inventory, Part};
use crate::supervise::{ActorStatus, Role};
use crate::time::Moment;

/// The state of an account's actors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccountState {
    /// Its actors run.
    #[default]
    Running,
    /// One of its actors failed too often, so all were stopped. They are started again later.
    Paused {
        /// When they are started again.
        until: Moment,
    },
    /// The account was removed, or its settings have changed: its last answer is stored, then it ends.
    Ending,
}

/// The status of one account.
#[derive(Debug)]
pub struct AccountStatus {
    /// The unique name.
    pub name: Arc<str>,
    /// Its metrics.
    pub metrics: Arc<AccountMetrics>,
    /// Token, metadata, stream.
    pub(super) polling_actors: [Arc<ActorStatus>; 3],
    /// `None` if inventories are not read.
    pub(super) inventory_actor: Option<Arc<ActorStatus>>,
    pub(super) inventory: Arc<KnownInventory>,
    state: ArcSwap<AccountState>,
}

impl AccountStatus {
    /// An account that is about to be started. `ran` is the time that the process ran.
    #[must_use]
    pub fn new(name: Arc<str>, ran: Duration) -> Self {
        let roles = [Role::Token, Role::Metadata, Role::Stream];
        Self {
            name,
            metrics: Arc::default(),
            polling_actors: roles.map(|role| Arc::new(ActorStatus::new(role, ran))),
            inventory_actor: None,
            inventory: Arc::default(),
            state: ArcSwap::default(),
        }
    }

    /// The same account, whose inventory is read. So far this is known.
    #[must_use]
    pub fn with_inventory(mut self, inventory: Inventory, ran: Duration) -> Self {
        self.inventory_actor = Some(Arc::new(ActorStatus::new(Role::Inventory, ran)));
        self.inventory = Arc::new(KnownInventory::restored(inventory));
        self
    }

    /// Its actors: token, metadata, stream, and inventory if inventories are read.
    pub fn actors(&self) -> impl Iterator<Item = &Arc<ActorStatus>> {
        self.polling_actors.iter().chain(&self.inventory_actor)
    }

    /// Whether its inventory is read: not with `INVENTORY=off`.
    #[must_use]
    pub fn has_inventory(&self) -> bool {
        self.inventory_actor.is_some()
    }

    /// Whether its terminals were read to the end, or cannot be read: with `INVENTORY=off`, or without the permission.
    #[must_use]
    pub fn has_read_terminals(&self) -> bool {
        let terminals = self.metrics.inventory(Part::Terminals);
        !self.has_inventory()
            || terminals.last_success.value().is_some()
            || terminals.permitted.value() == Some(0.0)
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> AccountState {
        **self.state.load()
    }

    pub(super) fn set(&self, state: AccountState) {
        self.state.store(Arc::new(state));
    }

    /// Whether the account's actors run. Also true while it ends.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !matches!(self.state(), AccountState::Paused { .. })
    }

    /// Whether one of the actors that poll has not answered for `limit`, measured by the time that the process `ran`.
    #[must_use]
    pub fn hangs(&self, ran: Duration, limit: Duration) -> bool {
        let hangs = |actor: &Arc<ActorStatus>| actor.trouble(ran, limit).is_some();
        self.is_up() && self.polling_actors.iter().any(hangs)
    }
}

/// The configured accounts, sorted by name. Readers take no lock.
#[derive(Debug, Default)]
pub struct Accounts(ArcSwap<Vec<Arc<AccountStatus>>>);

impl Accounts {
    /// A registry of these accounts.
    #[must_use]
    pub fn new(accounts: Vec<Arc<AccountStatus>>) -> Self {
        let registry = Self::default();
        registry.replace(accounts);
        registry
    }

    /// Replaces all accounts.
    pub fn replace(&self, mut accounts: Vec<Arc<AccountStatus>>) {
        accounts.sort_by(|one, other| one.name.cmp(&other.name));
        self.0.store(Arc::new(accounts));
    }

    /// All accounts, sorted by name.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Arc<AccountStatus>>> {
        self.0.load_full()
    }

    /// The account with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<AccountStatus>> {
        let accounts = self.0.load();
        accounts
            .iter()
            .find(|account| &*account.name == name)
            .cloned()
    }

    /// Whether a poll of any account has succeeded.
    #[must_use]
    pub fn has_any_polled(&self) -> bool {
        let has_polled =
            |account: &Arc<AccountStatus>| account.metrics.last_poll_success.value().is_some();
        self.0.load().iter().any(has_polled)
    }
}

/// The families of these accounts, in a fixed order, with the label `account` first.
#[must_use]
pub fn families(accounts: &[Arc<AccountStatus>]) -> Vec<OwnFamily> {
    OwnFamily::merged(accounts.iter().map(|account| own_families(account)))
}

fn own_families(account: &AccountStatus) -> Vec<OwnFamily> {
    let is_up = f64::from(u8::from(account.is_up()));
    let up = OwnFamily::new(
        Kind::Gauge,
        "starlink_exporter_account_up",
        "Whether the account is polled: 0 while it is stopped because one of its actors failed too often.",
    );
    let mut families = account.metrics.families();
    families.push(up.value(is_up));
    let families = families.into_iter();
    families
        .map(|family| family.of_account(&account.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, polls: u64) -> Arc<AccountStatus> {
        let status = AccountStatus::new(name.into(), Duration::ZERO);
        status.metrics.polls.add(polls);
        Arc::new(status)
    }

    #[test]
    fn each_family_has_the_samples_of_all_accounts_by_name() {
        let accounts = Accounts::new(vec![account("b", 2), account("a", 1)]);
        let families = families(&accounts.all());
        let named = |name: &str| {
            let mut found = families.iter().filter(|it| it.family.name == name);
            let family = found.next().unwrap();
            assert!(found.next().is_none(), "{name} is there once");
            let samples = family.samples.iter();
            samples
                .map(|sample| (sample.account.as_deref().unwrap(), sample.value))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            named("starlink_exporter_polls_total"),
            [("a", 1.0), ("b", 2.0)]
        );
        assert_eq!(
            named("starlink_exporter_account_up"),
            [("a", 1.0), ("b", 1.0)]
        );
        assert!(super::families(&[]).is_empty());
    }

    #[test]
    fn one_account_that_has_polled_is_enough() {
        let accounts = Accounts::new(vec![account("a", 0), account("b", 0)]);
        assert!(!accounts.has_any_polled());
        accounts.all()[1].metrics.last_poll_success.set(1.0);
        assert!(accounts.has_any_polled());
    }
}

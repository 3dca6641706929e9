//! The accounts that are configured, as everything outside sees them: scrapes, probes, the page and the API.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::metrics::AccountMetrics;
use crate::exposition::{Kind, OwnFamily};
use crate::supervise::ActorStatus;

/// The state of one account.
#[derive(Debug)]
pub struct AccountStatus {
    /// The name, which no other account has at the same time.
    pub name: Arc<str>,
    /// What is counted about it.
    pub metrics: Arc<AccountMetrics>,
    /// Its actors: token, metadata, stream.
    pub actors: Vec<Arc<ActorStatus>>,
}

impl AccountStatus {
    /// Whether the account is polled: not when one of its actors has failed too often.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.actors.iter().any(|actor| actor.is_gone())
    }
}

/// The configured accounts, sorted by name. Readers take no lock.
#[derive(Debug, Default)]
pub struct Accounts(ArcSwap<Vec<Arc<AccountStatus>>>);

impl Accounts {
    /// These accounts.
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

    /// The accounts at this moment, sorted by name.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Arc<AccountStatus>>> {
        self.0.load_full()
    }

    /// Whether any account has polled with success.
    #[must_use]
    pub fn has_any_polled(&self) -> bool {
        let has_polled =
            |account: &Arc<AccountStatus>| account.metrics.last_poll_success.value().is_some();
        self.0.load().iter().any(has_polled)
    }

    /// The families of all accounts, in a fixed order, with the label `account` first.
    #[must_use]
    pub fn families(&self) -> Vec<OwnFamily> {
        let mut families: Vec<OwnFamily> = Vec::new();
        for account in self.0.load().iter() {
            let own = own_families(account);
            if families.is_empty() {
                families = own;
                continue;
            }
            // Each account has the same families in the same order.
            for (family, own) in families.iter_mut().zip(own) {
                family.samples.extend(own.samples);
            }
        }
        families
    }
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
        let metrics = AccountMetrics::default();
        metrics.polls.add(polls);
        Arc::new(AccountStatus {
            name: name.into(),
            metrics: Arc::new(metrics),
            actors: Vec::new(),
        })
    }

    #[test]
    fn each_family_has_the_samples_of_all_accounts_by_name() {
        let accounts = Accounts::new(vec![account("b", 2), account("a", 1)]);
        let families = accounts.families();
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
        assert!(Accounts::default().families().is_empty());
    }

    #[test]
    fn one_account_that_has_polled_is_enough() {
        let accounts = Accounts::new(vec![account("a", 0), account("b", 0)]);
        assert!(!accounts.has_any_polled());
        accounts.all()[1].metrics.last_poll_success.set(1.0);
        assert!(accounts.has_any_polled());
    }
}

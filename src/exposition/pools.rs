//! The families of data pools and accounts: few series, whose values may depend on the time of the scrape.

use super::Kind;
use super::own::{Labels, OwnFamily};
use crate::fleet::{AccountId, Snapshot};
use crate::inventory::{Inventory, Pool};
use crate::telemetry::catalogue::{FamilyType, InventoryFamily};

/// The families of pools and accounts at `now`, in seconds since 1970: of all accounts, or of one.
#[must_use]
pub fn families(snapshot: &Snapshot, account: Option<AccountId>, now: f64) -> Vec<OwnFamily> {
    let wanted = account.map(|account| snapshot.account_name(account));
    let accounts = snapshot.directory.accounts().iter();
    let accounts = accounts.filter(|(name, _)| wanted.is_none_or(|wanted| wanted == Some(name)));
    let accounts: Vec<_> = accounts.collect();
    let family = |family: InventoryFamily| {
        let mut all = described(family);
        for (name, inventory) in &accounts {
            let samples = samples(family, inventory, now).into_iter();
            let samples = samples.filter(|(_, value)| value.is_finite());
            let own = samples.fold(described(family), |own, (labels, value)| {
                own.sample("", labels, value)
            });
            all.samples.extend(own.of_account(name).samples);
        }
        all
    };
    let families = [
        InventoryFamily::PoolUsed,
        InventoryFamily::PoolLimit,
        InventoryFamily::AccountInfo,
        InventoryFamily::Suspension,
        InventoryFamily::BalanceDue,
    ];
    families.into_iter().map(family).collect()
}

/// The family without samples.
fn described(family: InventoryFamily) -> OwnFamily {
    let kind = match family.family_type() {
        FamilyType::Info => Kind::Info,
        FamilyType::Gauge => Kind::Gauge,
    };
    OwnFamily::new(kind, family.name(), family.help())
}

/// The samples of a family of one account, without the label `account`.
fn samples(family: InventoryFamily, inventory: &Inventory, now: f64) -> Vec<(Labels, f64)> {
    let text = |text: &str| text.to_owned().into();
    let pools = |value: fn(&Pool, f64) -> Option<f64>| {
        let pools = inventory.usage.iter().flat_map(|known| known.value.pools());
        let samples =
            pools.filter_map(|pool| Some((vec![("data_pool", text(&pool.id))], value(pool, now)?)));
        samples.collect()
    };
    let account = inventory.account.iter().map(|known| &known.value);
    match family {
        InventoryFamily::PoolUsed => pools(Pool::used_bytes),
        InventoryFamily::PoolLimit => pools(Pool::limit_bytes),
        InventoryFamily::AccountInfo => {
            let labels = account.map(|account| {
                vec![
                    ("account_number", text(&account.number)),
                    ("account_name", text(&account.name)),
                    ("region", text(&account.region)),
                ]
            });
            labels.map(|labels| (labels, 1.0)).collect()
        }
        InventoryFamily::Suspension => {
            let reasons = account.flat_map(|account| &account.suspensions);
            reasons
                .map(|reason| (vec![("reason", text(reason))], 1.0))
                .collect()
        }
        InventoryFamily::BalanceDue => {
            let balances = inventory.balance.iter().flat_map(|known| &*known.value);
            balances
                .map(|balance| (vec![("currency", text(&balance.currency))], balance.due))
                .collect()
        }
        _ => Vec::new(),
    }
}

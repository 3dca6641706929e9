//! The inventory of an account, which survives restarts of the account and of its InventoryActor.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::inventory::{ClientDigest, Inventory, Part};

/// What decides how an inventory continues at a start of its account.
pub(in crate::account) struct InventoryStart {
    /// The number of the start.
    pub(in crate::account) incarnation: u64,
    /// Identifies the service account. The inventory of another one is removed.
    pub(in crate::account) client: ClientDigest,
    /// Whether the balance is read. If not, it is removed.
    pub(in crate::account) balance: bool,
}

/// The inventory of an account. Written by the actor of the account's last start.
#[derive(Default)]
pub(in crate::account) struct KnownInventory(Mutex<State>);

#[derive(Default)]
struct State {
    inventory: Inventory,
    /// The last start of the account.
    incarnation: u64,
    /// Whether the last values of terminals were requested.
    has_last_values: bool,
}

impl fmt::Debug for KnownInventory {
    /// Without the content.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let mut debug = formatter.debug_struct("KnownInventory");
        debug
            .field("is_empty", &state.inventory.is_empty())
            .finish()
    }
}

impl KnownInventory {
    /// The inventory that the previous process knew.
    pub(in crate::account) fn restored(inventory: Inventory) -> Self {
        Self(Mutex::new(State {
            inventory,
            ..State::default()
        }))
    }

    /// Begins a start of the account. What the inventory must not contain is removed; returns whether something was.
    pub(in crate::account) fn begin(&self, start: InventoryStart) -> bool {
        let mut state = self.state();
        state.incarnation = start.incarnation;
        let client = Some(start.client);
        if state.inventory.client != client {
            state.has_last_values = false;
            let before = std::mem::take(&mut state.inventory);
            state.inventory.client = client;
            return !before.is_empty();
        }
        let has_balance = state.inventory.balance.is_some();
        if has_balance && !start.balance {
            state.inventory.forget(Part::Balance);
            return true;
        }
        false
    }

    /// The inventory.
    pub(super) fn inventory(&self) -> Inventory {
        self.state().inventory.clone()
    }

    /// Replaces the inventory, unless the account was started again meanwhile.
    pub(super) fn set(&self, incarnation: u64, inventory: Inventory) {
        let mut state = self.state();
        if state.incarnation == incarnation {
            state.inventory = inventory;
        }
    }

    /// Whether the last values of terminals were requested.
    pub(super) fn has_last_values(&self) -> bool {
        self.state().has_last_values
    }

    /// The last values of terminals were requested.
    pub(super) fn last_values_were_requested(&self) {
        self.state().has_last_values = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{AccountInfo, Balance, Known};

    fn start(client_id: &str, balance: bool) -> InventoryStart {
        InventoryStart {
            incarnation: 1,
            client: ClientDigest::of(client_id),
            balance,
        }
    }

    fn inventory() -> Inventory {
        let known = |at| Known {
            at,
            value: std::sync::Arc::new(vec![Balance {
                currency: "EUR".to_owned(),
                due: 1.0,
            }]),
        };
        Inventory {
            client: Some(ClientDigest::of("a")),
            account: Some(Known {
                at: 1.0,
                value: std::sync::Arc::new(AccountInfo::default()),
            }),
            balance: Some(known(1.0)),
            ..Inventory::default()
        }
    }

    #[test]
    fn another_client_id_removes_the_inventory_and_an_unwanted_balance_is_removed() {
        let known = KnownInventory::restored(inventory());
        assert!(!known.begin(start("a", true)));
        assert!(known.inventory().balance.is_some());
        assert!(known.begin(start("a", false)));
        assert!(known.inventory().balance.is_none());
        assert!(!known.begin(start("a", false)));
        known.last_values_were_requested();
        assert!(known.begin(start("b", false)));
        assert!(known.inventory().is_empty() && !known.has_last_values());
        assert!(!known.begin(start("c", false)));
    }

    #[test]
    fn the_inventory_of_an_earlier_process_with_another_client_id_is_removed() {
        let known = KnownInventory::restored(inventory());
        assert!(known.begin(start("b", true)));
        assert!(known.inventory().is_empty());
    }

    #[test]
    fn an_earlier_start_of_the_account_changes_nothing_any_more() {
        let known = KnownInventory::default();
        known.begin(start("a", true));
        known.set(0, inventory());
        assert!(known.inventory().is_empty());
        known.set(1, inventory());
        assert!(!known.inventory().is_empty());
    }
}

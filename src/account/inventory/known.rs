//! What survives restarts of an account and of its InventoryActor: the inventory, and the pace of its requests.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::inventory::{Inventory, Part};
use crate::time::Pacer;

/// The most requests for the inventory in any minute.
const MOST_REQUESTS: u32 = 20;

/// What decides how an inventory continues at a start of its account.
pub(in crate::account) struct InventoryStart {
    /// The number of the start.
    pub(in crate::account) incarnation: u64,
    /// Identifies the service account. The inventory of another one is removed.
    pub(in crate::account) client_id: String,
    /// The most requests of the account in any minute, polls included.
    pub(in crate::account) polls_per_minute: u32,
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
    /// Identifies the service account that the inventory is of; `None` before its first start.
    client_id: Option<String>,
    pacer: Option<Pacer>,
    /// Whether the last values of terminals were requested.
    has_last_values: bool,
}

impl fmt::Debug for KnownInventory {
    /// Without the client ID.
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
    pub(in crate::account) fn begin(&self, start: InventoryStart, now: Duration) -> bool {
        let mut state = self.state();
        state.incarnation = start.incarnation;
        let requests = (start.polls_per_minute / 2).clamp(1, MOST_REQUESTS);
        state.pacer = Some(match state.pacer.take() {
            Some(pacer) => pacer.with_limit(requests, now),
            None => Pacer::new(requests),
        });
        let before = state.client_id.replace(start.client_id);
        if before.is_some() && before != state.client_id {
            state.has_last_values = false;
            return !std::mem::take(&mut state.inventory).is_empty();
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

    /// How long the next request has to wait at least.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        let pacer = self.state().pacer.clone();
        pacer.map_or(Duration::ZERO, |mut pacer| pacer.reserve(now))
    }

    /// A request is sent at this time.
    pub(super) fn count_request(&self, at: Duration) {
        if let Some(pacer) = &mut self.state().pacer {
            pacer.reserve(at);
        }
    }

    /// Starlink asks for fewer requests.
    pub(super) fn slow_down(&self, now: Duration) {
        if let Some(pacer) = &mut self.state().pacer {
            pacer.slow_down(now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

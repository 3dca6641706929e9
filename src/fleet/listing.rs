//! Lists the terminals and routers of the inventories in the fleet: the terminals that are expected to report are devices before their
//! first row.

use std::sync::Arc;

use super::accounts::AccountId;
use super::{Changes, Fleet};
use crate::inventory::{Directory, Inventory};
use crate::time::Moment;

impl Fleet {
    /// Replaces the inventory of an account. Returns the changes of devices.
    pub fn set_inventory(
        &mut self,
        account: AccountId,
        inventory: Arc<Inventory>,
        _now: Moment,
    ) -> Changes {
        let Some(known) = self.accounts.get_mut(account) else {
            return Changes::default();
        };
        known.inventory = Some(inventory);
        let inventories = self.accounts.all().filter_map(|(_, account)| {
            let inventory = account.inventory.as_ref()?;
            Some((Arc::clone(&account.name), Arc::clone(inventory)))
        });
        self.directory = Arc::new(Directory::of(inventories.collect()));
        self.version += 1;
        Changes::default()
    }
}

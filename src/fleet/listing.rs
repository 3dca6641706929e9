//! Lists the terminals and routers of the inventories in the fleet: the terminals that are expected to report are devices before their
//! first row.

use std::sync::Arc;

use super::Fleet;
use super::accounts::{AccountId, Clocks};
use super::block::Block;
use super::device::Listing;
use crate::inventory::{Activity, Directory, Inventory};
use crate::telemetry::DeviceKind;
use crate::telemetry::schema::TERMINAL_CODE;
use crate::time::Moment;

/// The value of the label `device_type` of terminals before an answer has given it.
const TERMINAL_NAME: &str = "UserTerminal";

/// The numbers of terminals of the inventories that are not listed, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotListed {
    /// `MAX_DEVICES` or the limit of device types is reached.
    pub without_room: usize,
    /// Their IDs are longer than those of devices may be.
    pub with_long_ids: usize,
}

impl Directory {
    /// What it says about a device with this ID.
    pub(super) fn listing_of(&self, kind: DeviceKind, id: &str) -> Listing {
        match kind {
            DeviceKind::Terminal => match self.find_terminal(id) {
                Some(entry) => Listing::Terminal(entry, self.activity(entry)),
                None => Listing::None,
            },
            DeviceKind::Router => self.find_router(id).map_or(Listing::None, Listing::Router),
            DeviceKind::Allocation | DeviceKind::Other => Listing::None,
        }
    }

    fn activity(&self, entry: u32) -> Activity {
        self.terminal(entry)
            .map(|listed| listed.activity)
            .unwrap_or_default()
    }
}

impl Fleet {
    /// Replaces the inventory of an account; `None` removes it. If the terminals or service lines were read again, snapshots have the
    /// inventory after [`Fleet::list_inventories`], otherwise at once: the other parts say nothing about devices. An equal reading counts
    /// too, because there may be room by then.
    pub fn set_inventory(&mut self, account: AccountId, inventory: Option<Arc<Inventory>>) {
        let Some(known) = self.accounts.get_mut(account) else {
            return;
        };
        known.inventory.clone_from(&inventory);
        let with_same_lists =
            inventory.and_then(|inventory| self.directory.with_same_lists(&known.name, inventory));
        if let Some(directory) = with_same_lists {
            self.directory = Arc::new(directory);
            self.version += 1;
            return;
        }
        self.must_list = true;
    }

    /// Whether inventories have changed in a way that only [`Fleet::list_inventories`] shows.
    #[must_use]
    pub fn must_list_inventories(&self) -> bool {
        self.must_list
    }

    /// The inventories of the accounts that have one, with the names of the accounts.
    pub fn inventories(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Inventory>)> {
        let accounts = self.accounts.all();
        accounts.filter_map(|(_, account)| Some((&account.name, account.inventory.as_ref()?)))
    }

    /// Joins the inventories of all accounts, and sets what they say about each device. Terminals without a slot get one, as far as there is
    /// room; those without a row of the stream belong to the account that lists them. This takes long if the inventories are large. Call
    /// [`Fleet::expire`] afterwards.
    pub fn list_inventories(&mut self) -> NotListed {
        let inventories = self.inventories();
        let inventories = inventories.map(|(name, known)| (Arc::clone(name), Arc::clone(known)));
        let directory = Arc::new(Directory::of(inventories.collect()));
        self.directory = Arc::clone(&directory);
        self.version += 1;
        let mut has_slot = vec![false; directory.len()];
        // A terminal that has reported keeps its entry, also if the inventory spells its ID differently.
        for has_streamed in [true, false] {
            self.update_listings(&directory, has_streamed, &mut has_slot);
        }
        let not_listed = self.add_terminals(&directory, &has_slot);
        self.must_list = false;
        not_listed
    }

    /// Updates the listings of the devices that have reported, or of the others.
    fn update_listings(
        &mut self,
        directory: &Directory,
        has_streamed: bool,
        has_slot: &mut [bool],
    ) {
        let clocks = self.accounts.clocks(self.options.retention.stale_after);
        let mut new_listing = |kind, block: &Block, at: usize| {
            let id = block.labels().id(at);
            if id.is_empty() || block.has_streamed(at) != has_streamed {
                return None;
            }
            let mut listing = directory.listing_of(kind, id);
            if let Listing::Terminal(entry, _) = listing
                && let Some(has_slot) = has_slot.get_mut(entry as usize)
                && std::mem::replace(has_slot, true)
            {
                listing = Listing::None;
            }
            (listing != block.listing(at)).then_some(listing)
        };
        for table in &mut self.tables.tables {
            let kind = table.kind;
            let slots = table.slots_mut();
            for number in 0..slots.blocks().len() {
                for slot in slots.of_block(number) {
                    let (block, at) = slots.block(slot);
                    if let Some(listing) = new_listing(kind, block, at) {
                        let stream = clocks.of(block.account()).stream;
                        // The state of the device is due at once.
                        let (block, at) = slots.block_mut(slot, Moment::default());
                        block.list(at, listing, stream);
                    }
                }
            }
        }
    }

    /// Adds a slot for each terminal without one, and moves terminals without a row of the stream to the accounts that list them.
    fn add_terminals(&mut self, directory: &Directory, has_slot: &[bool]) -> NotListed {
        let mut not_listed = NotListed::default();
        if directory.is_empty() {
            return not_listed;
        }
        let Some(table) = self.terminal_table() else {
            not_listed.without_room = directory.len();
            return not_listed;
        };
        let clocks = self.accounts.clocks(self.options.retention.stale_after);
        let mut room = self.options.limits.devices.saturating_sub(self.devices());
        let longest = self.options.limits.identifier;
        for entry in directory.entries() {
            let Some(listed) = directory.terminal(entry) else {
                continue;
            };
            let owner = self.accounts.find(listed.account);
            let id = listed.terminal.device_id();
            let table = self.tables.get_mut(table);
            let is_known = has_slot.get(entry as usize).copied().unwrap_or_default();
            if !is_known && id.len() > longest {
                not_listed.with_long_ids += 1;
                continue;
            }
            let may_add = !is_known && room > 0;
            let before = table.slots().devices();
            let Some(slot) = table.slot(&id, may_add, owner) else {
                not_listed.without_room += usize::from(!is_known);
                continue;
            };
            room -= table.slots().devices() - before;
            let (block, at) = table.block(slot);
            if block.has_streamed(at) {
                continue;
            }
            let is_elsewhere = block.account() != owner;
            if is_known && !is_elsewhere {
                continue;
            }
            let slot = match owner {
                Some(owner) if is_elsewhere => table.relocate(slot, owner),
                _ => slot,
            };
            let (block, at) = table.slots_mut().block_mut(slot, Moment::default());
            let listing = Listing::Terminal(entry, listed.activity);
            block.list_anew(at, listing, clocks.of(owner).stream);
        }
        not_listed
    }

    /// Moves terminals whose rows were forgotten, each with its table and slot, to the accounts that list them.
    pub(super) fn return_terminals(&mut self, terminals: Vec<(usize, usize)>, clocks: &Clocks) {
        for (table, slot) in terminals {
            let table = self.tables.get_mut(table);
            let (block, at) = table.block(slot);
            let listing = block.listing(at);
            let Listing::Terminal(entry, _) = listing else {
                continue;
            };
            let listed = self.directory.terminal(entry);
            let owner = listed.and_then(|listed| self.accounts.find(listed.account));
            let Some(owner) = owner.filter(|owner| block.account() != Some(*owner)) else {
                continue;
            };
            let slot = table.relocate(slot, owner);
            let (block, at) = table.slots_mut().block_mut(slot, Moment::default());
            block.list_anew(at, listing, clocks.of(Some(owner)).stream);
        }
    }

    /// The table of terminals, added if there is room for another type.
    fn terminal_table(&mut self) -> Option<usize> {
        if let Some(table) = self.tables.find(TERMINAL_CODE) {
            return Some(table);
        }
        if self.tables.tables.len() >= self.options.limits.types {
            return None;
        }
        let table = self.tables.add(TERMINAL_CODE);
        self.tables.rename_if_free(table, TERMINAL_NAME);
        Some(table)
    }
}

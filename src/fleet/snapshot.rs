//! A snapshot: the immutable state of the fleet at one moment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::accounts::AccountId;
use super::block::Block;
use super::presences::Counts;
use super::table::{Lanes, Table};
use crate::inventory::{Directory, usual_terminal_id};
use crate::telemetry::DeviceKind;

/// All devices of one type at one moment.
#[derive(Debug)]
pub struct TableView {
    /// The value of the label `device_type`; no other table of the snapshot has it.
    pub name: Arc<str>,
    /// The kind of the type.
    pub kind: DeviceKind,
    /// The families of the gauge lanes.
    pub gauges: Arc<Lanes>,
    /// The keys of the info lanes.
    pub infos: Arc<Lanes>,
    /// The order of the info lanes.
    pub info_order: Vec<usize>,
    /// The devices.
    pub blocks: Vec<Arc<Block>>,
    /// The numbers of devices by state.
    pub counts: Counts,
    /// The same by account, in the order of their identifiers, without accounts that have no devices.
    pub by_account: Vec<(Option<AccountId>, Counts)>,
}

impl TableView {
    /// Whether there is a device, expected to report or not.
    fn has_devices(&self) -> bool {
        self.counts.all() > 0
            || self
                .blocks
                .iter()
                .any(|block| block.known().next().is_some())
    }

    /// The info fields of a device as keys and values: its own in column order, then those of its allocation with other keys.
    pub fn info_fields<'a>(
        &'a self,
        block: &'a Block,
        slot: usize,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let own = self.info_order.iter().filter_map(move |&lane| {
            let key = &*self.infos.all().get(lane)?.name;
            Some((key, &**block.info(lane, slot)?))
        });
        let allocated = block.allocation(slot).into_iter();
        let allocated = allocated.flat_map(|allocation| &allocation.content.infos);
        let allocated = allocated.map(|(key, value)| (&**key, &**value));
        let is_own = own.clone();
        own.chain(allocated.filter(move |(key, _)| is_own.clone().all(|(own, _)| own != *key)))
    }
}

/// The fleet at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Snapshots of a fleet with equal versions have the same content.
    pub version: u64,
    /// The tables, in the order of their type codes.
    pub tables: Vec<TableView>,
    /// The names of the accounts by [`AccountId::index`].
    pub accounts: Vec<Option<Arc<str>>>,
    /// The inventories of the accounts.
    pub directory: Arc<Directory>,
    /// The IDs of terminals with an unusual spelling, by the usual one. Computed only if routers refer to terminals.
    unusual_ids: OnceLock<BTreeMap<Box<str>, Box<str>>>,
}

impl Snapshot {
    /// The number of devices in the snapshot.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.tables.iter().map(|table| table.counts.all()).sum()
    }

    /// The account with this name; `None` if the fleet does not know it.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<AccountId> {
        let is_it = |known: &Option<Arc<str>>| known.as_deref() == Some(name);
        self.accounts.iter().position(is_it).map(AccountId::at)
    }

    /// The numbers of an account's devices by state.
    #[must_use]
    pub fn counts_of(&self, account: AccountId) -> Counts {
        let tables = self.tables.iter().flat_map(|table| &table.by_account);
        let own = tables.filter(|(owner, _)| *owner == Some(account));
        own.fold(Counts::default(), |mut sum, (_, counts)| {
            sum += *counts;
            sum
        })
    }

    /// The name of an account.
    #[must_use]
    pub fn account_name(&self, account: AccountId) -> Option<&Arc<str>> {
        self.accounts.get(account.index())?.as_ref()
    }

    /// The ID of a terminal in the spelling of the label `deviceID`, by its usual spelling; `None` if it has the usual spelling, or if there is
    /// no such terminal.
    #[must_use]
    pub fn unusual_id(&self, usual: &str) -> Option<&str> {
        let ids = self.unusual_ids.get_or_init(|| self.unusual_ids());
        ids.get(usual).map(|id| &**id)
    }

    fn unusual_ids(&self) -> BTreeMap<Box<str>, Box<str>> {
        let tables = self.tables.iter();
        let tables = tables.filter(|table| table.kind == DeviceKind::Terminal);
        let mut unusual = BTreeMap::new();
        for block in tables.flat_map(|table| &table.blocks) {
            for slot in block.known() {
                let id = block.labels().id(slot);
                if let Cow::Owned(usual) = usual_terminal_id(id) {
                    unusual.insert(usual.into(), id.into());
                }
            }
        }
        unusual
    }

    pub(super) fn of<'t>(
        tables: impl Iterator<Item = &'t Table>,
        accounts: Vec<Option<Arc<str>>>,
        directory: Arc<Directory>,
        version: u64,
    ) -> Self {
        let views = tables.map(TableView::of);
        Self {
            version,
            tables: views.filter(TableView::has_devices).collect(),
            accounts,
            directory,
            unusual_ids: OnceLock::new(),
        }
    }
}

impl TableView {
    fn of(table: &Table) -> Self {
        let mut counts = Counts::default();
        let mut by_account: BTreeMap<_, Counts> = BTreeMap::new();
        for block in table.blocks() {
            counts += block.counts();
            *by_account.entry(block.account()).or_default() += block.counts();
        }
        by_account.retain(|_, counts| counts.all() > 0);
        Self {
            name: Arc::clone(&table.name),
            kind: table.kind,
            gauges: Arc::clone(table.gauges()),
            infos: Arc::clone(table.infos()),
            info_order: table.info_order(),
            blocks: table.blocks().to_vec(),
            counts,
            by_account: by_account.into_iter().collect(),
        }
    }
}

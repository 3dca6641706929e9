//! The last state of every device. Pure: time is an argument, and the module depends only on `telemetry` and `time`.
//!
//! - There is one *table* for each device type. It consists of *blocks* of up to 256 devices of one account. A device has a *slot* in a
//!   block.
//! - A *lane* is a field of a table: a metric family with numbers, or an info key with texts. In each block, a lane is stored as a column
//!   (a value for each slot) or, if few devices have a value, as a list.
//! - A snapshot shares the blocks with the fleet, and a write copies a shared block. So a scrape never shows half of a batch, and does not
//!   delay one.
//! - A batch is planned ([`plan`]) before it is committed: everything that can fail fails before the first write.

pub mod accounts;
mod ageing;
pub mod allocation;
pub mod block;
pub mod changes;
mod churn;
pub mod columns;
mod commit;
pub mod device;
mod double_delivery;
pub mod dump;
pub mod gaps;
pub mod interner;
pub mod labels;
mod lease;
pub mod limits;
mod listing;
mod options;
pub mod plan;
mod presences;
mod row_span;
pub mod slots;
pub mod snapshot;
mod stream_time;
pub mod table;
mod tables;
pub mod tally;

use std::sync::Arc;
use std::time::Duration;

use self::accounts::Accounts;
use self::allocation::ADDRESS_BYTES;
use self::block::Block;
use self::device::alert_bytes;
use self::double_delivery::DoubleDeliveries;
use self::interner::{Interner, Text};
use self::plan::{Plan, PlanKind, Planner};
use self::table::Table;
use self::tables::Tables;
use crate::inventory::Directory;
use crate::telemetry::{Batch, Rows};
use crate::time::Moment;

pub use self::accounts::AccountId;
pub use self::changes::{Change, ChangeKind, Changes, What};
pub use self::device::{Listing, Presence};
pub use self::double_delivery::DoubleDelivery;
pub use self::dump::{DumpError, Form, Frozen};
pub use self::lease::{Lease, pinned};
pub use self::limits::Limits;
pub use self::listing::NotListed;
pub use self::options::{FleetOptions, Retention};
pub use self::plan::Example;
pub use self::presences::Counts;
pub use self::row_span::RowSpan;
pub use self::snapshot::Snapshot;
pub use self::stream_time::StreamTime;
pub use self::tally::{LeftOut, RowCode, RowFault, RowIgnored, Tally};

/// The time that an answer covers: it contains all rows that were sent in this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// When the answer was received.
    pub to: Moment,
    /// How much of the time before that it covers.
    pub covers: Duration,
}

/// A device that another account has taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// The name of the former account.
    pub from: Arc<str>,
    /// The code of its type.
    pub code: Arc<str>,
    /// Its `DeviceId`.
    pub id: Box<str>,
}

/// The result of a batch.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// The counts of its rows and cells.
    pub tally: Tally,
    /// The changes, each with its device.
    pub changes: Changes,
    /// A device that both this account and another one keep delivering.
    pub double_delivery: Option<DoubleDelivery>,
    /// The devices that now belong to the account of the batch, and belonged to another one before.
    pub taken_over: Vec<TakenOver>,
}

/// The last state of every device.
#[derive(Debug)]
pub struct Fleet {
    options: FleetOptions,
    tables: Tables,
    texts: Interner<Text>,
    alert_names: Interner<Arc<str>>,
    accounts: Accounts,
    double_deliveries: DoubleDeliveries,
    /// The inventories of all accounts.
    directory: Arc<Directory>,
    /// Whether the inventories have changed since they were joined.
    must_list: bool,
    /// The number of changes that a scrape shows.
    version: u64,
}

impl Fleet {
    /// A fleet without devices.
    #[must_use]
    pub fn new(options: FleetOptions) -> Self {
        Self {
            tables: Tables::default(),
            texts: Interner::new(options.limits.texts),
            alert_names: Interner::new(options.limits.alert_names),
            options,
            accounts: Accounts::default(),
            double_deliveries: DoubleDeliveries::default(),
            directory: Arc::default(),
            must_list: false,
            version: 0,
        }
    }

    /// Plans the effect of an account's batch on the fleet at `now`. Rows with a timestamp above `latest` (see [`latest`]) are in the
    /// future. This changes nothing that a scrape shows.
    #[must_use]
    pub fn plan(&mut self, account: AccountId, batch: &Batch, now: Moment, latest: i64) -> Plan {
        self.plan_as(PlanKind::Stream, account, batch, now, latest)
    }

    /// Plans the effect of the last values of an account's terminals, in the form of a batch: [`Fleet::plan`] for terminals without a row.
    #[must_use]
    pub fn plan_last_known(
        &mut self,
        account: AccountId,
        batch: &Batch,
        now: Moment,
        latest: i64,
    ) -> Plan {
        self.plan_as(PlanKind::LastKnown, account, batch, now, latest)
    }

    fn plan_as(
        &mut self,
        kind: PlanKind,
        account: AccountId,
        batch: &Batch,
        now: Moment,
        latest: i64,
    ) -> Plan {
        self.texts.begin_batch();
        self.alert_names.begin_batch();
        let most_new_bytes = most_value_bytes(&batch.rows);
        let is_tight = |tables: &Tables, limits: &Limits| {
            tables.value_bytes().saturating_add(most_new_bytes) > limits.values
        };
        let limits = &self.options.limits;
        let was_tight = is_tight(&self.tables, limits);
        for table in &mut self.tables.tables {
            table.drop_unused_lanes(now, limits.lanes, was_tight);
        }
        let planner = Planner {
            options: &self.options,
            devices: self.tables.devices(),
            room: limits.devices,
            is_tight: was_tight && is_tight(&self.tables, limits),
            tables: &mut self.tables,
            texts: &mut self.texts,
            alert_names: &mut self.alert_names,
            accounts: &self.accounts,
            now,
            latest,
            plan: Plan::of(account, kind),
        };
        planner.plan(batch)
    }

    /// The account with this name. It is added if it does not exist, and restored if it was removed. `None` if there are too many.
    pub fn account(&mut self, name: &Arc<str>) -> Option<AccountId> {
        self.accounts
            .find_or_add(name, self.options.limits.accounts)
    }

    /// Removes an account. Its devices are removed after `STALE_AFTER`, except those that another account delivers by then; what only its
    /// inventory has is removed by [`Fleet::list_inventories`].
    pub fn remove_account(&mut self, account: AccountId, now: Moment) {
        self.accounts.remove(account, now);
        self.must_list |= self.accounts.take_inventory(account);
    }

    /// Makes room for another account: the devices of the account that was removed first go with the next [`Fleet::expire`]. Returns
    /// whether there is such an account.
    pub fn displace_removed_account(&mut self) -> bool {
        self.accounts.displace_first_removed()
    }

    /// Removes all accounts except these. Used for accounts of an earlier process that are no longer configured.
    pub fn keep_accounts(&mut self, names: &[&str], now: Moment) {
        let others = self
            .accounts()
            .filter(|(_, name)| !names.contains(&&***name));
        let others: Vec<_> = others.map(|(id, _)| id).collect();
        for id in others {
            self.remove_account(id, now);
        }
    }

    /// The account with this name that is not removed.
    #[must_use]
    pub fn find_account(&self, name: &str) -> Option<AccountId> {
        let mut accounts = self.accounts();
        let found = accounts.find(|(_, known)| &***known == name);
        found.map(|(id, _)| id)
    }

    /// The accounts that are not removed.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, &Arc<str>)> {
        let accounts = self.accounts.iter();
        accounts.map(|(id, account)| (id, &account.name))
    }

    /// Whether an account's whole stream is silent: its answers contain no rows, although many devices were online.
    #[must_use]
    pub fn is_stream_silent(&self, account: AccountId) -> bool {
        let account = self.accounts.get(account);
        account.is_some_and(|account| account.stream_time.is_silent())
    }

    /// The share of the gaps over 22 s among all gaps between two reports of an account's devices in the last 10 minutes, 0 to 1;
    /// `None` without any gap.
    #[must_use]
    pub fn reports_skipped(&self, account: AccountId, now: Moment) -> Option<f64> {
        self.accounts.get(account)?.gaps.long_share(now)
    }

    /// For how long an account's answers have contained no rows, where many devices were online before; `None` otherwise.
    #[must_use]
    pub fn no_rows_for(&self, account: AccountId) -> Option<Duration> {
        self.accounts.get(account)?.stream_time.empty()
    }

    /// Applies the passing of time: devices become stale and offline, and are forgotten. Returns the changes.
    pub fn expire(&mut self, now: Moment) -> Changes {
        let mut changes = Changes::default();
        let retention = &self.options.retention;
        let clocks = self.accounts.clocks(retention.stale_after);
        let mut unheard = Vec::new();
        for (number, table) in self.tables.tables.iter_mut().enumerate() {
            let mut slots = Vec::new();
            let changed = table.expire(now, &clocks, retention, &mut changes, &mut slots);
            self.version += u64::from(changed);
            unheard.extend(slots.into_iter().map(|slot| (number, slot)));
        }
        self.return_terminals(unheard, &clocks);
        let has_forgotten = self
            .accounts
            .forget_removed(now, self.options.retention.stale_after);
        self.accounts.expire_gaps(now);
        // Another account may list a terminal that went with its account.
        self.must_list |= has_forgotten && !self.directory.is_empty();
        changes
    }

    /// The number of devices, including terminals of which only an IP allocation is known.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.tables.devices()
    }

    /// Whether the limit of devices admits another one.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.devices() < self.options.limits.devices
    }

    /// A number that increases with every change that a scrape shows, and with every change of the blocks and lanes in which snapshots
    /// hold the values.
    #[must_use]
    pub fn version(&self) -> u64 {
        let layouts = self.tables.tables.iter().map(Table::layouts);
        self.version + layouts.sum::<u64>()
    }

    /// When [`Fleet::expire`] must be called next, if no batch comes before.
    #[must_use]
    pub fn due(&self) -> Moment {
        let due = self.tables.tables.iter().map(|table| table.slots().due());
        let removed = self.accounts.due(self.options.retention.stale_after);
        due.min().unwrap_or(Moment::NEVER).min(removed)
    }

    /// The state that a later process needs. It shares the blocks with the fleet.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        Frozen::of(self)
    }

    /// The blocks of all tables.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.tables.tables.iter().flat_map(Table::blocks)
    }

    /// The current state. It shares the blocks with the fleet. Call [`Fleet::expire`] before.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut tables: Vec<_> = self.tables.tables.iter().collect();
        tables.sort_by(|one, other| one.code.cmp(&other.code));
        Snapshot::of(
            tables.into_iter(),
            self.accounts.names(),
            Arc::clone(&self.directory),
            self.version(),
        )
    }
}

/// The most memory in bytes that the values of rows need in the fleet. A cell is one value, or a list of alerts or addresses.
fn most_value_bytes(rows: &Rows) -> usize {
    const FOR_AN_ELEMENT: usize = ADDRESS_BYTES + alert_bytes(1);
    let values = rows.cells().saturating_mul(columns::MOST_FOR_A_VALUE);
    values.saturating_add(rows.list_elements().saturating_mul(FOR_AN_ELEMENT))
}

/// How far a row's timestamp may be ahead of the corrected clock, in nanoseconds.
const AHEAD: i64 = 10 * 60 * 1_000_000_000;

/// The latest `UtcTimestampNs` of a batch that is not in the future: ten minutes after `now`, the corrected clock in nanoseconds since
/// 1970 when the batch was received. Without `now`, as long as no answer had a `Date` header, ten minutes after the median of its rows.
#[must_use]
pub fn latest(batch: &Batch, now: Option<i64>, limits: &Limits) -> i64 {
    let now = now.or_else(|| batch.median_timestamp(limits.earliest..=i64::MAX));
    now.map_or(i64::MAX, |now| now.saturating_add(AHEAD))
}

#[cfg(test)]
pub(crate) mod tests;

//! The last state of every device. Pure: time is an argument, and the module is independent of its callers.
//!
//! Devices are stored in blocks of 256, by column. A snapshot shares the blocks, and a write copies a shared block, so that a scrape
//! never shows half of a batch and does not delay one. A batch is planned ([`plan`]) before it is committed: everything that can fail
//! fails before the first write.

pub mod accounts;
pub mod allocation;
pub mod block;
pub mod changes;
mod churn;
pub mod columns;
mod commit;
pub mod dump;
pub mod gaps;
pub mod interner;
pub mod labels;
mod lease;
pub mod limits;
pub mod plan;
mod rivals;
pub mod slots;
pub mod snapshot;
mod stream_time;
pub mod table;
pub mod tally;

use std::sync::Arc;
use std::time::Duration;

use self::accounts::Accounts;
use self::allocation::ADDRESS_BYTES;
use self::block::{Block, alert_bytes};
use self::interner::{Interner, Text};
use self::plan::{Plan, Planner};
use self::rivals::Rivals;
use self::table::Table;
use crate::telemetry::{Batch, FieldFilter, Rows};
use crate::time::Moment;

pub use self::accounts::AccountId;
pub use self::block::Presence;
pub use self::changes::{Change, Changes, What};
pub use self::dump::{DumpError, Form, Frozen};
pub use self::lease::{Lease, pinned};
pub use self::limits::Limits;
pub use self::plan::Example;
pub use self::rivals::Rivalry;
pub use self::snapshot::{Counts, Snapshot};
pub use self::tally::{LeftOut, RowCode, RowFault, RowIgnored, Tally};

/// For how long what a row said holds. Each at least a second; in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// After this a device is stale.
    pub stale_after: Duration,
    /// After this the addresses of an allocation are gone.
    pub ip_stale_after: Duration,
    /// After this a device is gone.
    pub forget_after: Duration,
}

/// What the fleet keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetOptions {
    /// Whether routers are kept.
    pub include_routers: bool,
    /// Which fields are kept of what an earlier process knew. Batches come without the others already.
    pub fields: FieldFilter,
    /// For how long.
    pub retention: Retention,
    /// How much at most.
    pub limits: Limits,
}

impl FleetOptions {
    /// Those of the default settings.
    pub const STANDARD: Self = Self {
        include_routers: false,
        fields: FieldFilter::EVERYTHING,
        retention: Retention {
            stale_after: Duration::from_secs(120),
            ip_stale_after: Duration::from_secs(900),
            forget_after: Duration::from_secs(86_400),
        },
        limits: Limits::STANDARD,
    };
}

/// The time that an answer of the stream covers: nothing that was sent in it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// When the answer was there.
    pub to: Moment,
    /// How much of the time before that it covers.
    pub covers: Duration,
}

/// What a batch has done.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// What became of its rows and cells.
    pub tally: Tally,
    /// What has changed for which device.
    pub changes: Changes,
    /// A device that this account and another one go on delivering.
    pub rivalry: Option<Rivalry>,
}

/// How much a fleet holds, whether it is needed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Slots of devices, free ones included.
    pub slots: usize,
    /// Lanes of numbers and of texts.
    pub lanes: usize,
    /// Different info texts.
    pub texts: usize,
    /// Different names of alerts.
    pub alert_names: usize,
}

/// The tables by the order of their codes, at positions that never change.
#[derive(Debug, Default)]
struct Tables {
    tables: Vec<Table>,
}

impl Tables {
    /// An account has a handful of types, found faster in a list than in a map.
    fn find(&self, code: &str) -> Option<usize> {
        self.tables.iter().position(|table| *table.code == *code)
    }

    /// The number of the new table, whose name is its code until a row of its type counts.
    fn add(&mut self, code: &str) -> usize {
        let name = self.free_name(code, code);
        self.tables.push(Table::new(code.into(), name));
        self.tables.len() - 1
    }

    /// Names a table as an answer with a row of its type does, or a state file. Whether the name is a new one.
    ///
    /// Tables get their names here and in [`Tables::add`] alone, and no two of them have the same. The types of one answer have
    /// different names; a table that has this name from an earlier answer, with another enum, gets its code behind it.
    fn rename(&mut self, table: usize, name: &Arc<str>) -> bool {
        if self.tables[table].name == *name {
            return false;
        }
        let earlier = self.tables.iter().position(|known| known.name == *name);
        if let Some(earlier) = earlier {
            let code = Arc::clone(&self.tables[earlier].code);
            self.tables[earlier].name = self.free_name(name, &code);
        }
        self.tables[table].name = Arc::clone(name);
        true
    }

    /// The name, or the name with `_` and the code behind it, that no table has.
    fn free_name(&self, name: &str, code: &str) -> Arc<str> {
        let mut free = name.to_owned();
        while self.tables.iter().any(|known| *known.name == *free) {
            free = format!("{free}_{code}");
        }
        free.into()
    }

    /// Goes by the names that the columns of the given tables came with, and by the column orders of all. Whether one of them is
    /// new.
    fn settle(&mut self, named: &[usize]) -> bool {
        let mut changed = false;
        for table in &mut self.tables {
            changed |= table.settle();
        }
        for &table in named {
            if let Some(name) = self.tables[table].adopted_name().map(Arc::clone) {
                changed |= self.rename(table, &name);
            }
        }
        changed
    }

    /// How many slots are taken.
    fn devices(&self) -> usize {
        self.tables
            .iter()
            .map(|table| table.slots().devices())
            .sum()
    }

    /// How many bytes numbers, references to texts and alerts, and the entries of allocations take, the texts themselves not
    /// counted.
    fn value_bytes(&self) -> usize {
        self.tables.iter().map(Table::value_bytes).sum()
    }

    fn get(&self, table: usize) -> &Table {
        &self.tables[table]
    }

    fn get_mut(&mut self, table: usize) -> &mut Table {
        &mut self.tables[table]
    }
}

/// The last state of every device.
#[derive(Debug)]
pub struct Fleet {
    options: FleetOptions,
    tables: Tables,
    texts: Interner<Text>,
    alert_names: Interner<Arc<str>>,
    accounts: Accounts,
    rivals: Rivals,
    /// Counts the changes that a scrape shows.
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
            rivals: Rivals::default(),
            version: 0,
        }
    }

    /// Works out what a batch of an account does to the fleet at `now`. Rows with a timestamp above `latest` (see [`latest`]) are in the
    /// future. Nothing that a scrape shows has changed afterwards.
    #[must_use]
    pub fn plan(&mut self, account: AccountId, batch: &Batch, now: Moment, latest: i64) -> Plan {
        self.texts.begin();
        self.alert_names.begin();
        let most_new = most_new(&batch.rows);
        let is_tight = |tables: &Tables, limits: &Limits| {
            tables.value_bytes().saturating_add(most_new) > limits.values
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
            plan: Plan::of(account),
        };
        planner.plan(batch)
    }

    /// The account of a name, which is added if there is none; one that was removed is there again. `None` when there are too many.
    pub fn account(&mut self, name: &Arc<str>) -> Option<AccountId> {
        self.accounts
            .find_or_add(name, self.options.limits.accounts)
    }

    /// Removes an account: its devices go after `STALE_AFTER`, those excepted that another account delivers by then.
    pub fn remove_account(&mut self, account: AccountId, now: Moment) {
        self.accounts.remove(account, now);
    }

    /// Removes all accounts but these: those of an earlier process that are no longer configured.
    pub fn keep_accounts(&mut self, names: &[&str], now: Moment) {
        let others = self
            .accounts()
            .filter(|(_, name)| !names.contains(&&***name));
        let others: Vec<_> = others.map(|(id, _)| id).collect();
        for id in others {
            self.remove_account(id, now);
        }
    }

    /// The accounts that are not removed.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, &Arc<str>)> {
        let accounts = self.accounts.iter();
        accounts.map(|(id, account)| (id, &account.name))
    }

    /// Whether the stream of an account as a whole is silent: answers come, but no row in them, though many devices were online.
    #[must_use]
    pub fn is_stream_silent(&self, account: AccountId) -> bool {
        let account = self.accounts.get(account);
        account.is_some_and(|account| account.stream_time.is_silent())
    }

    /// Of the gaps between two reports of an account's devices in the last 10 minutes, the share of those over 22 s; `None` without
    /// any.
    #[must_use]
    pub fn reports_skipped(&self, account: AccountId, now: Moment) -> Option<f64> {
        self.accounts.get(account)?.gaps.long_share(now)
    }

    /// For how long an account's answers have contained no rows, where many devices were online before; `None` otherwise.
    #[must_use]
    pub fn no_rows_for(&self, account: AccountId) -> Option<Duration> {
        self.accounts.get(account)?.stream_time.empty()
    }

    /// Does what time asks for: devices go stale, offline and are forgotten. What has changed for which device.
    pub fn expire(&mut self, now: Moment) -> Changes {
        let mut changes = Changes::default();
        let retention = &self.options.retention;
        let clocks = self.accounts.clocks(retention.stale_after);
        for table in &mut self.tables.tables {
            let changed = table.expire(now, &clocks, retention, &mut changes);
            self.version += u64::from(changed);
        }
        self.accounts.forget_removed(now, retention.stale_after);
        self.accounts.expire_gaps(now);
        changes
    }

    /// How many devices there are, terminals of which only an IP allocation is known included.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.tables.devices()
    }

    /// How much is held: for those who watch that nothing grows.
    #[must_use]
    pub fn held(&self) -> Held {
        let tables = || self.tables.tables.iter();
        Held {
            slots: tables().map(|table| table.slots().slots()).sum(),
            lanes: tables().map(Table::lanes).sum(),
            texts: self.texts.len(),
            alert_names: self.alert_names.len(),
        }
    }

    /// Whether another device would be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.devices() < self.options.limits.devices
    }

    /// A number that grows with everything that a scrape could see, and with everything that changes in how snapshots are laid out:
    /// in which blocks and lanes things stand.
    #[must_use]
    pub fn version(&self) -> u64 {
        let layouts = self.tables.tables.iter().map(Table::layouts);
        self.version + layouts.sum::<u64>()
    }

    /// When time asks for something next, if no batch comes before. [`Fleet::expire`] is then to be called.
    #[must_use]
    pub fn due(&self) -> Moment {
        let due = self.tables.tables.iter().map(|table| table.slots().due());
        let removed = self.accounts.due(self.options.retention.stale_after);
        due.min().unwrap_or(Moment::NEVER).min(removed)
    }

    /// All that a later process needs, shared, not copied.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        Frozen::of(self)
    }

    /// The blocks of all tables.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.tables.tables.iter().flat_map(Table::blocks)
    }

    /// The fleet as it is now, shared, not copied. Call [`Fleet::expire`] before.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut tables: Vec<_> = self.tables.tables.iter().collect();
        tables.sort_by(|one, other| one.code.cmp(&other.code));
        Snapshot::of(tables.into_iter(), self.accounts.names(), self.version())
    }
}

/// How many bytes the values of rows take at most. A cell is a value, or a list of alerts or addresses.
fn most_new(rows: &Rows) -> usize {
    const FOR_AN_ELEMENT: usize = ADDRESS_BYTES + alert_bytes(1);
    let values = rows.cells().saturating_mul(columns::MOST_FOR_A_VALUE);
    values.saturating_add(rows.list_elements().saturating_mul(FOR_AN_ELEMENT))
}

/// How far a row's timestamp may be ahead of the corrected clock, in nanoseconds.
const AHEAD: i64 = 10 * 60 * 1_000_000_000;

/// The latest `UtcTimestampNs` of a batch that is not in the future: ten minutes ahead of `now`, the corrected clock at its
/// receipt in nanoseconds since 1970, or of the median of its rows where no answer has said yet what time it is.
#[must_use]
pub fn latest(batch: &Batch, now: Option<i64>, limits: &Limits) -> i64 {
    let now = now.or_else(|| batch.median_timestamp(limits.earliest..=i64::MAX));
    now.map_or(i64::MAX, |now| now.saturating_add(AHEAD))
}

#[cfg(test)]
pub(crate) mod tests;

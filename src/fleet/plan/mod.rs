//! Plans all effects of a batch on the fleet before anything is written.
//!
//! Everything that can fail (checking cells, interning texts, assigning slots and lanes) happens here, without visible effects. So
//! after a panic nothing must be undone, and the same batch can be planned again. The commit only copies and stores values.
//!
//! `select` finds the rows that are used; `device` and `allocation` plan their effects.

mod allocation;
mod device;
mod select;

use std::sync::Arc;

use self::select::Candidate;
use super::accounts::{AccountId, Accounts};
use super::allocation::Allocation;
use super::device::Difference;
use super::gaps::Gaps;
use super::interner::{Interner, Text};
use super::options::FleetOptions;
use super::tables::Tables;
use super::tally::{RowCode, RowFault, Tally};
use crate::telemetry::readings::Identity;
use crate::telemetry::values::LongNumbers;
use crate::telemetry::{Batch, CellFault, DeviceKind};
use crate::time::Moment;

/// The effect of a batch.
#[derive(Debug, Default)]
pub struct Plan {
    /// The counts of its rows and cells.
    pub tally: Tally,
    /// The account of the batch.
    pub(super) account: AccountId,
    /// What its rows are.
    pub(super) kind: PlanKind,
    /// The first row whose timestamp is too far ahead of the corrected clock.
    pub future: Option<Example>,
    /// The first row whose timestamp is before 2019.
    pub early: Option<Example>,
    pub(super) devices: Vec<PlannedDevice>,
    pub(super) allocations: Vec<PlannedAllocation>,
    /// Devices, and allocations of unknown terminals, that are removed to make room for new ones: table and slot.
    pub(super) evicted: Vec<(usize, usize)>,
    /// The name that the answer's enum gives to terminals.
    pub(super) terminal_name: Option<Arc<str>>,
    /// The tables of `devices`, each once.
    pub(super) tables: Vec<usize>,
    /// Lists of ascending lanes. Devices with the same lanes share a list.
    pub(super) lanes: Vec<u32>,
    /// Parses texts that are numbers.
    numbers: LongNumbers,
    /// The numbers of all devices.
    pub(super) gauges: Vec<f64>,
    /// The other differences of all devices.
    pub(super) changes: Vec<Difference>,
    /// Devices of the account whose rows in the batch are too old to be used, because another account has delivered newer ones: table and
    /// slot.
    pub(super) delivered: Vec<(usize, usize)>,
    /// Devices of other accounts whose rows in the batch are too old to be used: table and slot. At most 64.
    pub(super) delivered_of_others: Vec<(usize, usize)>,
    /// Fields whose text changes in nearly every row of most devices. Each is reported once.
    pub churning: Vec<Arc<str>>,
}

impl Plan {
    pub(super) fn of(account: AccountId, kind: PlanKind) -> Self {
        Self {
            account,
            kind,
            ..Self::default()
        }
    }

    /// Whether it has no effect on any device.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
            && self.allocations.is_empty()
            && self.evicted.is_empty()
            && self.delivered.is_empty()
    }
}

/// What the rows of a batch are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlanKind {
    /// Rows of the stream.
    #[default]
    Stream,
    /// The last values of terminals, which are not current. Only terminals without a row take them.
    LastKnown,
}

/// A row to name in a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its DeviceId, escaped and cut to 100 characters.
    pub id: String,
    /// `UtcTimestampNs`.
    pub reported: i64,
}

impl Example {
    const LONGEST: usize = 100;

    fn of(identity: Identity<'_>) -> Self {
        let id = identity.device_id.escape_debug();
        Self {
            id: id.take(Self::LONGEST).collect(),
            reported: identity.reported,
        }
    }
}

/// The new state of one device. Its numbers and differences follow those of the previous device in the plan.
#[derive(Debug)]
pub(super) struct PlannedDevice {
    pub(super) table: u32,
    pub(super) slot: u32,
    pub(super) reported: i64,
    pub(super) owner: Owner,
    /// Where the lanes of its numbers begin in [`Plan::lanes`].
    pub(super) lanes: u32,
    /// The number of its numbers.
    pub(super) gauges: u32,
    /// The number of its differences.
    pub(super) changes: u32,
}

/// The account of a row's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The account that delivers the row.
    This,
    /// Another account.
    Other,
    /// Another account or none before, and the account that delivers the row from now on.
    New,
}

/// The new allocation of one terminal, which may be unknown.
#[derive(Debug)]
pub(super) struct PlannedAllocation {
    pub(super) table: usize,
    pub(super) slot: usize,
    pub(super) allocation: Arc<Allocation>,
}

/// Plans one batch.
pub(super) struct Planner<'f> {
    pub(super) options: &'f FleetOptions,
    pub(super) tables: &'f mut Tables,
    pub(super) texts: &'f mut Interner<Text>,
    pub(super) alert_names: &'f mut Interner<Arc<str>>,
    pub(super) accounts: &'f Accounts,
    /// The number of devices.
    pub(super) devices: usize,
    /// The most devices, including those that are removed to make room.
    pub(super) room: usize,
    /// Whether memory for values is short. Then devices get no values in further lanes, and not more alerts and entries of allocations than
    /// they have.
    pub(super) is_tight: bool,
    pub(super) now: Moment,
    /// The latest `UtcTimestampNs` that is not in the future.
    pub(super) latest: i64,
    pub(super) plan: Plan,
}

impl Planner<'_> {
    pub(super) fn plan(mut self, batch: &Batch) -> Plan {
        self.plan.terminal_name = batch.schema.terminal_name().map(Arc::clone);
        let tally = &mut self.plan.tally;
        tally.reject_rows(RowFault::Shape, batch.rows.malformed());
        tally.count_rows(RowCode::Other, batch.rows.malformed());
        tally.reject_rows(RowFault::Limit, batch.rows.beyond());
        tally.count_rows(RowCode::Other, batch.rows.beyond());
        let (devices, allocations) = self.select(batch);
        self.count_gaps(&devices.rows);
        self.devices(&batch.rows, &devices.rows);
        self.allocations(&allocations.rows);
        for table in &mut self.tables.tables {
            self.plan.churning.extend(table.churning());
        }
        self.plan
    }

    /// Counts the gaps between these reports and the previous ones, for the types that report at a fixed interval.
    fn count_gaps(&mut self, devices: &[Candidate<'_>]) {
        for device in devices {
            let table = self.tables.get(device.table);
            let (block, slot) = table.block(device.slot);
            let has_interval = matches!(table.kind, DeviceKind::Terminal | DeviceKind::Router);
            if has_interval && block.has_streamed(slot) {
                let span = device.reported.saturating_sub(block.reported(slot));
                self.plan.tally.gaps.add(Gaps::before(device.reports, span));
            }
        }
    }
}

/// The shared copy of a text.
///
/// # Errors
/// The text has more than `longest` bytes, or there is no room for it.
fn intern_bounded(
    texts: &mut Interner<Text>,
    text: &str,
    longest: usize,
) -> Result<Text, CellFault> {
    let text = (text.len() <= longest).then(|| texts.intern(text));
    text.flatten().ok_or(CellFault::Limit)
}

/// A count as a 32-bit number: an answer has less than 2^32 bytes, and so less of everything else.
fn counted(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

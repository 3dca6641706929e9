//! What became of the rows and cells of a batch: closed lists of reasons, and their counts.

use crate::telemetry::CellFault;

/// The codes that rows are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowCode {
    /// `u`
    Terminal,
    /// `r`
    Router,
    /// `i`
    Allocation,
    /// `d`
    DataUsage,
    /// Anything else, also what is no code.
    Other,
}

impl RowCode {
    /// Every code, in the order of their metric.
    pub const ALL: [Self; 5] = [
        Self::Terminal,
        Self::Router,
        Self::Allocation,
        Self::DataUsage,
        Self::Other,
    ];

    /// The label value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminal => "u",
            Self::Router => "r",
            Self::Allocation => "i",
            Self::DataUsage => "d",
            Self::Other => "other",
        }
    }

    pub(super) fn of(code: &str) -> Self {
        let known = Self::ALL.into_iter().take(4);
        known
            .into_iter()
            .find(|known| known.name() == code)
            .unwrap_or(Self::Other)
    }
}

/// Why a row was ignored: nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowIgnored {
    /// A newer row of its device counts.
    Older,
    /// Its timestamp is more than ten minutes ahead of the corrected clock.
    Future,
    /// It is a router's, and routers are left out.
    Router,
    /// There are as many devices, or types of devices, as may be, and this is another one.
    DeviceLimit,
}

impl RowIgnored {
    /// Every reason, in the order of their metric.
    pub const ALL: [Self; 4] = [Self::Older, Self::Future, Self::Router, Self::DeviceLimit];

    /// The label value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Older => "older",
            Self::Future => "future",
            Self::Router => "router",
            Self::DeviceLimit => "device_limit",
        }
    }
}

/// Why a row was rejected: it cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFault {
    /// It is no list.
    Shape,
    /// Its type is no string.
    DeviceType,
    /// Its own answer has no column list for its type.
    NoColumns,
    /// Its identifier is no non-empty string.
    DeviceId,
    /// Its timestamp is no integer, or before 2019.
    Timestamp,
    /// Its identifier or its type's code is too long, or there were too many rows before it in its answer.
    Limit,
    /// The store failed on its batch, twice.
    StoreFailed,
}

impl RowFault {
    /// Every reason, in the order of their metric.
    pub const ALL: [Self; 7] = [
        Self::Shape,
        Self::DeviceType,
        Self::NoColumns,
        Self::DeviceId,
        Self::Timestamp,
        Self::Limit,
        Self::StoreFailed,
    ];

    /// The label value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::DeviceType => "device_type",
            Self::NoColumns => "no_columns",
            Self::DeviceId => "device_id",
            Self::Timestamp => "timestamp",
            Self::Limit => "limit",
            Self::StoreFailed => "store_failed",
        }
    }
}

/// What became of the rows and cells of one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows received, by [`RowCode`].
    pub rows: [u64; RowCode::ALL.len()],
    /// Rows ignored, by [`RowIgnored`].
    pub ignored: [u64; RowIgnored::ALL.len()],
    /// Rows rejected, by [`RowFault`].
    pub rejected: [u64; RowFault::ALL.len()],
    /// Cells rejected, by [`CellFault`].
    pub cells: [u64; CellFault::ALL.len()],
}

impl Tally {
    pub(super) fn count_rows(&mut self, code: RowCode, rows: usize) {
        self.rows[code as usize] += rows as u64;
    }

    pub(super) fn ignore_row(&mut self, reason: RowIgnored) {
        self.ignored[reason as usize] += 1;
    }

    pub(super) fn reject_rows(&mut self, fault: RowFault, rows: usize) {
        self.rejected[fault as usize] += rows as u64;
    }

    pub(super) fn reject_cell(&mut self, fault: CellFault) {
        self.cells[fault as usize] += 1;
    }
}

//! Counts the rows and cells of a batch that were applied or left out, by closed lists of reasons.

use super::gaps::Gaps;
use crate::telemetry::CellFaults;
use crate::telemetry::readings::IdentityFault;

/// The codes by which rows are counted.
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
    /// Any other code, or none.
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

/// Why a valid row was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowIgnored {
    /// There is a newer row of its device.
    Older,
    /// Its timestamp is more than ten minutes ahead of the corrected clock.
    Future,
    /// It is a row of a router, and routers are not exported.
    Router,
    /// The limit of devices, or of types of devices, is reached.
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

    /// Why such rows are left out, as the end of a sentence.
    fn because(self) -> &'static str {
        match self {
            Self::Older => "newer rows of their devices are known",
            Self::Future => "their timestamps are more than 10 minutes in the future",
            Self::Router => "they are rows of routers, and INCLUDE_ROUTERS is not set",
            Self::DeviceLimit => "MAX_DEVICES or the limit of device types is reached",
        }
    }
}

/// Why an invalid row was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFault {
    /// It is not a list.
    Shape,
    /// Its type is not a string.
    DeviceType,
    /// Its own answer has no column list for its type.
    NoColumns,
    /// Its identifier is not a string, or is empty.
    DeviceId,
    /// Its timestamp is not an integer, or before 2019.
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

    /// Why such rows are left out, as the end of a sentence.
    fn because(self) -> &'static str {
        match self {
            Self::Shape => "they are not lists",
            Self::DeviceType => "their device type is not a string",
            Self::NoColumns => "their answer has no columns for their device type",
            Self::DeviceId => "they have no device ID",
            Self::Timestamp => "their timestamps are before 2019, or not in nanoseconds",
            Self::Limit => "they are too long, or too many for one answer",
            Self::StoreFailed => "storing them failed",
        }
    }
}

impl From<IdentityFault> for RowFault {
    fn from(fault: IdentityFault) -> Self {
        match fault {
            IdentityFault::DeviceId => Self::DeviceId,
            IdentityFault::Timestamp => Self::Timestamp,
        }
    }
}

/// Rows of one answer or several, none of which was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The number of rows.
    pub rows: u64,
    /// The reason of most of them, as in the metrics.
    pub reason: &'static str,
    /// The same as the end of a sentence.
    pub because: &'static str,
    /// The number of rows with this reason.
    pub with_reason: u64,
}

/// The counts of the rows and cells of one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows received, by [`RowCode`].
    pub rows: [u64; RowCode::ALL.len()],
    /// Rows ignored, by [`RowIgnored`].
    pub ignored: [u64; RowIgnored::ALL.len()],
    /// Rows rejected, by [`RowFault`].
    pub rejected: [u64; RowFault::ALL.len()],
    /// Cells rejected.
    pub cells: CellFaults,
    /// How many of the rows ignored by the limit of devices belong to earlier batches: the only rows of devices that were evicted to make
    /// room for new ones.
    pub evicted: u64,
    /// Gaps between the reports of terminals and routers.
    pub gaps: Gaps,
}

impl Tally {
    /// All rows received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// The rows, if some were received and all were left out. Old rows do not count, because no data is lost with them.
    #[must_use]
    pub fn left_out(&self) -> Option<LeftOut> {
        let ignored = RowIgnored::ALL.iter().map(|reason| {
            let count = self.ignored[*reason as usize];
            (reason.name(), reason.because(), count)
        });
        let rejected = RowFault::ALL.iter().map(|fault| {
            let count = self.rejected[*fault as usize];
            (fault.name(), fault.because(), count)
        });
        let reasons = || ignored.clone().chain(rejected.clone());
        let rows = self.received();
        let lost: u64 = reasons().map(|(.., count)| count).sum();
        let lost = lost.saturating_sub(self.evicted);
        let (reason, because, with_reason) = reasons().max_by_key(|(.., count)| *count)?;
        let is_all = rows > 0 && lost >= rows && self.ignored[RowIgnored::Older as usize] == 0;
        is_all.then_some(LeftOut {
            rows,
            reason,
            because,
            with_reason,
        })
    }

    /// Adds the counts of another batch.
    pub fn add(&mut self, other: &Self) {
        let add = |sums: &mut [u64], counts: &[u64]| {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.saturating_add(*count);
            }
        };
        add(&mut self.rows, &other.rows);
        add(&mut self.ignored, &other.ignored);
        add(&mut self.rejected, &other.rejected);
        self.cells.add(&other.cells);
        self.evicted = self.evicted.saturating_add(other.evicted);
        self.gaps.add(other.gaps);
    }

    pub(super) fn count_rows(&mut self, code: RowCode, rows: usize) {
        self.rows[code as usize] += rows as u64;
    }

    pub(super) fn ignore_row(&mut self, reason: RowIgnored) {
        self.ignored[reason as usize] += 1;
    }

    /// Counts a device that was evicted to make room for a new one, so that its only row is lost.
    pub(super) fn count_eviction(&mut self) {
        self.ignore_row(RowIgnored::DeviceLimit);
        self.evicted += 1;
    }

    pub(super) fn reject_rows(&mut self, fault: RowFault, rows: usize) {
        self.rejected[fault as usize] += rows as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_left_out_when_none_was_stored() {
        let tally = |rows, ignored: &[(RowIgnored, u64)], rejected: &[(RowFault, u64)]| {
            let mut tally = Tally::default();
            tally.rows[RowCode::Terminal as usize] = rows;
            for (reason, count) in ignored {
                tally.ignored[*reason as usize] = *count;
            }
            for (fault, count) in rejected {
                tally.rejected[*fault as usize] = *count;
            }
            tally
        };
        let future = (RowIgnored::Future, 3);
        for (tally, expected) in [
            (tally(0, &[], &[]), None),
            (tally(4, &[future], &[]), None),
            (tally(3, &[future], &[]), Some((3, "future", 3))),
            (
                tally(8, &[future], &[(RowFault::NoColumns, 5)]),
                Some((8, "no_columns", 5)),
            ),
            (tally(4, &[future, (RowIgnored::Older, 1)], &[]), None),
        ] {
            let left_out = tally.left_out();
            let found = left_out.map(|left| (left.rows, left.reason, left.with_reason));
            assert_eq!(found, expected, "{tally:?}");
        }
    }
}

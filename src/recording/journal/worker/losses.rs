//! Counts the rows of records that cannot be read any more.

use std::ops::RangeInclusive;

use tracing::{error, warn};

use super::Worker;
use crate::journal::{Cursor, Gap, Storage};
use crate::recording::status::Operation;

impl<S: Storage> Worker<S> {
    /// Counts the rows of missing numbers that were not deleted, each once. How many rows they had is not known: each counts as many as
    /// the records of the journal have on average. What all destinations were sent is not lost; they read it to restore their state.
    pub(super) fn count_gaps(&mut self, gaps: &[Gap]) {
        let cursors = self.files.iter().flat_map(|files| files.cursors().values());
        let needed = cursors.map(Cursor::oldest).min().unwrap_or_default();
        let damaged = gaps.iter().filter(|gap| !gap.is_deleted);
        let damaged = damaged.map(|gap| needed.max(*gap.numbers.start())..=*gap.numbers.end());
        self.count_lost(damaged.collect());
    }

    /// Counts the rows of numbers that are lost, each once.
    pub(super) fn count_lost(&mut self, lost: Vec<RangeInclusive<u64>>) {
        let known = &mut self.known_gaps;
        let new: Vec<_> = lost
            .into_iter()
            .flat_map(|numbers| known.add(numbers))
            .collect();
        if new.is_empty() {
            return;
        }
        let records: u64 = new
            .iter()
            .map(|it| (it.end() - it.start()).saturating_add(1))
            .sum();
        let lost = self.estimated_rows(records);
        self.status.rows_lost_in_gaps.add(lost);
        if let Some(not_logged) = self.gaps.admit(self.clock.elapsed()) {
            let account = &self.account;
            let numbers = new.iter().take(5);
            let numbers: Vec<_> = numbers
                .map(|it| format!("{}-{}", it.start(), it.end()))
                .collect();
            warn!(
                %account,
                numbers = numbers.join(", "),
                records,
                rows_estimated = lost,
                not_logged,
                "records of the journal cannot be read: their rows are lost"
            );
        }
    }

    /// How many rows lost records had: as many as the records of the journal have on average, or had before they were lost, but at least
    /// one each, so that no loss counts as none.
    fn estimated_rows(&mut self, records: u64) -> u64 {
        self.measure();
        let (kept, rows) = self.sizes;
        let rows = u128::from(records) * u128::from(rows) / u128::from(kept.max(1));
        u64::try_from(rows).unwrap_or(u64::MAX).max(records)
    }

    /// Sums up the records of the journal, if it has any.
    fn measure(&mut self) {
        let segments = self.files.iter().flat_map(|files| files.log().segments());
        let (mut records, mut rows) = (0, 0);
        for tally in segments.filter_map(|segment| segment.tally) {
            records += tally.records;
            rows += tally.rows;
        }
        if records > 0 {
            self.sizes = (records, rows);
        }
    }

    /// Counts the records of files that others deleted, perhaps with the directory. What is written now is not in them any more.
    pub(super) fn lose_deleted(&mut self) {
        self.measure();
        let Some(files) = &mut self.files else { return };
        let Ok(lost) = files.lose_deleted() else {
            // It is tried again when the cursors are saved.
            return;
        };
        if lost.is_empty() {
            return;
        }
        self.has_lost = true;
        let account = &self.account;
        error!(%account, segments = lost.len(), "files of the journal were deleted while it is in use: it is begun anew");
        self.status.failed(Operation::Append);
        if !files.cursors().is_empty() {
            let gap = |numbers| Gap {
                numbers,
                is_deleted: false,
            };
            let gaps: Vec<_> = lost.into_iter().map(gap).collect();
            self.count_gaps(&gaps);
        }
        self.report();
    }
}

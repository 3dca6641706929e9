//! The rows of one shard and one range that wait.

use std::collections::{HashMap, HashSet, VecDeque};

use super::super::reasons::RowReason;
use super::{MOST_ROWS, Row, Selected};

/// What happens to the next row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    /// It belongs to the request.
    Take,
    /// It is left out.
    Drop(RowReason),
    /// It belongs to the next request.
    Stop,
}

/// Rows that wait, those of several records separate or merged.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Rows of records that were merged: they come first. Rows of a device are adjacent, up to 40 of them.
    merged: VecDeque<Selected>,
    /// The rows of the other records, in the order of the records.
    rows: VecDeque<Selected>,
}

impl Queue {
    /// Makes room for so many rows. Less than the usual doubling, because memory counts here.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.rows.reserve_exact(rows);
    }

    pub(super) fn push(&mut self, row: Selected) {
        self.rows.push_back(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.merged.is_empty() && self.rows.is_empty()
    }

    /// The number of records that wait, without those that are merged; 2 stands for more, too.
    pub(super) fn records(&self) -> usize {
        let (first, last) = (self.rows.front(), self.rows.back());
        match (first, last) {
            (Some(first), Some(last)) if first.sequence != last.sequence => 2,
            (None, _) => 0,
            _ => 1,
        }
    }

    /// The time of the oldest row that is not merged.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.rows.iter().map(|row| row.row.time).min()
    }

    /// Merges the records that wait, unless some are merged already. Returns the rows that are left out: a series must not have two samples
    /// of the same time, so the row of the earlier record wins.
    pub(super) fn merge(&mut self) -> Vec<(RowReason, Selected)> {
        let mut dropped = Vec::new();
        if !self.merged.is_empty() {
            return dropped;
        }
        let mut rows = Vec::from(std::mem::take(&mut self.rows));
        rows.sort_by_key(|row| (row.row.device, row.row.time, row.sequence));
        let mut kept: Option<Selected> = None;
        rows.retain(|row| {
            let is_repeated = kept.is_some_and(|kept| {
                let is_same = (kept.row.device, kept.row.time) == (row.row.device, row.row.time);
                is_same && kept.sequence != row.sequence
            });
            match is_repeated {
                true => dropped.push((RowReason::Duplicate, *row)),
                false => kept = Some(*row),
            }
            !is_repeated
        });
        // The first 40 rows of all devices, then the next ones.
        let mut counts: HashMap<u64, usize> = HashMap::new();
        let mut ranked: Vec<(usize, Selected)> = rows
            .into_iter()
            .map(|row| {
                let count = counts.entry(row.row.device).or_default();
                *count += 1;
                ((*count - 1) / MOST_ROWS, row)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        self.merged = ranked.into_iter().map(|(_, row)| row).collect();
        dropped
    }

    /// The next rows of merged records; `None` if there are none.
    pub(super) fn take_merged(&mut self, max_samples: u64) -> Option<Vec<Selected>> {
        let mut rows: Vec<Selected> = Vec::new();
        let (mut samples, mut of_device) = (0_u64, 0);
        // A device must not come again behind another one.
        let mut devices = HashSet::new();
        while let Some(next) = self.merged.front() {
            let is_same = rows
                .last()
                .is_some_and(|last| last.row.device == next.row.device);
            samples += u64::from(next.row.samples);
            if !rows.is_empty() && samples > max_samples {
                break;
            }
            match is_same {
                true if of_device >= MOST_ROWS => break,
                true => of_device += 1,
                false if !devices.insert(next.row.device) => break,
                false => of_device = 1,
            }
            rows.extend(self.merged.pop_front());
        }
        (!rows.is_empty()).then_some(rows)
    }

    /// The next rows of the first record that has any to send, and the rows that are left out.
    pub(super) fn take_slice(
        &mut self,
        max_samples: u64,
        mut judge: impl FnMut(&Selected) -> Verdict,
    ) -> (Vec<Selected>, Vec<(RowReason, Selected)>) {
        let (mut rows, mut dropped): (Vec<Selected>, Vec<_>) = (Vec::new(), Vec::new());
        let mut samples = 0_u64;
        while let Some(next) = self.rows.front().copied() {
            let with_next = samples + u64::from(next.row.samples);
            let is_full = rows
                .first()
                .is_some_and(|row| row.sequence != next.sequence || with_next > max_samples);
            if is_full {
                break;
            }
            match judge(&next) {
                Verdict::Take => {
                    samples = with_next;
                    rows.push(next);
                }
                Verdict::Drop(reason) => dropped.push((reason, next)),
                Verdict::Stop => break,
            }
            self.rows.pop_front();
        }
        (rows, dropped)
    }

    /// Removes the rows for which there is a reason.
    pub(super) fn drop_all(
        &mut self,
        reason: impl Fn(&Row) -> Option<RowReason>,
    ) -> Vec<(RowReason, Selected)> {
        let mut dropped = Vec::new();
        for rows in [&mut self.merged, &mut self.rows] {
            rows.retain(|row| match reason(&row.row) {
                Some(reason) => {
                    dropped.push((reason, *row));
                    false
                }
                None => true,
            });
        }
        dropped
    }
}

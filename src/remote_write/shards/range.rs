//! A range of records: those that are read and not done, and the rows of each shard that wait.

use std::collections::VecDeque;

use super::queue::Queue;
use super::{Row, Selected};

/// The records of a range, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Records {
    /// The number from which to read next.
    next: u64,
    /// The number behind the last one, if the range ends.
    end: Option<u64>,
    open: VecDeque<Open>,
    queues: Vec<Queue>,
}

/// A record that is read and not done.
#[derive(Debug)]
struct Open {
    sequence: u64,
    /// Rows that are not done.
    rows: usize,
}

impl Records {
    pub(super) fn new(next: u64, end: Option<u64>, shards: u16) -> Self {
        Self {
            next,
            end,
            open: VecDeque::new(),
            queues: (0..shards).map(|_| Queue::default()).collect(),
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    /// Ends the range before this number.
    pub(super) fn end_at(&mut self, end: u64) {
        self.end = Some(end);
    }

    /// All records below this number are done.
    pub(super) fn done(&self) -> u64 {
        self.open.front().map_or(self.next, |open| open.sequence)
    }

    /// The number of records that are read and not done.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the range has an end, and no more records to read.
    pub(super) fn is_read(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    /// Whether the range has no more records to read before this number.
    pub(super) fn is_read_to(&self, end: u64) -> bool {
        self.next >= self.end.unwrap_or(end)
    }

    pub(super) fn add(&mut self, sequence: u64, rows: &[Row]) {
        if sequence < self.next || self.end.is_some_and(|end| sequence >= end) {
            // What lies behind the end belongs to the other range.
            self.next = self.end.map_or(self.next, |end| match sequence >= end {
                true => end,
                false => self.next,
            });
            return;
        }
        self.next = sequence.saturating_add(1);
        let count = self.queues.len() as u64;
        // An eighth more than the mean, because the hash does not spread them evenly.
        let each = rows.len() / self.queues.len().max(1);
        for queue in &mut self.queues {
            queue.reserve(each + each / 8);
        }
        let mut open = 0;
        for (index, row) in (0_u32..).zip(rows) {
            let selected = Selected {
                sequence,
                index,
                row: *row,
            };
            // The remainder is below the number of queues.
            if let Some(queue) = self.queues.get_mut((row.device % count.max(1)) as usize) {
                queue.push(selected);
                open += 1;
            }
        }
        if open > 0 {
            self.open.push_back(Open {
                sequence,
                rows: open,
            });
        }
    }

    pub(super) fn skip(&mut self, next: u64) {
        let next = self.end.map_or(next, |end| next.min(end));
        self.next = self.next.max(next);
    }

    /// A row of a record is done. Records leave in their order, so that no shard gets far ahead of the slowest.
    pub(super) fn row_done(&mut self, sequence: u64) {
        let Ok(at) = self
            .open
            .binary_search_by_key(&sequence, |open| open.sequence)
        else {
            return;
        };
        if let Some(open) = self.open.get_mut(at) {
            open.rows = open.rows.saturating_sub(1);
        }
        while self.open.front().is_some_and(|open| open.rows == 0) {
            self.open.pop_front();
        }
    }

    pub(super) fn queue(&self, shard: usize) -> Option<&Queue> {
        self.queues.get(shard)
    }

    pub(super) fn queue_mut(&mut self, shard: usize) -> Option<&mut Queue> {
        self.queues.get_mut(shard)
    }

    /// Changes the number of queues, which are empty.
    pub(super) fn resize(&mut self, shards: u16) {
        self.queues = (0..shards).map(|_| Queue::default()).collect();
    }
}

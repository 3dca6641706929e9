//! A reading of records from the disk and from memory, within a number of bytes. Pure.

use std::sync::Arc;

use crate::journal::{Gap, Read, Record};
use crate::recording::messages::ReadReply;

/// The records that were read so far.
#[derive(Debug)]
pub(super) struct Portion {
    records: Vec<Arc<Record>>,
    next: u64,
    gaps: Vec<Gap>,
    bytes: usize,
    most_bytes: usize,
}

impl Portion {
    /// No records: reads from a number on.
    pub(super) fn new(from: u64, most_bytes: usize) -> Self {
        Self {
            records: Vec::new(),
            next: from,
            gaps: Vec::new(),
            bytes: 0,
            most_bytes,
        }
    }

    /// The records that were read from the disk.
    pub(super) fn of_disk(read: Read, most_bytes: usize) -> Self {
        let bytes = read.records.iter().map(Record::encoded_len).sum();
        Self {
            records: read.records.into_iter().map(Arc::new).collect(),
            next: read.next,
            gaps: read.gaps,
            bytes,
            most_bytes,
        }
    }

    /// Adds records from memory, in ascending order, those that follow and fit. Missing numbers are gaps.
    pub(super) fn add<'r>(&mut self, memory: impl IntoIterator<Item = &'r Arc<Record>>) {
        for record in memory {
            let (number, bytes) = (record.header.sequence, record.encoded_len());
            if number < self.next {
                continue;
            }
            if !self.records.is_empty() && self.bytes + bytes > self.most_bytes {
                return;
            }
            if number > self.next {
                self.gaps.push(Gap {
                    numbers: self.next..=number - 1,
                    is_deleted: false,
                });
            }
            self.push(record);
        }
    }

    /// Adds records from memory although older ones cannot be read: these are not reported as gaps.
    pub(super) fn overtake<'r>(&mut self, memory: impl IntoIterator<Item = &'r Arc<Record>>) {
        let mut memory = memory.into_iter();
        let from = self.next;
        if let Some(first) = memory.find(|record| record.header.sequence >= from) {
            self.push(first);
            self.add(memory);
        }
    }

    fn push(&mut self, record: &Arc<Record>) {
        self.bytes += record.encoded_len();
        self.next = record.header.sequence.saturating_add(1);
        self.records.push(Arc::clone(record));
    }

    /// Whether it has no records.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The missing numbers.
    pub(super) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The reply. `end` is the number of the next record.
    pub(super) fn reply(self, end: u64) -> ReadReply {
        ReadReply {
            records: self.records,
            next: self.next,
            gaps: self.gaps,
            // Records may have been appended since.
            end: end.max(self.next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::tests::record;

    fn records(numbers: impl IntoIterator<Item = u64>) -> Vec<Arc<Record>> {
        let records = numbers.into_iter();
        records
            .map(|number| Arc::new(record(number, b"")))
            .collect()
    }

    fn disk(numbers: std::ops::Range<u64>) -> Read {
        Read {
            next: numbers.end,
            records: numbers.map(|number| record(number, b"")).collect(),
            gaps: Vec::new(),
            is_end: true,
        }
    }

    #[test]
    fn records_of_disk_and_memory_are_read_once_each_and_in_order() {
        let size = record(1, b"").encoded_len();
        let shown = |portion: Portion| {
            let reply = portion.reply(8);
            let numbers = reply.records.iter().map(|record| record.header.sequence);
            let gaps = reply.gaps.iter().map(|gap| gap.numbers.clone());
            (
                numbers.collect::<Vec<_>>(),
                reply.next,
                gaps.collect::<Vec<_>>(),
            )
        };
        for (most, memory, expected) in [
            (99, vec![2, 3, 4], (vec![1, 2, 3, 4], 5, vec![])),
            (99, vec![6, 7], (vec![1, 2, 6, 7], 8, vec![3..=5])),
            (3, vec![3, 4], (vec![1, 2, 3], 4, vec![])),
            (2, vec![3, 4], (vec![1, 2], 3, vec![])),
            (2, vec![], (vec![1, 2], 3, vec![])),
        ] {
            let mut portion = Portion::of_disk(disk(1..3), most * size);
            portion.add(&records(memory));
            assert_eq!(shown(portion), expected);
        }
        let mut portion = Portion::new(4, 0);
        portion.add(&records([3, 4, 5]));
        assert_eq!(shown(portion), (vec![4], 5, vec![]), "at least one");
        let mut portion = Portion::new(2, 2 * size);
        portion.overtake(&records([5, 6, 7]));
        assert_eq!(shown(portion), (vec![5, 6], 7, vec![]));
        let reply = Portion::of_disk(disk(1..10), 0).reply(8);
        assert_eq!(reply.end, 10);
    }
}

//! The records of one account that are not durable, because its storage fails. They wait in memory, in order, within a bound of the
//! process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::record::Record;

/// The bytes of records that all accounts together may hold. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    bytes: usize,
    used: Arc<AtomicUsize>,
}

impl MemoryBudget {
    /// The standard bound: 64 MiB.
    pub const STANDARD: usize = 64 << 20;

    /// A budget of which nothing is used.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes,
            used: Arc::default(),
        }
    }

    /// The number of bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether there is room for `bytes`, which are in use then.
    fn take(&self, bytes: usize) -> bool {
        let take = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.bytes);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.used.fetch_update(set, get, take).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The records that wait, by number.
#[derive(Debug)]
pub struct Memory {
    budget: MemoryBudget,
    records: BTreeMap<u64, Arc<Record>>,
}

impl Memory {
    /// No records.
    #[must_use]
    pub fn new(budget: MemoryBudget) -> Self {
        Self {
            budget,
            records: BTreeMap::new(),
        }
    }

    /// Adds a record. If there is no room, the oldest records of this account make some. Returns the records that are lost: these, or
    /// the record itself if the other accounts leave no room for it.
    #[must_use]
    pub fn add(&mut self, record: Arc<Record>) -> Vec<Arc<Record>> {
        let mut lost = Vec::new();
        while !self.budget.take(record.encoded_len()) {
            match self.records.pop_first() {
                Some((_, oldest)) => {
                    self.budget.give_back(oldest.encoded_len());
                    lost.push(oldest);
                }
                None => {
                    lost.push(record);
                    return lost;
                }
            }
        }
        let bytes = record.encoded_len();
        if let Some(same) = self.records.insert(record.header.sequence, record) {
            debug_assert_eq!(same.encoded_len(), bytes, "a number has one record");
            self.budget.give_back(same.encoded_len());
        }
        lost
    }

    /// The record with the lowest number.
    #[must_use]
    pub fn first(&self) -> Option<&Arc<Record>> {
        self.records.values().next()
    }

    /// The record with the highest number.
    #[must_use]
    pub fn last(&self) -> Option<&Arc<Record>> {
        self.records.values().next_back()
    }

    /// The records with numbers from `from` on, in ascending order.
    pub fn from(&self, from: u64) -> impl Iterator<Item = &Arc<Record>> {
        self.records.range(from..).map(|(_, record)| record)
    }

    /// Removes the records with numbers below `end`: they are durable, or all destinations have them.
    pub fn remove_below(&mut self, end: u64) {
        let rest = self.records.split_off(&end);
        let removed = std::mem::replace(&mut self.records, rest);
        let bytes = removed.values().map(|record| record.encoded_len()).sum();
        self.budget.give_back(bytes);
    }

    /// Whether all accounts together use more than half of the bytes that they may hold.
    #[must_use]
    pub fn is_more_than_half_full(&self) -> bool {
        self.budget.used() > self.budget.bytes / 2
    }

    /// Adds `by` to the numbers of all records.
    pub fn shift(&mut self, by: u64) {
        let records = std::mem::take(&mut self.records).into_values();
        let shifted = records.map(|record| {
            let mut record = Arc::unwrap_or_clone(record);
            record.header.sequence = record.header.sequence.saturating_add(by);
            (record.header.sequence, Arc::new(record))
        });
        self.records = shifted.collect();
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no record waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.remove_below(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    /// The bytes of each record.
    const SIZE: usize = 100;

    fn sized(number: u64) -> Arc<Record> {
        let empty = record(number, b"").encoded_len();
        Arc::new(record(number, &vec![1; SIZE - empty]))
    }

    fn numbers<'r>(records: impl IntoIterator<Item = &'r Arc<Record>>) -> Vec<u64> {
        let records = records.into_iter();
        records.map(|record| record.header.sequence).collect()
    }

    #[test]
    fn the_oldest_records_of_an_account_make_room_for_its_own() {
        let budget = MemoryBudget::new(3 * SIZE);
        let mut memories = [Memory::new(budget.clone()), Memory::new(budget.clone())];
        for (memory, number, lost) in [
            (0, 4, vec![]),
            (0, 5, vec![]),
            (1, 1, vec![]),
            (0, 6, vec![4]),
            (1, 2, vec![1]),
        ] {
            let added = memories[memory].add(sized(number));
            assert_eq!(numbers(&added), lost, "{number}");
            let waiting: usize = memories.iter().map(Memory::len).sum();
            assert_eq!(budget.used(), waiting * SIZE);
        }
        let [mut one, mut other] = memories;
        assert_eq!(numbers(one.from(0)), [5, 6]);
        assert_eq!(numbers(one.from(6)), [6]);
        assert_eq!(numbers(one.first()), [5]);
        one.remove_below(6);
        assert_eq!((one.len(), budget.used()), (1, 2 * SIZE));
        assert!(other.add(sized(2)).is_empty(), "the same record again");
        assert_eq!((other.len(), budget.used()), (1, 2 * SIZE));
        drop(other);
        one.remove_below(7);
        assert!(one.is_empty() && budget.used() == 0);
    }

    #[test]
    fn a_record_is_lost_if_other_accounts_leave_no_room() {
        let budget = MemoryBudget::new(SIZE);
        let mut one = Memory::new(budget.clone());
        let mut other = Memory::new(budget);
        assert!(one.add(sized(1)).is_empty());
        assert_eq!(numbers(&other.add(sized(7))), [7]);
        assert!(other.is_empty() && one.len() == 1);
    }
}

//! The records that make decoding panic. Pure.

use std::collections::BTreeMap;

/// A record that killed this often is skipped.
const MOST_KILLS: u32 = 2;

/// So many records are known at most: more than are read again to rebuild the state after a panic.
const MOST: usize = 1 << 12;

/// How often records made decoding panic, by number. All are known, because after a panic those before it are decoded again.
#[derive(Debug, Default)]
pub(super) struct Kills(BTreeMap<u64, u32>);

impl Kills {
    /// Decoding this record panicked.
    pub(super) fn add(&mut self, sequence: u64) {
        *self.0.entry(sequence).or_default() += 1;
        if self.0.len() > MOST {
            self.0.pop_first();
        }
    }

    /// Whether this record is skipped.
    pub(super) fn is_skipped(&self, sequence: u64) -> bool {
        self.0
            .get(&sequence)
            .is_some_and(|count| *count >= MOST_KILLS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_that_killed_twice_is_skipped_also_when_they_are_read_again() {
        let mut kills = Kills::default();
        let mut killed = Vec::new();
        // After each panic all are read again from the first on.
        while let Some(next) = [3, 5, 9].into_iter().find(|it| !kills.is_skipped(*it)) {
            killed.push(next);
            kills.add(next);
            assert!(killed.len() < 100, "without end: {killed:?}");
        }
        assert_eq!(killed, [3, 3, 5, 5, 9, 9]);
        for sequence in 0..=MOST as u64 {
            kills.add(sequence);
        }
        assert!(kills.0.len() <= MOST && kills.is_skipped(9) == kills.0.contains_key(&9));
    }
}

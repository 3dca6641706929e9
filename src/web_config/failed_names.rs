//! User names whose last password was wrong. Their passwords are checked after those of others.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::shares::Rank;

/// The most names that are remembered; the oldest are dropped.
const MOST_NAMES: usize = 1024;

/// The names, as hashes with a random key, so that clients cannot construct collisions.
#[derive(Debug, Default)]
pub struct FailedNames {
    hasher: RandomState,
    hashes: Mutex<VecDeque<u64>>,
}

impl FailedNames {
    /// Poisoning is ignored: nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a name's password is checked before or after others.
    pub fn rank(&self, name: &str) -> Rank {
        match self.lock().contains(&self.hasher.hash_one(name)) {
            true => Rank::Last,
            false => Rank::First,
        }
    }

    /// Records the result of a check.
    pub fn checked(&self, name: &str, is_right: bool) {
        let hash = self.hasher.hash_one(name);
        let mut hashes = self.lock();
        hashes.retain(|known| *known != hash);
        if !is_right {
            hashes.push_back(hash);
        }
        if hashes.len() > MOST_NAMES {
            hashes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_ranked_last_from_a_failure_until_a_success() {
        let names = FailedNames::default();
        let ranks = || ["ann", "bob"].map(|name| names.rank(name));
        assert_eq!(ranks(), [Rank::First, Rank::First]);
        names.checked("ann", false);
        assert_eq!(ranks(), [Rank::Last, Rank::First]);
        names.checked("bob", false);
        names.checked("ann", true);
        assert_eq!(ranks(), [Rank::First, Rank::Last]);
        for number in 0..2 * MOST_NAMES {
            names.checked(&number.to_string(), false);
        }
        assert_eq!(names.lock().len(), MOST_NAMES);
        assert_eq!(ranks(), [Rank::First, Rank::First]);
    }
}

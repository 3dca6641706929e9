//! The addresses of all actors since the last start of their accounts, for tests that inject faults into them. Not part of a release
//! build (feature `fault-injection`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::start::AccountActors;

/// The actors of each account that was started so far, by the account's name. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<Mutex<BTreeMap<Arc<str>, AccountActors>>>);

impl Directory {
    /// The actors of an account since its last start.
    #[must_use]
    pub fn find(&self, account: &str) -> Option<AccountActors> {
        self.lock().get(account).cloned()
    }

    pub(super) fn add(&self, account: &Arc<str>, actors: AccountActors) {
        self.lock().insert(Arc::clone(account), actors);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, AccountActors>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

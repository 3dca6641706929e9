//! The fate of a batch on its way to the store: stored or given up, and never both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Shared by the stream actor, which hands a batch over, and the store. Clones are the same hand-over.
#[derive(Debug, Clone, Default)]
pub struct Handover(Arc<AtomicU8>);

impl Handover {
    /// To be called by the store when nothing can fail any more. Whether it may write: not after [`Handover::withdraw`].
    #[must_use]
    pub fn take(&self) -> bool {
        self.decide(TAKEN) == TAKEN
    }

    /// Gives the batch up. Whether it will not be written: not after [`Handover::take`].
    #[must_use]
    pub fn withdraw(&self) -> bool {
        self.decide(WITHDRAWN) == WITHDRAWN
    }

    /// Who comes first decides.
    fn decide(&self, wanted: u8) -> u8 {
        let exchanged = self
            .0
            .compare_exchange(OPEN, wanted, Ordering::AcqRel, Ordering::Acquire);
        exchanged.map_or_else(|decided| decided, |_| wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_first_decides() {
        let handover = Handover::default();
        let store = handover.clone();
        assert!(store.take() && !handover.withdraw());
        assert!(
            store.take(),
            "a batch that is handed over again is still the store's"
        );
        let handover = Handover::default();
        let store = handover.clone();
        assert!(handover.withdraw() && !store.take());
        assert!(handover.withdraw());
    }
}

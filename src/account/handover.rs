//! The state of one offer that an account and a consumer share: the offer is taken or withdrawn, never both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Whether the consumer may still write the offered rows. Clones share the decision.
#[derive(Debug, Clone, Default)]
pub struct Handover(Arc<AtomicU8>);

impl Handover {
    /// Called by the consumer when nothing can fail any more. Returns whether it may write: false after [`Handover::withdraw`].
    #[must_use]
    pub fn take(&self) -> bool {
        self.decide(TAKEN) == TAKEN
    }

    /// Called by the account when it gives up the offer. Returns whether this prevents the write: false after [`Handover::take`].
    #[must_use]
    pub fn withdraw(&self) -> bool {
        self.decide(WITHDRAWN) == WITHDRAWN
    }

    /// The first decision counts.
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
    fn the_first_decision_counts() {
        let handover = Handover::default();
        let consumer = handover.clone();
        assert!(consumer.take() && !handover.withdraw());
        assert!(
            consumer.take(),
            "an offer that is repeated has been taken already"
        );
        let handover = Handover::default();
        let consumer = handover.clone();
        assert!(handover.withdraw() && !consumer.take());
        assert!(handover.withdraw());
    }
}

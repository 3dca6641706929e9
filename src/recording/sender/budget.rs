//! Limits the memory of records that are decoded, and of those that are being decoded, of all senders together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most bytes of decoded records.
const BYTES: usize = 32 << 20;

/// The most bytes that records take while they are being decoded. A longer one is decoded alone.
const DECODING: usize = 16 << 20;

/// The budget is counted in units of this many bytes.
const UNIT: usize = 1 << 10;

/// The bytes that all senders together may hold. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    decoded: Arc<Semaphore>,
    decoding: Arc<Semaphore>,
}

impl Default for Budget {
    fn default() -> Self {
        let of = |bytes| Arc::new(Semaphore::new(bytes / UNIT));
        Self {
            decoded: of(BYTES),
            decoding: of(DECODING),
        }
    }
}

/// A part of the budget, which is given back when it is dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl Budget {
    /// A share of so many bytes, but at most the whole budget. Senders that wait get theirs in the order of their calls. `None` never
    /// occurs while the budget exists.
    pub async fn take(&self, bytes: usize) -> Option<Share> {
        let decoded = Arc::clone(&self.decoded);
        let permit = decoded.acquire_many_owned(units(bytes, BYTES)).await;
        permit.ok().map(Share)
    }

    /// A share for the time in which a record is decoded that takes so many bytes meanwhile, but at most all of them. It depends on no
    /// destination how long a sender waits, because decoding always ends.
    pub async fn decode(&self, bytes: usize) -> Option<Share> {
        let decoding = Arc::clone(&self.decoding);
        let permit = decoding.acquire_many_owned(units(bytes, DECODING)).await;
        permit.ok().map(Share)
    }

    /// A share if it is available without waiting.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.decoded).try_acquire_many_owned(units(bytes, BYTES));
        permit.ok().map(Share)
    }

    /// Changes a share to so many bytes. More is taken only if it is available without waiting.
    pub fn resize(&self, share: &mut Share, bytes: usize) {
        let (held, wanted) = (share.0.num_permits(), units(bytes, BYTES) as usize);
        drop(share.0.split(held.saturating_sub(wanted)));
        let more = u32::try_from(wanted.saturating_sub(held)).unwrap_or(0);
        if let Ok(more) = Arc::clone(&self.decoded).try_acquire_many_owned(more) {
            share.0.merge(more);
        }
    }
}

fn units(bytes: usize, most: usize) -> u32 {
    bytes.div_ceil(UNIT).min(most / UNIT) as u32
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[actix_rt::test]
    async fn shares_are_given_in_order_and_come_back() {
        let budget = Budget::default();
        let mut first = budget.try_take(20 << 20).unwrap();
        assert!(budget.try_take(13 << 20).is_none());
        let mut large = Box::pin(budget.take(usize::MAX));
        assert!((&mut large).now_or_never().is_none());
        let mut small = Box::pin(budget.take(1));
        // It would fit, but the large one came first.
        assert!((&mut small).now_or_never().is_none());
        budget.resize(&mut first, 1 << 20);
        assert!((&mut large).now_or_never().is_none());
        drop(first);
        let large = large.await;
        assert!(large.is_some() && (&mut small).now_or_never().is_none());
        drop(large);
        assert!(small.await.is_some());
    }

    #[actix_rt::test]
    async fn a_long_record_is_decoded_alone() {
        let budget = Budget::default();
        let short = (budget.decode(1 << 20).await, budget.decode(15 << 20).await);
        assert!(short.0.is_some() && short.1.is_some());
        let mut long = Box::pin(budget.decode(usize::MAX));
        assert!((&mut long).now_or_never().is_none());
        assert!(budget.try_take(32 << 20).is_some(), "another budget");
        drop(short);
        let long = long.await;
        assert!(long.is_some() && budget.decode(1).now_or_never().is_none());
    }
}

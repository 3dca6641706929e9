//! Limits the memory of decoded records of all senders together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most bytes of decoded records.
const BYTES: usize = 32 << 20;

/// The budget is counted in units of this many bytes.
const UNIT: usize = 1 << 10;

/// The bytes of decoded records that all senders together may hold. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES / UNIT)))
    }
}

/// A part of the budget, which is given back when it is dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl Budget {
    /// A share of so many bytes, but at most the whole budget. Senders that wait get theirs in the order of their calls. `None` never
    /// occurs while the budget exists.
    pub async fn take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.0).acquire_many_owned(units(bytes)).await;
        permit.ok().map(Share)
    }

    /// A share if it is available without waiting.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.0).try_acquire_many_owned(units(bytes));
        permit.ok().map(Share)
    }

    /// Changes a share to so many bytes. More is taken only if it is available without waiting.
    pub fn resize(&self, share: &mut Share, bytes: usize) {
        let (held, wanted) = (share.0.num_permits(), units(bytes) as usize);
        drop(share.0.split(held.saturating_sub(wanted)));
        let more = u32::try_from(wanted.saturating_sub(held)).unwrap_or(0);
        if let Ok(more) = Arc::clone(&self.0).try_acquire_many_owned(more) {
            share.0.merge(more);
        }
    }
}

fn units(bytes: usize) -> u32 {
    bytes.div_ceil(UNIT).min(BYTES / UNIT) as u32
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
}

//! When the inventories of all accounts may be listed again. Pure: time is an argument.

use std::time::Duration;

/// A pause is so many times as long as the listing before it. So listing takes at most a tenth of the store's time.
const PAUSES: u32 = 10;

/// The pause after a listing that has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The pauses between listings. A listing visits all devices and all entries of all inventories, and the inventories of many accounts may
/// change at any time.
#[derive(Debug, Default)]
pub(super) struct ListingPace {
    /// When the next one may begin.
    next: Duration,
}

impl ListingPace {
    /// How long the next listing must wait.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// A listing begins. If it fails, the next one comes after a pause.
    pub(super) fn begin(&mut self, now: Duration) {
        self.next = now.saturating_add(AFTER_FAILURE);
    }

    /// The listing that began at `started` has ended.
    pub(super) fn end(&mut self, started: Duration, now: Duration) {
        let took = now.saturating_sub(started);
        self.next = now.saturating_add(took.saturating_mul(PAUSES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_takes_at_most_a_tenth_of_the_time() {
        for took in [0, 1, 7, 400, 30_000].map(Duration::from_millis) {
            let mut pace = ListingPace::default();
            let mut now = Duration::from_secs(5);
            assert_eq!(pace.wait(now), Duration::ZERO, "the first is at once");
            let (first, mut listing) = (now, Duration::ZERO);
            for _ in 0..100 {
                now += pace.wait(now);
                pace.begin(now);
                pace.end(now, now + took);
                now += took;
                listing += took;
            }
            now += pace.wait(now);
            assert!(listing * 10 <= now - first, "{took:?}");
            assert!(now - first <= listing * 11, "{took:?}");
            assert_eq!(pace.wait(now + took), Duration::ZERO);
        }
    }

    #[test]
    fn a_listing_that_fails_is_repeated_after_a_pause() {
        let mut pace = ListingPace::default();
        pace.begin(Duration::from_secs(5));
        assert_eq!(pace.wait(Duration::from_secs(5)), AFTER_FAILURE);
        assert_eq!(pace.wait(Duration::from_secs(6)), Duration::ZERO);
    }
}

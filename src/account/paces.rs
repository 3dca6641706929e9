//! The paces of accounts that have ended. An account that starts again, also with another name or other settings, continues at the paces
//! that Starlink has seen from its client ID: a new burst with each start could exceed Starlink's limit.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::time::Pacer;

/// The most requests for the inventory in any minute.
const MOST_INVENTORY_REQUESTS: u32 = 20;

/// One of so many requests at most is for the inventory.
const INVENTORY_PART: u32 = 4;

const MINUTE: Duration = Duration::from_secs(60);

/// The paces of an account's requests.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Of all requests: polls, and those for the inventory.
    pub(super) requests: Pacer,
    /// Of the requests for the inventory alone.
    pub(super) inventory: Pacer,
}

impl Pace {
    /// At most `polls_per_minute` requests. At most a quarter of them, and at most 20 in any minute, are for the inventory.
    pub(super) fn new(polls_per_minute: u32) -> Self {
        Self {
            requests: Pacer::new(polls_per_minute),
            inventory: inventory_pacer(polls_per_minute),
        }
    }

    /// The same paces with another limit.
    fn with_limit(self, polls_per_minute: u32, now: Duration) -> Self {
        let inventory = inventory_pacer(polls_per_minute);
        Self {
            requests: self.requests.with_limit(polls_per_minute, now),
            inventory: self.inventory.with_limit_of(inventory, now),
        }
    }

    fn is_rested(&self, now: Duration) -> bool {
        self.requests.is_rested(now) && self.inventory.is_rested(now)
    }
}

/// A quarter of the requests, so that the polls keep their rhythm.
fn inventory_pacer(polls_per_minute: u32) -> Pacer {
    match polls_per_minute / INVENTORY_PART {
        0 => Pacer::every(INVENTORY_PART * MINUTE / polls_per_minute.max(1)),
        most => Pacer::new(most.min(MOST_INVENTORY_REQUESTS)),
    }
}

/// The paces by client ID.
#[derive(Default)]
pub(super) struct Paces(HashMap<String, Pace>);

impl fmt::Debug for Paces {
    /// Without client IDs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Paces({})", self.0.len())
    }
}

impl Paces {
    /// Keeps the paces of an account that has ended, until they are those of an account that has requested nothing.
    pub(super) fn keep(&mut self, client_id: String, pace: Pace, now: Duration) {
        self.0.retain(|_, pace| !pace.is_rested(now));
        self.0.insert(client_id, pace);
    }

    /// The paces for an account that starts with at most `polls_per_minute`.
    pub(super) fn take(&mut self, client_id: &str, polls_per_minute: u32, now: Duration) -> Pace {
        match self.0.remove(client_id) {
            Some(pace) => pace.with_limit(polls_per_minute, now),
            None => Pace::new(polls_per_minute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The waits of the next poll and of the next request for the inventory.
    fn waits(mut pace: Pace) -> (Duration, Duration) {
        let (requests, inventory) = (&mut pace.requests, &mut pace.inventory);
        (requests.reserve(SECOND), inventory.reserve(SECOND))
    }

    const NONE: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

    #[test]
    fn an_account_continues_at_its_paces_until_it_has_rested() {
        let mut paces = Paces::default();
        let mut used = Pace::new(10);
        used.requests.reserve(SECOND);
        let (wait, _) = waits(used.clone());
        assert!(wait > Duration::ZERO);
        used.inventory.reserve(SECOND);
        let both = waits(used.clone());
        assert!(both.1 > wait);
        paces.keep("one".to_owned(), used.clone(), SECOND);
        assert_eq!(waits(paces.take("other", 10, SECOND)), NONE);
        assert_eq!(waits(paces.take("one", 10, SECOND)), both);
        // They were taken.
        assert_eq!(waits(paces.take("one", 10, SECOND)), NONE);

        paces.keep("one".to_owned(), used, SECOND);
        // The pace of the inventory rests longer.
        paces.keep("other".to_owned(), Pace::new(10), SECOND + wait);
        assert_eq!(format!("{paces:?}"), "Paces(2)");
        paces.keep("other".to_owned(), Pace::new(10), SECOND + both.1);
        assert_eq!(format!("{paces:?}"), "Paces(1)", "the first one has rested");
    }

    #[test]
    fn the_inventory_has_at_most_a_quarter_of_the_requests_and_at_most_20_a_minute() {
        // The steady time between two requests in milliseconds.
        for (polls_per_minute, expected) in [
            (240, 3333),
            (80, 3333),
            (40, 6666),
            (10, 60_000),
            (4, 60_000),
            (3, 80_000),
            (2, 120_000),
            (1, 240_000),
        ] {
            let mut pacer = Pace::new(polls_per_minute).inventory;
            let (mut now, mut wait) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..10 {
                wait = pacer.reserve(now);
                now += wait;
            }
            assert_eq!(wait.as_millis(), expected, "{polls_per_minute}");
        }
    }

    /// [`Polling`](super::super::polling::Polling) reads the wait from a copy, and counts a request when it is sent.
    #[test]
    fn no_minute_has_more_inventory_requests_than_allowed_also_after_other_waits() {
        for (polls_per_minute, most) in [(240, 20), (200, 20), (40, 10), (10, 2), (2, 1), (1, 1)] {
            let mut pacer = Pace::new(polls_per_minute).inventory;
            let mut random = fastrand::Rng::with_seed(7);
            let mut now = Duration::ZERO;
            let mut sent = Vec::new();
            for _ in 0..500 {
                now += pacer.clone().reserve(now);
                // The account's pace, and the time of the answer.
                let at = now + Duration::from_millis(random.u64(..3000));
                pacer.reserve(at);
                sent.push(at);
                now = at + Duration::from_millis(random.u64(..3000));
            }
            let within = |first: Duration| {
                let after = sent.iter().filter(|at| **at >= first);
                after.take_while(|at| **at - first <= MINUTE).count()
            };
            let densest = sent.iter().map(|at| within(*at)).max();
            assert!(densest <= Some(most), "{polls_per_minute}: {densest:?}");
        }
    }
}

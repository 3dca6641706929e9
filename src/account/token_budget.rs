//! Limits the token requests of all accounts together: Starlink allows 1000 in 15 minutes for an IP address.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The window of the limit.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// The most requests in any window, both of its ends included.
const MOST: usize = 998;

/// Added to the end of a window, because a start at the end is still within it.
const JUST_AFTER: Duration = Duration::from_nanos(1);

/// Equal shares of the limit for all accounts, so that accounts that keep failing do not delay the others. Clones share the budget.
/// Times are monotonic durations since any fixed moment.
#[derive(Debug, Clone, Default)]
pub struct TokenBudget(Arc<Mutex<Starts>>);

impl TokenBudget {
    /// Books the next request of an account, and returns how long it must wait from `now` until it may start.
    #[must_use]
    pub fn reserve(&self, account: &Arc<str>, now: Duration) -> Duration {
        let mut starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        starts.reserve(account, now)
    }
}

/// The starts of requests in the last window and of booked ones, sorted. At most some thousands.
#[derive(Debug, Default)]
struct Starts(Vec<(Duration, Arc<str>)>);

impl Starts {
    fn reserve(&mut self, account: &Arc<str>, now: Duration) -> Duration {
        self.0.retain(|(start, _)| *start + WINDOW >= now);
        let accounts: BTreeSet<_> = self.0.iter().map(|(_, account)| account).collect();
        let others = accounts.iter().filter(|other| **other != account).count();
        let share = (MOST / (others + 1)).max(1);
        let own = self.0.iter().filter(|(_, of)| of == account);
        let own: Vec<_> = own.map(|(start, _)| *start).collect();
        let all: Vec<_> = self.0.iter().map(|(start, _)| *start).collect();
        // Shares shrink when accounts are added, so that they may exceed the limit of all together.
        let start = now.max(free_at(&own, share)).max(free_at(&all, MOST));
        let place = self.0.partition_point(|(other, _)| *other <= start);
        self.0.insert(place, (start, Arc::clone(account)));
        start.saturating_sub(now)
    }
}

/// The earliest time of one more start with which no window has more than `most`.
fn free_at(starts: &[Duration], most: usize) -> Duration {
    let last = starts.len().checked_sub(most);
    last.map_or(Duration::ZERO, |index| starts[index] + WINDOW + JUST_AFTER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> Arc<str> {
        format!("account-{number}").into()
    }

    /// The most starts in any window, both of its ends included.
    fn densest(starts: &mut [Duration]) -> usize {
        starts.sort();
        let within = |first: usize| {
            let later = starts[first..].iter();
            later
                .take_while(|later| **later - starts[first] <= WINDOW)
                .count()
        };
        (0..starts.len()).map(within).max().unwrap_or(0)
    }

    #[test]
    fn a_failing_account_does_not_delay_another() {
        let budget = TokenBudget::default();
        let second = Duration::from_secs(1);
        let (failing, healthy) = (name(0), name(1));
        // Both have a share. Then one makes as many requests as its share allows, for an hour.
        assert_eq!(budget.reserve(&healthy, Duration::ZERO), Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut starts = Vec::new();
        for minute in 1..60 {
            while now < minute * 60 * second {
                now += budget.reserve(&failing, now) + Duration::from_millis(10);
                starts.push(now);
            }
            if minute % 12 == 0 {
                assert_eq!(budget.reserve(&healthy, now), Duration::ZERO, "{minute}");
            }
        }
        assert!(densest(&mut starts) < 1000);
    }

    #[test]
    fn each_of_many_accounts_can_renew_its_token() {
        let budget = TokenBudget::default();
        for round in 0..4 {
            let now = Duration::from_secs(round * 12 * 60);
            let waits = (0..256).map(|number| budget.reserve(&name(number), now));
            assert_eq!(waits.max(), Some(Duration::ZERO), "round {round}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn never_a_thousand_in_a_window(
            requests in prop::collection::vec((0_usize..300, 0_u64..3000), 1..4000),
        ) {
            let budget = TokenBudget::default();
            let mut now = Duration::ZERO;
            let mut starts = Vec::new();
            for (account, after) in requests {
                now += Duration::from_millis(after);
                starts.push(now + budget.reserve(&name(account), now));
            }
            prop_assert!(densest(&mut starts) < 1000);
        }
    }
}

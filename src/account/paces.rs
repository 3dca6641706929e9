//! The paces of accounts that have ended. An account that starts again, also with another name or other settings, continues at the pace
//! that Starlink has seen from its client ID: a new burst with each start could exceed Starlink's limit.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::time::Pacer;

/// The paces by client ID.
#[derive(Default)]
pub(super) struct Paces(HashMap<String, Pacer>);

impl fmt::Debug for Paces {
    /// Without client IDs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Paces({})", self.0.len())
    }
}

impl Paces {
    /// Keeps the pace of an account that has ended, until it is that of an account that has not polled.
    pub(super) fn keep(&mut self, client_id: String, pacer: Pacer, now: Duration) {
        self.0.retain(|_, pacer| !pacer.is_rested(now));
        self.0.insert(client_id, pacer);
    }

    /// The pace for an account that starts with at most `polls_per_minute`.
    pub(super) fn take(&mut self, client_id: &str, polls_per_minute: u32, now: Duration) -> Pacer {
        match self.0.remove(client_id) {
            Some(pacer) => pacer.with_limit(polls_per_minute, now),
            None => Pacer::new(polls_per_minute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_continues_at_its_pace_until_it_has_rested() {
        let second = Duration::from_secs(1);
        let mut paces = Paces::default();
        let mut used = Pacer::new(10);
        assert_eq!(used.reserve(second), Duration::ZERO);
        let wait = used.clone().reserve(second);
        assert!(wait > Duration::ZERO);
        paces.keep("one".to_owned(), used.clone(), second);
        assert_eq!(
            paces.take("other", 10, second).reserve(second),
            Duration::ZERO
        );
        assert_eq!(paces.take("one", 10, second).reserve(second), wait);
        // It was taken.
        assert_eq!(
            paces.take("one", 10, second).reserve(second),
            Duration::ZERO
        );

        paces.keep("one".to_owned(), used, second);
        paces.keep("other".to_owned(), Pacer::new(10), second + wait);
        assert_eq!(format!("{paces:?}"), "Paces(1)", "the first one has rested");
    }
}

//! The series that a receiver refused, which are left out for an hour.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::time::Moment;

/// How long a series is left out.
const TIME: Duration = Duration::from_secs(60 * 60);

/// The most series; the one that would return next makes room.
const MOST: usize = 10_000;

/// The series in quarantine, by a stable hash of their labels.
#[derive(Debug, Default)]
pub struct Quarantine {
    until: HashMap<u64, Moment>,
    /// The same in the order in which they return, with a number that makes equal times different.
    order: BTreeMap<(Moment, u64), u64>,
    number: u64,
}

impl Quarantine {
    /// Leaves a series out from now on.
    pub fn add(&mut self, series: u64, now: Moment) {
        self.release(now);
        if self.until.contains_key(&series) {
            return;
        }
        if self.until.len() >= MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.until.remove(&oldest);
        }
        let until = now.after(TIME);
        self.number += 1;
        self.until.insert(series, until);
        self.order.insert((until, self.number), series);
    }

    /// Whether a series is left out.
    #[must_use]
    pub fn holds(&self, series: u64, now: Moment) -> bool {
        self.until.get(&series).is_some_and(|until| now < *until)
    }

    /// Whether no series is left out, so that the others need not be looked up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Forgets the series that return.
    pub fn release(&mut self, now: Moment) {
        while let Some(entry) = self.order.first_entry() {
            if entry.key().0 > now {
                return;
            }
            self.until.remove(&entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_returns_after_an_hour() {
        let begin = Moment::from_millis(5);
        let mut quarantine = Quarantine::default();
        quarantine.add(1, begin);
        quarantine.add(2, begin);
        let later = begin.after(TIME - Duration::from_millis(1));
        // Refused again meanwhile: the hour is that of the first refusal.
        quarantine.add(1, later);
        assert!(quarantine.holds(1, later) && quarantine.holds(2, later));
        assert!(!quarantine.holds(3, later));
        let end = begin.after(TIME);
        assert!(!quarantine.holds(1, end));
        quarantine.release(end);
        assert!(quarantine.is_empty());
    }

    #[test]
    fn the_number_is_limited() {
        let mut quarantine = Quarantine::default();
        let now = Moment::from_millis(0);
        for series in 0..=MOST as u64 {
            quarantine.add(series, now);
        }
        assert_eq!(quarantine.until.len(), MOST);
        assert_eq!(quarantine.order.len(), MOST);
        assert!(!quarantine.holds(0, now) && quarantine.holds(MOST as u64, now));
    }
}

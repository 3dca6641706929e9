//! A set of record numbers that is small because most of its numbers are adjacent.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The most ranges. Then the lowest are forgotten.
const MOST: usize = 1000;

/// A set of numbers, as ranges that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The last number of each range by its first.
    ranges: BTreeMap<u64, u64>,
}

impl Numbers {
    /// Adds numbers. Returns those that the set did not have, in ascending order.
    pub fn add(&mut self, numbers: RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let (mut first, mut last) = numbers.into_inner();
        let (mut new, mut next) = (Vec::new(), Some(first));
        if first > last {
            return new;
        }
        let touching = self.ranges.range(..=last.saturating_add(1));
        let touching = touching.rev();
        let touching = touching.take_while(|(_, end)| end.saturating_add(1) >= first);
        let touching: Vec<_> = touching.map(|(start, end)| (*start, *end)).collect();
        let (lowest, highest) = (first, last);
        for (start, end) in touching.into_iter().rev() {
            if let Some(next) = next.filter(|next| *next < start) {
                new.push(next..=highest.min(start - 1));
            }
            next = next.max(end.checked_add(1)).filter(|_| end < u64::MAX);
            (first, last) = (first.min(start), last.max(end));
            self.ranges.remove(&start);
        }
        if let Some(next) = next.filter(|next| *next <= highest) {
            new.push(next.max(lowest)..=highest);
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > MOST {
            self.ranges.pop_first();
        }
        new
    }

    /// The ranges, in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|(first, last)| *first..=*last)
    }

    /// Adds `by` to all numbers.
    pub fn shift(&mut self, by: u64) {
        let ranges = std::mem::take(&mut self.ranges).into_iter();
        let shifted =
            ranges.map(|(first, last)| (first.saturating_add(by), last.saturating_add(by)));
        self.ranges = shifted.collect();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_lowest_ranges_are_forgotten() {
        let mut numbers = Numbers::default();
        for number in 0..2 * MOST as u64 {
            numbers.add(2 * number..=2 * number);
        }
        assert_eq!(numbers.ranges.len(), MOST);
        assert_eq!(numbers.ranges.keys().next(), Some(&(2 * MOST as u64)));
        assert_eq!(numbers.add(u64::MAX..=u64::MAX), [u64::MAX..=u64::MAX]);
        assert_eq!(
            numbers.add(u64::MAX - 1..=u64::MAX),
            [u64::MAX - 1..=u64::MAX - 1]
        );
    }

    proptest! {
        #[test]
        fn each_number_is_new_once(ranges in prop::collection::vec((0_u64..60, 0_u64..9), 1..20)) {
            let (mut numbers, mut model) = (Numbers::default(), BTreeSet::new());
            for (first, length) in ranges {
                let range = first..=first + length;
                let new: Vec<_> = numbers.add(range.clone()).into_iter().flatten().collect();
                let expected: Vec<_> = range.clone().filter(|number| !model.contains(number)).collect();
                prop_assert_eq!(new, expected);
                model.extend(range);
                let all: Vec<_> = numbers.ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
                prop_assert_eq!(all, Vec::from_iter(model.iter().copied()));
                let ends: Vec<_> = numbers.ranges.iter().collect();
                prop_assert!(ends.windows(2).all(|pair| *pair[0].1 + 1 < *pair[1].0));
            }
            let before = numbers.clone();
            numbers.shift(5);
            prop_assert!(before.ranges.iter().all(|(first, last)| numbers.ranges.get(&(first + 5)) == Some(&(last + 5))));
        }
    }
}

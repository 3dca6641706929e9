//! Divides a request that a receiver refuses, to find the samples that it refuses, or a size that it takes.

use std::ops::Range;

use super::reasons::SampleReason;

/// The most requests of a search for bad samples, the first one included.
const MOST_REQUESTS: usize = 32;

/// Why a request is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is too large. Dividing has no limit then.
    TooLarge,
    /// Some of its samples are bad. The reason counts for those that are found, or cannot be told apart.
    Bad(SampleReason),
}

/// Samples that are not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The samples, as positions in the request.
    pub samples: Range<u32>,
    /// Why.
    pub reason: SampleReason,
    /// Whether the receiver refused exactly this sample alone. Otherwise some of them may be good.
    pub is_exact: bool,
}

/// The parts of a request that are still to be sent. The caller sends [`Search::next`], one at a time, until it is `None`.
///
/// The search is depth first, so that at least one bad sample of a request is found, whatever their number, and each part is sent once
/// even if the requests do not suffice to divide all that are refused.
#[derive(Debug)]
pub struct Search {
    /// The parts that are not decided, the next one last.
    parts: Vec<Part>,
    /// The search for bad samples, if one is under way.
    bad: Option<BadSearch>,
    found: Vec<Found>,
}

#[derive(Debug, Clone)]
struct Part {
    samples: Range<u32>,
    /// Whether the part holds a bad sample for certain, because the other half of a refused part was stored.
    is_surely_bad: bool,
}

#[derive(Debug)]
struct BadSearch {
    /// The number of parts below those of this search.
    base: usize,
    /// The requests that it took.
    requests: usize,
    reason: SampleReason,
}

impl Search {
    /// So many samples, in requests of at most `most`.
    #[must_use]
    pub fn new(samples: u32, most: u32) -> Self {
        let most = most.max(1);
        let starts = (0..samples).step_by(most as usize);
        let parts = starts.map(|start| Part {
            samples: start..start.saturating_add(most).min(samples),
            is_surely_bad: false,
        });
        Self {
            parts: parts.rev().collect(),
            bad: None,
            found: Vec::new(),
        }
    }

    /// The samples to send next, as positions in the request; `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<Range<u32>> {
        self.parts.last().map(|part| part.samples.clone())
    }

    /// Whether the next request is a part of one that the receiver refused for its samples.
    #[must_use]
    pub fn is_divided(&self) -> bool {
        self.bad.is_some()
    }

    /// The samples that are not stored, as far as they are known; each is returned once.
    pub fn take_found(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }

    /// The part that was sent is done: stored, or counted by the caller.
    pub fn stored(&mut self) {
        self.parts.pop();
        if let Some(bad) = &mut self.bad {
            bad.requests += 1;
            // The other half of a refused part: only then is its first half just stored.
            if self.parts.len() > bad.base
                && let Some(other) = self.parts.last_mut().filter(|part| part.is_surely_bad)
            {
                let other = other.samples.clone();
                self.divide_unsent(other);
            }
        }
        self.end_search();
    }

    /// The part that was sent is refused.
    pub fn refused(&mut self, refusal: Refusal) {
        let Some(part) = self.parts.pop() else {
            return;
        };
        match refusal {
            Refusal::TooLarge => match halves(&part.samples) {
                Some((first, second)) => self.parts.extend([second, first]),
                None => self.fail(part.samples, SampleReason::Rejected, true),
            },
            Refusal::Bad(reason) => {
                let base = self.parts.len();
                let bad = self.bad.get_or_insert(BadSearch {
                    base,
                    requests: 0,
                    reason,
                });
                bad.requests += 1;
                bad.reason = reason;
                // A second half is only sure to be bad while its first half is undecided.
                if let Some(other) = self.parts.last_mut() {
                    other.is_surely_bad = false;
                }
                self.divide(part.samples, reason);
            }
        }
        self.end_search();
    }

    /// Divides a part that was refused, or gives it up.
    fn divide(&mut self, samples: Range<u32>, reason: SampleReason) {
        match halves(&samples) {
            None => self.fail(samples, reason, true),
            Some((first, mut second)) if self.has_requests_for(2) => {
                second.is_surely_bad = true;
                self.parts.extend([second, first]);
            }
            Some(_) => self.fail(samples, reason, false),
        }
    }

    /// Divides the last part without sending it, because it is surely bad. A single sample is sent, so that none is called bad unless the
    /// receiver refused it alone.
    fn divide_unsent(&mut self, samples: Range<u32>) {
        if let Some(part) = self.parts.last_mut() {
            part.is_surely_bad = false;
        }
        let Some((first, mut second)) = halves(&samples) else {
            return;
        };
        if self.has_requests_for(1) {
            self.parts.pop();
            second.is_surely_bad = true;
            self.parts.extend([second, first]);
        }
    }

    /// Whether so many parts more can be sent in this search, beside those that wait.
    fn has_requests_for(&self, more: usize) -> bool {
        let Some(bad) = &self.bad else {
            return false;
        };
        let waiting = self.parts.len().saturating_sub(bad.base);
        bad.requests + waiting + more <= MOST_REQUESTS
    }

    fn fail(&mut self, samples: Range<u32>, reason: SampleReason, is_exact: bool) {
        self.found.push(Found {
            samples,
            reason,
            is_exact,
        });
    }

    fn end_search(&mut self) {
        if self
            .bad
            .as_ref()
            .is_some_and(|bad| self.parts.len() <= bad.base)
        {
            self.bad = None;
        }
    }
}

/// Two halves; `None` for a single sample.
fn halves(samples: &Range<u32>) -> Option<(Part, Part)> {
    let middle = samples.start + (samples.end - samples.start) / 2;
    let part = |samples| Part {
        samples,
        is_surely_bad: false,
    };
    (middle > samples.start).then(|| (part(samples.start..middle), part(middle..samples.end)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const BAD: Refusal = Refusal::Bad(SampleReason::Rejected);

    /// Plays a receiver that refuses requests with a bad sample, or with more samples than `most`. Returns the number of requests, the
    /// stored samples, and what was found.
    fn play(samples: u32, bad: &BTreeSet<u32>, most: u32) -> (usize, BTreeSet<u32>, Vec<Found>) {
        let mut search = Search::new(samples, u32::MAX);
        let (mut requests, mut stored, mut found) = (0, BTreeSet::new(), Vec::new());
        while let Some(part) = search.next() {
            requests += 1;
            let is_bad = bad.range(part.clone()).next().is_some();
            if part.end - part.start > most {
                search.refused(Refusal::TooLarge);
            } else if is_bad {
                search.refused(BAD);
            } else {
                assert!(!part.is_empty());
                for sample in part {
                    assert!(stored.insert(sample), "{sample} is sent twice");
                }
                search.stored();
            }
            found.extend(search.take_found());
        }
        (requests, stored, found)
    }

    #[test]
    fn one_bad_sample_is_found_within_the_limit() {
        for samples in [1, 2, 3, 1000, 10_000] {
            for bad in [0, samples / 3, samples / 2, samples - 1] {
                let (requests, stored, found) = play(samples, &BTreeSet::from([bad]), u32::MAX);
                assert!(requests <= MOST_REQUESTS, "{samples} {bad}: {requests}");
                assert_eq!(stored.len() as u32, samples - 1, "{samples} {bad}");
                let expected = Found {
                    samples: bad..bad + 1,
                    reason: SampleReason::Rejected,
                    is_exact: true,
                };
                assert_eq!(found, [expected], "{samples} {bad}");
            }
        }
    }

    #[test]
    fn several_bad_samples_are_found_one_request_after_the_other() {
        let bad: BTreeSet<u32> = [10, 4000, 7000, 9999].into();
        let mut known = BTreeSet::new();
        for _ in 0..bad.len() {
            let left: BTreeSet<u32> = bad.difference(&known).copied().collect();
            let (requests, _, found) = play(10_000, &left, u32::MAX);
            assert!(requests <= MOST_REQUESTS);
            let exact = found.iter().filter(|found| found.is_exact);
            let exact: Vec<u32> = exact.map(|found| found.samples.start).collect();
            assert!(!exact.is_empty());
            known.extend(exact);
        }
        assert_eq!(known, bad);
    }

    #[test]
    fn a_request_that_is_wholly_bad_costs_the_limit() {
        let all: BTreeSet<u32> = (0..10_000).collect();
        let (requests, stored, found) = play(10_000, &all, u32::MAX);
        assert!(requests <= MOST_REQUESTS, "{requests}");
        assert_eq!(stored.len(), 0);
        let total: usize = found.iter().map(|found| found.samples.len()).sum();
        assert_eq!(total, 10_000);
    }

    #[test]
    fn a_request_that_is_too_large_is_divided_without_limit() {
        let (requests, stored, found) = play(10_000, &BTreeSet::new(), 100);
        assert_eq!(stored.len(), 10_000);
        assert_eq!(found, []);
        assert!(requests > MOST_REQUESTS);
        // A single sample that is too large.
        let (_, stored, found) = play(2, &BTreeSet::new(), 0);
        assert_eq!((stored.len(), found.len()), (0, 2));
    }

    #[test]
    fn a_request_with_too_many_samples_begins_in_parts() {
        for (samples, most, expected) in [
            (5, 2, &[(0, 2), (2, 4), (4, 5)][..]),
            (4, 2, &[(0, 2), (2, 4)]),
            (2, 2, &[(0, 2)]),
            (2, 0, &[(0, 1), (1, 2)]),
        ] {
            let mut search = Search::new(samples, most);
            let mut parts = Vec::new();
            while let Some(part) = search.next() {
                parts.push((part.start, part.end));
                assert!(!search.is_divided());
                search.stored();
            }
            assert_eq!(parts, expected, "{samples} {most}");
        }
    }

    proptest! {
        #[test]
        fn each_sample_is_stored_or_found(
            samples in 1_u32..3000,
            bad in proptest::collection::btree_set(0_u32..3000, 0..6),
            most in prop_oneof![Just(u32::MAX), 50_u32..2000],
        ) {
            let bad: BTreeSet<u32> = bad.into_iter().filter(|at| *at < samples).collect();
            let (requests, stored, found) = play(samples, &bad, most);
            if most == u32::MAX {
                prop_assert!(requests <= MOST_REQUESTS);
            }
            let mut all = stored;
            for part in found {
                prop_assert!(bad.range(part.samples.clone()).next().is_some());
                prop_assert!(!part.is_exact || part.samples.len() == 1);
                for sample in part.samples {
                    prop_assert!(all.insert(sample));
                }
            }
            prop_assert_eq!(all.len() as u32, samples);
        }
    }
}

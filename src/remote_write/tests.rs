//! All pure parts together, as a sender uses them, against a model of Prometheus without an out-of-order window.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::history::Protocol;
use crate::time::Moment;

/// Series of a device.
const SERIES: u64 = 3;

/// A sample: series and time.
type Sample = (u64, i64);

/// Stores a request of 1.0 wholly or not at all, and loses answers.
#[derive(Debug, Default)]
struct Receiver {
    stored: BTreeSet<Sample>,
    newest: BTreeMap<u64, i64>,
    bad: BTreeSet<u64>,
}

impl Receiver {
    fn receive(&mut self, protocol: Protocol, samples: &[Sample], fault: u8) -> Answer<'static> {
        let response = |status, body| Answer::Response {
            status,
            retry_after: None,
            written: None,
            body,
        };
        if protocol == Protocol::V2 {
            return response(415, "");
        }
        match fault {
            0 => return response(503, ""),
            1 => return Answer::Unreachable,
            _ => {}
        }
        let is_old =
            |(series, time): &Sample| self.newest.get(series).is_some_and(|newest| time < newest);
        let answer = if samples.iter().any(is_old) {
            response(400, "out of order sample")
        } else if samples.iter().any(|(series, _)| self.bad.contains(series)) {
            response(400, "invalid label")
        } else {
            self.stored.extend(samples);
            self.newest.extend(samples.iter().copied());
            response(204, "")
        };
        match fault {
            2 => Answer::Ambiguous,
            _ => answer,
        }
    }
}

/// A sender of one destination, without waits.
struct Sender {
    shards: Shards,
    streak: TimeStreak,
    quarantine: Quarantine,
    protocol: Protocol,
    failed: BTreeMap<SampleReason, BTreeSet<Sample>>,
    /// The samples that were given up without a verdict of their own.
    unclear: BTreeSet<Sample>,
    now: Moment,
}

impl Sender {
    fn send(
        &mut self,
        request: &Request,
        receiver: &mut Receiver,
        faults: &mut impl Iterator<Item = u8>,
    ) {
        let rows = request.rows.iter();
        let samples = rows.flat_map(|row| {
            (0..SERIES).map(|series| (row.row.device * SERIES + series, row.row.time))
        });
        let (left_out, samples): (Vec<Sample>, Vec<Sample>) =
            samples.partition(|(series, _)| self.quarantine.holds(*series, self.now));
        self.fail(SampleReason::Quarantined, &left_out);
        if samples.is_empty() {
            return;
        }
        let choice = ProtocolChoice::Auto;
        let count = |samples: &[Sample]| samples.len() as u64;
        let mut search = Search::new(samples.len() as u32, u32::MAX);
        let mut state = RequestState::new(choice, self.protocol, count(&samples), false, false);
        while let Some(part) = search.next() {
            let part = &samples[part.start as usize..part.end as usize];
            let fault = faults.next().unwrap_or(u8::MAX);
            let answer = receiver.receive(state.protocol(), part, fault);
            if !search.is_divided() {
                self.streak
                    .record(&classify(&answer, state.protocol()), self.now);
            }
            let moments = Moments {
                now: self.now,
                others_succeeded: None,
                fraction: 0.0,
            };
            match state.decide(&answer, &self.streak, &moments) {
                Action::FallBack => {
                    self.protocol = Protocol::V1;
                    continue;
                }
                Action::Retry(_) => continue,
                Action::Hold { hold, .. } => panic!("{hold:?}"),
                Action::Done => search.stored(),
                Action::Count { reason, .. } => {
                    self.fail(reason, part);
                    self.unclear.extend(part);
                    search.stored();
                }
                Action::Halve(refusal) => search.refused(refusal),
            }
            for found in search.take_found() {
                let range = found.samples.start as usize..found.samples.end as usize;
                self.fail(found.reason, &samples[range.clone()]);
                match found.is_exact {
                    true if found.reason == SampleReason::Rejected => {
                        self.quarantine.add(samples[range.start].0, self.now);
                    }
                    true => {}
                    false => self.unclear.extend(&samples[range]),
                }
            }
            if let Some(next) = search.next() {
                state = state.part(u64::from(next.end - next.start));
            }
        }
    }

    fn fail(&mut self, reason: SampleReason, samples: &[Sample]) {
        self.failed.entry(reason).or_default().extend(samples);
    }
}

proptest! {
    /// Whatever the receiver answers, each sample is stored or counted, and samples of good series are only missing where the requests of
    /// a search did not suffice.
    #[test]
    fn samples_are_stored_or_counted(
        records in proptest::collection::vec(proptest::collection::btree_set(0_u64..12, 0..12), 1..15),
        bad in proptest::collection::btree_set(0_u64..36, 0..3),
        faults in proptest::collection::vec(0_u8..8, 0..200),
        count in 1_u16..4,
        max_samples in 3_u32..40,
    ) {
        let limits = Limits { max_samples, window: Window::Limited(std::time::Duration::ZERO) };
        let position = Position { next: 0, gap: None, shards: count };
        let mut receiver = Receiver { bad: bad.clone(), ..Receiver::default() };
        let mut sender = Sender {
            shards: Shards::new(limits, &position),
            streak: TimeStreak::default(),
            quarantine: Quarantine::default(),
            protocol: ProtocolChoice::Auto.first(),
            failed: BTreeMap::new(),
            unclear: BTreeSet::new(),
            now: Moment::from_millis(0),
        };
        let mut faults = faults.into_iter();
        let mut all = BTreeSet::new();
        for (sequence, devices) in (0_u64..).zip(&records) {
            prop_assert_eq!(sender.shards.wants(Lane::Live), Some(sequence));
            let time = 15_000 * sequence as i64;
            let rows = devices.iter().map(|device| Row { device: *device, time, samples: SERIES as u32, is_marker: false });
            let rows: Vec<Row> = rows.collect();
            sender.shards.add(Lane::Live, sequence, &rows);
            all.extend(devices.iter().flat_map(|device| (0..SERIES).map(move |series| (device * SERIES + series, time))));
            for shard in 0..count {
                while let Some(request) = sender.shards.take(shard, time, 0) {
                    sender.send(&request, &mut receiver, &mut faults);
                    sender.shards.finish(shard);
                }
            }
        }
        prop_assert_eq!(sender.shards.position().next, records.len() as u64);
        let failed: BTreeSet<Sample> = sender.failed.values().flatten().copied().collect();
        for sample in all {
            let is_stored = receiver.stored.contains(&sample);
            prop_assert!(is_stored || failed.contains(&sample), "{sample:?} is lost");
            let is_good = !bad.contains(&sample.0);
            prop_assert!(!is_good || is_stored || sender.unclear.contains(&sample), "{sample:?} is missing");
            prop_assert!(is_good || !is_stored);
        }
        // No good series is in quarantine.
        let quarantined = sender.failed.get(&SampleReason::Quarantined);
        prop_assert!(quarantined.into_iter().flatten().all(|(series, _)| bad.contains(series)));
        // So few samples need no more requests than a search has.
        prop_assert!(sender.unclear.is_empty() || bad.len() > 1);
    }
}

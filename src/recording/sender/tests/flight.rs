//! Requests against a receiver that refuses some series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::flight::{Flight, Next, Rows, Settings, Tally};
use crate::history::Content;
use crate::history::{History, Input, Options, Protocol, Slice};
use crate::remote_write::{
    Answer, Moments, ProtocolChoice, Quarantine, Request, Row, SampleReason, Selected, TimeStreak,
};
use crate::telemetry::{Batch, SchemaCache, decode};
use crate::time::Moment;

/// A slice with a row of each of so many devices.
fn slice(devices: u64) -> Arc<Slice> {
    let time = 1_700_000_000_000_000_000_i64;
    let rows = (0..devices).map(|device| format!(r#"["u",{time},"ut{device}",1,2,"v1"]"#));
    let rows: Vec<_> = rows.collect();
    let text = format!(
        r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId","Speed","Load","Version"]}}}},"metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}},"AlertsByDeviceType":{{}}}}}}}}"#,
        rows.join(",")
    );
    let (rows, metadata) = decode(text.into_bytes()).unwrap();
    let schema = SchemaCache::default().resolve(&metadata).schema;
    let mut history = History::new(Arc::new(Options::standard(true)));
    Arc::new(history.read(&Input {
        received: time,
        covers: 0,
        content: Content::Answer(&Batch { rows, schema }),
    }))
}

/// The series of a part: device and name, in order.
fn series(rows: &Rows) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (slice, row) in rows {
        let device = slice.device(row).0.to_owned();
        for sample in slice.samples(row) {
            let family = slice.family(sample.family).unwrap();
            all.push((device.clone(), family.name.to_string()));
        }
        for _ in slice.infos(row) {
            all.push((device.clone(), "starlink_info".to_owned()));
        }
    }
    all
}

fn request(slice: &Slice) -> Request {
    let rows = slice.rows().iter().zip(0..);
    let rows: Vec<Selected> = rows
        .map(|(row, index)| Selected {
            sequence: 1,
            index,
            row: Row {
                device: row.hash,
                time: row.time,
                samples: row.len() as u32,
                is_marker: row.is_marker,
            },
        })
        .collect();
    Request {
        shard: 0,
        samples: slice.len() as u64,
        rows,
    }
}

const SETTINGS: Settings = Settings {
    choice: ProtocolChoice::V1,
    protocol: Protocol::V1,
    is_pair: false,
    most: u32::MAX,
};

#[test]
fn a_row_with_too_many_samples_is_sent_in_parts() {
    let slice = slice(1);
    let (mut quarantine, mut streak) = (Quarantine::default(), TimeStreak::default());
    let (now, mut tally) = (Moment::from_millis(1), Tally::default());
    let settings = Settings {
        most: 2,
        ..SETTINGS
    };
    let slice_of = |_| Some(Arc::clone(&slice));
    let request = request(&slice);
    let flight = Flight::new(
        &request,
        slice_of,
        &quarantine,
        settings,
        false,
        now,
        &mut tally,
    );
    let (mut flight, mut parts) = (flight.unwrap(), Vec::new());
    let answer = Answer::Response {
        status: 204,
        retry_after: None,
        written: None,
        body: "",
    };
    let moments = Moments {
        now,
        others_succeeded: None,
        fraction: 0.0,
    };
    loop {
        parts.push(series(&flight.part()).len());
        let next = flight.answered(&answer, &mut streak, &mut quarantine, &moments, &mut tally);
        if next == Next::Finished {
            break;
        }
    }
    // Two fields, the time of the report, and info.
    assert_eq!((parts, tally.stored), (vec![2, 2], 4));
}

#[test]
fn a_series_on_which_the_receiver_fails_is_found_and_left_out() {
    let slice = slice(4);
    let whole = slice.rows().iter();
    let whole = series(&whole.map(|row| (Arc::clone(&slice), row.clone())).collect());
    let (mut quarantine, mut streak) = (Quarantine::default(), TimeStreak::default());
    let begin = Moment::from_millis(1);
    let hour = Duration::from_secs(3600);
    for (protocol, poison) in [(Protocol::V1, 5), (Protocol::V2, 9)] {
        let settings = Settings {
            protocol,
            choice: ProtocolChoice::Auto,
            ..SETTINGS
        };
        let (request, slice_of) = (request(&slice), |_| Some(Arc::clone(&slice)));
        let mut tally = Tally::default();
        let fly = |now, quarantine: &Quarantine, tally: &mut Tally| {
            Flight::new(&request, slice_of, quarantine, settings, false, now, tally)
        };
        let mut flight = fly(begin, &quarantine, &mut tally).unwrap();
        let (mut now, mut requests) = (begin, 0);
        loop {
            requests += 1;
            let fails = series(&flight.part()).contains(&whole[poison]);
            let answer = Answer::Response {
                status: if fails { 500 } else { 204 },
                retry_after: None,
                written: Some(1),
                body: "",
            };
            let moments = Moments {
                now,
                others_succeeded: Some(now),
                fraction: 0.0,
            };
            let next = flight.answered(&answer, &mut streak, &mut quarantine, &moments, &mut tally);
            match next {
                Next::Finished => break,
                Next::Continue => {}
                Next::Retry(_) => now = begin.after(hour),
                other => panic!("{other:?}"),
            }
        }
        assert!(requests <= 33, "{requests}");
        assert_eq!(tally.failed.last(), Some(&(SampleReason::Rejected, 1)));
        let mut tally = Tally::default();
        let again = fly(now, &quarantine, &mut tally).unwrap();
        assert!(
            !series(&again.part()).contains(&whole[poison]),
            "{protocol:?}"
        );
        assert!(matches!(
            tally.failed[..],
            [(SampleReason::Quarantined, 1..)]
        ));
    }
}

proptest! {
    /// Each sample is stored once or counted, and what is in quarantine is not sent again.
    #[test]
    fn bad_series_are_found(
        devices in 1_u64..12,
        bad in prop::collection::btree_set(0_usize..60, 0..3),
        most in prop_oneof![Just(usize::MAX), 2_usize..20],
    ) {
        let slice = slice(devices);
        let names = series(&slice.rows().iter().map(|row| (Arc::clone(&slice), row.clone())).collect());
        let bad: BTreeSet<_> = bad.iter().filter_map(|at| names.get(*at).cloned()).collect();
        let (mut quarantine, mut streak) = (Quarantine::default(), TimeStreak::default());
        let now = Moment::from_millis(1);
        for round in 0..2 {
            let mut tally = Tally::default();
            let held: BTreeSet<_> = bad.clone();
            let flight = Flight::new(&request(&slice), |_| Some(Arc::clone(&slice)), &quarantine, SETTINGS, false, now, &mut tally);
            let Some(mut flight) = flight else {
                prop_assert!(round == 1 && held.len() == names.len());
                return Ok(());
            };
            let mut stored: BTreeMap<(String, String), u32> = BTreeMap::new();
            loop {
                let part = series(&flight.part());
                prop_assert_eq!(part.len() as u64, flight.samples());
                let status = match () {
                    () if part.len() > most => 413,
                    () if part.iter().any(|one| bad.contains(one)) => 400,
                    () => {
                        for one in &part {
                            *stored.entry(one.clone()).or_default() += 1;
                        }
                        204
                    }
                };
                let answer = Answer::Response { status, retry_after: None, written: None, body: "bad" };
                let moments = Moments { now, others_succeeded: None, fraction: 0.0 };
                match flight.answered(&answer, &mut streak, &mut quarantine, &moments, &mut tally) {
                    Next::Finished => break,
                    Next::Continue => {}
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert!(stored.values().all(|times| *times == 1));
            prop_assert_eq!(stored.len() as u64, tally.stored);
            let failed: u64 = tally.failed.iter().map(|(_, samples)| samples).sum();
            prop_assert_eq!(tally.stored + failed, names.len() as u64);
            if round == 1 && bad.len() <= 1 {
                let expected: Vec<_> = bad.iter().map(|_| (SampleReason::Quarantined, 1)).collect();
                prop_assert_eq!(tally.failed, expected);
            }
        }
    }
}

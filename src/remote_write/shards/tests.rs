use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000_000;
const NINE_HOURS: Window = Window::Limited(Duration::from_secs(9 * 3600));
const NONE: Window = Window::Limited(Duration::ZERO);

fn shards(window: Window, max_samples: u32, count: u16) -> Shards {
    let limits = Limits {
        max_samples,
        window,
    };
    let position = Position {
        next: 0,
        gap: None,
        shards: count,
    };
    Shards::new(limits, &position)
}

/// A row of 10 samples; its time is in seconds from now.
fn row(device: u64, seconds: i64) -> Row {
    Row {
        device,
        time: NOW + seconds * 1000,
        samples: 10,
    }
}

/// Record, device and seconds of each row of the next request.
fn take(shards: &mut Shards, shard: u16) -> Vec<(u64, u64, i64)> {
    let Some(request) = shards.take(shard, NOW) else {
        return Vec::new();
    };
    let rows = request.rows.iter();
    let rows = rows.map(|row| {
        let seconds = (row.row.time - NOW) / 1000;
        (row.sequence, row.row.device, seconds)
    });
    rows.collect()
}

#[test]
fn without_a_window_a_request_is_a_time_slice_of_one_record() {
    let mut shards = shards(NONE, 40, 1);
    shards.add(
        Lane::Live,
        0,
        &[row(1, 0), row(2, 0), row(1, 15), row(3, 15)],
    );
    shards.add(Lane::Live, 1, &[row(4, 20)]);
    let expected: [&[_]; 3] = [
        &[(0, 1, 0), (0, 2, 0)],
        &[(0, 1, 15), (0, 3, 15)],
        &[(1, 4, 20)],
    ];
    for expected in expected {
        assert_eq!(take(&mut shards, 0), expected);
        // One request in flight.
        assert_eq!(take(&mut shards, 0), []);
        shards.finish(0);
    }
    assert_eq!(shards.position().next, 2);
    assert!(shards.is_drained());
}

#[test]
fn requests_have_a_limit_of_samples() {
    let mut shards = shards(NONE, 25, 1);
    let large = Row {
        samples: 1000,
        ..row(3, 0)
    };
    shards.add(Lane::Live, 0, &[row(1, 0), row(2, 0), large, row(4, 0)]);
    for expected in [&[(0, 1, 0), (0, 2, 0)][..], &[(0, 3, 0)], &[(0, 4, 0)]] {
        assert_eq!(take(&mut shards, 0), expected);
        shards.finish(0);
    }
}

#[test]
fn without_a_window_older_rows_are_left_out() {
    let mut shards = shards(NONE, 1000, 1);
    shards.seen(&row(1, 0));
    shards.seen(&row(1, -60));
    shards.add(
        Lane::Live,
        0,
        &[row(1, -15), row(1, 0), row(2, -60), row(1, 15)],
    );
    shards.add(Lane::Live, 1, &[row(1, 14), row(2, -61)]);
    shards.add(Lane::Live, 2, &[row(2, -45)]);
    assert_eq!(take(&mut shards, 0), [(0, 2, -60), (0, 1, 15)]);
    shards.finish(0);
    assert_eq!(take(&mut shards, 0), [(2, 2, -45)]);
    // Record 1 is done, though it had nothing to send.
    assert_eq!(shards.position().next, 2);
    shards.finish(0);
    assert_eq!(shards.position().next, 3);
    assert_eq!(
        shards.take_dropped(),
        [(RowReason::OutOfOrder, 3), (RowReason::Duplicate, 1)]
    );
    assert_eq!(shards.take_dropped(), []);
}

#[test]
fn with_a_window_rows_beyond_it_are_left_out() {
    let mut shards = shards(NINE_HOURS, 1000, 1);
    shards.add(Lane::Live, 0, &[row(1, -9 * 3600 - 1), row(2, -9 * 3600)]);
    shards.add(Lane::Live, 1, &[row(3, -10 * 3600)]);
    assert_eq!(take(&mut shards, 0), [(0, 2, -9 * 3600)]);
    assert_eq!(shards.take_dropped(), [(RowReason::TooOld, 2)]);
    shards.finish(0);
    assert_eq!(shards.position().next, 2);
}

#[test]
fn rows_of_a_backlog_are_merged() {
    let minutes = |minutes: i64| minutes * 60;
    // The window, the age of the oldest row, and whether rows of a device share a request.
    for (window, age, is_merged) in [
        (Window::Unlimited, minutes(100_000), true),
        (NINE_HOURS, minutes(0), true),
        (NINE_HOURS, minutes(9 * 60 - 11), true),
        (NINE_HOURS, minutes(9 * 60 - 10), false),
        (NINE_HOURS, minutes(9 * 60), false),
        (NONE, minutes(0), false),
    ] {
        let mut shards = shards(window, 1000, 1);
        shards.add(Lane::Live, 0, &[row(1, -age), row(2, -age)]);
        shards.add(Lane::Live, 1, &[row(1, -age + 15), row(2, -age + 15)]);
        let expected: &[_] = match is_merged {
            true => &[
                (0, 1, -age),
                (1, 1, -age + 15),
                (0, 2, -age),
                (1, 2, -age + 15),
            ],
            false => &[(0, 1, -age), (0, 2, -age)],
        };
        assert_eq!(take(&mut shards, 0), expected, "{window:?} {age}");
    }
    // A row that a later record repeats is left out; rows of one record are those of series that end, and of new ones.
    let mut shards = shards(NINE_HOURS, 1000, 1);
    shards.add(Lane::Live, 0, &[row(1, 0), row(1, 15), row(1, 15)]);
    shards.add(Lane::Live, 1, &[row(1, 0), row(1, 30)]);
    let expected = [(0, 1, 0), (0, 1, 15), (0, 1, 15), (1, 1, 30)];
    assert_eq!(take(&mut shards, 0), expected);
    assert_eq!(shards.take_dropped(), [(RowReason::Duplicate, 1)]);
    shards.finish(0);
    assert!(shards.is_drained());
    // One record that waits is not merged.
    shards.add(Lane::Live, 2, &[row(1, 0), row(1, 15)]);
    assert_eq!(take(&mut shards, 0), [(2, 1, 0)]);
}

#[test]
fn without_a_window_rows_of_a_record_with_the_same_time_are_sent() {
    let mut shards = shards(NONE, 1000, 1);
    shards.add(Lane::Live, 0, &[row(1, 0), row(1, 0)]);
    shards.add(Lane::Live, 1, &[row(1, 0)]);
    for _ in 0..2 {
        assert_eq!(take(&mut shards, 0), [(0, 1, 0)]);
        shards.finish(0);
    }
    assert_eq!(take(&mut shards, 0), []);
    assert_eq!(shards.take_dropped(), [(RowReason::Duplicate, 1)]);
}

#[test]
fn without_a_window_a_gap_is_read_first() {
    for (window, expected) in [(NONE, None), (NINE_HOURS, Some(5))] {
        let limits = Limits {
            max_samples: 10,
            window,
        };
        let position = Position {
            next: 5,
            gap: Some(3..=4),
            shards: 1,
        };
        let mut shards = Shards::new(limits, &position);
        assert_eq!(shards.wants(Lane::Gap), Some(3));
        assert_eq!(shards.wants(Lane::Live), expected);
        shards.skip(Lane::Gap, 5);
        assert_eq!(shards.wants(Lane::Live), Some(5));
    }
}

#[test]
fn forty_rows_of_a_device_at_most_are_merged() {
    let mut shards = shards(Window::Unlimited, 10_000, 1);
    for sequence in 0..44 {
        let seconds = i64::try_from(sequence).unwrap() * 15;
        let rows = [row(1, seconds), row(2, seconds)];
        assert_eq!(shards.wants(Lane::Live), Some(sequence));
        shards.add(Lane::Live, sequence, &rows);
    }
    assert_eq!(shards.wants(Lane::Live), None);
    let lengths = [80, 8].map(|_| {
        let rows = take(&mut shards, 0);
        shards.finish(0);
        rows.len()
    });
    assert_eq!(lengths, [80, 8]);
    assert_eq!(shards.position().next, 44);
}

#[test]
fn a_fast_shard_reads_four_records_ahead() {
    let mut shards = shards(NONE, 1000, 2);
    for sequence in 0..5 {
        assert_eq!(shards.wants(Lane::Live), Some(sequence));
        let seconds = i64::try_from(sequence).unwrap();
        shards.add(Lane::Live, sequence, &[row(0, seconds), row(1, seconds)]);
    }
    assert_eq!(take(&mut shards, 0), [(0, 0, 0)]);
    for sequence in 0..5 {
        assert_eq!(shards.wants(Lane::Live), None);
        let seconds = i64::try_from(sequence).unwrap();
        assert_eq!(take(&mut shards, 1), [(sequence, 1, seconds)]);
        shards.finish(1);
    }
    assert_eq!(shards.position().next, 0);
    shards.finish(0);
    assert_eq!(shards.position().next, 1);
    assert_eq!(shards.wants(Lane::Live), Some(5));
}

#[test]
fn records_without_rows_and_skipped_numbers_are_done() {
    let mut shards = shards(NONE, 1000, 1);
    shards.add(Lane::Live, 0, &[]);
    shards.add(Lane::Live, 7, &[row(1, 0)]);
    // Read before.
    shards.add(Lane::Live, 7, &[row(1, 0)]);
    shards.add(Lane::Live, 3, &[row(1, 1)]);
    shards.skip(Lane::Live, 20);
    shards.skip(Lane::Live, 10);
    assert_eq!(shards.wants(Lane::Live), Some(20));
    assert_eq!(shards.position().next, 7);
    assert_eq!(take(&mut shards, 0), [(7, 1, 0)]);
    shards.finish(0);
    assert_eq!(shards.position().next, 20);
}

#[test]
fn the_number_of_shards_changes_when_all_are_drained() {
    let mut shards = shards(NONE, 1000, 1);
    shards.add(Lane::Live, 0, &[row(0, 0), row(1, 0)]);
    shards.resize(2);
    assert_eq!((shards.count(), shards.wants(Lane::Live)), (1, None));
    assert_eq!(take(&mut shards, 0), [(0, 0, 0), (0, 1, 0)]);
    assert_eq!(shards.count(), 1);
    shards.finish(0);
    assert_eq!((shards.count(), shards.wants(Lane::Live)), (2, Some(1)));
    assert_eq!(shards.position().shards, 2);
    shards.add(Lane::Live, 1, &[row(0, 1), row(1, 1)]);
    assert_eq!(take(&mut shards, 1), [(1, 1, 1)]);
    // A size that is wanted no longer.
    shards.resize(4);
    shards.resize(2);
    assert_eq!(shards.wants(Lane::Live), Some(2));
}

#[test]
fn live_records_come_first_and_the_gap_gets_a_third() {
    let mut shards = shards(NINE_HOURS, 10, 1);
    // Two records are read, one row is in flight, and the next number is 100.
    shards.add(Lane::Live, 0, &[row(1, -3600), row(2, -3600)]);
    assert_eq!(take(&mut shards, 0), [(0, 1, -3600)]);
    shards.live_first(100);
    assert_eq!(shards.wants(Lane::Live), Some(100));
    assert_eq!(shards.wants(Lane::Gap), Some(1));
    let position = Position {
        next: 100,
        gap: Some(0..=99),
        shards: 1,
    };
    assert_eq!(shards.position(), position);
    shards.finish(0);

    let rows: Vec<Row> = (0..30).map(|device| row(device, -1800)).collect();
    shards.add(Lane::Gap, 99, &rows);
    assert_eq!(shards.wants(Lane::Gap), None);
    let rows: Vec<Row> = (0..20).map(|device| row(device, 0)).collect();
    shards.add(Lane::Live, 100, &rows);
    let mut lanes = String::new();
    for _ in 0..18 {
        let rows = take(&mut shards, 0);
        lanes.push(if rows[0].0 == 100 { 'L' } else { 'g' });
        shards.finish(0);
    }
    assert_eq!(lanes, "LgLLgLLgLLgLLgLLgL");
    // What is left of the gap is sent when no live row waits.
    while !take(&mut shards, 0).is_empty() {
        shards.finish(0);
    }
    let position = Position {
        next: 101,
        gap: None,
        shards: 1,
    };
    assert_eq!(shards.position(), position);
    assert_eq!(shards.wants(Lane::Gap), None);
}

#[test]
fn live_records_do_not_come_first_without_a_window_or_with_a_gap() {
    let mut closed = shards(NONE, 10, 1);
    closed.live_first(100);
    assert_eq!(closed.position().gap, None);

    let mut open = shards(NINE_HOURS, 10, 1);
    open.live_first(0);
    assert_eq!(open.position().gap, None);
    open.live_first(10);
    open.live_first(100);
    assert_eq!(
        (open.position().next, open.position().gap),
        (10, Some(0..=9))
    );
    // A gap without records ends.
    open.skip(Lane::Gap, 50);
    assert_eq!((open.position().next, open.position().gap), (10, None));
}

#[test]
fn a_record_that_is_left_out_hides_no_other_and_none_is_read_twice() {
    let mut shards = shards(NONE, 10, 1);
    let rows = [row(1, -3600), row(2, -3600)];
    shards.seen(&row(1, 0));
    shards.seen(&row(2, 0));
    shards.add(Lane::Live, 0, &rows);
    assert_eq!(take(&mut shards, 0), []);
    assert!(shards.is_drained());

    let position = Position {
        next: 10,
        gap: Some(0..=9),
        shards: 1,
    };
    let limits = Limits {
        max_samples: 10,
        window: NONE,
    };
    let mut closed = Shards::new(limits, &position);
    closed.seen(&row(1, 0));
    closed.add(Lane::Gap, 0, &[row(1, -60)]);
    closed.add(Lane::Live, 10, &[row(1, 15)]);
    assert_eq!(take(&mut closed, 0), [(10, 1, 15)]);

    // The caller's number is older than what was read.
    let mut open = Shards::new(
        Limits {
            window: NINE_HOURS,
            ..limits
        },
        &position,
    );
    open.skip(Lane::Gap, 10);
    open.add(Lane::Live, 20, &[row(1, 0)]);
    open.live_first(15);
    assert_eq!(open.wants(Lane::Live), Some(21));
    assert_eq!(open.position().gap, Some(20..=20));
}

#[test]
fn a_position_is_where_a_new_state_begins() {
    let position = Position {
        next: 50,
        gap: Some(3..=20),
        shards: 3,
    };
    let limits = Limits {
        max_samples: 10,
        window: NINE_HOURS,
    };
    let state = Shards::new(limits, &position);
    assert_eq!(state.position(), position);
    assert_eq!(state.wants(Lane::Gap), Some(3));
    assert_eq!(state.wants(Lane::Live), Some(50));
}

/// A step of the model test.
#[derive(Debug, Clone)]
enum Step {
    /// Read a record, if one is wanted: the devices and times of its rows.
    Read(Lane, Vec<(u64, i64)>),
    Take(u16),
    Finish(u16),
    LiveFirst,
    Resize(u16),
    /// The process ends, and a new one begins at the position.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let rows = proptest::collection::vec((0_u64..8, 0_i64..6), 0..12);
    let lane = prop_oneof![Just(Lane::Live), Just(Lane::Gap)];
    prop_oneof![
        6 => (lane, rows).prop_map(|(lane, rows)| Step::Read(lane, rows)),
        6 => (0_u16..4).prop_map(Step::Take),
        6 => (0_u16..4).prop_map(Step::Finish),
        1 => Just(Step::LiveFirst),
        1 => (1_u16..4).prop_map(Step::Resize),
        1 => Just(Step::Restart),
    ]
}

/// Checks a request, and returns its rows.
fn check(request: &Request, limits: &Limits, count: u16) -> Result<(), TestCaseError> {
    prop_assert!(!request.rows.is_empty());
    let samples: u64 = request
        .rows
        .iter()
        .map(|row| u64::from(row.row.samples))
        .sum();
    prop_assert_eq!(samples, request.samples);
    prop_assert!(request.rows.len() == 1 || samples <= u64::from(limits.max_samples));
    let mut devices: Vec<u64> = request.rows.iter().map(|row| row.row.device).collect();
    prop_assert!(
        devices
            .iter()
            .all(|device| device % u64::from(count) == u64::from(request.shard))
    );
    devices.dedup();
    let different: BTreeSet<u64> = devices.iter().copied().collect();
    prop_assert_eq!(
        different.len(),
        devices.len(),
        "rows of a device are not adjacent"
    );
    let is_ascending = request.rows.windows(2).all(|pair| {
        pair[0].row.device != pair[1].row.device || pair[0].row.time <= pair[1].row.time
    });
    prop_assert!(is_ascending);
    if !limits.window.is_open() {
        prop_assert_eq!(different.len(), request.rows.len());
        let first = request.rows[0].sequence;
        prop_assert!(request.rows.iter().all(|row| row.sequence == first));
    }
    Ok(())
}

/// Whether an earlier record has a row of the device at the same time.
fn is_repeated(journal: &BTreeMap<u64, Vec<Row>>, sequence: u64, row: &Row) -> bool {
    let mut earlier = journal.range(..sequence).flat_map(|(_, rows)| rows);
    earlier.any(|known| (known.device, known.time) == (row.device, row.time))
}

proptest! {
    /// Whatever happens, each row is sent at least once, and exactly once without a restart. Without a window, the rows of a device are sent
    /// in the order of their times, those that are left out are older than one that was sent, and requests after a restart are those before.
    #[test]
    fn every_row_is_sent(
        steps in proptest::collection::vec(step(), 1..120),
        is_open in any::<bool>(),
        max_samples in 10_u32..80,
    ) {
        let limits = Limits {
            max_samples,
            window: if is_open { Window::Unlimited } else { NONE },
        };
        let first = Position { next: 0, gap: None, shards: 1 };
        let mut state = Shards::new(limits, &first);
        let mut journal: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
        let mut done: BTreeMap<(u64, u32), u32> = BTreeMap::new();
        let mut flying: BTreeMap<u16, Request> = BTreeMap::new();
        let mut newest: BTreeMap<u64, (i64, u64)> = BTreeMap::new();
        let mut requests: BTreeMap<(u16, u64, u32), Request> = BTreeMap::new();
        let mut end = 0;
        let mut restarts = 0;
        let mut dropped = 0;
        // At the end, everything is read and sent.
        let rest = [0_u16, 1, 2, 3].map(|shard| [Step::Finish(shard), Step::Take(shard)]);
        let read = [Lane::Gap, Lane::Live].map(|lane| Step::Read(lane, Vec::new()));
        let round = rest.into_iter().flatten().chain(read);
        let finale = std::iter::repeat_n(round.collect::<Vec<_>>(), 800).flatten();
        let count = steps.len();
        for (number, step) in steps.into_iter().chain(finale).enumerate() {
            let is_all_read = state.wants(Lane::Live) == Some(end) && state.wants(Lane::Gap).is_none();
            if number >= count && state.is_drained() && is_all_read {
                break;
            }
            match step {
                Step::Read(lane, rows) => {
                    let Some(from) = state.wants(lane) else { continue };
                    let rows: Vec<Row> = match journal.get(&from) {
                        Some(known) => known.clone(),
                        None if lane == Lane::Gap => Vec::new(),
                        None => {
                            let rows = rows.into_iter();
                            rows.map(|(device, time)| Row { device, time: 10 * from as i64 + time, samples: 10 }).collect()
                        }
                    };
                    if number >= count && from >= end {
                        continue;
                    }
                    state.add(lane, from, &rows);
                    journal.insert(from, rows);
                    end = end.max(from + 1);
                }
                Step::Take(shard) => {
                    let Some(request) = state.take(shard, NOW) else { continue };
                    check(&request, &limits, state.count())?;
                    if !is_open {
                        let first = request.rows[0];
                        let key = (state.count(), first.sequence, first.index);
                        let known = requests.entry(key).or_insert_with(|| request.clone());
                        prop_assert_eq!(&*known, &request, "not the request before the restart");
                        for row in &request.rows {
                            let last = newest.insert(row.row.device, (row.row.time, row.sequence));
                            let this = (row.row.time, row.sequence);
                            prop_assert!(restarts > 0 || last.is_none_or(|last| last.0 < this.0 || last == this));
                        }
                    }
                    prop_assert!(flying.insert(shard, request).is_none());
                }
                Step::Finish(shard) => {
                    state.finish(shard);
                    for row in flying.remove(&shard).into_iter().flat_map(|request| request.rows) {
                        *done.entry((row.sequence, row.index)).or_default() += 1;
                    }
                }
                Step::LiveFirst => state.live_first(end),
                Step::Resize(count) => state.resize(count),
                Step::Restart => {
                    restarts += 1;
                    flying.clear();
                    let position = state.position();
                    state = Shards::new(limits, &position);
                    for row in journal.range(..position.next).flat_map(|(_, rows)| rows) {
                        state.seen(row);
                    }
                }
            }
            dropped += state.take_dropped().iter().map(|(_, count)| count).sum::<u64>();
            // The cursor passes no row that is not done, and no record is open beyond the limit.
            let position = state.position();
            if is_open {
                for (sequence, rows) in journal.range(..position.next) {
                    let is_gap = position.gap.as_ref().is_some_and(|gap| gap.contains(sequence));
                    let all = (0..).zip(rows).all(|(index, row)| {
                        done.contains_key(&(*sequence, index)) || is_repeated(&journal, *sequence, row)
                    });
                    prop_assert!(is_gap || all, "record {sequence} at {position:?}");
                }
            }
        }
        dropped += state.take_dropped().iter().map(|(_, count)| count).sum::<u64>();
        prop_assert!(state.is_drained());
        prop_assert_eq!(state.position().gap, None);
        let total: usize = journal.values().map(Vec::len).sum();
        let sent: u64 = done.values().map(|count| u64::from(*count)).sum();
        if is_open {
            for (sequence, rows) in &journal {
                for (index, row) in (0..).zip(rows) {
                    prop_assert!(done.contains_key(&(*sequence, index)) || is_repeated(&journal, *sequence, row));
                }
            }
        }
        if restarts == 0 {
            prop_assert_eq!(sent + dropped, total as u64);
        }
    }
}

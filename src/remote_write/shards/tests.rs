//! Tests of requests by examples, and of their whole by a model.

mod model;

use std::time::Duration;

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
        is_marker: false,
    }
}

/// Record, device and seconds of each row of the next request.
fn take(shards: &mut Shards, shard: u16) -> Vec<(u64, u64, i64)> {
    take_before(shards, shard, 0)
}

/// The same, with records before `end` in the journal.
fn take_before(shards: &mut Shards, shard: u16, end: u64) -> Vec<(u64, u64, i64)> {
    let Some(request) = shards.take(shard, NOW, end) else {
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
fn rows_of_one_record_are_put_together_while_others_wait_in_the_journal() {
    for (window, end, expected) in [
        (NINE_HOURS, 2, &[(0, 1, 0), (0, 1, 15)][..]),
        (NINE_HOURS, 1, &[(0, 1, 0)]),
        (NONE, 2, &[(0, 1, 0)]),
    ] {
        let mut shards = shards(window, 40, 1);
        shards.add(Lane::Live, 0, &[row(1, 0), row(1, 15)]);
        let rows = take_before(&mut shards, 0, end);
        assert_eq!(rows, expected, "{window:?} {end}");
    }
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
fn markers_that_are_left_out_are_not_counted() {
    let marker = |device, seconds| Row {
        is_marker: true,
        ..row(device, seconds)
    };
    let minute = Window::Limited(Duration::from_secs(60));
    for (window, rows, expected) in [
        (minute, [marker(1, -120), marker(2, -61)], vec![]),
        (
            minute,
            [row(1, -120), marker(2, -61)],
            vec![(RowReason::TooOld, 1)],
        ),
        (
            NONE,
            [marker(1, -1), row(2, -1)],
            vec![(RowReason::OutOfOrder, 1)],
        ),
        (
            NONE,
            [marker(1, 0), row(2, 0)],
            vec![(RowReason::Duplicate, 1)],
        ),
    ] {
        let mut shards = shards(window, 1000, 1);
        shards.seen(&row(1, 0));
        shards.seen(&row(2, 0));
        shards.add(Lane::Live, 0, &rows);
        assert_eq!(take(&mut shards, 0), []);
        assert_eq!(shards.take_dropped(), expected, "{rows:?}");
        // They are done all the same.
        assert_eq!(shards.position().next, 1);
    }
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

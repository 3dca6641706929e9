//! Tests of the timestamps of rows, and of the ages of devices.

use super::*;

#[test]
fn rows_in_the_future_are_ignored() {
    const NOW: i64 = 1_800_000_000_000_000_000;
    const MINUTE: i64 = 60_000_000_000;
    let mut world = World::new();
    world.latest = NOW + 10 * MINUTE;
    let row = |id: &str, reported: i64, speed: u32| format!(r#"["u",{reported},"{id}",{speed}]"#);
    // A row at the limit is used, and so are later rows of the device.
    let tally = world.rows(&row("a", NOW + 10 * MINUTE, 1));
    assert_eq!(tally.ignored, [0; 4]);
    let future = |tally: &Tally| tally.ignored[RowIgnored::Future as usize];
    for reported in [NOW + 10 * MINUTE + 1, NOW + 100_000 * MINUTE, i64::MAX] {
        let allocation = format!(r#"["i",{reported},"ip-a","ACC",["192.0.2.1"]]"#);
        let rows = [row("a", reported, 2), row("new", reported, 2), allocation];
        assert_eq!(future(&world.rows(&rows.join(","))), 3, "{reported}");
        assert_eq!(world.lines()[0], r#"Speed{"a"} 1"#);
        assert_eq!(world.fleet.devices(), 1);
        // Also if the device is stale, or if older rows of it follow.
        world.wait(121);
        assert_eq!(future(&world.rows(&row("a", reported, 2))), 1);
        world.rows(&row("a", NOW, 1));
        assert_eq!(world.lines()[0], r#"Speed{"a"} 1"#);
    }
}

#[test]
fn the_first_row_with_a_wrong_time_is_reported() {
    let mut world = World::with(|options| options.limits = Limits::STANDARD);
    world.latest = 1_800_000_000_000_000_000;
    let rows = r#"["u",1,"p\n1"],["u",1900000000000000000,"f1"],["u",1,"p2"],["u",1900000000000000000,"f2"]"#;
    let (rows, metadata) = decode(body(rows, TERMINAL).into()).unwrap();
    let schema = world.schemas.resolve(&metadata).schema;
    let batch = Batch { rows, schema };
    let plan = world.fleet.plan(
        AccountId::default(),
        &batch,
        Moment::default(),
        world.latest,
    );
    let example = |id: &str, reported| {
        let id = id.to_owned();
        Some(Example { id, reported })
    };
    assert_eq!(plan.early, example(r"p\n1", 1));
    assert_eq!(plan.future, example("f1", 1_900_000_000_000_000_000));
}

#[test]
fn times_before_2019_are_rejected() {
    let mut world = World::with(|options| options.limits = Limits::STANDARD);
    // Zero, negative, seconds, milliseconds, microseconds, and the last nanosecond of 2018.
    for reported in [
        0,
        -1_756_537_212_000_000_000,
        1_756_537_212,
        1_756_537_212_000,
        1_756_537_212_000_000,
        1_546_300_799_999_999_999_i64,
    ] {
        let rows = format!(r#"["u",{reported},"a",1],["i",{reported},"ip-a","ACC"]"#);
        let tally = world.rows(&rows);
        assert_eq!(
            tally.rejected[RowFault::Timestamp as usize],
            2,
            "{reported}"
        );
        assert_eq!(world.fleet.devices(), 0);
    }
    let tally = world.rows(r#"["u",1546300800000000000,"a",1]"#);
    assert_eq!(tally.rejected, [0; RowFault::ALL.len()]);
    assert_eq!(
        world.lines()[1],
        r#"last_report_timestamp_seconds{"a"} 1546300800"#
    );
}

#[test]
fn the_latest_time_depends_on_the_clock_or_else_on_the_median() {
    const AHEAD: i64 = 600_000_000_000;
    let batch = |timestamps: &[i64]| {
        let rows = timestamps.iter().map(|at| format!(r#"["u",{at},"a"]"#));
        let rows: Vec<_> = rows.collect();
        let (rows, metadata) = decode(body(&rows.join(","), TERMINAL).into()).unwrap();
        let schema = SchemaCache::default().resolve(&metadata).schema;
        Batch { rows, schema }
    };
    const T: i64 = 1_756_537_212_000_000_000;
    for (timestamps, now, expected) in [
        (&[T, T + 5, T + 9][..], Some(7), 7 + AHEAD),
        (&[T + 9, T, T + 5], None, T + 5 + AHEAD),
        // Invalid times are not counted, and a time in the future has no effect.
        (&[1, 2, 3, T + 9, T + 5, T], None, T + 5 + AHEAD),
        (&[T, T + 1, i64::MAX], None, T + 1 + AHEAD),
        (&[i64::MAX], None, i64::MAX),
        (&[], None, i64::MAX),
        (&[], Some(i64::MAX), i64::MAX),
    ] {
        let latest = latest(&batch(timestamps), now, &Limits::STANDARD);
        assert_eq!(latest, expected, "{timestamps:?} {now:?}");
    }
}

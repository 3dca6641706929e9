//! Series that end, and rows that do not end them.

use super::*;

const LAST: &str = "starlink_last_report_timestamp_seconds";

/// The samples of the terminal `ut1` at a time, without those of every row.
pub(super) fn others(samples: &Samples) -> Vec<(&str, i64, f64)> {
    let others = samples
        .iter()
        .filter(|((name, _), _)| !name.starts_with(LAST));
    others
        .map(|((name, time), value)| {
            let name = name.strip_prefix("starlink_").unwrap();
            let short = match name.split_once('{') {
                Some(("info", _)) => name,
                Some((short, _)) => short,
                None => name,
            };
            let value = f64::from_bits(*value);
            // So that markers can be compared.
            let is_stale = value.to_bits() == STALE.to_bits();
            (short, time - START, if is_stale { -1.0 } else { value })
        })
        .collect()
}

pub(super) fn row(seconds: i64, rest: &str) -> String {
    format!(r#"["u",{},"ut1",{rest}]"#, at(seconds))
}

#[test]
fn series_that_the_newest_row_lacks_end_at_its_time() {
    let mut world = World::new();
    let first = world.answer(15, &row(0, "1,2,null,null,null,[82]"));
    let all = [
        ("Load", 0, 2.0),
        ("Speed", 0, 1.0),
        ("alert_active_pending", 0, 1.0),
    ];
    assert_eq!(others(&first), all);
    let second = world.answer(15, &row(15, "null,3"));
    let ended = [
        ("Load", 15_000, 3.0),
        ("Speed", 15_000, -1.0),
        ("alert_active_pending", 15_000, -1.0),
    ];
    assert_eq!(others(&second), ended);
    // They end once.
    assert_eq!(
        others(&world.answer(15, &row(30, "null,3"))),
        [("Load", 30_000, 3.0)]
    );
    // An older row ends nothing.
    assert_eq!(
        others(&world.answer(15, &row(20, "4"))),
        [("Speed", 20_000, 4.0)]
    );
    assert_eq!(
        others(&world.answer(15, &row(45, "null,3"))),
        [("Load", 45_000, 3.0)]
    );
}

#[test]
fn rows_of_one_millisecond_give_the_samples_of_the_last() {
    let mut world = World::new();
    let within =
        |nanoseconds: i64, speed| format!(r#"["u",{},"ut1",{speed}]"#, at(1) + nanoseconds);
    for (rows, expected) in [
        ([within(0, 1), within(0, 2)], 2.0),
        ([within(5, 3), within(0, 4)], 3.0),
        ([within(5, 5), within(9, 6)], 6.0),
    ] {
        let mut world = World::new();
        let batch = world.batch(&rows.join(","));
        let slice = world.slice(0, Content::Answer(&batch));
        assert_eq!(slice.counts.duplicate, 1);
        assert_eq!(
            others(&world.samples(&[&slice])),
            [("Speed", 1000, expected)]
        );
    }
    world.answer(0, &within(0, 1));
    let batch = world.batch(&within(7, 2));
    let slice = world.slice(0, Content::Answer(&batch));
    assert_eq!((slice.counts.duplicate, slice.len()), (1, 0));
}

#[test]
fn fields_and_alerts_end_after_stream_time_without_rows() {
    let mut world = World::new();
    world.answer(15, &row(0, r#"1,null,"v",null,599686042433355775,[82]"#));
    // A full batch of other devices covers no time.
    assert!(others(&world.tick(0)).is_empty());
    assert!(others(&world.tick(119)).is_empty());
    let ended = [
        ("H3CellId", 1, -1.0),
        ("Speed", 1, -1.0),
        ("alert_active_pending", 1, -1.0),
    ];
    assert_eq!(others(&world.tick(1)), ended);
    assert!(others(&world.tick(1000)).is_empty());
    // Location and info go on, so they end with the next row.
    world.now += 2_000_000;
    let back = world.answer(0, &row(2000, "1"));
    let expected = [
        ("Speed", 2_000_000, 1.0),
        (
            r#"info{deviceID="ut1",device_type="UserTerminal",version="v"}"#,
            2_000_000,
            -1.0,
        ),
        ("latitude", 2_000_000, -1.0),
        ("longitude", 2_000_000, -1.0),
    ];
    assert_eq!(others(&back), expected);
    // A device that reports in time does not end.
    world.answer(119, &row(2100, "1"));
    assert!(others(&world.tick(119)).is_empty());
    assert_eq!(others(&world.tick(1)), [("Speed", 2_100_001, -1.0)]);
}

#[test]
fn moved_devices_do_not_end() {
    let mut world = World::new();
    world.answer(15, &format!("{},[\"r\",{},\"ut1\",1]", row(0, "1"), at(0)));
    let key = DeviceKey {
        code: "u",
        id: "ut1",
    };
    let unknown = DeviceKey { id: "ut2", ..key };
    assert!(world.slice(0, Content::Moved(&[key, unknown])).is_empty());
    let ended = world.tick(1000);
    // Only the router with the same identifier.
    let router = r#"starlink_Speed{deviceID="ut1",device_type="Router"}"#;
    let expected = ((router.to_owned(), START + 1), STALE.to_bits());
    assert_eq!(ended, [expected].into());
    // Nothing of before is known if it comes back.
    assert_eq!(
        others(&world.answer(0, &row(60, "null,1"))),
        [("Load", 60_000, 1.0)]
    );
}

#[test]
fn addresses_come_with_the_rows_of_the_terminal_while_they_are_valid() {
    let mut world = World::new();
    let allocation = |seconds: i64, v4: &str| {
        format!(r#"["i",{},"ip-ut1",null,null,{v4},null,null]"#, at(seconds))
    };
    assert!(
        world
            .answer(15, &allocation(0, r#"["0.0.0.1"]"#))
            .is_empty()
    );
    let first = world.answer(15, &row(10, "null"));
    assert_eq!(others(&first), [("Ipv4_numeric", 10_000, 1.0)]);
    // Two addresses; an older allocation is ignored.
    let rows = [
        row(20, "null"),
        allocation(15, r#"["0.0.0.2","0.0.0.1"]"#),
        allocation(12, r#"["0.0.0.9"]"#),
    ];
    let expected = [
        ("Ipv4_numeric_0", 20_000, 1.0),
        ("Ipv4_numeric_1", 20_000, 2.0),
        ("Ipv4_numeric", 20_000, -1.0),
    ];
    assert_eq!(others(&world.answer(15, &rows.join(","))), expected);
    // An older row has them if they are not newer than it.
    let older = world.answer(0, &[row(14, "null"), row(16, "null")].join(","));
    let expected = [
        ("Ipv4_numeric_0", 16_000, 1.0),
        ("Ipv4_numeric_1", 16_000, 2.0),
    ];
    assert_eq!(others(&older), expected);
    // They are valid for 15 minutes.
    world.now += 1_000_000;
    assert_eq!(others(&world.answer(0, &row(914, "null"))).len(), 2);
    let expected = [
        ("Ipv4_numeric_0", 915_000, -1.0),
        ("Ipv4_numeric_1", 915_000, -1.0),
    ];
    assert_eq!(others(&world.answer(0, &row(915, "null"))), expected);
    // Empty lists end them.
    let rows = [allocation(930, r#"["0.0.0.1"]"#), row(931, "null")];
    assert_eq!(others(&world.answer(0, &rows.join(","))).len(), 1);
    let rows = [allocation(945, "[]"), row(946, "null")];
    let ended = world.answer(0, &rows.join(","));
    assert_eq!(others(&ended), [("Ipv4_numeric", 946_000, -1.0)]);
}

#[test]
fn all_series_end_when_the_name_of_the_type_changes() {
    let mut world = World::new();
    let batch = world.batch_with(&row(0, r#"1,null,"v""#), r#"{"DeviceType":{"u":"Old"}}"#);
    world.slice(0, Content::Answer(&batch));
    let batch = world.batch_with(&row(15, r#"2,null,"v""#), r#"{"DeviceType":{"u":"New"}}"#);
    let slice = world.slice(0, Content::Answer(&batch));
    let samples = world.samples(&[&slice]);
    let of = |name: &str, device_type: &str, value: f64| {
        let (name, rest) = name.split_once(',').unwrap_or((name, ""));
        let rest = match rest {
            "" => String::new(),
            rest => format!(",{rest}"),
        };
        let name =
            format!(r#"starlink_{name}{{deviceID="ut1",device_type="{device_type}"{rest}}}"#);
        ((name, START + 15_000), value.to_bits())
    };
    let expected = [
        of("Speed", "Old", STALE),
        of("last_report_timestamp_seconds", "Old", STALE),
        of(r#"info,version="v""#, "Old", STALE),
        of("Speed", "New", 2.0),
        of("last_report_timestamp_seconds", "New", 1_700_000_015.0),
        of(r#"info,version="v""#, "New", 1.0),
    ];
    assert_eq!(samples, expected.into());
}

#[test]
fn rows_of_several_records_are_put_into_one_series() {
    let mut world = World::new();
    let mut slices = Vec::new();
    for second in 0..40 {
        let alert = if second % 2 == 0 { 82 } else { 83 };
        let cells = format!(r#"{second},null,"v",null,null,[{alert}]"#);
        let router = format!(r#"["r",{},"Router-1",{second}]"#, at(second));
        let batch = world.batch(&[row(second, &cells), router].join(","));
        slices.push(world.slice(0, Content::Answer(&batch)));
    }
    let all = slices.iter().flat_map(|slice| {
        let rows = slice.rows().iter();
        rows.map(move |row| (slice, row))
    });
    let mut rows: Vec<_> = all.collect();
    // Until they are sorted, each row has series of its own.
    for (is_sorted, expected) in [(false, 40 * 6 + 1), (true, 5 + 2)] {
        if is_sorted {
            by_device(&mut rows);
        }
        for protocol in [Protocol::V1, Protocol::V2] {
            let request = world.encoder.rows(protocol, rows.iter().copied()).unwrap();
            let series = decode_request(protocol, &request);
            // Of the terminal: two fields, an alert that is active and one that ends, and info in two rows. Of the router: two fields.
            assert_eq!(request.samples, 40 * 6 + 1, "{protocol:?}");
            assert_eq!(series.len(), expected, "{protocol:?}");
            let speeds = series.iter().filter(|series| {
                let is_it = |(_, value): &(String, String)| value == "starlink_Speed";
                series.labels.iter().any(is_it)
            });
            let speeds = speeds.flat_map(|series| &series.samples);
            assert_eq!(speeds.clone().count(), 80);
            for (time, value) in speeds {
                assert_eq!(START as f64 + f64::from_bits(*value) * 1000.0, *time as f64);
            }
        }
    }
}

#[test]
fn families_of_a_late_row_are_put_into_the_request() {
    let mut world = World::new();
    let batch = world.batch(&row(30, r#"1,null,"v""#));
    let newer = world.slice(0, Content::Answer(&batch));
    // The alert occurs first in a later record with an older row.
    let batch = world.batch(&row(15, r#"2,null,"v",null,null,[82]"#));
    let late = world.slice(0, Content::Answer(&batch));
    let slices = [&newer, &late].into_iter();
    let mut rows: Vec<_> = slices
        .flat_map(|slice| slice.rows().iter().map(move |row| (slice, row)))
        .collect();
    by_device(&mut rows);
    for protocol in [Protocol::V1, Protocol::V2] {
        let request = world.encoder.rows(protocol, rows.iter().copied()).unwrap();
        let series = decode_request(protocol, &request);
        let written: usize = series.iter().map(|series| series.samples.len()).sum();
        assert_eq!(written, request.samples, "{protocol:?}");
    }
}

#[test]
fn a_part_of_a_row_can_be_sent() {
    let mut world = World::new();
    let batch = world.batch(&row(0, r#"1,2,"v""#));
    let slice = world.slice(0, Content::Answer(&batch));
    let [whole] = slice.rows() else {
        panic!("one row");
    };
    let mut count = 0;
    for index in 0..3 {
        let part = whole.part(index..index + 1);
        let request = world.encoder.rows(Protocol::V1, [(&slice, &part)]).unwrap();
        assert_eq!(decode_request(Protocol::V1, &request).len(), 1);
        count += request.samples;
    }
    assert_eq!((count, whole.len()), (3, 4));
}

#[test]
fn silent_devices_are_forgotten() {
    let mut world = World::new();
    for number in 0..100 {
        world.now += 3_600_000;
        let seconds = (world.now - START) / 1000;
        let rows = format!(
            r#"["u",{time},"ut{number}",1],["i",{time},"x{number}"]"#,
            time = at(seconds)
        );
        world.answer(3600, &rows);
        assert!(world.history.devices.len() <= 2 * 27, "{number}");
    }
    assert!(world.history.devices.slots() <= 2 * 27);
}

#[test]
fn rows_of_more_devices_than_the_limit_give_samples() {
    let mut world = World::with(|options| options.limits.devices = 2);
    // The devices of each record, and those that are known after it.
    for (seconds, devices, known) in [
        (0, &["a", "b"][..], ["a", "b"]),
        (15, &["b", "c"], ["b", "c"]),
        (30, &["a", "b"], ["a", "b"]),
        // Both others are as silent, so the hash decides.
        (45, &["c"], ["b", "c"]),
    ] {
        let rows = devices
            .iter()
            .map(|id| format!(r#"["u",{},"{id}",1]"#, at(seconds)));
        let batch = world.batch(&rows.collect::<Vec<_>>().join(","));
        let slice = world.slice(15_000, Content::Answer(&batch));
        assert_eq!(slice.counts, Counts::default());
        assert_eq!(slice.rows().len(), devices.len(), "{seconds}");
        for id in ["a", "b", "c"] {
            let is_known = world.history.devices.find("u", id).is_some();
            assert_eq!(is_known, known.contains(&id), "{id} {seconds}");
        }
    }
    // Also if there are too many in one record.
    let rows = (0..50).map(|id| format!(r#"["u",{},"{id}",1]"#, at(60)));
    let batch = world.batch(&rows.collect::<Vec<_>>().join(","));
    let slice = world.slice(15_000, Content::Answer(&batch));
    assert_eq!((slice.rows().len(), slice.counts), (50, Counts::default()));
    assert_eq!(world.history.devices.len(), 2);
}

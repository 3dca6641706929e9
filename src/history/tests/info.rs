//! Which rows have a sample of `starlink_info`.

use proptest::prelude::*;

use super::markers::{others, row};
use super::*;

#[test]
fn info_is_repeated_and_ends_when_its_labels_change() {
    let mut world = World::new();
    // The intervals of this device begin 25.771 s after the start, and every 30 s later.
    let info = |version: &str| {
        format!(r#"info{{deviceID="ut1",device_type="UserTerminal",version="{version}"}}"#)
    };
    let [a, b] = ["a", "b"].map(info);
    let text = |version: &str| format!(r#"null,null,"{version}""#);
    for (seconds, version, expected) in [
        (0, "a", vec![(&a, 1.0)]),
        (15, "a", vec![]),
        (30, "a", vec![(&a, 1.0)]),
        (45, "a", vec![]),
        (60, "a", vec![(&a, 1.0)]),
        (75, "b", vec![(&a, -1.0), (&b, 1.0)]),
        (90, "b", vec![(&b, 1.0)]),
        (105, "", vec![(&b, -1.0)]),
        (120, "a", vec![(&a, 1.0)]),
        // An older row always has it.
        (100, "b", vec![(&b, 1.0)]),
        (110, "a", vec![(&a, 1.0)]),
        (111, "", vec![]),
    ] {
        let samples = world.answer(15, &row(seconds, &text(version)));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, value)| (&**name, seconds * 1000, value))
            .collect();
        assert_eq!(others(&samples), expected, "{seconds}");
    }
}

/// The times of the samples of `starlink_info` of a terminal, if it has rows at these times, in milliseconds.
fn times(id: &str, rows: &[i64]) -> Vec<i64> {
    let mut world = World::new();
    world.now += 1_000_000_000;
    let mut times = Vec::new();
    for time in rows {
        let row = format!(r#"["u",{},"{id}",1,2,"v"]"#, (START + time) * 1_000_000);
        let samples = world.answer(15, &row);
        let infos = samples
            .keys()
            .filter(|(name, _)| name.starts_with("starlink_info{"));
        times.extend(infos.map(|(_, time)| time - START));
    }
    times
}

proptest! {
    #[test]
    fn each_row_has_info_within_the_half_minute_before_it(
        device in any::<u16>(),
        distances in prop::collection::vec(prop_oneof![1_i64..31_000, Just(15_000), Just(30_000), 30_000_i64..90_000], 1..40),
    ) {
        let rows: Vec<i64> = distances.iter().scan(0, |time, distance| {
            *time += distance;
            Some(*time)
        }).collect();
        let infos = times(&format!("ut{device}"), &rows);
        prop_assert_eq!(infos[0], rows[0]);
        for (before, row) in rows.iter().zip(&rows[1..]) {
            let last = infos.iter().rfind(|info| *info <= row);
            prop_assert!(last.is_some_and(|last| row - last < 30_000), "{} in {:?}", row, infos);
            prop_assert!(row - before < 30_000 || infos.contains(row), "{} in {:?}", row, infos);
        }
    }
}

#[test]
fn info_is_sent_at_least_once_a_minute() {
    let every = |distance: i64| (0..100).map(|row| row * distance).collect::<Vec<_>>();
    // Every fifth row is missing.
    let holes = (0..100).filter(|row| row % 5 != 0).map(|row| row * 15_000);
    for rows in [
        every(15_000),
        every(15_100),
        every(14_900),
        every(30_000),
        every(40_000),
        every(60_000),
        holes.collect(),
        vec![0, 15_000, 30_000, 44_900, 75_000],
    ] {
        for device in 0..50 {
            let infos = times(&format!("ut{device}"), &rows);
            let is_often = infos.windows(2).all(|pair| pair[1] - pair[0] <= 60_000);
            assert!(is_often, "{infos:?} of {rows:?}");
            let is_last = rows
                .last()
                .is_some_and(|last| last - infos[infos.len() - 1] < 30_000);
            assert!(is_last, "{infos:?} of {rows:?}");
        }
    }
}

#[test]
fn the_samples_of_info_are_spread_over_the_records() {
    let mut world = World::new();
    for record in 0..10 {
        let rows = (0..1000).map(|id| format!(r#"["u",{},"ut{id}",1,2,"v"]"#, at(15 * record)));
        let batch = world.batch(&rows.collect::<Vec<_>>().join(","));
        let slice = world.slice(15_000, Content::Answer(&batch));
        let infos: usize = slice.rows().iter().map(|row| slice.infos(row).len()).sum();
        // The first row of a device always has one.
        let expected = if record == 0 { 1000..=1000 } else { 450..=550 };
        assert!(expected.contains(&infos), "{infos} in record {record}");
    }
}

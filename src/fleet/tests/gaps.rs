//! Tests of gaps between reports.

use super::*;
use crate::fleet::gaps::Gaps;

const SECOND: i64 = 1_000_000_000;

/// A row of a terminal, dated in seconds.
fn row(id: u64, seconds: i64) -> String {
    format!(r#"["u",{},"ut{id:02}",1]"#, seconds * SECOND)
}

/// A fleet after ten minutes in which 20 terminals report every 15 s. `takes` returns whether this consumer gets the answer with a number.
fn ten_minutes(takes: impl Fn(i64) -> bool) -> World {
    let mut world = World::new();
    for number in 0..=40 {
        world.now = 15_000 * u64::try_from(number).unwrap();
        if takes(number) {
            let rows: Vec<_> = (0..20).map(|id| row(id, 15 * number)).collect();
            world.rows(&rows.join(","));
        }
    }
    world
}

fn skipped(world: &mut World) -> Option<f64> {
    let account = world.fleet.account(&"default".into()).unwrap();
    let now = Moment::from_millis(world.now);
    world.fleet.reports_skipped(account, now)
}

#[test]
fn a_consumer_that_shares_its_rows_sees_skipped_reports() {
    assert_eq!(skipped(&mut ten_minutes(|_| true)), Some(0.0));
    assert_eq!(
        skipped(&mut ten_minutes(|number| number % 2 == 0)),
        Some(1.0)
    );
    // Two of three answers, in turn: every second gap is long.
    let share = skipped(&mut ten_minutes(|number| number % 3 != 0)).unwrap();
    assert!((0.45..0.55).contains(&share), "{share}");
    // Both halves of a stream that is shared at random, each with its own share of the rows.
    let is_first = |number: i64| (0x1A7_4D2C_96E5_i64 >> number) & 1 == 1;
    for share in [
        skipped(&mut ten_minutes(is_first)).unwrap(),
        skipped(&mut ten_minutes(|number| !is_first(number))).unwrap(),
    ] {
        assert!((0.25..0.75).contains(&share), "{share}");
    }
}

#[test]
fn the_share_is_absent_once_all_gaps_are_old() {
    let mut world = ten_minutes(|_| true);
    assert_eq!(skipped(&mut world), Some(0.0));
    assert!(world.fleet.due() < Moment::NEVER);
    world.wait(630);
    assert_eq!(skipped(&mut world), None);
}

#[test]
fn the_share_is_computed_for_each_account() {
    let mut world = World::new();
    for (account, id, seconds) in [
        ("a", 1, 15),
        ("b", 2, 15),
        ("a", 1, 30),
        ("b", 2, 60),
        ("a", 1, 45),
        ("b", 2, 75),
    ] {
        world.answer_of(account, &body(&row(id, seconds), TERMINAL));
    }
    let now = Moment::from_millis(world.now);
    let share = |world: &mut World, name: &str| {
        let account = world.fleet.account(&name.into()).unwrap();
        world.fleet.reports_skipped(account, now)
    };
    assert_eq!(share(&mut world, "a"), Some(0.0));
    assert_eq!(share(&mut world, "b"), Some(0.5));
    assert_eq!(share(&mut world, "c"), None);
}

#[test]
fn each_of_several_rows_in_a_batch_counts_as_a_report() {
    let gaps = |all, long| Gaps { all, long };
    let mut world = World::new();
    assert_eq!(world.rows(&row(1, 15)).gaps, gaps(0, 0), "the first report");
    let newer_first = [row(1, 45), row(1, 30)].join(",");
    assert_eq!(world.rows(&newer_first).gaps, gaps(2, 0));
    assert_eq!(world.rows(&row(1, 45)).gaps, gaps(0, 0), "once more");
    let repeated = [row(1, 60), row(1, 60)].join(",");
    assert_eq!(world.rows(&repeated).gaps, gaps(1, 0));
    let with_an_old_one = [row(1, 90), row(1, 30)].join(",");
    assert_eq!(world.rows(&with_an_old_one).gaps, gaps(1, 1));
    assert_eq!(world.rows(&row(1, 80)).gaps, gaps(0, 0), "an older one");
}

#[test]
fn only_gaps_of_types_with_a_fixed_interval_are_counted() {
    let columns = r#""d":["DeviceType","UtcTimestampNs","DeviceId"],"r":["DeviceType","UtcTimestampNs","DeviceId"]"#;
    let mut world = World::with(|options| options.include_routers = true);
    for (seconds, all) in [(15, 0), (90, 1)] {
        let at = seconds * SECOND;
        let rows = format!(r#"["d",{at},"d1"],["r",{at},"r1"]"#);
        let gaps = world.answer(&body(&rows, columns)).gaps;
        assert_eq!(gaps, Gaps { all, long: all }, "{seconds}");
    }
}

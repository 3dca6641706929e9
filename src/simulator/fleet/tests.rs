//! Tests of generated rows: their form, and their changes over time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::body;
use super::*;

const ORIGIN_NS: u64 = 1_756_537_212_000_000_000;

fn fleet(terminals: usize) -> Fleet {
    Fleet {
        seed: 7,
        first: 0,
        terminals,
        routers: true,
        quirks: true,
        origin_ns: ORIGIN_NS,
        tick_ns: TICK_SECONDS * NANOS_PER_SECOND,
    }
}

fn tick(fleet: &Fleet, tick: u64) -> Vec<Vec<Value>> {
    (0..fleet.terminals)
        .flat_map(|position| fleet.rows(tick, position))
        .map(|row| serde_json::from_str(&row).expect("a row is a JSON list"))
        .collect()
}

fn of_type<'a>(rows: &'a [Vec<Value>], code: &'a str) -> impl Iterator<Item = &'a Vec<Value>> {
    rows.iter().filter(move |row| row[0] == code)
}

#[test]
fn rows_are_as_long_as_their_columns() {
    let rows = tick(&fleet(50), 3);
    for row in rows {
        let columns = match row[0].as_str() {
            Some("u") => body::TERMINAL_COLUMNS,
            Some("r") => body::ROUTER_COLUMNS,
            Some("i") => body::IP_COLUMNS,
            other => panic!("{other:?}"),
        };
        assert_eq!(row.len(), columns.len(), "{row:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_rows_and_another_seed_others() {
    assert_eq!(tick(&fleet(20), 9), tick(&fleet(20), 9));
    let other = Fleet {
        seed: 8,
        ..fleet(20)
    };
    assert_ne!(tick(&fleet(20), 9), tick(&other, 9));
}

#[test]
fn the_first_tick_has_a_row_of_every_device() {
    let rows = tick(&fleet(300), 0);
    for code in ["u", "r", "i"] {
        let ids: BTreeSet<_> = of_type(&rows, code).map(|row| row[2].as_str()).collect();
        assert_eq!(ids.len(), 300, "{code}");
    }
    let addresses = |row: &Vec<Value>| serde_json::to_string(&row[4..]).expect("JSON");
    assert!(of_type(&rows, "i").all(|row| addresses(row) != "[[],[],[]]"));
}

#[test]
fn a_tick_is_out_of_time_order_and_has_doubled_rows_newer_first() {
    let rows = tick(&fleet(300), 5);
    let times: Vec<_> = of_type(&rows, "u").map(|row| row[1].as_u64()).collect();
    assert!(!times.is_sorted());

    let mut by_id: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in of_type(&rows, "u") {
        by_id
            .entry(row[2].as_str())
            .or_default()
            .push(row[1].as_u64());
    }
    let doubled: Vec<_> = by_id.values().filter(|times| times.len() == 2).collect();
    assert!(!doubled.is_empty());
    assert!(doubled.iter().all(|times| times[0] > times[1]));
}

#[test]
fn values_stay_within_their_ranges() {
    // Column, lowest, highest.
    let ranges = [
        (3, 0.0, 250.0),
        (4, 0.0, 30.0),
        (5, 0.0, 1.0),
        (6, 15.0, 60.0),
        (7, 0.0, 1.0),
        (9, 0.0, 1.0),
    ];
    let fleet = fleet(60);
    for number in (0..2000).step_by(97) {
        let rows = tick(&fleet, number);
        for row in of_type(&rows, "u") {
            for (column, lowest, highest) in ranges {
                let value = row[column].as_f64().unwrap_or(lowest);
                assert!((lowest..=highest).contains(&value), "{column}: {row:?}");
            }
        }
    }
}

#[test]
fn cells_are_null_at_times_and_alerts_come_and_go() {
    let fleet = fleet(60);
    let mut nulls = 0;
    let mut codes = BTreeSet::new();
    for number in 0..200 {
        let rows = tick(&fleet, number);
        nulls += of_type(&rows, "u").filter(|row| row[10].is_null()).count();
        codes.extend(
            of_type(&rows, "u")
                .filter_map(|row| row[15].as_array())
                .flatten()
                .filter_map(Value::as_u64),
        );
    }
    assert!(nulls > 0);
    assert!(codes.len() > 5, "{codes:?}");
    let known: BTreeSet<_> = body::TERMINAL_ALERTS
        .iter()
        .map(|(code, _)| code.to_string())
        .collect();
    assert!(
        codes.iter().all(|code| known.contains(&code.to_string())),
        "{codes:?}"
    );
}

#[test]
fn one_or_two_terminals_are_silent_for_minutes() {
    let fleet = fleet(30);
    let silent: Vec<_> = (0..80)
        .map(|number| {
            (0..30)
                .filter(|&index| fleet.is_offline(number, index))
                .count()
        })
        .collect();
    assert_eq!(silent[0], 0);
    assert!(silent.iter().all(|&count| count <= 2));
    // At least two outages of three minutes, 12 ticks each, in 20 minutes.
    assert!(silent.iter().filter(|&&count| count > 0).count() >= 24);
}

#[test]
fn a_small_fleet_and_one_without_quirks_are_never_silent() {
    let plain = Fleet {
        quirks: false,
        ..fleet(30)
    };
    for number in 0..200 {
        assert_eq!(of_type(&tick(&fleet(1), number), "u").take(1).count(), 1);
        assert_eq!(of_type(&tick(&plain, number), "u").count(), 30);
    }
}

#[test]
fn allocations_are_repeated_change_and_lose_their_addresses() {
    let fleet = Fleet {
        routers: false,
        ..fleet(30)
    };
    let mut rows_by_id: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut tombstones = 0;
    for number in 0..3000 {
        let rows = tick(&fleet, number);
        for row in of_type(&rows, "i") {
            let addresses = serde_json::to_string(&row[4..]).expect("JSON");
            tombstones += usize::from(addresses == "[[],[],[]]");
            rows_by_id
                .entry(row[2].to_string())
                .or_default()
                .insert(addresses);
        }
    }
    assert!(rows_by_id.values().all(|addresses| addresses.len() > 1));
    assert!(tombstones > 0);
    assert!(rows_by_id.keys().all(|id| id.starts_with("\"ip-ut")));
}

#[test]
fn addresses_are_valid() {
    for row in of_type(&tick(&fleet(100), 0), "i") {
        for (column, is_prefix) in [(4, false), (5, true), (6, true)] {
            for address in row[column].as_array().into_iter().flatten() {
                let text = address.as_str().unwrap_or_default();
                let address = text.split('/').next().unwrap_or_default();
                assert!(address.parse::<std::net::IpAddr>().is_ok(), "{text}");
                assert_eq!(text.contains('/'), is_prefix, "{text}");
            }
        }
    }
}

#[test]
fn ids_look_like_starlinks() {
    assert_eq!(terminal_id(0), "ut01000000-00000000-00aa0001");
    assert_eq!(terminal_id(100_000), "ut01000000-00000000-00ab86a1");
    assert_eq!(router_id(0), "Router-010000000000000000AA0001");
}

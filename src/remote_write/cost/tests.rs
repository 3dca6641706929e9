//! Tests of the estimate. Its lists of families are compared with what rows give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::history::{Content, History, Input, NameFilter, Options};
use crate::remote_write::Tenant;
use crate::simulator::{AnswerBody, IP_COLUMNS, ROUTER_COLUMNS, TERMINAL_COLUMNS};
use crate::telemetry::fields::anchored;
use crate::telemetry::{Batch, SchemaCache, decode};

fn destination() -> Destination {
    Destination::new("a", "http://127.0.0.1:1/".parse().unwrap())
}

/// A fleet without routers, names and an inventory.
fn fleet(terminals: usize, accounts: usize) -> FleetSize {
    FleetSize {
        terminals,
        routers: 0,
        accounts,
        destinations: 1,
        has_inventory: false,
        has_names: false,
        fields: FieldFilter::EVERYTHING,
    }
}

fn fields(locations: bool, dropped: &str) -> FieldFilter {
    FieldFilter::new(locations, vec![anchored(dropped).unwrap()])
}

#[test]
fn the_cost_follows_the_selection_and_the_protocol() {
    let mut a = destination();
    let cost = a.cost(&fleet(1000, 2));
    assert!((cost.series - (19_000.0 + 60.0 + 2.0 * 165.0)).abs() < 1e-6);
    let expected = (17_000.0 + 60.0 + 2.0 * 165.0) / 15.0 + 1000.0 / 30.0 + 1000.0 / 60.0;
    assert!((cost.samples - expected).abs() < 1e-6, "{cost:?}");
    let twice = FleetSize {
        destinations: 2,
        ..fleet(1000, 2)
    };
    assert_eq!(a.cost(&twice).series, cost.series + 15.0 + 2.0 * 25.0);
    a.tenant = Tenant::Account;
    assert_eq!(a.cost(&twice).series, cost.series + 2.0 * 25.0 - 60.0);
    a.own_metrics = false;
    a.names = NameFilter::new(vec![anchored("starlink_Uptime").unwrap()], Vec::new());
    for (protocol, expected) in [
        (ProtocolChoice::V1, (Some(BYTES[0]), None)),
        (ProtocolChoice::V2, (None, Some(BYTES[1]))),
        (ProtocolChoice::Auto, (Some(BYTES[0]), Some(BYTES[1]))),
    ] {
        a.protocol = protocol;
        let cost = a.cost(&fleet(15, 1));
        assert_eq!((cost.samples, cost.series), (1.0, 15.0));
        assert_eq!((cost.bytes_v1, cost.bytes_v2), expected);
    }
}

#[test]
fn the_series_of_a_device_follow_the_settings() {
    let (all, of_one) = (FieldFilter::EVERYTHING, |terminals, routers| FleetSize {
        terminals,
        routers,
        ..fleet(0, 0)
    });
    for (is_listed, fields, of_terminal, of_router) in [
        (false, all.clone(), 19, 34),
        (true, all, 33, 35),
        // Without the cell, latitude and longitude.
        (false, fields(false, "-"), 16, 34),
        (false, fields(true, "H3CellId"), 16, 34),
        (
            false,
            fields(true, "Uptime|Ipv4|WanRxBytes|.*Version"),
            17,
            32,
        ),
        // Without all texts, and the terminal of the router.
        (
            false,
            fields(true, ".*Version|.*Code|.*Number|DishId"),
            18,
            31,
        ),
        (true, fields(true, ".*"), 17, 5),
    ] {
        let series = |fleet: FleetSize| {
            let fleet = FleetSize {
                has_inventory: is_listed,
                has_names: is_listed,
                fields: fields.clone(),
                ..fleet
            };
            destination().cost(&fleet).series - OF_PROCESS - OF_SENDERS
        };
        let found = (series(of_one(1, 0)), series(of_one(0, 1)));
        let expected = (f64::from(of_terminal), f64::from(of_router));
        assert_eq!(found, expected, "{is_listed} {fields:?}");
    }
}

#[test]
fn the_rate_should_be_that_of_the_fleet() {
    let fleet = fleet(1000, 2);
    let needed = destination().cost(&fleet).samples;
    for (rate, expected) in [(0.0, false), (needed - 1.0, true), (needed + 1.0, false)] {
        let mut a = destination();
        a.max_samples_per_second = rate as u64;
        let text = a.too_slow(&fleet);
        assert_eq!(text.is_some(), expected, "{rate}: {text:?}");
        let about = format!("about {needed:.0} samples/s");
        assert!(text.is_none_or(|text| text.contains(&about)));
    }
}

#[test]
fn the_window_should_cover_what_can_wait() {
    let day = Duration::from_secs(86_400);
    for (window, expected) in [
        (Window::Limited(Duration::ZERO), Some("is 0")),
        (Window::Limited(day), Some("33.0 h old")),
        (Window::Limited(Duration::from_secs(33 * 3600)), None),
        (Window::Unlimited, None),
    ] {
        let mut a = destination();
        a.out_of_order_window = window;
        let text = a.left_out(day);
        match expected {
            Some(part) => assert!(text.unwrap().contains(part)),
            None => assert_eq!(text, None),
        }
    }
}

/// A row with a value in each column.
fn row(code: &str, id: &str, columns: &[&str]) -> String {
    let texts = [OF_TERMINAL.texts, OF_ROUTER.texts].concat();
    let cells = columns.iter().map(|column| match *column {
        "DeviceType" => format!("\"{code}\""),
        "UtcTimestampNs" => "1700000000000000000".to_owned(),
        "DeviceId" => format!("\"{id}\""),
        LOCATION_FIELD => "599686042433355775".to_owned(),
        "ActiveAlerts" => "[]".to_owned(),
        "Ipv4" => r#"["192.0.2.1"]"#.to_owned(),
        "Ipv6Ue" | "Ipv6Cpe" => r#"["2001:db8::/56"]"#.to_owned(),
        text if texts.contains(&text) => "\"text\"".to_owned(),
        _ => "1".to_owned(),
    });
    format!("[{}]", cells.collect::<Vec<_>>().join(","))
}

/// The families that a history sends of a terminal and of a router, by their IDs.
fn families_of_rows(fields: &FieldFilter) -> BTreeMap<String, BTreeSet<String>> {
    let rows = [
        row("i", "ip-ut-1", IP_COLUMNS),
        row("u", "ut-1", TERMINAL_COLUMNS),
        row("r", "Router-1", ROUTER_COLUMNS),
    ];
    let answer = AnswerBody::new().rows(rows).to_json();
    let (rows, metadata) = decode(answer.into()).unwrap();
    let schema = SchemaCache::new(fields.clone()).resolve(&metadata).schema;
    let mut history = History::new(Arc::new(Options::standard(true)));
    let slice = history.read(&Input {
        received: 1_700_000_000_000_000_000,
        covers: 15_000,
        content: Content::Answer(&Batch { rows, schema }),
    });
    let families = slice.rows().iter().map(|row| {
        let info = TelemetryFamily::Info.name().into_owned();
        let info = slice.infos(row).iter().map(|_| info.clone());
        let named = slice.families_of(row).iter();
        let named = named.map(|id| slice.family(*id).unwrap().name.to_string());
        (slice.device(row).0.to_owned(), named.chain(info).collect())
    });
    families.collect()
}

#[test]
fn the_families_are_those_that_rows_give() {
    for filter in [
        FieldFilter::EVERYTHING,
        fields(false, "-"),
        fields(true, LOCATION_FIELD),
        fields(true, "Uptime|Ipv.*|.*Bytes|.*Version|CountryCode"),
        fields(true, ".*Version|.*Code|.*Number|DishId"),
        fields(true, ".*"),
    ] {
        let given = families_of_rows(&filter);
        assert_eq!(given.len(), 2);
        for (id, rows) in [("ut-1", &OF_TERMINAL), ("Router-1", &OF_ROUTER)] {
            let info = rows.has_info(&filter).then(|| TelemetryFamily::Info.name());
            let info = info.map(|name| name.into_owned());
            let expected: Vec<_> = rows.families(&filter).chain(info).collect();
            let unique: BTreeSet<_> = expected.iter().cloned().collect();
            assert_eq!(unique.len(), expected.len(), "{id}");
            assert_eq!(unique, given[id], "{id} {filter:?}");
        }
    }
}

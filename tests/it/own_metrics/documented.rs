//! The tables of README.md name just the metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use starlink_telemetry::simulator::{ROUTER_COLUMNS, TERMINAL_COLUMNS};

use crate::harness::{Service, eventually, scripted_simulator, throughput};

/// The metrics that the tables of README.md name, each with its type where the table has one.
fn documented() -> BTreeMap<String, Option<String>> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, metrics) = readme.split_once("\n## Metrics\n").unwrap();
    let (metrics, _) = metrics.split_once("\n## ").unwrap();
    let mut found = BTreeMap::new();
    for line in metrics.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let kind = (cells.len() == 3).then(|| cells[1].to_owned());
        for name in cells[0].split(", ") {
            let Some(name) = name
                .strip_prefix('`')
                .and_then(|name| name.strip_suffix('`'))
            else {
                continue;
            };
            if line.starts_with('|') {
                assert!(
                    found.insert(name.to_owned(), kind.clone()).is_none(),
                    "{name} twice"
                );
            }
        }
    }
    found
}

/// A row that fills all columns of its type.
fn full_row(code: &str, id: &str, columns: &[&str]) -> String {
    let texts = [
        "RunningSoftwareVersion",
        "CountryCode",
        "WifiSoftwareVersion",
        "WifiHardwareVersion",
        "DishId",
    ];
    let cells = columns.iter().map(|column| match *column {
        "DeviceType" => format!("\"{code}\""),
        "UtcTimestampNs" => "1767225645000000000".to_owned(),
        "DeviceId" => format!("\"{id}\""),
        "H3CellId" => "599686042433355775".to_owned(),
        "ActiveAlerts" => "[55]".to_owned(),
        // Its type is not documented.
        "ApiVersion" => "null".to_owned(),
        text if texts.contains(&text) => "\"text\"".to_owned(),
        _ => "1".to_owned(),
    });
    format!("[{}]", cells.collect::<Vec<_>>().join(","))
}

#[actix_rt::test]
async fn the_documented_metrics_are_those_that_there_are() {
    let simulator = scripted_simulator();
    simulator.push_rows([
        full_row("u", "ut-1", TERMINAL_COLUMNS),
        full_row("r", "Router-1", ROUTER_COLUMNS),
        r#"["i",1767225645000000000,"ip-ut-1","ACC-1",["192.0.2.1"],["2001:db8::/64"],["2001:db8::/56"]]"#.to_owned(),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let changes = [
        ("INCLUDE_ROUTERS", "true"),
        ("STATE_FILE", state.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
    ];
    let service = Service::start(&simulator, &changes).await;
    service.shows(&throughput("ut-1"), 1.0).await;
    service.shows("starlink_up", 1.0).await;
    eventually("the state is written", || async { state.exists() }).await;
    let mut body = service.scrape().await;
    while !body.has("starlink_exporter_state_last_write_timestamp_seconds") {
        body = service.scrape().await;
    }
    let exposed: BTreeMap<_, _> = body
        .families
        .iter()
        .map(|family| {
            let is_alert = family.name.starts_with("starlink_alert_active_");
            let name = if is_alert {
                "starlink_alert_active_<name>"
            } else {
                &family.name
            };
            (name.to_owned(), family.kind.clone())
        })
        .collect();
    let documented = documented();
    let names = |of: Vec<&String>| of.into_iter().cloned().collect::<BTreeSet<_>>();
    let (in_readme, in_body) = (
        names(documented.keys().collect()),
        names(exposed.keys().collect()),
    );
    let optional = BTreeSet::from(["process_max_fds".to_owned()]);
    let missing: Vec<_> = in_readme
        .difference(&in_body)
        .filter(|name| !optional.contains(*name))
        .collect();
    let unknown: Vec<_> = in_body.difference(&in_readme).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "only in README.md: {missing:?}; only exposed: {unknown:?}"
    );
    for (name, kind) in &documented {
        if let (Some(kind), Some(exposed)) = (kind, exposed.get(name)) {
            assert_eq!(kind, exposed, "{name}");
        }
    }
}

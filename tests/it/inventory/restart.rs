//! Tests of the inventory in the state file: what a process shows that cannot reach Starlink.

use std::collections::BTreeMap;
use std::time::SystemTime;

use starlink_telemetry::app::{Ending, Tuning};
use starlink_telemetry::simulator::Answer;
use starlink_telemetry::time::Clock;

use super::*;
use crate::harness::{UP, eventually, terminal_row};

/// How long the service is down.
const DOWNTIME: Duration = Duration::from_secs(3600);

/// A terminal that has reported, one that was never heard, one whose line is not active, and one without a line.
fn simulator_of_four() -> Simulator {
    let simulator = Simulator::start(Options {
        inventory: Some(InventoryOptions {
            suspensions: vec!["PastDueBalance".to_owned()],
            ..InventoryOptions::default()
        }),
        ..Options::default()
    })
    .unwrap();
    let terminals = [
        ("a", "MV Aurora", Some("AST-1")),
        ("b", "", Some("AST-2")),
        ("c", "Former", Some("AST-3")),
        ("d", "Spare", None),
    ];
    let terminals = terminals.map(|(id, nickname, line)| {
        json!({
            "userTerminalId": id, "nickname": nickname, "serviceLineNumber": line,
            "kitSerialNumber": format!("KIT-{id}"), "dishSerialNumber": format!("DISH-{id}"),
        })
    });
    let lines = [("AST-1", true), ("AST-2", true), ("AST-3", false)];
    let lines = lines.map(|(number, active)| {
        json!({
            "serviceLineNumber": number, "nickname": format!("line {number}"), "active": active,
            "productReferenceId": "maritime-1tb-usd", "publicIp": false,
        })
    });
    let uses = [json!({
        "serviceLineNumber": "AST-1",
        "billingCycles": [{
            "startDate": "2026-11-10T00:00:00+00:00", "endDate": "2026-12-10T00:00:00+00:00",
            "totalPriorityGB": 850, "totalStandardGB": 12.25, "overageLines": [], "dataPoolUsage": [],
        }],
        "servicePlan": {"usageLimitGB": 1000, "isOptedIntoOverage": false},
    })];
    let texts = |values: &[serde_json::Value]| {
        let texts = values.iter().map(ToString::to_string);
        Some(texts.collect::<Vec<_>>())
    };
    simulator.set_inventory_entries(Part::Terminals, texts(&terminals));
    simulator.set_inventory_entries(Part::ServiceLines, texts(&lines));
    simulator.set_inventory_entries(Part::DataUsage, texts(&uses));
    simulator.push_rows([terminal_row("uta", 1_000_000_000, 75.0)]);
    simulator
}

/// What the first process shows at last, among others.
fn expected() -> Vec<(String, f64)> {
    let of = |family: &str, id: &str, labels: &str| {
        format!(r#"starlink_{family}{{device_type="UserTerminal",deviceID="ut{id}"{labels}}}"#)
    };
    let mut expected = vec![
        (
            of("last_report_timestamp_seconds", "a", ""),
            1_700_000_001.0,
        ),
        (of("online", "a", ""), 0.0),
        (of("online", "b", ""), 0.0),
    ];
    for (id, name, line) in [
        ("a", "MV Aurora", "AST-1"),
        ("b", "line AST-2", "AST-2"),
        ("c", "Former", "AST-3"),
        ("d", "Spare", ""),
    ] {
        let named = format!(r#",name="{name}",group="""#);
        expected.push((of("device_name", id, &named), 1.0));
        expected.push((of("device_account", id, r#",account="default""#), 1.0));
        let info = format!(
            r#",account="default",kit_serial="KIT-{id}",dish_serial="DISH-{id}",service_line="{line}""#
        );
        expected.push((of("terminal_info", id, &info), 1.0));
    }
    let of_line = |family: &str, number: &str| {
        format!(r#"starlink_service_line_{family}{{account="default",service_line="{number}"}}"#)
    };
    expected.extend([
        (of_line("active", "AST-1"), 1.0),
        (of_line("active", "AST-2"), 1.0),
        (of_line("active", "AST-3"), 0.0),
        (of_line("data_limit_bytes", "AST-1"), 1e12),
        (
            r#"starlink_account_suspension{account="default",reason="PastDueBalance"}"#.to_owned(),
            1.0,
        ),
    ]);
    expected
}

/// All samples but those of the exporter itself.
fn shown(body: &Body) -> BTreeMap<&str, f64> {
    let mut samples = body.beginning("starlink_");
    samples.retain(|series, _| !series.starts_with("starlink_exporter_") && *series != UP);
    samples
}

fn times(body: &Body) -> [f64; PARTS.len()] {
    PARTS.map(|(part, _)| body.value(&last_success(part)).unwrap())
}

/// Starts a service, and stops it when it has read the inventory and its terminals are offline. Returns its last scrape.
async fn run_first(simulator: &Simulator, file: &str) -> Body {
    let settings = [ON, ("STATE_FILE", file), ("STALE_AFTER", "1")];
    let mut first = Service::start(simulator, &settings).await;
    eventually(
        "all parts are read, and two terminals are offline",
        || async {
            let scrape = first.scrape().await;
            PARTS
                .iter()
                .all(|(part, _)| scrape.value(&up(part)) == Some(1.0))
                && expected()
                    .iter()
                    .all(|(series, value)| scrape.value(series) == Some(*value))
        },
    )
    .await;
    let scrape = first.scrape().await;
    assert_eq!(scrape.beginning("starlink_online{").len(), 2);
    first.ask_to_stop();
    assert_eq!(first.ended().await, Ending::Asked);
    scrape
}

/// A service with the state file, after [`DOWNTIME`].
async fn start_again(simulator: Simulator, file: &str) -> World {
    let start = SystemTime::now() + DOWNTIME;
    let (clock, time) = Clock::manual(start);
    let elapsed = clock.clone();
    simulator.set_date(move || start + elapsed.elapsed());
    let settings = [ON, ("STATE_FILE", file), ("STALE_AFTER", "1")];
    let service = Service::timed(&simulator, &settings, Tuning::default(), clock).await;
    World::new(simulator, service, time)
}

#[actix_rt::test]
async fn a_restart_without_starlink_shows_the_inventory_with_its_time() {
    type Breaks = fn(&Simulator);
    let ways: [(&str, Breaks); 3] = [
        ("Starlink is unreachable", Simulator::unplug),
        ("no token is issued", |simulator| {
            simulator.set_default_token_answer(Some(Answer::token_error("invalid_client")));
        }),
        ("each request fails", |simulator| {
            let failure = || Some(Answer::error(500, "broken"));
            simulator.set_default_answer(failure());
            for (_, part) in PARTS {
                simulator.set_inventory_answer(part, failure());
            }
        }),
    ];
    for (way, break_it) in ways {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state");
        let file = file.to_str().unwrap();
        let simulator = simulator_of_four();
        let first = run_first(&simulator, file).await;
        break_it(&simulator);
        let world = start_again(simulator, file).await;

        let at_once = world.scrape().await;
        assert_eq!(shown(&at_once), shown(&first), "{way}");
        for (series, value) in expected() {
            assert_eq!(at_once.value(&series), Some(value), "{way}: {series}");
        }
        // The time of the reading, not of the start an hour later.
        assert_eq!(times(&at_once), times(&first), "{way}");
        let never_heard = "/api/v1/devices?state=never_heard";
        let listed = world.service.get(never_heard).await.body;
        assert!(listed.contains(r#""id":"utb""#), "{way}: {listed}");

        for (part, _) in PARTS {
            world.shows(&up(part), Some(0.0)).await;
        }
        let later = world.scrape().await;
        assert_eq!(later.value(UP), Some(0.0), "{way}");
        assert_eq!(shown(&later), shown(&first), "{way}");
        assert_eq!(times(&later), times(&at_once), "{way}");
    }
}

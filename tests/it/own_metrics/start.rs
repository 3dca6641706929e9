//! Tests of the metrics of the first scrape, and of those that do not depend on polls.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use starlink_telemetry::simulator::Answer;

use super::observed;
use crate::form::{Body, FORMATS, scrape};
use crate::harness::{Service, scripted_simulator};

/// The exporter's own families that have samples before the first poll: names, types and label sets.
const FROM_THE_START: [(&str, &str, &[&str]); 18] = [
    ("starlink_up", "gauge", &[r#"account="default""#]),
    (
        "starlink_exporter_polls_total",
        "counter",
        &[r#"account="default""#],
    ),
    (
        "starlink_exporter_poll_failures_total",
        "counter",
        &[
            r#"account="default",reason="token""#,
            r#"account="default",reason="unauthorized""#,
            r#"account="default",reason="forbidden""#,
            r#"account="default",reason="not_found""#,
            r#"account="default",reason="unprocessable""#,
            r#"account="default",reason="rate_limited""#,
            r#"account="default",reason="client_error""#,
            r#"account="default",reason="redirect""#,
            r#"account="default",reason="server_error""#,
            r#"account="default",reason="connect""#,
            r#"account="default",reason="disconnected""#,
            r#"account="default",reason="timeout""#,
            r#"account="default",reason="decode""#,
            r#"account="default",reason="store_failed""#,
        ],
    ),
    (
        "starlink_exporter_rows_total",
        "counter",
        &[
            r#"account="default",code="u""#,
            r#"account="default",code="r""#,
            r#"account="default",code="i""#,
            r#"account="default",code="d""#,
            r#"account="default",code="other""#,
        ],
    ),
    (
        "starlink_exporter_rows_ignored_total",
        "counter",
        &[
            r#"account="default",reason="older""#,
            r#"account="default",reason="future""#,
            r#"account="default",reason="router""#,
            r#"account="default",reason="device_limit""#,
        ],
    ),
    (
        "starlink_exporter_rows_rejected_total",
        "counter",
        &[
            r#"account="default",reason="shape""#,
            r#"account="default",reason="device_type""#,
            r#"account="default",reason="no_columns""#,
            r#"account="default",reason="device_id""#,
            r#"account="default",reason="timestamp""#,
            r#"account="default",reason="limit""#,
            r#"account="default",reason="store_failed""#,
        ],
    ),
    (
        "starlink_exporter_cells_rejected_total",
        "counter",
        &[
            r#"account="default",reason="shape""#,
            r#"account="default",reason="number""#,
            r#"account="default",reason="text""#,
            r#"account="default",reason="address""#,
            r#"account="default",reason="alert""#,
            r#"account="default",reason="location""#,
            r#"account="default",reason="limit""#,
        ],
    ),
    (
        "starlink_exporter_catching_up",
        "gauge",
        &[r#"account="default""#],
    ),
    (
        "starlink_exporter_stream_silent",
        "gauge",
        &[r#"account="default""#],
    ),
    (
        "starlink_exporter_schema_changes_total",
        "counter",
        &[r#"account="default""#],
    ),
    (
        "starlink_exporter_token_requests_total",
        "counter",
        &[r#"account="default""#],
    ),
    (
        "starlink_exporter_token_request_failures_total",
        "counter",
        &[
            r#"account="default",reason="refused""#,
            r#"account="default",reason="not_found""#,
            r#"account="default",reason="status""#,
            r#"account="default",reason="connect""#,
            r#"account="default",reason="disconnected""#,
            r#"account="default",reason="timeout""#,
            r#"account="default",reason="malformed""#,
        ],
    ),
    (
        "starlink_exporter_actor_restarts_total",
        "counter",
        &[
            r#"account="default",actor="token",cause="panic""#,
            r#"account="default",actor="token",cause="stop""#,
            r#"account="default",actor="stream",cause="panic""#,
            r#"account="default",actor="stream",cause="stop""#,
            r#"account="default",actor="metadata",cause="panic""#,
            r#"account="default",actor="metadata",cause="stop""#,
            r#"actor="metrics_store",cause="panic""#,
            r#"actor="metrics_store",cause="stop""#,
        ],
    ),
    (
        "starlink_exporter_scrapes_total",
        "counter",
        &[
            r#"format="openmetrics""#,
            r#"format="prometheus""#,
            r#"format="mixed""#,
        ],
    ),
    (
        "starlink_exporter_state_write_failures_total",
        "counter",
        &[""],
    ),
    (
        "starlink_exporter_log_lines_dropped_total",
        "counter",
        &[""],
    ),
    (
        "starlink_exporter_task_restarts_total",
        "counter",
        &[
            r#"task="state_file""#,
            r#"task="names""#,
            r#"task="web_config""#,
            r#"task="credentials""#,
            r#"task="accounts""#,
            r#"task="authorities""#,
            r#"task="remote_write""#,
            r#"task="own_metrics""#,
        ],
    ),
    (
        "starlink_exporter_scrapes_refused_total",
        "counter",
        &[
            r#"reason="busy""#,
            r#"reason="client""#,
            r#"reason="store""#,
        ],
    ),
];

const HISTOGRAMS: [&str; 2] = [
    "starlink_exporter_poll_duration_seconds",
    "starlink_exporter_scrape_duration_seconds",
];
const ACTORS: [&str; 4] = [
    r#"account="default",actor="token""#,
    r#"account="default",actor="stream""#,
    r#"account="default",actor="metadata""#,
    r#"actor="metrics_store""#,
];

fn series(name: &str, labels: &str) -> String {
    match labels {
        "" => name.to_owned(),
        labels => format!("{name}{{{labels}}}"),
    }
}

/// The name and the type of a family in the TYPE line of a format.
fn family_name(name: &str, kind: &str, format: &str) -> (String, String) {
    match (format, kind) {
        ("openmetrics", "counter") => (name.trim_end_matches("_total").to_owned(), kind.to_owned()),
        ("openmetrics", "info") => (name.trim_end_matches("_info").to_owned(), kind.to_owned()),
        (_, "info") => (name.to_owned(), "gauge".to_owned()),
        _ => (name.to_owned(), kind.to_owned()),
    }
}

#[actix_rt::test]
async fn all_metrics_exist_from_the_start_with_the_value_0() {
    // The first token request is not answered during the test, so no poll starts.
    let simulator = scripted_simulator();
    simulator.set_default_token_answer(Some(Answer::ordinary().delay(Duration::from_secs(600))));
    let service = Service::start(&simulator, &[]).await;
    let mut scrapes = 0.0;
    for format in FORMATS {
        let body = scrape(service.address, format).await;
        let mut expected = BTreeMap::new();
        for (name, kind, label_sets) in FROM_THE_START {
            let (family, kind) = family_name(name, kind, format);
            let found = body
                .family(&family)
                .unwrap_or_else(|| panic!("{family} in {format}"));
            assert_eq!(found.kind, kind, "{family} in {format}");
            expected.extend(label_sets.iter().map(|labels| (series(name, labels), 0.0)));
        }
        let account = r#"starlink_exporter_account_up{account="default"}"#;
        expected.insert(account.to_owned(), 1.0);
        for actor in ACTORS {
            expected.insert(format!("starlink_exporter_actor_up{{{actor}}}"), 1.0);
        }
        // Each scrape counts the scrapes before it.
        for earlier in FORMATS.iter().take_while(|earlier| **earlier != format) {
            expected.insert(
                format!("starlink_exporter_scrapes_total{{format=\"{earlier}\"}}"),
                1.0,
            );
        }
        let requests = r#"starlink_exporter_token_requests_total{account="default"}"#;
        let mut found = body.beginning("starlink_");
        assert!(found.remove(requests) <= Some(1.0));
        expected.remove(requests);
        // Its sample appears with the first response of Starlink, to any request.
        found.remove("starlink_exporter_clock_offset_seconds");
        for histogram in HISTOGRAMS {
            assert_eq!(body.family(histogram).unwrap().kind, "histogram");
            let count = if histogram.contains("scrape") {
                scrapes
            } else {
                0.0
            };
            assert_eq!(observed(&body, histogram), count, "{histogram}");
        }
        let is_sample = |series: &&str| !HISTOGRAMS.iter().any(|name| series.starts_with(name));
        let build = |series: &&str| series.starts_with("starlink_exporter_build_info{");
        assert_eq!(found.keys().filter(|series| build(series)).count(), 1);
        let found: BTreeMap<_, _> = found
            .into_iter()
            .filter(|(series, _)| is_sample(series) && !build(series))
            .map(|(series, value)| (series.to_owned(), value))
            .collect();
        assert_eq!(found, expected, "{format}");
        scrapes += 1.0;
    }
}

#[actix_rt::test]
async fn build_and_process_metrics_have_plausible_values() {
    let before = UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    for format in FORMATS {
        let body = scrape(service.address, format).await;
        let (name, kind) = family_name("starlink_exporter_build_info", "info", format);
        let build = body.family(&name).unwrap();
        assert_eq!(build.kind, kind);
        let [(labels, 1.0)] = build.samples.as_slice() else {
            panic!("{build:?}");
        };
        let start = format!(
            "starlink_exporter_build_info{{version=\"{}\",revision=\"",
            env!("CARGO_PKG_VERSION")
        );
        let (revision, rust) = labels
            .strip_prefix(&start)
            .and_then(|rest| rest.strip_suffix("\"}")?.split_once("\",rustversion=\""))
            .unwrap_or_else(|| panic!("{labels}"));
        assert!(!revision.is_empty(), "{labels}");
        assert!(rust.starts_with("1."), "{labels}");
        if cfg!(target_os = "linux") {
            process(&body, format, before);
        }
    }
}

/// Checks the `process_*` families: names and types of the Prometheus client libraries, and plausible values.
fn process(body: &Body, format: &str, before: f64) {
    let value = |name: &str, kind: &str| {
        let (family, kind) = family_name(name, kind, format);
        assert_eq!(body.family(&family).unwrap().kind, kind, "{family}");
        body.value(name).unwrap()
    };
    assert!(value("process_cpu_seconds_total", "counter") >= 0.0);
    let resident = value("process_resident_memory_bytes", "gauge");
    assert!((1e6..1e10).contains(&resident), "{resident}");
    assert!(value("process_virtual_memory_bytes", "gauge") >= resident);
    assert!(value("process_threads", "gauge") >= 3.0);
    assert!(value("process_open_fds", "gauge") >= 3.0);
    let start = value("process_start_time_seconds", "gauge");
    // The process started before the test, and less than a day ago; the boot time has a resolution of a second.
    assert!(
        start < before + 2.0 && start > before - 86_400.0,
        "{start} {before}"
    );
}

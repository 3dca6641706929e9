//! The exporter's own metrics: all there from the start, each moved by its thing and by nothing else, and all documented.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{
    Answer, AnswerBody, ROUTER_COLUMNS, Simulator, TERMINAL_COLUMNS,
};
use starlink_telemetry::starlink::Timeouts;

use crate::form::{self, Body, FORMATS};
use crate::harness::{Service, eventually, scripted_simulator, terminal_row, throughput};
use crate::wire::get;

/// Names, types and label sets: all of the exporter's own samples that do not depend on what was polled.
const FROM_THE_START: [(&str, &str, &[&str]); 13] = [
    ("starlink_up", "gauge", &[""]),
    ("starlink_exporter_polls_total", "counter", &[""]),
    (
        "starlink_exporter_poll_failures_total",
        "counter",
        &[
            r#"reason="token""#,
            r#"reason="unauthorized""#,
            r#"reason="forbidden""#,
            r#"reason="not_found""#,
            r#"reason="unprocessable""#,
            r#"reason="rate_limited""#,
            r#"reason="client_error""#,
            r#"reason="redirect""#,
            r#"reason="server_error""#,
            r#"reason="connect""#,
            r#"reason="disconnected""#,
            r#"reason="timeout""#,
            r#"reason="decode""#,
            r#"reason="store_failed""#,
        ],
    ),
    (
        "starlink_exporter_rows_total",
        "counter",
        &[
            r#"code="u""#,
            r#"code="r""#,
            r#"code="i""#,
            r#"code="d""#,
            r#"code="other""#,
        ],
    ),
    (
        "starlink_exporter_rows_ignored_total",
        "counter",
        &[r#"reason="older""#, r#"reason="router""#],
    ),
    (
        "starlink_exporter_rows_rejected_total",
        "counter",
        &[
            r#"reason="shape""#,
            r#"reason="device_type""#,
            r#"reason="no_columns""#,
            r#"reason="device_id""#,
            r#"reason="timestamp""#,
            r#"reason="store_failed""#,
        ],
    ),
    (
        "starlink_exporter_cells_rejected_total",
        "counter",
        &[
            r#"reason="shape""#,
            r#"reason="number""#,
            r#"reason="text""#,
            r#"reason="address""#,
            r#"reason="alert""#,
        ],
    ),
    ("starlink_exporter_catching_up", "gauge", &[""]),
    ("starlink_exporter_schema_changes_total", "counter", &[""]),
    ("starlink_exporter_token_requests_total", "counter", &[""]),
    (
        "starlink_exporter_token_request_failures_total",
        "counter",
        &[
            r#"reason="refused""#,
            r#"reason="not_found""#,
            r#"reason="status""#,
            r#"reason="connect""#,
            r#"reason="disconnected""#,
            r#"reason="timeout""#,
            r#"reason="malformed""#,
        ],
    ),
    (
        "starlink_exporter_actor_restarts_total",
        "counter",
        &[
            r#"actor="token",cause="panic""#,
            r#"actor="token",cause="stop""#,
            r#"actor="stream",cause="panic""#,
            r#"actor="stream",cause="stop""#,
            r#"actor="metadata",cause="panic""#,
            r#"actor="metadata",cause="stop""#,
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
];

/// Those that have no value before something was polled, and the buckets of the others.
const HISTOGRAMS: [&str; 2] = [
    "starlink_exporter_poll_duration_seconds",
    "starlink_exporter_scrape_duration_seconds",
];
const ACTORS: [&str; 4] = ["token", "stream", "metadata", "metrics_store"];
const AFTER_A_POLL: [&str; 4] = [
    "starlink_exporter_last_poll_success_timestamp_seconds",
    "starlink_exporter_telemetry_lag_seconds",
    "starlink_exporter_token_expiry_timestamp_seconds",
    "starlink_exporter_devices",
];

/// After the last scripted answer nothing comes: the next poll lingers for longer than any test.
const QUIET: (&str, &str) = ("MAX_LINGER", "65000");

fn series(name: &str, labels: &str) -> String {
    match labels {
        "" => name.to_owned(),
        labels => format!("{name}{{{labels}}}"),
    }
}

fn scrape(service: &Service, format: &str) -> Body {
    let answer = get(service.address, &format!("/metrics?format={format}"), &[]);
    assert_eq!(answer.status, 200);
    form::read(answer.text(), format)
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// What TYPE calls a family in this format.
fn family_name(name: &str, kind: &str, format: &str) -> (String, String) {
    match (format, kind) {
        ("openmetrics", "counter") => (name.trim_end_matches("_total").to_owned(), kind.to_owned()),
        ("openmetrics", "info") => (name.trim_end_matches("_info").to_owned(), kind.to_owned()),
        (_, "info") => (name.to_owned(), "gauge".to_owned()),
        _ => (name.to_owned(), kind.to_owned()),
    }
}

#[actix_rt::test]
async fn all_are_there_from_the_start_at_0() {
    // The first request for a token never ends: nothing has happened yet.
    let simulator = scripted_simulator();
    simulator.set_default_token_answer(Some(Answer::ordinary().delay(Duration::from_secs(600))));
    let service = Service::start(&simulator, &[]).await;
    let mut scrapes = 0.0;
    for format in FORMATS {
        let body = scrape(&service, format);
        let mut expected = BTreeMap::new();
        for (name, kind, label_sets) in FROM_THE_START {
            let (family, kind) = family_name(name, kind, format);
            let found = body
                .family(&family)
                .unwrap_or_else(|| panic!("{family} in {format}"));
            assert_eq!(found.kind, kind, "{family} in {format}");
            expected.extend(label_sets.iter().map(|labels| (series(name, labels), 0.0)));
        }
        for actor in ACTORS {
            expected.insert(
                format!("starlink_exporter_actor_up{{actor=\"{actor}\"}}"),
                1.0,
            );
        }
        // Each scrape counts those before it, and the one request for a token is under way.
        for earlier in FORMATS.iter().take_while(|earlier| **earlier != format) {
            expected.insert(
                format!("starlink_exporter_scrapes_total{{format=\"{earlier}\"}}"),
                1.0,
            );
        }
        let requests = "starlink_exporter_token_requests_total";
        let mut found = body.beginning("starlink_");
        assert!(found.remove(requests) <= Some(1.0));
        expected.remove(requests);
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

/// The count of a histogram whose buckets are in order, cumulative and complete.
fn observed(body: &Body, name: &str) -> f64 {
    let family = body.family(name).unwrap();
    let bucket = |(series, count): &(String, f64)| {
        let bound = series
            .strip_prefix(&format!("{name}_bucket{{le=\""))?
            .strip_suffix("\"}")?;
        let bound = if bound == "+Inf" {
            f64::INFINITY
        } else {
            bound.parse().unwrap()
        };
        Some((bound, *count))
    };
    let buckets: Vec<_> = family.samples.iter().filter_map(bucket).collect();
    assert!(buckets.len() > 5);
    assert!(
        buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1),
        "{buckets:?}"
    );
    let (last, count) = *buckets.last().unwrap();
    assert!(last.is_infinite());
    if name.contains("poll") {
        assert_eq!(buckets[buckets.len() - 2].0, 120.0, "a poll lingers");
    }
    assert_eq!(body.value(&format!("{name}_count")), Some(count));
    let sum = body.value(&format!("{name}_sum")).unwrap();
    assert!(
        sum >= 0.0 && (sum == 0.0 || count > 0.0),
        "{name}_sum {sum}"
    );
    count
}

#[actix_rt::test]
async fn build_and_process_tell_about_themselves() {
    let before = now();
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    for format in FORMATS {
        let body = scrape(&service, format);
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

/// Names and types as client libraries have them, with values that can be.
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
    // The test's process started before the test, and not days ago; the system tells the boot in whole seconds.
    assert!(
        start < before + 2.0 && start > before - 86_400.0,
        "{start} {before}"
    );
}

/// A family of counters without those at 0.
fn moved(body: &Body, name: &str) -> BTreeMap<String, f64> {
    let samples = body.beginning(&format!("{name}{{"));
    let moved = samples.into_iter().filter(|(_, value)| *value > 0.0);
    let label = |series: &str| series.split('"').nth(1).unwrap().to_owned();
    moved
        .map(|(series, value)| (label(series), value))
        .collect()
}

/// A service whose first attempt fails like this, once it has: only that reason is counted.
async fn fails_as(
    reason: &str,
    simulator: &Simulator,
    changes: &[(&str, &str)],
    tuning: Tuning,
) -> Body {
    let service = Service::tuned(simulator, changes, tuning).await;
    let failures = "starlink_exporter_poll_failures_total";
    let failed = format!("{failures}{{reason=\"{reason}\"}}");
    eventually(&failed, || async {
        scrape(&service, "prometheus").value(&failed) > Some(0.0)
    })
    .await;
    let body = scrape(&service, "prometheus");
    let moved = moved(&body, failures);
    assert_eq!(moved.keys().collect::<Vec<_>>(), [reason]);
    assert!(body.value("starlink_exporter_polls_total") >= Some(moved[reason]));
    assert_eq!(body.value("starlink_up"), Some(0.0), "{reason}");
    body
}

/// Time-outs that a test can wait for.
fn impatient() -> Tuning {
    Tuning {
        timeouts: Timeouts {
            connect: Duration::from_millis(300),
            token: Duration::from_millis(300),
            beyond_linger: Duration::from_millis(300),
            ..Timeouts::default()
        },
        ..Tuning::default()
    }
}

#[actix_rt::test]
async fn failed_polls_are_counted_by_their_reason() {
    let slow = Answer::ordinary().delay(Duration::from_secs(600));
    for (reason, answer, tuning) in [
        ("unauthorized", Answer::error(401, "no"), Tuning::default()),
        ("forbidden", Answer::error(403, "no"), Tuning::default()),
        ("not_found", Answer::error(404, "no"), Tuning::default()),
        ("unprocessable", Answer::error(422, "no"), Tuning::default()),
        (
            "rate_limited",
            Answer::too_many_requests("2"),
            Tuning::default(),
        ),
        ("client_error", Answer::error(418, "no"), Tuning::default()),
        (
            "redirect",
            Answer::redirect("http://127.0.0.1:1/"),
            Tuning::default(),
        ),
        ("server_error", Answer::error(503, "no"), Tuning::default()),
        ("disconnected", Answer::closed(), Tuning::default()),
        (
            "disconnected",
            Answer::rows(["[]"]).cut_at(20),
            Tuning::default(),
        ),
        ("timeout", slow, impatient()),
        ("decode", Answer::html(), Tuning::default()),
        ("decode", Answer::text("{\"data\":"), Tuning::default()),
    ] {
        let simulator = scripted_simulator();
        simulator.set_default_answer(Some(answer));
        let body = fails_as(reason, &simulator, &[], tuning).await;
        assert!(
            observed(&body, "starlink_exporter_poll_duration_seconds") >= 1.0,
            "{reason}"
        );
        assert_eq!(
            moved(&body, "starlink_exporter_token_request_failures_total"),
            BTreeMap::new()
        );
        assert_eq!(
            body.value("starlink_exporter_last_poll_success_timestamp_seconds"),
            None
        );
    }
}

#[actix_rt::test]
async fn a_poll_that_does_not_connect_is_counted_as_that() {
    // Tokens come from one simulator, the stream would from one that is gone.
    let simulator = scripted_simulator();
    let gone = scripted_simulator();
    gone.unplug();
    let token_url = format!("{}/auth/connect/token", simulator.api_url());
    let changes = [("API_URL", gone.api_url()), ("TOKEN_URL", token_url)];
    let changes = changes
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    fails_as("connect", &simulator, &changes, Tuning::default()).await;
}

#[actix_rt::test]
async fn failed_requests_for_a_token_are_counted_by_their_reason() {
    let slow = Answer::ordinary().delay(Duration::from_secs(600));
    for (reason, answer, tuning) in [
        (
            "refused",
            Some(Answer::token_error("invalid_client")),
            Tuning::default(),
        ),
        ("refused", Some(Answer::error(401, "no")), Tuning::default()),
        (
            "not_found",
            Some(Answer::error(404, "no")),
            Tuning::default(),
        ),
        ("status", Some(Answer::error(503, "no")), Tuning::default()),
        ("disconnected", Some(Answer::closed()), Tuning::default()),
        ("timeout", Some(slow), impatient()),
        ("malformed", Some(Answer::html()), Tuning::default()),
        ("malformed", Some(Answer::text("{}")), Tuning::default()),
        ("connect", None, Tuning::default()),
    ] {
        let simulator = scripted_simulator();
        match answer {
            Some(_) => simulator.set_default_token_answer(answer),
            None => simulator.unplug(),
        }
        let body = fails_as("token", &simulator, &[], tuning).await;
        let failed = moved(&body, "starlink_exporter_token_request_failures_total");
        assert_eq!(failed.keys().collect::<Vec<_>>(), [reason]);
        let requests = body.value("starlink_exporter_token_requests_total");
        assert!(
            requests >= Some(failed[reason]),
            "{reason}: {requests:?} of {failed:?}"
        );
        assert_eq!(
            observed(&body, "starlink_exporter_poll_duration_seconds"),
            0.0,
            "{reason}: no poll was made"
        );
        assert_eq!(
            body.value("starlink_exporter_token_expiry_timestamp_seconds"),
            None
        );
    }
}

#[actix_rt::test]
async fn rows_and_cells_are_counted_by_what_became_of_them() {
    let simulator = scripted_simulator();
    let row = |code: &str, cells: &str| format!(r#"["{code}",1000000000,{cells}]"#);
    let address = |id: &str, list: &str| row("i", &format!(r#""{id}","ACC-1",{list},[],[]"#));
    let with_alerts = |id: &str, alerts: &str| row("u", &format!(r#""{id}",1,null,{alerts}"#));
    let body = AnswerBody::new()
        .columns(
            "u",
            &[
                "DeviceType",
                "UtcTimestampNs",
                "DeviceId",
                "DownlinkThroughput",
                "Any",
                "ActiveAlerts",
            ],
        )
        .columns("d", &["DeviceType", "UtcTimestampNs", "DeviceId"])
        .columns("z", &["DeviceType", "UtcTimestampNs", "DeviceId"])
        .rows([
            row("u", r#""ut-1",1"#),
            row("u", r#""ut-1",2"#),
            row("u", r#""ut-2",1"#),
        ])
        // Older than what stands before it, three times.
        .rows([1, 2, 3].map(|at| format!(r#"["u",{at},"ut-2",9]"#)))
        .rows([row("r", r#""Router-1""#), row("r", r#""Router-2""#)])
        .rows([row("d", r#""ut-1""#), row("z", r#""z-1""#)])
        .rows(["7", "{}", "null", "\"u\""])
        .rows(["[1,2,3]", "[null,1,\"x\"]"])
        .rows([row("q", r#""q-1""#)])
        .rows([
            row("u", "null"),
            row("u", "\"\""),
            row("u", "5"),
            row("u", "[\"ut-1\"]"),
            r#"["u",1]"#.into(),
        ])
        .rows([
            r#"["u",null,"ut-3"]"#,
            r#"["u","1","ut-3"]"#,
            r#"["u",1.5,"ut-3"]"#,
        ])
        // Cells: shape 2, number 3, text 1, address 4, alert 2.
        .rows(
            [
                r#"{"a":1}"#,
                r#"[[1]]"#,
                "1e999",
                "-1e999",
                "1e400",
                r#""\ud800""#,
            ]
            .iter()
            .enumerate()
            .map(|(index, cell)| row("u", &format!(r#""cell-{index}",1,{cell}"#))),
        )
        .rows([
            address("ip-ut-1", r#"["192.0.2.1","no","192.0.2.256"]"#),
            address("ut-2", r#"["",7]"#),
        ])
        .rows([
            with_alerts("alerts-1", "[true,82]"),
            with_alerts("alerts-2", "1.5"),
        ]);
    simulator.push_body(&body.to_json());
    let service = Service::start(&simulator, &[]).await;
    service.shows(&throughput("ut-1"), 2.0).await;
    let body = scrape(&service, "prometheus");
    let counts = |pairs: &[(&str, f64)]| -> BTreeMap<String, f64> {
        pairs
            .iter()
            .map(|(label, count)| ((*label).to_owned(), *count))
            .collect()
    };
    for (name, expected) in [
        (
            "starlink_exporter_rows_total",
            counts(&[
                ("u", 22.0),
                ("r", 2.0),
                ("i", 2.0),
                ("d", 1.0),
                ("other", 8.0),
            ]),
        ),
        (
            "starlink_exporter_rows_ignored_total",
            counts(&[("older", 3.0), ("router", 2.0)]),
        ),
        (
            "starlink_exporter_rows_rejected_total",
            counts(&[
                ("shape", 4.0),
                ("device_type", 2.0),
                ("no_columns", 1.0),
                ("device_id", 5.0),
                ("timestamp", 3.0),
            ]),
        ),
        (
            "starlink_exporter_cells_rejected_total",
            counts(&[
                ("shape", 2.0),
                ("number", 3.0),
                ("text", 1.0),
                ("address", 4.0),
                ("alert", 2.0),
            ]),
        ),
    ] {
        assert_eq!(moved(&body, name), expected, "{name}");
    }
    // Every row is one of these: it counts for a device (the last of several), or stands in one of the counters.
    let devices: f64 = body.beginning("starlink_exporter_devices{").values().sum();
    assert_eq!(
        devices, 12.0,
        "u: ut-1, ut-2, six cells, two alerts; d and z"
    );
}

#[actix_rt::test]
async fn devices_are_counted_by_type_and_state() {
    let devices = |body: &Body| -> BTreeMap<String, f64> {
        let all = body.beginning("starlink_exporter_devices{");
        let all = all.into_iter().filter(|(_, count)| *count > 0.0);
        let labels = |series: &str| series.replace("starlink_exporter_devices", "");
        all.map(|(series, count)| (labels(series), count)).collect()
    };
    let series = |name: &str, state: &str| format!("{{device_type=\"{name}\",state=\"{state}\"}}");
    let simulator = scripted_simulator();
    let changes = [
        ("STALE_AFTER", "1"),
        ("FORGET_AFTER", "4"),
        ("INCLUDE_ROUTERS", "true"),
    ];
    let service = Service::start(&simulator, &changes).await;
    let answer = AnswerBody::new()
        .columns("z", &["DeviceType", "UtcTimestampNs", "DeviceId"])
        .rows([terminal_row("ut-1", 1, 1.0), terminal_row("ut-2", 1, 1.0)])
        .rows([r#"["r",1,"Router-1"]"#, r#"["z",1,"z-1"]"#])
        // Allocations are no devices, not even of a terminal that is unknown.
        .rows([r#"["i",1,"ip-ut-3","ACC-1",["192.0.2.1"],[],[]]"#]);
    simulator.push_answer(answer);
    let three = |state: &str| {
        BTreeMap::from([
            (series("UserTerminal", state), 2.0),
            (series("Router", state), 1.0),
            (series("z", state), 1.0),
        ])
    };
    for expected in [three("online"), three("stale"), BTreeMap::new()] {
        let what = format!("{expected:?}");
        eventually(&what, || async {
            devices(&scrape(&service, "prometheus")) == expected
        })
        .await;
    }
}

#[actix_rt::test]
async fn what_a_poll_brings_is_measured() {
    let simulator = scripted_simulator();
    let lag = 10_000.0;
    let start = now();
    let stamp = |late: f64| ((start - late) * 1e9) as u64;
    // The median of three rows counts, not the mean, nor the order.
    let rows = [
        terminal_row("ut-1", stamp(50_000.0), 1.0),
        terminal_row("ut-2", stamp(1.0), 1.0),
        terminal_row("ut-3", stamp(lag), 1.0),
    ];
    simulator.push_answer(Answer::rows(rows).delay(Duration::from_millis(300)));
    let service = Service::start(&simulator, &[("BATCH_SIZE", "3"), QUIET]).await;
    service.shows("starlink_up", 1.0).await;
    let body = scrape(&service, "prometheus");
    let value = |name: &str| body.value(&format!("starlink_exporter_{name}")).unwrap();
    let end = now();
    assert_eq!(value("polls_total"), 1.0);
    assert_eq!(
        observed(&body, "starlink_exporter_poll_duration_seconds"),
        1.0
    );
    let took = value("poll_duration_seconds_sum");
    assert!((0.3..=end - start).contains(&took), "{took}");
    let quick = r#"starlink_exporter_poll_duration_seconds_bucket{le="0.25"}"#;
    assert_eq!(body.value(quick), Some(0.0));
    let success = value("last_poll_success_timestamp_seconds");
    assert!(
        start <= success && success <= end,
        "{start} {success} {end}"
    );
    let shown = value("telemetry_lag_seconds");
    assert!(
        lag - 0.001 <= shown && shown <= lag + (end - start) + 0.001,
        "{shown}"
    );
    assert_eq!(value("catching_up"), 1.0, "a full batch of old rows");
    assert_eq!(value("token_requests_total"), 1.0);
    let expiry = value("token_expiry_timestamp_seconds");
    assert!(start + 900.0 <= expiry && expiry <= end + 900.0, "{expiry}");
    assert_eq!(
        value("schema_changes_total"),
        0.0,
        "the first columns are no change"
    );
    for name in AFTER_A_POLL {
        for format in FORMATS {
            assert!(
                !scrape(&service, format).beginning(name).is_empty(),
                "{name} {format}"
            );
        }
    }
    // Batches that are not full end the backlog.
    simulator.push_rows([terminal_row("ut-1", stamp(lag), 2.0)]);
    service.shows("starlink_exporter_catching_up", 0.0).await;
}

#[actix_rt::test]
async fn fresh_or_partial_batches_are_no_backlog() {
    let old = 1_000_000_000;
    let fresh = (now() * 1e9) as u64;
    for (rows, id) in [
        (vec![terminal_row("partial", old, 1.0)], "partial"),
        (
            vec![
                terminal_row("full-1", fresh, 1.0),
                terminal_row("full-2", fresh, 1.0),
            ],
            "full-2",
        ),
    ] {
        let simulator = scripted_simulator();
        simulator.push_rows(rows);
        let service = Service::start(&simulator, &[("BATCH_SIZE", "2"), QUIET]).await;
        service.shows(&throughput(id), 1.0).await;
        service.shows("starlink_up", 1.0).await;
        let body = scrape(&service, "prometheus");
        assert_eq!(
            body.value("starlink_exporter_catching_up"),
            Some(0.0),
            "{id}"
        );
    }
}

#[actix_rt::test]
async fn new_columns_and_new_tokens_are_counted() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    let changes = "starlink_exporter_schema_changes_total";
    let answer = |columns: &[&str], value: f64| {
        let row = terminal_row("ut-1", 1_000_000_000, value);
        Answer::from(AnswerBody::new().columns("u", columns).row(row))
    };
    let usual = [
        "DeviceType",
        "UtcTimestampNs",
        "DeviceId",
        "DownlinkThroughput",
    ];
    let longer = [&usual[..], &["New"]].concat();
    // The simulator's own empty answers have the usual columns of all types, so each answer is followed by a change back.
    simulator.set_default_answer(Some(answer(&usual, 1.0)));
    service.shows(&throughput("ut-1"), 1.0).await;
    let before = service.scrape().await.value(changes).unwrap();
    simulator.set_default_answer(Some(answer(&longer, 2.0)));
    service.shows(&throughput("ut-1"), 2.0).await;
    let after = service.scrape().await.value(changes).unwrap();
    assert_eq!(after - before, 1.0, "once, however often it is repeated");

    let requests = "starlink_exporter_token_requests_total";
    let before = service.scrape().await.value(requests).unwrap();
    simulator.revoke_tokens();
    service.shows(requests, before + 1.0).await;
    service.shows("starlink_up", 1.0).await;
}

#[actix_rt::test]
async fn scrapes_are_counted_by_their_format() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    let counts = || scrape(&service, "mixed");
    let before = counts();
    for (target, accept) in [
        ("/metrics", "application/openmetrics-text"),
        ("/metrics?format=openmetrics", "*/*"),
        ("/metrics", "text/plain"),
        // None of these is a scrape that was answered.
        ("/metrics?format=x", "*/*"),
        ("/", "*/*"),
        ("/livez", "*/*"),
    ] {
        get(service.address, target, &[("Accept", accept)]);
    }
    let after = counts();
    for (format, more) in [("openmetrics", 2.0), ("prometheus", 1.0), ("mixed", 1.0)] {
        let series = format!("starlink_exporter_scrapes_total{{format=\"{format}\"}}");
        assert_eq!(
            after.value(&series).unwrap() - before.value(&series).unwrap(),
            more,
            "{format}"
        );
    }
    let duration = "starlink_exporter_scrape_duration_seconds";
    assert_eq!(
        observed(&after, duration) - observed(&before, duration),
        4.0
    );
}

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
    let service = Service::start(&simulator, &[("INCLUDE_ROUTERS", "true")]).await;
    service.shows(&throughput("ut-1"), 1.0).await;
    service.shows("starlink_up", 1.0).await;
    let body = scrape(&service, "prometheus");
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

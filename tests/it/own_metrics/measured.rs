//! Tests of the metrics of polls and scrapes: rows, cells, devices, times, columns, tokens, formats.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use starlink_telemetry::simulator::{Answer, AnswerBody};

use super::observed;
use crate::form::{Body, FORMATS, scrape};
use crate::harness::{
    Service, UP, eventually, row_of, scripted_simulator, terminal_row, throughput,
};
use crate::wire::get;

/// Families without a value before the first poll.
const AFTER_A_POLL: [&str; 5] = [
    "starlink_exporter_clock_offset_seconds",
    "starlink_exporter_last_poll_success_timestamp_seconds",
    "starlink_exporter_telemetry_lag_seconds",
    "starlink_exporter_token_expiry_timestamp_seconds",
    "starlink_exporter_devices",
];

/// The poll after the last scripted answer lingers longer than any test, so that it changes nothing.
const QUIET: (&str, &str) = ("MAX_LINGER", "65000");

fn now() -> f64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

#[actix_rt::test]
async fn only_malformed_rows_and_cells_are_dropped_and_they_are_counted() {
    let simulator = scripted_simulator();
    let row = |code: &str, cells: &str| format!(r#"["{code}",1700000001000000000,{cells}]"#);
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
        // Three rows that are older than the previous ones.
        .rows([1, 2, 3].map(|at| terminal_row("ut-2", at, 9.0)))
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
    service.shows(UP, 1.0).await;
    let body = scrape(service.address, "prometheus").await;
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
        assert_eq!(body.moved(name), expected, "{name}");
    }
    for (id, expected) in [("ut-2", Some(1.0)), ("cell-2", Some(1.0)), ("ut-3", None)] {
        assert_eq!(body.value(&throughput(id)), expected, "{id}");
    }
    assert!(!body.has("starlink_Any{"), "no cell of them was readable");
    assert_eq!(body.poll_failures(), BTreeMap::new());
    // Every row is used for a device (the last of several), or is in one of the counters.
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
    let series = |name: &str, state: &str| {
        format!(r#"{{account="default",device_type="{name}",state="{state}"}}"#)
    };
    let simulator = scripted_simulator();
    let changes = [
        ("STALE_AFTER", "1"),
        ("FORGET_AFTER", "3"),
        ("INCLUDE_ROUTERS", "true"),
    ];
    let service = Service::start(&simulator, &changes).await;
    let answer = AnswerBody::new()
        .columns("z", &["DeviceType", "UtcTimestampNs", "DeviceId"])
        .rows([terminal_row("ut-1", 1, 1.0), terminal_row("ut-2", 1, 1.0)])
        .rows([
            r#"["r",1700000000000000001,"Router-1"]"#,
            r#"["z",1700000000000000001,"z-1"]"#,
        ])
        // An allocation is not counted as a device, even if its terminal is unknown.
        .rows([r#"["i",1700000000000000001,"ip-ut-3","ACC-1",["192.0.2.1"],[],[]]"#]);
    simulator.push_answer(answer);
    let three = |state: &str| {
        BTreeMap::from([
            (series("UserTerminal", state), 2.0),
            (series("Router", state), 1.0),
            (series("z", state), 1.0),
        ])
    };
    for expected in [three("online"), three("offline"), BTreeMap::new()] {
        let what = format!("{expected:?}");
        eventually(&what, || async {
            devices(&scrape(service.address, "prometheus").await) == expected
        })
        .await;
    }
}

#[actix_rt::test]
async fn the_duration_the_lag_and_the_rows_of_polls_are_measured() {
    let simulator = scripted_simulator();
    let lag = 10_000.0;
    let start = now();
    let stamp = |late: f64| ((start - late) * 1e9) as u64;
    // The median of three rows counts, not the mean, nor the order.
    let rows = [
        row_of("ut-1", stamp(50_000.0), 1.0),
        row_of("ut-2", stamp(1.0), 1.0),
        row_of("ut-3", stamp(lag), 1.0),
    ];
    simulator.push_answer(Answer::rows(rows).delay(Duration::from_millis(300)));
    let service = Service::start(&simulator, &[("BATCH_SIZE", "3"), QUIET]).await;
    service.shows(UP, 1.0).await;
    let body = scrape(service.address, "prometheus").await;
    let value = |name: &str| {
        let series = format!(r#"starlink_exporter_{name}{{account="default"}}"#);
        body.value(&series).unwrap()
    };
    let end = now();
    assert_eq!(value("polls_total"), 1.0);
    assert_eq!(
        observed(&body, "starlink_exporter_poll_duration_seconds"),
        1.0
    );
    let took = value("poll_duration_seconds_sum");
    assert!((0.3..=end - start).contains(&took), "{took}");
    let quick = r#"starlink_exporter_poll_duration_seconds_bucket{account="default",le="0.25"}"#;
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
                !scrape(service.address, format)
                    .await
                    .beginning(name)
                    .is_empty(),
                "{name} {format}"
            );
        }
    }
}

#[actix_rt::test]
async fn new_columns_and_new_tokens_are_counted() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    let changes = r#"starlink_exporter_schema_changes_total{account="default"}"#;
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

    let requests = r#"starlink_exporter_token_requests_total{account="default"}"#;
    let before = service.scrape().await.value(requests).unwrap();
    simulator.revoke_tokens();
    service.shows(requests, before + 1.0).await;
    service.shows(UP, 1.0).await;
}

#[actix_rt::test]
async fn scrapes_are_counted_by_their_format() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    let counts = || scrape(service.address, "mixed");
    let before = counts().await;
    for (target, accept) in [
        ("/metrics", "application/openmetrics-text"),
        ("/metrics?format=openmetrics", "*/*"),
        ("/metrics", "text/plain"),
        // None of these is a successful scrape.
        ("/metrics?format=x", "*/*"),
        ("/", "*/*"),
        ("/livez", "*/*"),
    ] {
        get(service.address, target, &[("Accept", accept)]).await;
    }
    let after = counts().await;
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

//! Tests of the metrics, the page and the API of a service with a destination of remote write.

use regex_lite::Regex;
use serde_json::json;
use starlink_telemetry::history::Protocol;
use starlink_telemetry::remote_write::{Answer, Class, classify};

use crate::api::Description;
use crate::form::FORMATS;
use crate::form::scrape;
use crate::harness::{Service, UP, eventually, scripted_simulator};

/// Nothing listens there.
pub const NOWHERE: &str = "http://127.0.0.1:9/api/v1/write";

/// The sender runs.
pub const SENDER_UP: &str = r#"starlink_exporter_actor_up{account="default",actor="remote_write"}"#;

/// Series that exist as soon as a destination is configured.
const FROM_THE_START: [&str; 9] = [
    r#"starlink_exporter_journal_durable{account="default"}"#,
    r#"starlink_exporter_journal_failures_total{account="default",operation="append"}"#,
    r#"starlink_exporter_journal_rows_lost_total{account="default",reason="gap"}"#,
    r#"starlink_exporter_remote_write_samples_total{account="default",destination="default"}"#,
    r#"starlink_exporter_remote_write_samples_failed_total{account="default",destination="default",reason="rejected"}"#,
    r#"starlink_exporter_remote_write_rows_dropped_total{account="default",destination="default",reason="max_age"}"#,
    r#"starlink_exporter_remote_write_pending_rows{account="default",destination="default"}"#,
    r#"starlink_exporter_actor_up{account="default",actor="journal"}"#,
    SENDER_UP,
];

/// The series of the destination, which is that of all accounts.
const OF_THE_PROCESS: &str =
    r#"starlink_exporter_remote_write_own_sets_dropped_total{destination="default"}"#;

#[actix_rt::test]
async fn a_destination_is_in_scrapes_on_the_page_and_in_the_api() {
    let simulator = scripted_simulator();
    let directory = tempfile::tempdir().unwrap();
    let changes = [
        ("REMOTE_WRITE_URL", NOWHERE),
        ("JOURNAL_DIR", directory.path().to_str().unwrap()),
    ];
    let service = Service::start(&simulator, &changes).await;
    service.shows(UP, 1.0).await;
    eventually("the sender has started", || async {
        service.scrape().await.has(FROM_THE_START[3])
    })
    .await;
    for format in FORMATS {
        let body = scrape(service.address, format).await;
        for series in FROM_THE_START.into_iter().chain([OF_THE_PROCESS]) {
            assert!(body.value(series).is_some(), "{format}: {series}");
        }
    }
    for (query, is_sender, is_process) in [
        ("account=default", true, false),
        ("collect[]=exporter", true, true),
        ("collect[]=telemetry", false, false),
        ("collect[]=inventory", false, false),
    ] {
        let body = service.get(&format!("/metrics?{query}")).await.body;
        for (series, is_expected) in [
            (FROM_THE_START[0], is_sender),
            (FROM_THE_START[3], is_sender),
            (OF_THE_PROCESS, is_process),
        ] {
            assert_eq!(body.contains(series), is_expected, "{query}: {series}");
        }
    }
    let path = "/api/v1/status";
    let description = Description::of(&service).await;
    let history = &description.ask(&service, path, path, 200).await["history"];
    assert_eq!(history["journals"][0]["account"], json!("default"));
    let destination = &history["destinations"][0];
    assert_eq!(destination["name"], json!("default"));
    assert_eq!(destination["accounts"][0]["account"], json!("default"));
    let page = service.get("/").await.body;
    assert!(page.contains("<h2 id=\"history-title\">Destinations</h2>"));
    assert!(page.contains("<bdi>default</bdi></th>"));
}

#[actix_rt::test]
async fn without_destinations_there_is_none() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    service.shows(UP, 1.0).await;
    let body = service.get("/metrics?format=prometheus").await.body;
    for absent in [
        "starlink_exporter_journal_",
        "_remote_write_",
        "\"journal\"",
    ] {
        assert!(!body.contains(absent), "{absent}");
    }
    let page = service.get("/").await.body;
    assert!(!page.contains("history-title"));
}

/// The rules about alerts.
const ALERTS: &str = include_str!("../../../Docker/prometheus/rules/starlink.alerts.yml");

#[test]
fn the_alert_about_refused_requests_has_every_status_that_is_held() {
    let (_, alert) = ALERTS
        .split_once("- alert: StarlinkHistoryRefused\n")
        .unwrap();
    let codes = alert.split('"').nth(1).unwrap();
    let codes = Regex::new(&format!("^(?:{codes})$")).unwrap();
    for status in 200..600 {
        let answer = Answer::Response {
            status,
            retry_after: None,
            written: Some(1),
            body: "",
        };
        let is_held = matches!(classify(&answer, Protocol::V1), Class::Hold(_));
        // 415 is held if only one version of the protocol may be spoken.
        let is_expected = is_held || status == 415;
        assert_eq!(codes.is_match(&status.to_string()), is_expected, "{status}");
    }
}

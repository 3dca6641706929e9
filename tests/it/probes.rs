//! Tests of the probes, which distinguish liveness from readiness, and of their state on the page.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use starlink_telemetry::app::Tuning;

use crate::form::poll_failures;
use crate::harness::{Service, UP, eventually, scripted_simulator, terminal_row, throughput};
use crate::tls::Authority;
use crate::wire::{get, target};

/// A probe's status, and its report with `?verbose`.
async fn probe(address: SocketAddr, path: &str) -> (u16, Value) {
    let short = get(address, path, &[]).await;
    let long = get(address, &format!("{path}?verbose"), &[]).await;
    assert_eq!(
        long.header("content-type").as_deref(),
        Some("application/json")
    );
    for answer in [&short, &long] {
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    }
    assert_eq!(short.status, long.status, "{path}");
    let verdict: Value = serde_json::from_str(&long.body).unwrap();
    // Without `verbose`, the body has the reasons as text, or `ok`.
    let reasons = verdict["reasons"].as_array().unwrap();
    let reasons: Vec<_> = reasons
        .iter()
        .map(|reason| reason.as_str().unwrap())
        .collect();
    let expected = if short.status == 200 {
        "ok".into()
    } else {
        reasons.join("; ")
    };
    assert_eq!(short.body.trim_end(), expected);
    let with_value = get(address, &format!("{path}?verbose=1"), &[]).await;
    assert!(with_value.body.starts_with('{'), "{path}");
    (short.status, verdict)
}

/// The names of the actors, all of which are up.
fn actors_up(verdict: &Value) -> Vec<&str> {
    let actors = verdict["actors"].as_array().unwrap().iter();
    let mut names: Vec<_> = actors
        .inspect(|actor| {
            assert_eq!(
                (&actor["up"], &actor["trouble"]),
                (&Value::Bool(true), &Value::Null)
            );
        })
        .map(|actor| actor["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// Checks that a probe reports no problem. Returns its report.
async fn is_ok(address: SocketAddr, path: &str) -> Value {
    let (status, verdict) = probe(address, path).await;
    assert_eq!((status, &verdict["status"]), (200, &json!("ok")), "{path}");
    assert_eq!(verdict["reasons"], json!([]), "{path}");
    verdict
}

#[actix_rt::test]
async fn the_service_is_ready_from_the_first_successful_poll_and_stays_ready() {
    let simulator = scripted_simulator();
    simulator.unplug();
    let service = Service::start(&simulator, &[]).await;
    let address = service.address;
    service.shows(&poll_failures("token"), 1.0).await;
    let scrape = service.scrape().await;
    assert_eq!(scrape.value(UP), Some(0.0));
    let connect =
        r#"starlink_exporter_token_request_failures_total{account="default",reason="connect"}"#;
    assert_eq!(scrape.value(connect), Some(1.0));

    let (status, verdict) = probe(address, "/readyz").await;
    assert_eq!((status, &verdict["status"]), (503, &json!("failing")));
    let reason = verdict["reasons"][0].as_str().unwrap();
    let why = "no poll has succeeded";
    let account = &verdict["accounts"][0];
    assert_eq!(
        (&account["name"], &account["state"]),
        (&json!("default"), &json!("failing"))
    );
    assert!(reason.ends_with(account["reason"].as_str().unwrap()));
    assert!(reason.contains(why) && reason.contains("token"), "{reason}");
    let page = get(address, "/", &[]).await;
    assert!(
        page.body.contains("none has succeeded yet"),
        "{}",
        page.body
    );
    for path in ["/livez", "/healthz"] {
        let verdict = is_ok(address, path).await;
        let actors = ["metadata", "metrics_store", "stream", "token"];
        assert_eq!(actors_up(&verdict), actors);
    }

    simulator.push_rows([terminal_row("here", 1_000_000_000, 1.0)]);
    simulator.plug().unwrap();
    service.shows(&throughput("here"), 1.0).await;
    service.shows(UP, 1.0).await;
    let verdict = is_ok(address, "/readyz").await;
    let up = json!([{"name": "default", "state": "up", "reason": null, "restart_timestamp_seconds": null}]);
    assert_eq!(verdict["accounts"], up);

    // Scrapes succeed without Starlink.
    simulator.unplug();
    service.shows(UP, 0.0).await;
    assert!(service.scrape().await.has(&throughput("here")));
    for path in ["/readyz", "/livez", "/healthz"] {
        is_ok(address, path).await;
    }
    simulator.plug().unwrap();
    service.shows(UP, 1.0).await;
}

/// The trouble of a task in `/livez?verbose`.
async fn trouble(address: SocketAddr, task: &str) -> Option<String> {
    let (_, verdict) = probe(address, "/livez").await;
    let tasks = verdict["tasks"].as_array().unwrap();
    let task = tasks.iter().find(|found| found["name"] == task).unwrap();
    task["trouble"].as_str().map(str::to_owned)
}

#[actix_rt::test]
async fn an_error_in_a_followed_file_is_reported_until_it_is_corrected() {
    let simulator = scripted_simulator();
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new().pem();
    // Setting, task, a valid file, an invalid file, and its error.
    let files = [
        (
            "NAMES_FILE",
            "names",
            "deviceID,name\nut-1,A\n",
            "deviceID,name\nut-1,\"A\n",
            "line 2: a quoted text is not closed",
        ),
        (
            "WEB_CONFIG_FILE",
            "web_config",
            "http_server_config:\n  headers:\n    X-Frame-Options: deny\n",
            "http_server_configs:\n",
            "line 1: ",
        ),
        (
            "API_CA_FILE",
            "authorities",
            authority.as_str(),
            "no\n",
            " contains no certificate",
        ),
    ];
    let path = |task: &str| directory.path().join(task);
    let mut settings = Vec::new();
    for (setting, task, good, ..) in files {
        std::fs::write(path(task), good).unwrap();
        settings.push((setting, path(task).display().to_string()));
    }
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let service = Service::tuned(&simulator, &settings, tuning).await;
    let address = service.address;
    for (_, task, good, wrong, expected) in files {
        assert_eq!(trouble(address, task).await, None, "{task}");
        std::fs::write(path(task), wrong).unwrap();
        let is_named = |error: Option<String>| {
            error.is_some_and(|error| error.contains(task) && error.contains(expected))
        };
        eventually(&format!("the mistake of {task} is named"), || async {
            is_named(trouble(address, task).await)
        })
        .await;
        std::fs::write(path(task), good).unwrap();
        eventually(&format!("{task} is right again"), || async {
            trouble(address, task).await.is_none()
        })
        .await;
    }
}

#[actix_rt::test]
async fn the_page_shows_the_state_and_links_to_all_paths() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    service.shows(UP, 1.0).await;
    let page = get(service.address, "/", &[("Accept", "text/html")]).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type").as_deref(),
        Some("text/html; charset=utf-8")
    );
    assert!(page.body.starts_with("<!DOCTYPE html>"));
    for expected in [
        "<title>starlink-telemetry</title>",
        env!("CARGO_PKG_VERSION"),
        "succeeded",
    ] {
        assert!(page.body.contains(expected), "{expected}");
    }
    let links: Vec<_> = page.body.split("href=\"").skip(1).collect();
    let links: Vec<_> = links
        .iter()
        .map(|link| link.split('"').next().unwrap())
        .collect();
    let links: Vec<_> = links
        .iter()
        .map(|link| target(&link.replace("&#38;", "&")))
        .collect();
    for wanted in [
        "/metrics?format=prometheus",
        "/api/v1/openapi.json",
        "/readyz?verbose",
        "/livez?verbose",
    ] {
        assert!(
            links.iter().any(|link| link == wanted),
            "{wanted} among {links:?}"
        );
    }
    for link in links {
        assert_eq!(get(service.address, &link, &[]).await.status, 200, "{link}");
    }
}

//! Tests of `/metrics` over HTTP: formats, negotiation, compression, methods, paths.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on fails, and the text tells why"
)]

use std::collections::BTreeSet;
use std::io::Read;

use flate2::bufread::GzDecoder;
use futures_util::future::join_all;
use starlink_telemetry::simulator::Simulator;

use crate::form::{self, FORMATS};
use crate::harness::{Service, eventually, scripted_simulator, throughput};
use crate::wire::{Response, ask, get, send};

/// What `Vary` says on every answer that depends on what a client accepts.
const VARY: &str = "Accept, Accept-Encoding";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const MIXED: &str = "text/plain; charset=utf-8";

const PATHS: [&str; 5] = ["/metrics", "/livez", "/readyz", "/healthz", "/"];

/// A row with a number and a text, so that each format shows what it is.
fn row(id: &str) -> String {
    format!(
        r#"["u",1767225645000000000,"{id}",1.5,null,null,null,null,null,null,null,null,"2025.12.01.mr70001"]"#
    )
}

/// A service that knows one terminal.
async fn service(changes: &[(&str, &str)]) -> (Simulator, Service) {
    let simulator = scripted_simulator();
    simulator.push_rows([row("ut-1")]);
    let service = Service::start(&simulator, changes).await;
    eventually("the terminal is shown", || async {
        get(service.address, "/metrics", &[])
            .await
            .body
            .contains("ut-1")
    })
    .await;
    (simulator, service)
}

/// That a body is in the format that its Content-Type promises.
fn is_what_it_says(answer: &Response) {
    let (format, info) = match answer.header("content-type").unwrap().as_str() {
        OPEN_METRICS => ("openmetrics", "starlink_info{"),
        TEXT => ("prometheus", "starlink_info{"),
        MIXED => ("mixed", "starlink_info,"),
        other => panic!("no format of ours: {other}"),
    };
    let body = form::read(&answer.body, format);
    let terminal = r#"device_type="UserTerminal",deviceID="ut-1""#;
    assert_eq!(body.value(&throughput("ut-1")), Some(1.5));
    let labels =
        format!("starlink_info{{{terminal},runningsoftwareversion=\"2025.12.01.mr70001\"}}");
    let line = r#"starlink_info,device_type=UserTerminal,deviceID=ut-1 runningsoftwareversion="2025.12.01.mr70001""#;
    let spelling = if format == "mixed" { line } else { &labels };
    assert!(spelling.starts_with(info));
    let infos = answer
        .body
        .lines()
        .filter(|line| line.starts_with("starlink_info"));
    let infos: Vec<_> = infos.collect();
    let with_value = format!("{spelling} 1");
    let expected = if format == "mixed" {
        spelling
    } else {
        &with_value
    };
    assert_eq!(infos, [expected]);
}

/// What clients send, and what each gets under `INFO_FORMAT` auto, labels and line-protocol.
const CLIENTS: [(&str, &[&str], [&str; 3]); 20] = [
    ("nothing", &[], [MIXED, TEXT, MIXED]),
    ("curl", &["*/*"], [MIXED, TEXT, MIXED]),
    (
        "Firefox",
        &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
        [MIXED, TEXT, MIXED],
    ),
    (
        "Chrome",
        &[
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
        ],
        [MIXED, TEXT, MIXED],
    ),
    (
        "Prometheus 2.42",
        &[
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "Prometheus 2.42 with native histograms",
        &[
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "Prometheus 3",
        &[
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "Prometheus 1",
        &[
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
        ],
        [TEXT, TEXT, MIXED],
    ),
    (
        "VictoriaMetrics",
        &["text/plain;version=0.0.4;q=1,*/*;q=0.1"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "Telegraf",
        &[
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
        ],
        [TEXT, TEXT, MIXED],
    ),
    ("Datadog", &["text/plain"], [TEXT, TEXT, MIXED]),
    (
        "only protobuf",
        &["application/vnd.google.protobuf"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "another OpenMetrics",
        &["application/openmetrics-text;version=2.0.0"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "any OpenMetrics",
        &["application/openmetrics-text"],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "equal weights",
        &["text/plain, application/openmetrics-text"],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "text preferred",
        &["text/plain;q=0.6, application/openmetrics-text;q=0.5, */*"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "nothing of ours",
        &["application/json"],
        [MIXED, TEXT, MIXED],
    ),
    (
        "all excluded",
        &["text/plain;q=0, application/openmetrics-text;q=0"],
        [MIXED, TEXT, MIXED],
    ),
    (
        "two headers",
        &["text/html", "text/plain;q=0.1"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "not to be understood",
        &["\u{1f6f0};;;q=,"],
        [MIXED, TEXT, MIXED],
    ),
];

#[actix_rt::test]
async fn every_client_gets_the_format_that_it_reads() {
    for (index, setting) in ["auto", "labels", "line-protocol"].into_iter().enumerate() {
        let (_simulator, service) = service(&[("INFO_FORMAT", setting)]).await;
        for (client, accept, expected) in CLIENTS {
            let accept: Vec<_> = accept.iter().map(|value| ("Accept", *value)).collect();
            let answer = get(service.address, "/metrics", &accept).await;
            let place = format!("{client}, INFO_FORMAT={setting}");
            assert_eq!(answer.status, 200, "{place}");
            assert_eq!(
                answer.header("content-type").as_deref(),
                Some(expected[index]),
                "{place}"
            );
            assert_eq!(answer.header("vary").as_deref(), Some(VARY), "{place}");
            assert_eq!(answer.header("content-encoding"), None, "{place}");
            is_what_it_says(&answer);
        }
    }
}

#[actix_rt::test]
async fn the_parameter_overrules_header_and_setting() {
    for setting in ["auto", "labels", "line-protocol"] {
        let (_simulator, service) = service(&[("INFO_FORMAT", setting)]).await;
        for (format, content_type) in FORMATS.into_iter().zip([OPEN_METRICS, TEXT, MIXED]) {
            for accept in ["*/*", "text/plain", "application/openmetrics-text"] {
                for target in [
                    format!("/metrics?format={format}"),
                    format!("/metrics?a=b&format={format}&c"),
                ] {
                    let answer = get(service.address, &target, &[("Accept", accept)]).await;
                    assert_eq!(answer.status, 200);
                    assert_eq!(
                        answer.header("content-type").as_deref(),
                        Some(content_type),
                        "{target} {accept} INFO_FORMAT={setting}"
                    );
                    assert_eq!(answer.header("vary").as_deref(), Some(VARY));
                    is_what_it_says(&answer);
                }
            }
        }
    }
}

#[actix_rt::test]
async fn another_value_of_the_parameter_is_refused() {
    let (_simulator, service) = service(&[]).await;
    for value in [
        "",
        "json",
        "Mixed",
        "mixed%20",
        "openmetrics-text",
        "%3Cscript%3E",
        "0.0.4",
    ] {
        let target = format!("/metrics?format={value}");
        let answer = get(service.address, &target, &[("Accept", "text/plain")]).await;
        assert_eq!(answer.status, 400, "{target}");
        for format in FORMATS {
            assert!(answer.body.contains(format), "{target}: {}", answer.body);
        }
        assert!(
            !answer.body.contains("script"),
            "what comes in does not go out"
        );
        assert_eq!(answer.header("vary").as_deref(), Some(VARY), "{target}");
        assert_eq!(answer.header("content-type").as_deref(), Some(MIXED));
        assert!(!answer.body.contains("starlink_"), "no half scrape");
    }
}

#[actix_rt::test]
async fn refusals_vary_as_scrapes_do() {
    let (_simulator, service) = service(&[]).await;
    for (request, status) in [
        (
            "POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            405,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n",
            413,
        ),
        (
            "GET /metrics?shard=5 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            400,
        ),
    ] {
        let answer = send(service.address, request.to_owned()).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("vary").as_deref(), Some(VARY), "{request}");
    }
}

/// What stands before the exporter's own metrics, which change from scrape to scrape.
fn telemetry(body: &str) -> &str {
    let end = body
        .find("# HELP starlink_up ")
        .expect("the own metrics follow");
    &body[..end]
}

/// Decompresses; there is exactly one member.
fn gunzip(body: &[u8]) -> String {
    let mut decoder = GzDecoder::new(body);
    let mut text = String::new();
    decoder
        .read_to_string(&mut text)
        .expect("a whole member with the right CRC");
    assert!(
        decoder.into_inner().is_empty(),
        "nothing follows the first member"
    );
    text
}

#[actix_rt::test]
async fn a_compressed_scrape_is_one_gzip_member_with_the_same_text() {
    let simulator = scripted_simulator();
    // Enough for several chunks of any reasonable size.
    simulator.push_rows((0..1500).map(|number| row(&format!("ut-{number}"))));
    let service = Service::start(&simulator, &[]).await;
    service.shows(&throughput("ut-1499"), 1.5).await;
    for format in FORMATS {
        let target = format!("/metrics?format={format}");
        let plain = get(service.address, &target, &[]).await;
        let compressed = get(service.address, &target, &[("Accept-Encoding", "gzip")]).await;
        assert_eq!(compressed.status, 200);
        assert_eq!(
            compressed.header("content-encoding").as_deref(),
            Some("gzip")
        );
        assert_eq!(compressed.header("vary").as_deref(), Some(VARY));
        assert_eq!(
            compressed.header("content-type"),
            plain.header("content-type")
        );
        let text = gunzip(&compressed.bytes);
        form::read(&text, format);
        assert!(telemetry(&plain.body).len() > 256 * 1024);
        assert_eq!(telemetry(&text), telemetry(&plain.body));
        assert!(compressed.bytes.len() * 4 < plain.bytes.len());
    }
}

/// The samples of the devices, and whether the exporter speaks of itself.
fn samples(body: &str) -> (BTreeSet<String>, bool) {
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    let (devices, own): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains("deviceID="));
    (
        devices.into_iter().map(str::to_owned).collect(),
        !own.is_empty(),
    )
}

#[actix_rt::test]
async fn shards_are_the_whole_and_stay_what_they_are() {
    let mut before: Vec<BTreeSet<String>> = Vec::new();
    for _restart in 0..2 {
        let simulator = scripted_simulator();
        simulator.push_rows((0..600).map(|number| row(&format!("ut-{number}"))));
        let service = Service::start(&simulator, &[]).await;
        service.shows(&throughput("ut-599"), 1.5).await;
        let whole = get(service.address, "/metrics?shard=0&total_shards=1", &[]).await;
        let (mut missing, is_own) = samples(&whole.body);
        assert!(is_own && missing.len() >= 3 * 600);
        let mut shards = Vec::new();
        for shard in 0..4 {
            let target = format!("/metrics?format=mixed&total_shards=4&shard={shard}");
            let plain = get(service.address, &target, &[]).await;
            let compressed = get(service.address, &target, &[("Accept-Encoding", "gzip")]).await;
            form::read(&plain.body, "mixed");
            let (devices, is_own) = samples(&plain.body);
            assert_eq!(
                samples(&gunzip(&compressed.bytes)),
                (devices.clone(), is_own)
            );
            assert_eq!(is_own, shard == 0, "shard {shard}");
            assert!(devices.len() > 300, "shard {shard} has its part");
            for sample in &devices {
                assert!(missing.remove(sample), "{sample} stands in one shard");
            }
            shards.push(devices);
        }
        assert_eq!(missing, BTreeSet::new(), "each sample stands in a shard");
        if !before.is_empty() {
            assert_eq!(shards, before, "a restart moves no device");
        }
        before = shards;
    }
}

#[actix_rt::test]
async fn a_shard_that_does_not_exist_is_refused() {
    let (_simulator, service) = service(&[]).await;
    for query in [
        "shard=1",
        "shard=4&total_shards=4",
        "shard=-1&total_shards=4",
        "shard=%3Cscript%3E&total_shards=4",
        "shard=0&total_shards=0",
        "shard=0&total_shards=",
        "total_shards=4294967296",
        "shard=1&total_shards=1025",
    ] {
        let answer = get(service.address, &format!("/metrics?{query}"), &[]).await;
        assert_eq!(answer.status, 400, "{query}");
        let says = "Invalid shard: need 0 <= shard < total_shards <= 1024";
        assert!(answer.body.contains(says), "{query}: {}", answer.body);
        assert!(
            !answer.body.contains("script"),
            "what comes in does not go out"
        );
    }
}

#[actix_rt::test]
async fn compression_is_what_the_client_accepts() {
    let (_simulator, service) = service(&[]).await;
    for (accepted, is_gzip) in [
        ("gzip", true),
        ("GZIP", true),
        ("gzip, deflate, br, zstd", true),
        ("deflate, gzip;q=0.5", true),
        ("gzip;q=1.0, *;q=0.5", true),
        ("identity", false),
        ("br", false),
        ("br, zstd, deflate", false),
        ("gzip;q=0", false),
        ("gzip;q=0, *", false),
        ("", false),
        ("gzip;q=high", false),
        ("\u{1f6f0}", false),
    ] {
        let answer = get(
            service.address,
            "/metrics",
            &[("Accept-Encoding", accepted)],
        )
        .await;
        assert_eq!(answer.status, 200, "{accepted}");
        let encoding = answer.header("content-encoding");
        assert_eq!(encoding.as_deref(), is_gzip.then_some("gzip"), "{accepted}");
        let text = if is_gzip {
            gunzip(&answer.bytes)
        } else {
            answer.body
        };
        form::read(&text, "mixed");
    }
}

#[actix_rt::test]
async fn head_is_get_without_the_body() {
    let (_simulator, service) = service(&[]).await;
    let head_of = |answer: &Response| {
        let names = ["content-type", "vary", "content-encoding", "cache-control"];
        (answer.status, names.map(|name| answer.header(name)))
    };
    let mut targets: Vec<_> = PATHS.map(str::to_owned).to_vec();
    targets.extend(FORMATS.map(|format| format!("/metrics?format={format}")));
    targets.extend(["/metrics?format=x", "/readyz?verbose", "/nothing"].map(str::to_owned));
    for target in targets {
        for headers in [
            &[][..],
            &[("Accept-Encoding", "gzip"), ("Accept", "text/plain")],
        ] {
            let get = get(service.address, &target, headers).await;
            let head = ask(service.address, "HEAD", &target, headers).await;
            assert_eq!(head_of(&head), head_of(&get), "{target}");
            assert_eq!(head.bytes, b"", "{target}");
            assert!(!get.bytes.is_empty(), "{target}");
        }
    }
}

#[actix_rt::test]
async fn other_methods_are_refused() {
    let (_simulator, service) = service(&[]).await;
    for path in PATHS {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let answer = ask(service.address, method, path, &[]).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            let allow = answer.header("allow").unwrap();
            let mut allow: Vec<_> = allow.split(',').map(str::trim).collect();
            allow.sort_unstable();
            assert_eq!(allow, ["GET", "HEAD"], "{method} {path}");
        }
    }
}

#[actix_rt::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let (_simulator, service) = service(&[]).await;
    join_all(PATHS.map(|path| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
        let answer = send(service.address, head);
        async move { assert_eq!(answer.await.status, 405, "{path}") }
    }))
    .await;
}

#[actix_rt::test]
async fn other_paths_are_not_found() {
    let (_simulator, service) = service(&[]).await;
    for path in [
        "/metrics/",
        "/METRICS",
        "/metrics.txt",
        "/favicon.ico",
        "/apis/public/v2/telemetry/stream",
        "/..%2f..%2fetc/passwd",
        "/%3Cscript%3E",
    ] {
        let answer = get(service.address, path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(
            answer.header("content-type").as_deref(),
            Some(MIXED),
            "{path}"
        );
        assert!(answer.body.contains("/metrics"), "it says what there is");
        assert!(
            !answer.body.contains("script"),
            "what comes in does not go out"
        );
    }
}

#[actix_rt::test]
async fn an_account_is_scraped_alone() {
    let (_simulator, service) = service(&[]).await;
    for headers in [&[][..], &[("Accept-Encoding", "gzip")]] {
        let answer = get(
            service.address,
            "/metrics?format=prometheus&account=default",
            headers,
        )
        .await;
        assert_eq!(answer.status, 200);
    }
    let target = "/metrics?format=prometheus&account=default";
    let text = get(service.address, target, &[]).await.body;
    let body = form::read(&text, "prometheus");
    assert!(body.has(&throughput("ut-1")));
    assert!(body.has("starlink_up{account=\"default\"}"));
    let devices = "starlink_exporter_devices{account=\"default\",device_type=\"UserTerminal\",state=\"online\"}";
    assert!(body.has(devices), "{text}");
    for family in [
        "process_",
        "starlink_exporter_build_info",
        "starlink_exporter_scrapes",
    ] {
        assert!(!text.contains(family), "{family} describes the process");
    }
    let owned = text
        .lines()
        .filter(|line| line.starts_with("starlink_exporter_"));
    for line in owned {
        assert!(line.contains("{account=\"default\""), "{line}");
    }
    for name in ["", "other", "Default", "%3Cscript%3E"] {
        let target = format!("/metrics?account={name}");
        let answer = get(service.address, &target, &[]).await;
        assert_eq!(
            (answer.status, &*answer.body),
            (404, "Unknown account.\n"),
            "{name}"
        );
    }
}

#[actix_rt::test]
async fn an_account_without_devices_is_scraped_too() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    let target = "/metrics?format=prometheus&account=default";
    let answer = get(service.address, target, &[]).await;
    assert_eq!(answer.status, 200);
    let body = form::read(&answer.body, "prometheus");
    assert!(body.has("starlink_exporter_polls_total{account=\"default\"}"));
    assert!(body.beginning("starlink_online").is_empty());
}

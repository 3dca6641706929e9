//! Tests of `/metrics` over HTTP: formats, negotiation, compression, methods, paths.
#![expect(clippy::expect_used, reason = "a test fails where it cannot continue")]

mod collect;
mod formats;
mod parts;

use std::io::Read;

use flate2::bufread::GzDecoder;
use futures_util::future::join_all;
use starlink_telemetry::simulator::Simulator;

use crate::form::{self, FORMATS};
use crate::harness::{Service, eventually, scripted_simulator, throughput};
use crate::wire::{Response, ask, get, send};

/// `Vary` of each response that depends on the client's headers.
const VARY: &str = "Accept, Accept-Encoding";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const MIXED: &str = "text/plain; charset=utf-8";

const PATHS: [&str; 5] = ["/metrics", "/livez", "/readyz", "/healthz", "/"];

/// A row with a number and a text, by which the formats differ.
fn row(id: &str) -> String {
    format!(
        r#"["u",1767225645000000000,"{id}",1.5,null,null,null,null,null,null,null,null,"2025.12.01.mr70001"]"#
    )
}

/// A service with one terminal.
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

/// The part of a body before the exporter's own metrics, which change from scrape to scrape.
fn telemetry(body: &str) -> &str {
    let end = body
        .find("# HELP starlink_up ")
        .expect("the own metrics follow");
    &body[..end]
}

/// Decompresses exactly one gzip member.
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
async fn a_request_body_that_never_arrives_is_not_awaited() {
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

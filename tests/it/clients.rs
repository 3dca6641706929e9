//! What a client gets whatever it is and however it behaves: headers, framing, and a bounded share of the service.

use starlink_telemetry::simulator::Simulator;

use crate::harness::{Service, long_names, scripted_simulator, terminal_row, throughput};
use crate::wire::{ask, get, send};

/// A service that shows some terminals.
async fn service(terminals: usize) -> (Simulator, Service) {
    let simulator = scripted_simulator();
    let names = long_names(terminals);
    let rows = names
        .iter()
        .map(|name| terminal_row(name, 1_700_000_000_000_000_000, 1.0));
    simulator.push_rows(rows);
    let service = Service::start(&simulator, &[("BATCH_SIZE", "65000")]).await;
    service.shows(&throughput(&names[terminals - 1]), 1.0).await;
    (simulator, service)
}

#[actix_rt::test]
async fn a_client_of_http_1_0_gets_bodies_without_chunks_that_end_with_the_connection() {
    let (_simulator, service) = service(2000).await;
    for (path, encoding) in [
        ("/metrics", "identity"),
        ("/metrics", "gzip"),
        ("/", "identity"),
        ("/api/v1/devices?per_page=1000", "identity"),
        ("/livez", "identity"),
    ] {
        for connection in ["close", "keep-alive"] {
            let request = format!(
                "GET {path} HTTP/1.0\r\nAccept-Encoding: {encoding}\r\nConnection: {connection}\r\n\r\n"
            );
            // The end of a response without a length is that of its connection: `send` waits for it.
            if connection == "keep-alive" && path != "/metrics" {
                continue;
            }
            let answer = send(service.address, request).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("transfer-encoding"), None, "{path}");
            let whole = get(service.address, path, &[("Accept-Encoding", encoding)]).await;
            if path == "/metrics" && encoding == "identity" {
                let last = "process_start_time_seconds";
                assert!(answer.body.contains(last) && answer.body.ends_with('\n'));
                assert!(!answer.body.contains("\r\n"), "no chunk's head");
            } else if encoding == "gzip" {
                assert_eq!(answer.header("content-encoding").as_deref(), Some("gzip"));
                assert_eq!(answer.bytes[..3], whole.bytes[..3], "a gzip member");
            } else {
                assert!(!answer.bytes.is_empty());
            }
        }
    }
    let head = "HEAD /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned();
    let head = send(service.address, head).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.header("transfer-encoding"), None);
}

#[actix_rt::test]
async fn no_response_is_sniffed() {
    let (_simulator, service) = service(1).await;
    for (method, path, headers, expected) in [
        ("GET", "/metrics", &[][..], 200),
        ("HEAD", "/metrics", &[], 200),
        ("GET", "/metrics?format=x", &[], 400),
        ("GET", "/livez", &[], 200),
        ("GET", "/readyz?verbose", &[], 200),
        ("GET", "/", &[], 200),
        ("GET", "/api/v1/status", &[], 200),
        ("GET", "/api/v1/openapi.json", &[], 200),
        ("GET", "/assets/none", &[], 404),
        ("GET", "/nowhere", &[], 404),
        ("DELETE", "/metrics", &[], 405),
        ("POST", "/livez", &[("Content-Length", "5")], 405),
        ("GET", "/livez", &[("Content-Length", "5")], 413),
        (
            "GET",
            "/livez",
            &[("Content-Length", "5"), ("Expect", "100-continue")],
            417,
        ),
    ] {
        let answer = ask(service.address, method, path, headers).await;
        assert_eq!(answer.status, expected, "{method} {path}");
        let nosniff = answer.header("x-content-type-options");
        assert_eq!(nosniff.as_deref(), Some("nosniff"), "{method} {path}");
    }
}

//! Tests of what each client gets: headers, framing, and a limited share of the service.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use actix_rt::task::spawn_blocking;
use futures_util::future::{join, join_all};
use socket2::{Domain, Socket, Type};
use starlink_telemetry::app::Tuning;
use starlink_telemetry::http::ClientTimeouts;
use starlink_telemetry::simulator::Simulator;
use starlink_telemetry::store::PinLimits;

use crate::harness::{
    Service, WAIT_LIMIT, eventually, long_names, scripted_simulator, terminal_row, throughput,
};
use crate::wire::{ask, get, get_from, send, try_get};

/// A slow client.
const SLOW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A service that shows some terminals.
async fn service(terminals: usize) -> (Simulator, Service) {
    tuned(terminals, Tuning::default()).await
}

async fn tuned(terminals: usize, tuning: Tuning) -> (Simulator, Service) {
    let simulator = scripted_simulator();
    let names = long_names(terminals);
    let rows = names.iter().map(|name| terminal_row(name, 1, 1.0));
    simulator.push_rows(rows);
    let service = Service::tuned(&simulator, &[("BATCH_SIZE", "65000")], tuning).await;
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
            // `send` reads until the connection ends, because the response may have no length.
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

/// Whether the connection is open after a response to a GET of `path`.
fn stays_open(stream: &mut TcpStream, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut response, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    while !(response.ends_with(b"\r\n0\r\n\r\n") || response.ends_with(b"ok\n")) {
        let length = stream.read(&mut chunk).unwrap();
        assert_ne!(length, 0, "{path}: {} bytes", response.len());
        response.extend_from_slice(&chunk[..length]);
    }
    let is_announced = String::from_utf8_lossy(&response).contains("connection: close\r\n");
    // The end, or the next response.
    let again = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let is_open = again.is_ok() && stream.read(&mut chunk).is_ok_and(|length| length > 0);
    assert_eq!(is_announced, !is_open, "{path}");
    is_open
}

#[actix_rt::test]
async fn connections_are_closed_after_a_scrape_where_there_are_many() {
    let (_simulator, service) = service(2000).await;
    let address = service.address;
    let open = move |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        assert!(stays_open(&mut stream, path), "{path}");
        stream
    };
    let test = move || {
        let _few: Vec<_> = (0..20).map(|_| open("/metrics")).collect();
        // Each has received a response, so all are counted.
        let mut many: Vec<_> = (0..600).map(|_| open("/livez")).collect();
        let asked = many.iter_mut().take(20);
        let closed = asked.filter_map(|stream| (!stays_open(stream, "/metrics")).then_some(()));
        assert_eq!(closed.count(), 20);
    };
    spawn_blocking(test).await.unwrap();
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

/// A request of a slow client that has received the first bytes; the rest of the response exceeds all buffers.
fn begun(address: SocketAddr, request: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.bind(&SocketAddr::from((SLOW, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 15];
    stream.read_exact(&mut status).unwrap();
    assert!(
        status.ends_with(b" 200 OK"),
        "{}",
        String::from_utf8_lossy(&status)
    );
    stream
}

/// Reads this many bytes every 20 ms until the response or its connection ends. Returns what was read and how it ended.
fn read_slowly(mut stream: TcpStream, bytes: usize) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut read = Vec::new();
    let mut piece = vec![0; bytes];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return (read, Ok(())),
            Ok(length) => read.extend_from_slice(&piece[..length]),
            Err(error) => return (read, Err(error.kind())),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads until the response or its connection ends.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // If the connection is cut, reading ends with an error.
    stream.read_to_end(&mut read).ok();
    read
}

#[actix_rt::test]
async fn slow_scrapes_of_one_client_leave_room_for_others() {
    let tuning = Tuning {
        // The limit is twelve scrapes, or three of one client.
        scrape_memory: 12 * 400 * 1024,
        ..Tuning::default()
    };
    let (_simulator, service) = tuned(3000, tuning).await;
    let address = service.address;
    let open = move || -> Vec<_> {
        let request = |(shard, encoding)| {
            format!(
                "GET /metrics?shard={shard}&total_shards=2 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {encoding}\r\n\r\n"
            )
        };
        let kinds = [(0, "gzip"), (1, "gzip"), (1, "identity")];
        kinds.map(request).map(|text| begun(address, &text)).into()
    };
    let slow = spawn_blocking(open).await.unwrap();
    let answers = ["gzip", "identity"].map(|encoding| async move {
        let headers = [("Accept-Encoding", encoding)];
        let refused = get_from(SLOW, address, "/metrics", &headers);
        let other = get(address, "/metrics", &headers);
        let (refused, other) = join(refused, other).await;
        assert_eq!(refused.status, 503, "{encoding}");
        assert!(refused.body.starts_with("too many scrapes of this client"));
        assert_eq!(other.status, 200, "{encoding}");
    });
    join_all(answers).await;
    let body = service.scrape().await;
    let refused = body.value(r#"starlink_exporter_scrapes_refused_total{reason="client"}"#);
    assert_eq!(refused, Some(2.0));
    drop(slow);
    eventually("the client is answered again", || async {
        get_from(SLOW, address, "/metrics", &[]).await.status == 200
    })
    .await;
}

#[actix_rt::test]
async fn slow_pages_of_one_client_leave_room_for_others() {
    let tuning = Tuning {
        most_views: 8,
        ..Tuning::default()
    };
    let (_simulator, service) = tuned(3000, tuning).await;
    let address = service.address;
    let list = "/api/v1/devices?per_page=1000";
    let open = move || -> Vec<_> {
        let request = format!("GET {list} HTTP/1.1\r\nHost: x\r\n\r\n");
        (0..2).map(|_| begun(address, &request)).collect()
    };
    let slow = spawn_blocking(open).await.unwrap();
    let answers = [list, "/"].map(|path| async move {
        let refused = get_from(SLOW, address, path, &[]);
        let (refused, other) = join(refused, get(address, path, &[])).await;
        assert_eq!((refused.status, other.status), (503, 200), "{path}");
    });
    join_all(answers).await;
    drop(slow);
}

/// Above the limit of stalls, below the rate; and where the protocol cannot say where a body ends, the connection is reset.
#[actix_rt::test]
async fn a_client_that_reads_below_the_rate_is_cut() {
    let tuning = Tuning {
        client_timeouts: ClientTimeouts {
            rate: 4 * 1024 * 1024,
            grace: Duration::from_secs(1),
            ..ClientTimeouts::default()
        },
        ..Tuning::default()
    };
    let (_simulator, service) = tuned(3000, tuning).await;
    let address = service.address;
    for (version, path, encoding) in [
        ("1.1", "/metrics", "identity"),
        ("1.1", "/metrics", "gzip"),
        ("1.0", "/metrics", "identity"),
        ("1.1", "/api/v1/devices?per_page=1000", "identity"),
    ] {
        let request =
            format!("GET {path} HTTP/{version}\r\nHost: x\r\nAccept-Encoding: {encoding}\r\n\r\n");
        let slow = spawn_blocking(move || {
            let since = Instant::now();
            let (read, ended) = read_slowly(begun(address, &request), 8 * 1024);
            (read, ended, since.elapsed())
        });
        let (read, ended, after) = slow.await.unwrap();
        let what = format!(
            "HTTP/{version} {path} {encoding}: {} bytes, {after:?}",
            read.len()
        );
        assert_eq!(ended, Err(ErrorKind::ConnectionReset), "{what}");
        assert!(!read.ends_with(b"0\r\n\r\n"), "{what}");
        assert!(after < ClientTimeouts::default().stall, "{what}");
    }
}

#[actix_rt::test]
async fn readers_of_old_states_are_cut_when_these_take_too_much_memory() {
    for (least, is_cut) in [(0, true), (PinLimits::default().least, false)] {
        let tuning = Tuning {
            pins: PinLimits { least, fleets: 0 },
            ..Tuning::default()
        };
        let (simulator, service) = tuned(3000, tuning).await;
        let address = service.address;
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let slow = spawn_blocking(move || begun(address, request))
            .await
            .unwrap();
        let last = long_names(3000).pop().unwrap();
        simulator.push_rows([terminal_row(&last, 2, 2.0)]);
        // A scrape that was started before the change may be cut too.
        let sample = format!("{} 2\n", throughput(&last));
        eventually("the change is shown", || async {
            let scrape = try_get(address, "/metrics?format=prometheus").await;
            scrape.is_some_and(|answer| answer.body.contains(&sample))
        })
        .await;
        let read = spawn_blocking(move || rest(slow)).await.unwrap();
        assert_eq!(read.ends_with(b"0\r\n\r\n"), !is_cut, "{least}");
    }
}

#[actix_rt::test]
async fn requests_for_other_hosts_are_misdirected() {
    let simulator = scripted_simulator();
    let settings = [("ALLOWED_HOSTS", "exporter.example,*.fleet.example")];
    let service = Service::start(&simulator, &settings).await;
    let open = Service::start(&simulator, &[]).await;
    let own = rustix::system::uname();
    let own = own.nodename().to_str().unwrap();
    for (host, expected) in [
        ("exporter.example:9100", 200),
        ("a.fleet.example", 200),
        ("localhost", 200),
        (own, 200),
        ("[::1]:9100", 200),
        ("192.0.2.7", 200),
        ("rebound.example", 421),
        ("fleet.example", 421),
        ("exporter.example.evil.example", 421),
    ] {
        for path in ["/metrics", "/", "/api/v1/status"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = send(service.address, request.clone()).await;
            assert_eq!(answer.status, expected, "{host} {path}");
            assert_eq!(
                send(open.address, request).await.status,
                200,
                "{host} {path}"
            );
        }
    }
    let probe = "GET /livez HTTP/1.1\r\nHost: kubelet.example\r\nConnection: close\r\n\r\n";
    assert_eq!(send(service.address, probe.to_owned()).await.status, 200);
    let absolute =
        "GET http://rebound.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(send(service.address, absolute.to_owned()).await.status, 421);
    let old = "GET /metrics HTTP/1.0\r\n\r\n".to_owned();
    assert_eq!(send(service.address, old).await.status, 200, "no host");
}

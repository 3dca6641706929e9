//! Tests that clients with many, slow, incomplete or oversized requests do not affect other clients.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_rt::task::spawn_blocking;
use socket2::{Domain, Socket, Type};
use starlink_telemetry::app::Tuning;
use starlink_telemetry::http::ClientTimeouts;
use starlink_telemetry::simulator::{AnswerBody, Simulator};

use crate::binary::Binary;
use crate::form;
use crate::harness::{
    Service, WAIT_LIMIT, eventually, long_names, scripted_simulator, shows, terminal_row,
    throughput,
};
use crate::wire::{ask, get, send};

/// The number of connections that stay open without a request.
const IDLE: usize = 10_000;

/// The number of clients that read slowly.
const SLOW: usize = 100;

/// How long a client may take in the tests of time limits.
const SHORT: Duration = Duration::from_secs(1);

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream
}

/// Sends a request on a connection with a small receive buffer, without reading, from an address of its own.
fn ask_slowly(address: SocketAddr, path: &str, encoding: &str) -> TcpStream {
    ask_slowly_from(Ipv4Addr::new(127, 0, 0, 2), address, path, encoding)
}

fn ask_slowly_from(source: Ipv4Addr, address: SocketAddr, path: &str, encoding: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: {encoding}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Requests `/livez` on a connection that stays open, and reads the response.
fn ask_and_stay(stream: &mut TcpStream) {
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while !answer.ends_with(b"ok\n") {
        let length = stream.read(&mut chunk).unwrap();
        assert_ne!(length, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&chunk[..length]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// Reads until the connection ends or is reset.
fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    if let Err(error) = stream.read_to_end(&mut read) {
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "it does not end");
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Pushes rows whose scrape exceeds the buffers of both sockets. Returns the name of the last device.
fn push_large_fleet(simulator: &Simulator) -> String {
    let mut names = long_names(2000);
    let rows = names
        .iter()
        .map(|name| terminal_row(name, 1_000_000_000, 1.0));
    simulator.push_rows(rows);
    names.pop().unwrap()
}

/// Pushes a thousand terminals with so much text that a page exceeds the buffers of the operating system.
fn push_long_texts(simulator: &Simulator) {
    let columns = [
        "DeviceType",
        "UtcTimestampNs",
        "DeviceId",
        "DownlinkThroughput",
        "RunningSoftwareVersion",
    ];
    let text = "v".repeat(10_000);
    let row = |number| format!(r#"["u",1700000001000000000,"ut-{number}",1,"{text}"]"#);
    let body = AnswerBody::new().columns("u", &columns);
    simulator.push_answer(body.rows((0..1000).map(row)));
}

/// A simulator and a service with the largest batches.
async fn service_with(tuning: Tuning) -> (Simulator, Service) {
    let simulator = scripted_simulator();
    let service = Service::tuned(&simulator, &[("BATCH_SIZE", "65000")], tuning).await;
    (simulator, service)
}

fn short_timeouts() -> ClientTimeouts {
    ClientTimeouts {
        first: SHORT,
        request: SHORT,
        ..ClientTimeouts::default()
    }
}

#[actix_rt::test]
async fn idle_connections_and_slow_readers_do_not_affect_other_clients() {
    let simulator = scripted_simulator();
    let last = push_large_fleet(&simulator);
    let (_binary, address) = Binary::listening(&simulator, &[("BATCH_SIZE", "65000")]).await;
    shows(address, &throughput(&last), 1.0).await;

    let idle = spawn_blocking(move || -> Vec<TcpStream> {
        let open = |_| {
            let mut stream = connect(address);
            ask_and_stay(&mut stream);
            stream
        };
        (0..IDLE).map(open).collect()
    });
    let idle = idle.await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let slow = {
        let is_over = Arc::clone(&is_over);
        spawn_blocking(move || {
            // Compressed bodies are shared, as for Prometheus. A few uncompressed requests are enough to keep the workers busy.
            let encoding = |number| if number % 20 == 0 { "identity" } else { "gzip" };
            // One client may have a quarter of the concurrent scrapes.
            let ask = |number: usize| {
                let source = Ipv4Addr::new(127, 0, 0, 2 + (number % 4) as u8);
                ask_slowly_from(source, address, "/metrics", encoding(number))
            };
            let mut readers: Vec<_> = (0..SLOW).map(ask).collect();
            let mut bytes = 0;
            while !is_over.load(Ordering::Relaxed) {
                for (number, reader) in readers.iter_mut().enumerate() {
                    match reader.read(&mut [0; 1]) {
                        Ok(read) if read > 0 => bytes += read,
                        // The client was disconnected because it was too slow: it connects again.
                        _ => *reader = ask(number),
                    }
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            bytes
        })
    };
    for round in 2..5_u32 {
        let row = terminal_row(&last, u64::from(round) * 1_000_000_000, f64::from(round));
        simulator.push_rows([row]);
        shows(address, &throughput(&last), f64::from(round)).await;
        for probe in ["/livez", "/readyz"] {
            assert_eq!(get(address, probe, &[]).await.status, 200, "{probe}");
        }
        let gzip = get(address, "/metrics", &[("Accept-Encoding", "gzip")]).await;
        assert_eq!(gzip.status, 200);
    }
    // Clients that were disconnected connect again.
    eventually("all connections are open", || async {
        let body = form::scrape(address, "prometheus").await;
        body.value("process_open_fds") >= Some((IDLE + SLOW) as f64)
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    assert!(slow.await.unwrap() > SLOW, "the slow readers were served");
    drop(idle);
}

#[actix_rt::test]
async fn slow_and_silent_clients_are_disconnected() {
    let tuning = Tuning {
        client_timeouts: short_timeouts(),
        ..Tuning::default()
    };
    let (_simulator, service) = service_with(tuning).await;
    let address = service.address;
    let silent = spawn_blocking(move || rest(&mut connect(address)));
    let trickle = |is_first: bool| {
        spawn_blocking(move || {
            let mut stream = connect(address);
            if !is_first {
                ask_and_stay(&mut stream);
            }
            let mut reader = stream.try_clone().unwrap();
            let reading = std::thread::spawn(move || rest(&mut reader));
            while !reading.is_finished() {
                // Fails when the service has closed the connection.
                let _ = stream.write_all(b"x");
                std::thread::sleep(Duration::from_millis(50));
            }
            reading.join().unwrap()
        })
    };
    let (first, later) = (trickle(true), trickle(false));
    assert!(silent.await.unwrap().starts_with("HTTP/1.1 408 "));
    let first = first.await.unwrap();
    assert!(
        first.is_empty() || first.starts_with("HTTP/1.1 408 "),
        "{first}"
    );
    assert_eq!(later.await.unwrap(), "");
}

#[actix_rt::test]
async fn an_endless_head_is_cut() {
    let (_simulator, service) = service_with(Tuning::default()).await;
    let address = service.address;
    let flood = spawn_blocking(move || {
        let mut stream = connect(address);
        let start = b"GET /metrics HTTP/1.1\r\nx: ";
        let mut sent = stream.write(start).unwrap();
        while let Ok(bytes) = stream.write(&[b'x'; 8192]) {
            sent += bytes;
            assert!(sent < 100_000_000, "it is read without a limit");
        }
    });
    flood.await.unwrap();
    let many: String = (0..1000)
        .map(|number| format!("x{number}: y\r\n"))
        .collect();
    let request = format!("GET /metrics HTTP/1.1\r\n{many}Connection: close\r\n\r\n");
    assert_eq!(send(address, request).await.status, 431);
    assert_eq!(service.get("/livez").await.status, 200);
}

/// Heads that are rejected before any handler, both as the first on a connection and after a request.
#[actix_rt::test]
async fn rejected_heads_get_the_headers_of_all_responses() {
    let directory = tempfile::tempdir().unwrap();
    let web = directory.path().join("web.yml");
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";
    std::fs::write(&web, headers).unwrap();
    let simulator = scripted_simulator();
    let tuning = Tuning {
        client_timeouts: short_timeouts(),
        ..Tuning::default()
    };
    let web = web.to_str().unwrap();
    let service = Service::tuned(&simulator, &[("WEB_CONFIG_FILE", web)], tuning).await;
    let address = service.address;
    let many: String = (0..200).map(|number| format!("x{number}: y\r\n")).collect();
    let large = format!("GET / HTTP/1.1\r\n{many}\r\n");
    let refused = |is_first: bool, head: String| {
        spawn_blocking(move || {
            let mut stream = connect(address);
            if !is_first {
                ask_and_stay(&mut stream);
            }
            stream.write_all(head.as_bytes()).unwrap();
            rest(&mut stream)
        })
    };
    for (is_first, head, expected) in [
        (true, "no head\r\n\r\n", "400"),
        (false, "no head\r\n\r\n", "400"),
        (true, &*large, "431"),
        (false, &*large, "431"),
        (true, "GET / HTTP/1.1\r\n", "408"),
    ] {
        let answer = refused(is_first, head.to_owned()).await.unwrap();
        let head = answer.strip_suffix("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap();
        assert!(
            status.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{answer}"
        );
        for header in ["x-content-type-options: nosniff", "x-frame-options: deny"] {
            assert_eq!(head.matches(header).count(), 1, "{answer}");
        }
        assert!(lines.all(|line| line.contains(": ")), "{answer}");
    }
    let answer = get(address, "/livez", &[]).await;
    let frame = answer.header("x-frame-options");
    assert_eq!((answer.status, frame.as_deref()), (200, Some("deny")));
}

#[actix_rt::test]
async fn bodies_are_refused_unread() {
    let (_simulator, service) = service_with(Tuning::default()).await;
    let long = ("Content-Length", "1000000000000");
    let chunked = ("Transfer-Encoding", "chunked");
    for path in ["/metrics", "/livez", "/", "/nowhere"] {
        for header in [long, chunked] {
            for (method, expected) in [("GET", 413), ("HEAD", 413), ("POST", 405), ("PUT", 405)] {
                let answer = ask(service.address, method, path, &[header]).await;
                assert_eq!(answer.status, expected, "{method} {path}");
                assert_eq!(answer.header("connection").as_deref(), Some("close"));
                let allow = answer.header("allow");
                assert_eq!(allow.is_some(), expected == 405, "{method} {path}");
            }
        }
        let headers = [("Content-Length", "1"), ("Expect", "100-continue")];
        let answer = ask(service.address, "POST", path, &headers).await;
        assert_eq!(answer.status, 417, "{path}");
    }
    let address = service.address;
    let endless = spawn_blocking(move || {
        let mut stream = connect(address);
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
        )
        .unwrap();
        let mut sent = 0;
        while let Ok(bytes) = stream.write(&[b'x'; 8192]) {
            sent += bytes;
            assert!(sent < 100_000_000, "it is read without a limit");
        }
    });
    endless.await.unwrap();
}

#[actix_rt::test]
async fn scrapes_beyond_the_bound_wait_and_are_refused() {
    let tuning = Tuning {
        scrape_memory: 1,
        query_limit: SHORT,
        ..Tuning::default()
    };
    let (simulator, service) = service_with(tuning).await;
    let last = push_large_fleet(&simulator);
    service.shows(&throughput(&last), 1.0).await;
    let mut slow = ask_slowly(service.address, "/metrics", "identity");
    slow.read_exact(&mut [0; 17]).unwrap();

    let refused = service.get("/metrics").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.body.contains("too many scrapes at once"),
        "{}",
        refused.body
    );
    assert_eq!(refused.header("retry-after").as_deref(), Some("5"));
    assert_eq!(
        ask(service.address, "HEAD", "/metrics", &[]).await.status,
        200
    );
    assert_eq!(service.get("/readyz").await.status, 200);

    drop(slow);
    eventually("a scrape is answered again", || async {
        service.get("/metrics").await.status == 200
    })
    .await;
    let body = service.scrape().await;
    let refused = body.value("starlink_exporter_scrapes_refused_total{reason=\"busy\"}");
    assert!(refused >= Some(1.0), "{refused:?}");
}

/// A response that is not read counts until it is sent or cut.
#[actix_rt::test]
async fn pages_beyond_the_bound_wait_and_are_refused() {
    let tuning = Tuning {
        most_views: 1,
        query_limit: SHORT,
        ..Tuning::default()
    };
    let (simulator, service) = service_with(tuning).await;
    push_long_texts(&simulator);
    service.shows(&throughput("ut-999"), 1.0).await;
    let list = "/api/v1/devices?per_page=1000";
    let mut slow = ask_slowly(service.address, list, "identity");
    slow.read_exact(&mut [0; 17]).unwrap();

    let refused = service.get("/api/v1/status").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.body.contains("too many requests at once"),
        "{}",
        refused.body
    );
    assert_eq!(refused.header("retry-after").as_deref(), Some("5"));
    let refused = service.get("/").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.body.contains("<html") && refused.body.contains("too many requests at once"),
        "{}",
        refused.body
    );
    for path in ["/metrics", "/readyz", "/api/v1/openapi.json"] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }

    drop(slow);
    eventually("a page is answered again", || async {
        service.get(list).await.status == 200
    })
    .await;
}

#[actix_rt::test]
async fn a_scrape_that_is_read_for_too_long_is_cut() {
    is_cut("/metrics", "\r\n0\r\n\r\n").await;
}

#[actix_rt::test]
async fn a_page_that_is_read_for_too_long_is_cut() {
    is_cut("/api/v1/devices?per_page=1000", "}").await;
}

/// A response that is read for too long is cut.
async fn is_cut(path: &'static str, end: &str) {
    let tuning = Tuning {
        client_timeouts: ClientTimeouts {
            response: 3 * SHORT,
            ..ClientTimeouts::default()
        },
        ..Tuning::default()
    };
    let (simulator, service) = service_with(tuning).await;
    push_long_texts(&simulator);
    service.shows(&throughput("ut-999"), 1.0).await;
    let address = service.address;
    let read = spawn_blocking(move || {
        let mut stream = ask_slowly(address, path, "identity");
        let mut read = vec![0; 17];
        stream.read_exact(&mut read).unwrap();
        let since = Instant::now();
        let mut chunk = [0; 4096];
        // Steadily, but too slowly to finish in time; then as fast as possible.
        loop {
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return read,
                Ok(length) => read.extend_from_slice(&chunk[..length]),
            }
            if since.elapsed() < 4 * SHORT {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let read = read.await.unwrap();
    assert!(read.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(!read.ends_with(end.as_bytes()), "it does not look whole");
}

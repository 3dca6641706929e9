//! Tests that slow clients get the complete body, clients that stop reading are disconnected, and neither delays others.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use actix_rt::task::spawn_blocking;
use socket2::{Domain, Socket, Type};
use starlink_telemetry::app::Tuning;
use starlink_telemetry::http::ClientTimeouts;
use starlink_telemetry::simulator::Simulator;

use crate::harness::{
    Service, WAIT_LIMIT, eventually, long_names, scripted_simulator, terminal_row, throughput,
};

/// The time limit of stalled clients in these tests.
const STALL_LIMIT: Duration = Duration::from_secs(2);

/// The number of devices: both the plain and the compressed body exceed the buffers of both sockets.
const DEVICES: usize = 12_000;

/// A service with devices that have long names, which do not compress well.
async fn service() -> (Simulator, Service) {
    let names = long_names(DEVICES);
    let simulator = scripted_simulator();
    simulator.push_rows(
        names
            .iter()
            .map(|name| terminal_row(name, 1_000_000_000, 1.0)),
    );
    let tuning = Tuning {
        client_timeouts: ClientTimeouts {
            stall: STALL_LIMIT,
            ..ClientTimeouts::default()
        },
        ..Tuning::default()
    };
    let changes = [("BATCH_SIZE", "65000")];
    let service = Service::tuned(&simulator, &changes, tuning).await;
    service.shows(&throughput(&names[DEVICES - 1]), 1.0).await;
    (simulator, service)
}

/// Requests the metrics on a connection with a small receive buffer, without reading.
fn ask(address: SocketAddr, encoding: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    stream
}

/// Whether this client's connection is open on the side of the service.
fn has_connection(service: SocketAddr, client: &TcpStream) -> bool {
    let client = client.local_addr().unwrap();
    let connections = procfs::net::tcp().unwrap();
    let mut ends = connections.iter();
    ends.any(|end| (end.local_address, end.remote_address) == (service, client))
}

/// Whether the bytes end with the last chunk.
fn is_whole(read: &[u8]) -> bool {
    read.ends_with(b"\r\n0\r\n\r\n")
}

/// Reads until the connection ends or is reset.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).ok();
    read
}

#[actix_rt::test]
async fn a_client_that_stops_reading_is_cut_and_delays_no_other() {
    let (_simulator, service) = service().await;
    for encoding in ["identity", "gzip"] {
        let mut stalled = ask(service.address, encoding);
        let mut head = [0; 17];
        stalled.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK\r\n");
        let since = Instant::now();

        let address = service.address;
        let other = spawn_blocking(move || rest(ask(address, encoding)));
        assert!(is_whole(&other.await.unwrap()), "{encoding}");
        let is_open = || has_connection(service.address, &stalled);
        assert!(is_open() || since.elapsed() >= STALL_LIMIT, "{encoding}");
        eventually("the stalled client is cut", || async { !is_open() }).await;
        assert!(!is_whole(&rest(stalled)), "{encoding}");
    }
}

#[actix_rt::test]
async fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    let (_simulator, service) = service().await;
    let slow = |encoding: &'static str| {
        let address = service.address;
        spawn_blocking(move || {
            let mut stream = ask(address, encoding);
            let mut read = Vec::new();
            let mut chunk = vec![0; 8 * 1024];
            let since = Instant::now();
            loop {
                let length = stream.read(&mut chunk).unwrap();
                if length == 0 {
                    return read;
                }
                read.extend_from_slice(&chunk[..length]);
                if since.elapsed() > 3 * STALL_LIMIT {
                    read.extend(rest(stream));
                    return read;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let (plain, compressed) = futures_util::future::join(slow("identity"), slow("gzip")).await;
    assert!(is_whole(&plain.unwrap()) && is_whole(&compressed.unwrap()));
}

//! Benchmarks of scrapes over loopback, complete and in shards, compared with actix-web sending prepared bytes and with gzip on one
//! thread.

use std::error::Error;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use criterion::Throughput;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::crate_api::{Service, fleet_bodies};
use crate::feed::stamp_of;
use crate::listed;
use crate::ready::ReadyServer;
use crate::runs::{Runs, timed};
use crate::verdict::Target;
use crate::wire::{self, Sink};

/// The number of terminals.
pub const TERMINALS: usize = 100_000;

/// The number of shards.
const SHARDS: usize = 4;

/// The path of a scrape.
pub const METRICS: &str = "/metrics?format=prometheus";

/// A scrape of a fleet without an inventory.
pub const PLAIN: &str = "scrape/plain";

/// The service and the reference server.
struct Servers {
    service: Service,
    text: Bytes,
    plain: ReadyServer,
    compressed: Bytes,
    gzip: ReadyServer,
}

impl Servers {
    fn start() -> Result<Self, Box<dyn Error>> {
        let service = Service::start(TERMINALS)?;
        let text = Bytes::from(body(service.address, METRICS, false)?);
        let compressed = Bytes::from(body(service.address, METRICS, true)?);
        Ok(Self {
            service,
            plain: ReadyServer::start(text.clone())?,
            text,
            gzip: ReadyServer::start(compressed.clone())?,
            compressed,
        })
    }
}

/// The body of a response.
///
/// # Errors
/// The server does not respond.
pub fn body(address: SocketAddr, path: &str, is_gzip: bool) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    wire::request(address, path, is_gzip)?.read_to_end(&mut answer)?;
    wire::body(&answer)
}

/// Measures scrapes, in bytes of uncompressed text a second.
///
/// # Errors
/// The service does not start or does not respond.
pub fn run(runs: &mut Runs) -> Result<(), Box<dyn Error>> {
    let mut servers = Servers::start()?;
    let megabytes = |bytes: &Bytes| bytes.len() as f64 / 1e6;
    let (text, compressed) = (megabytes(&servers.text), megabytes(&servers.compressed));
    runs.report(
        "scrape: the text of 100,000 terminals",
        text,
        " MB",
        Target::None,
    );
    runs.report(
        "scrape: the same, compressed",
        compressed,
        " MB",
        Target::None,
    );
    plain(runs, &servers);
    gzip(runs, &mut servers)?;
    shards(runs, &servers)?;
    listed::run(runs, &mut servers.service, servers.text.len())
}

/// The time that a client needs to read a response completely.
pub fn drained(sink: &mut Sink, address: SocketAddr, path: &str, is_gzip: bool) -> Duration {
    let mut answer = Ok(0);
    let took = timed(|| answer = sink.drain(address, path, is_gzip));
    match answer {
        Ok(_) => took,
        Err(error) => panic!("{path}: {error}"),
    }
}

fn plain(runs: &mut Runs, servers: &Servers) {
    let mut sink = Sink::default();
    let work = || Throughput::Bytes(servers.text.len() as u64);
    let (buffer, chunks) = ("scrape/ready text, one buffer", "scrape/ready text, chunks");
    for (name, path) in [(buffer, "/buffer"), (chunks, "/chunks")] {
        runs.time(name, work(), || {
            drained(&mut sink, servers.plain.address, path, false)
        });
    }
    runs.time(PLAIN, work(), || {
        drained(&mut sink, servers.service.address, METRICS, false)
    });
    runs.compare(PLAIN, buffer, Target::AtMost(2.0));
    runs.compare(PLAIN, chunks, Target::AtMost(2.0));
}

fn gzip(runs: &mut Runs, servers: &mut Servers) -> Result<(), Box<dyn Error>> {
    let mut sink = Sink::default();
    let work = Throughput::Bytes(servers.text.len() as u64);
    let (buffer, chunks) = ("scrape/ready gzip, one buffer", "scrape/ready gzip, chunks");
    for (name, path) in [(buffer, "/buffer"), (chunks, "/chunks")] {
        runs.time(name, work.clone(), || {
            drained(&mut sink, servers.gzip.address, path, true)
        });
    }
    // How much two threads gain differs between machines: two virtual processors can share one core.
    let one_thread = "scrape/gzip -1 of the text, one thread";
    let two_threads = "scrape/gzip -1 of its halves, two threads";
    for (name, parts) in [
        (one_thread, vec![&*servers.text]),
        (two_threads, halves(&servers.text)),
    ] {
        runs.time(name, work.clone(), || timed(|| gzip_each(&parts)));
    }

    let address = servers.service.address;
    let later = "scrape/gzip, unchanged fleet";
    runs.time(later, work.clone(), || {
        drained(&mut sink, address, METRICS, true)
    });
    runs.compare(later, buffer, Target::AtMost(1.3));
    runs.compare(later, chunks, Target::AtMost(1.3));

    let first = "scrape/gzip, the first of a changed fleet";
    time_changed_fleet(runs, first, work, &mut servers.service, METRICS);
    runs.compare(first, one_thread, Target::None);
    runs.compare(first, two_threads, Target::AtMost(1.3));
    Ok(())
}

/// Measures compressed scrapes, each of which is the first one after all terminals have reported.
pub fn time_changed_fleet(
    runs: &mut Runs,
    name: &str,
    work: Throughput,
    service: &mut Service,
    path: &str,
) {
    let mut sink = Sink::default();
    let mut fleets = [0, 1].map(|variant| fleet_bodies(TERMINALS, variant, 1));
    runs.time(name, work, || {
        let number = service.next_sweep();
        for body in &mut fleets[number as usize % 2] {
            body.stamp(stamp_of(number));
            if let Err(error) = service.apply(body) {
                panic!("{error}");
            }
        }
        drained(&mut sink, service.address, path, true)
    });
}

/// The two halves of a text.
pub fn halves(text: &[u8]) -> Vec<&[u8]> {
    text.chunks(text.len().div_ceil(2)).collect()
}

/// Compresses each part on a thread of its own.
pub fn gzip_each(parts: &[&[u8]]) {
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(|| {
                let mut encoder =
                    GzEncoder::new(Vec::with_capacity(part.len()), Compression::fast());
                encoder.write_all(part).map(|()| encoder.finish())
            });
        }
    });
}

fn shards(runs: &mut Runs, servers: &Servers) -> Result<(), Box<dyn Error>> {
    let mut sink = Sink::default();
    let address = servers.service.address;
    let paths: Vec<_> = (0..SHARDS)
        .map(|shard| format!("{METRICS}&shard={shard}&total_shards={SHARDS}"))
        .collect();
    let mut sizes = Vec::new();
    for path in &paths {
        sizes.push(body(address, path, false)?.len());
    }
    let all: usize = sizes.iter().sum();
    let share = |bytes: usize| bytes as f64 / servers.text.len() as f64;
    let most = sizes.iter().copied().max().unwrap_or_default();
    runs.report(
        "shards: bytes of all four",
        share(all),
        " × the whole",
        Target::AtMost(1.01),
    );
    runs.report(
        "shards: bytes of the largest",
        share(most),
        " × the whole",
        Target::AtMost(0.26),
    );

    let one = "shards/one of four";
    runs.time(one, Throughput::Bytes(sizes[0] as u64), || {
        drained(&mut sink, address, &paths[0], false)
    });
    runs.compare(one, PLAIN, Target::None);
    let four = "shards/all four, one after the other";
    runs.time(four, Throughput::Bytes(all as u64), || {
        let paths = paths.iter();
        paths
            .map(|path| drained(&mut sink, address, path, false))
            .sum()
    });
    runs.compare(four, PLAIN, Target::None);
    Ok(())
}

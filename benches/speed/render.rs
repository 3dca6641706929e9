//! Benchmarks of writing a fleet in the three formats, compared with memcpy and with two client libraries with the same series.

use std::error::Error;
use std::hint::black_box;

use criterion::Throughput;

use crate::crate_api::{Format, World, all_alerting, chunks};
use crate::feed::{MOST_ROWS, stamp_of};
use crate::peers::{Prometheus, PrometheusClient};
use crate::runs::{Runs, timed};
use crate::verdict::Target;

/// Measures rendering, in bytes a second.
///
/// # Errors
/// The fleet cannot be created.
pub fn run(runs: &mut Runs) -> Result<(), Box<dyn Error>> {
    let snapshot = World::of(MOST_ROWS)?.snapshot();
    let text: Vec<u8> = chunks(Format::Prometheus, &snapshot).flatten().collect();
    let text = String::from_utf8(text)?;
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    runs.report(
        "render: series of 65,000 terminals",
        lines as f64 / 1e6,
        " M",
        Target::None,
    );
    let work = Throughput::Bytes(text.len() as u64);

    let copy = "render/memcpy of the same bytes";
    let mut ready = vec![0; text.len()];
    runs.time(copy, work.clone(), || {
        timed(|| black_box(&mut ready).copy_from_slice(black_box(text.as_bytes())))
    });

    let client = "render/prometheus-client's encode";
    let peer = PrometheusClient::of(&text);
    let mut out = String::with_capacity(2 * text.len());
    runs.time(client, work.clone(), || {
        out.clear();
        timed(|| peer.encode(&mut out))
    });
    drop(peer);

    let gather = "render/prometheus's gather and encode";
    let peer = Prometheus::of(&text)?;
    let mut out = Vec::with_capacity(2 * text.len());
    runs.time(gather, work, || {
        out.clear();
        timed(|| peer.encode(&mut out))
    });
    drop(peer);

    for format in Format::ALL {
        let name = format!("render/{}", format.name());
        let bytes = chunks(format, &snapshot).map(|chunk| chunk.len() as u64);
        let work = Throughput::Bytes(bytes.sum());
        runs.time(&name, work, || {
            timed(|| {
                for chunk in chunks(format, &snapshot) {
                    black_box(chunk);
                }
            })
        });
        runs.outrun(&name, client, Target::AtLeast(8.0));
        runs.outrun(&name, gather, Target::AtLeast(40.0));
        runs.compare(&name, copy, Target::AtMost(3.0));
        runs.rate(&name, lines as f64 / 1e6, " M lines/s", Target::None);
    }
    alerts(runs)
}

/// Measures the largest number of alerts, on terminals of sixteen blocks.
fn alerts(runs: &mut Runs) -> Result<(), Box<dyn Error>> {
    const TERMINALS: usize = 4096;
    const ALERTS: usize = 1024;
    let lines = TERMINALS * ALERTS;
    let mut body = all_alerting(TERMINALS, ALERTS);
    let mut known = World::new();
    known.apply(body.json().to_vec())?;
    let snapshot = known.snapshot();
    let mut number = 0;
    for (name, is_known) in [
        (
            "render/decode and apply the batch of 1,024 alerts on each of 4,096 new terminals",
            false,
        ),
        (
            "render/decode and apply the batch of 1,024 alerts on each of 4,096 known terminals",
            true,
        ),
    ] {
        runs.time(name, Throughput::Elements(lines as u64), || {
            number += 1;
            body.stamp(stamp_of(number));
            let mut new = World::new();
            let world = if is_known { &mut known } else { &mut new };
            let json = body.json().to_vec();
            timed(|| world.apply(json))
        });
        runs.within(name, 3_000.0);
    }
    let name = "render/1,024 alerts on each of 4,096 terminals";
    runs.time(name, Throughput::Elements(lines as u64), || {
        timed(|| {
            for chunk in chunks(Format::Prometheus, &snapshot) {
                black_box(chunk);
            }
        })
    });
    runs.rate(name, lines as f64 / 1e6, " M lines/s", Target::None);
    runs.within(name, 1_000.0);
    Ok(())
}

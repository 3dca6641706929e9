//! Benchmarks of scrapes of a fleet that has an inventory, compared with scrapes of the same fleet without one, with sending prepared bytes,
//! and with memcpy.

use std::error::Error;
use std::hint::black_box;

use bytes::Bytes;
use criterion::Throughput;

use crate::crate_api::{Collect, Service, World, chunks_of};
use crate::inventory;
use crate::ready::ReadyServer;
use crate::runs::{Runs, timed};
use crate::scrape::{
    METRICS, PLAIN, TERMINALS, body, drained, gzip_each, halves, time_changed_fleet,
};
use crate::verdict::Target;
use crate::wire::Sink;

/// How much more a byte of the inventory may cost than one of the telemetry.
const MOST: f64 = 1.3;

/// A scrape with all groups, and one without the inventory.
const WHOLE: &str = "scrape/plain, with an inventory";
const TELEMETRY: &str = "scrape/plain, with an inventory, collect[]=telemetry";
const INVENTORY: &str = "scrape/plain, with an inventory, collect[]=inventory";

/// Adds an inventory to the fleet of the service, and measures its scrapes. `without` is the length of the text without the inventory.
///
/// # Errors
/// The service does not respond.
pub fn run(runs: &mut Runs, service: &mut Service, without: usize) -> Result<(), Box<dyn Error>> {
    service.list(TERMINALS)?;
    plain(runs, service, without)?;
    gzip(runs, service)?;
    render(runs)
}

/// Adds the size of a text to the table.
fn size(runs: &mut Runs, of: &str, text: &[u8]) {
    let is_sample = |line: &&[u8]| !line.is_empty() && !line.starts_with(b"#");
    let series = text.split(|byte| *byte == b'\n').filter(is_sample).count();
    let figure = format!("scrape: {of}: {series} series");
    runs.report(&figure, text.len() as f64 / 1e6, " MB", Target::None);
}

fn plain(runs: &mut Runs, service: &Service, without: usize) -> Result<(), Box<dyn Error>> {
    let mut sink = Sink::default();
    for (name, parameter, ready) in [
        (WHOLE, "", "scrape/ready text, with an inventory, chunks"),
        (
            TELEMETRY,
            "&collect[]=telemetry",
            "scrape/ready text, collect[]=telemetry, chunks",
        ),
        (
            INVENTORY,
            "&collect[]=inventory",
            "scrape/ready text, collect[]=inventory, chunks",
        ),
    ] {
        let path = format!("{METRICS}{parameter}");
        let text = Bytes::from(body(service.address, &path, false)?);
        size(runs, name, &text);
        let length = text.len();
        let work = Throughput::Bytes(length as u64);
        let server = ReadyServer::start(text)?;
        runs.time(ready, work.clone(), || {
            drained(&mut sink, server.address, "/chunks", false)
        });
        runs.time(name, work, || {
            drained(&mut sink, service.address, &path, false)
        });
        runs.compare(name, ready, Target::AtMost(2.0));
        runs.compare_per_byte((name, length), (PLAIN, without), Target::AtMost(MOST));
    }
    Ok(())
}

fn gzip(runs: &mut Runs, service: &mut Service) -> Result<(), Box<dyn Error>> {
    let mut sink = Sink::default();
    let address = service.address;
    for (which, parameter) in [
        ("with an inventory", ""),
        (
            "with an inventory, collect[]=telemetry",
            "&collect[]=telemetry",
        ),
    ] {
        let path = format!("{METRICS}{parameter}");
        let text = body(address, &path, false)?;
        let compressed = Bytes::from(body(address, &path, true)?);
        runs.report(
            &format!("scrape: gzip, {which}"),
            compressed.len() as f64 / 1e6,
            " MB",
            Target::None,
        );
        let work = Throughput::Bytes(text.len() as u64);
        let two_threads = format!("scrape/gzip -1 of the halves, {which}");
        runs.time(&two_threads, work.clone(), || {
            timed(|| gzip_each(&halves(&text)))
        });
        let ready = format!("scrape/ready gzip, {which}, chunks");
        let server = ReadyServer::start(compressed)?;
        runs.time(&ready, work.clone(), || {
            drained(&mut sink, server.address, "/chunks", true)
        });
        let later = format!("scrape/gzip, unchanged fleet, {which}");
        runs.time(&later, work.clone(), || {
            drained(&mut sink, address, &path, true)
        });
        runs.compare(&later, &ready, Target::AtMost(1.3));
        let first = format!("scrape/gzip, the first of a changed fleet, {which}");
        time_changed_fleet(runs, &first, work, service, &path);
        runs.compare(&first, &two_threads, Target::AtMost(1.3));
    }
    Ok(())
}

/// Measures the rendering alone, without the web server.
fn render(runs: &mut Runs) -> Result<(), Box<dyn Error>> {
    let mut world = World::of(TERMINALS)?;
    world.list(inventory::of(TERMINALS)?);
    let snapshot = world.snapshot();
    let mut of_telemetry = None;
    for (name, collect) in [
        (
            "telemetry",
            Collect {
                inventory: false,
                ..Collect::ALL
            },
        ),
        (
            "inventory",
            Collect {
                telemetry: false,
                online: false,
                ..Collect::ALL
            },
        ),
    ] {
        let text: Vec<u8> = chunks_of(&snapshot, collect).flatten().collect();
        let work = Throughput::Bytes(text.len() as u64);
        let copy = format!("scrape/memcpy of the {name}");
        let mut ready = vec![0; text.len()];
        runs.time(&copy, work.clone(), || {
            timed(|| black_box(&mut ready).copy_from_slice(black_box(&text)))
        });
        let rendered = format!("scrape/render the {name} alone");
        runs.time(&rendered, work, || {
            timed(|| chunks_of(&snapshot, collect).for_each(|chunk| drop(black_box(chunk))))
        });
        runs.compare(&rendered, &copy, Target::AtMost(3.0));
        match &of_telemetry {
            None => of_telemetry = Some((rendered, text.len())),
            Some((beside, length)) => runs.compare_per_byte(
                (&rendered, text.len()),
                (beside, *length),
                Target::AtMost(MOST),
            ),
        }
    }
    Ok(())
}

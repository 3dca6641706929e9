//! Measures resident memory: for each terminal, at its peak, and of slow readers.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::feed::MOST_ROWS;
use crate::feeder::Feeder;
use crate::listed;
use crate::process::{Service, wait_for};
use crate::scraper::{METRICS, Scraper};
use crate::verdict::{Target, Verdict};
use crate::wire;

const MIB: f64 = 1024.0 * 1024.0;

/// The largest fleet.
const MILLION: usize = 1_000_000;

/// How long the service is scraped for each size.
const SECONDS: u64 = 30;

/// The interval between batches.
const EVERY: Duration = Duration::from_secs(1);

/// Measures memory.
///
/// # Errors
/// A process does not start, or ends.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    let none = without_terminals()?;
    verdict.judge(
        "memory: without terminals",
        "",
        none / MIB,
        " MiB",
        Target::None,
    );
    let many = fleet(verdict, MOST_ROWS, 256.0)?;
    let million = fleet(verdict, MILLION, 1500.0)?;

    let going_on = "with scrapes and batches";
    let yardstick = format!("no terminals: {:.0} MiB", none / MIB);
    let each = (million - none) / MILLION as f64;
    let figure = format!("memory: each of 1,000,000 terminals, {going_on}");
    verdict.judge(&figure, &yardstick, each, " B", Target::AtMost(700.0));
    // Both sizes have batches of 65,000 rows, so the memory for decoding and planning is in both figures.
    let yardstick = format!("65,000 terminals: {:.0} MiB", many / MIB);
    let each = (million - many) / (MILLION - MOST_ROWS) as f64;
    let figure = format!("memory: each terminal more, {going_on}");
    verdict.judge(&figure, &yardstick, each, " B", Target::AtMost(700.0));
    listed::run(verdict)
}

/// The resident memory without terminals, in bytes.
fn without_terminals() -> Result<f64, Failure> {
    let mut feeder = Feeder::start(0)?;
    let service = feeder.serve()?;
    let plain = Scraper::start(service.address, false, 3, 0)?;
    plain.scrapes();
    service.memory("VmRSS")
}

/// The peak of the resident memory in bytes, with batches, a scraper and a slow reader. Adds the other figures of this fleet to the
/// table.
fn fleet(verdict: &mut Verdict, terminals: usize, limit: f64) -> Result<f64, Failure> {
    let mut feeder = Feeder::start(terminals)?;
    let service = feeder.serve()?;

    // The slow reader holds a snapshot while every terminal is updated once.
    let plain = Scraper::start(service.address, false, SECONDS, 0)?;
    let slow = wire::request(service.address, METRICS, false)?;
    feeder.begin(SECONDS as usize, EVERY)?;
    let resident = highest(&service, slow)?;
    feeder.fed(SECONDS as usize)?;
    let mut faults = plain.scrapes().faults;

    let both = [false, true].map(|is_gzip| Scraper::start(service.address, is_gzip, SECONDS, 0));
    feeder.feed(SECONDS as usize, EVERY)?;
    for scraper in both {
        faults.extend(scraper?.scrapes().faults);
    }
    let peak = service.memory("VmHWM")? / MIB;
    let figure = format!("memory: peak with plain and gzip scrapes of {terminals} terminals");
    verdict.judge(&figure, "", peak, " MiB", Target::AtMost(limit));
    let figure = format!("memory: scrapes of {terminals} terminals that failed");
    verdict.judge(&figure, "", faults.len() as f64, "", Target::AtMost(0.0));
    if let Some(fault) = faults.first() {
        eprintln!("{fault}");
    }
    readers(verdict, &service, terminals)?;
    Ok(resident)
}

/// The peak of `VmRSS` while a client reads slowly.
fn highest(service: &Service, mut slow: TcpStream) -> Result<f64, Failure> {
    let mut highest: f64 = 0.0;
    let mut piece = vec![0; 64 * 1024];
    let end = Instant::now() + Duration::from_secs(SECONDS);
    while Instant::now() < end {
        // The reader may reach the end or be cut: it only serves to hold memory.
        let _ = slow.read(&mut piece);
        highest = service.memory("VmRSS")?.max(highest);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(highest)
}

/// The memory that readers add without changes of the fleet: a slow reader, and one that does not read.
fn readers(verdict: &mut Verdict, service: &Service, terminals: usize) -> Result<(), Failure> {
    for (name, is_gzip) in [("plain", false), ("gzip", true)] {
        let before = service.memory("VmRSS")?;
        service.forget_peak()?;
        let mut slow = wire::request(service.address, METRICS, is_gzip)?;
        let mut piece = vec![0; 1 << 20];
        for _ in 0..20 {
            slow.read_exact(&mut piece[..64 * 1024])?;
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(slow);
        let added = (service.memory("VmHWM")? - before) / MIB;
        let figure = format!("memory: a slow {name} reader of {terminals} terminals adds");
        // The compressed body is cached for the next reader, and is measured separately.
        let target = if is_gzip {
            Target::None
        } else {
            Target::AtMost(64.0)
        };
        verdict.judge(&figure, "", added, " MiB", target);
    }

    // The previous readers have disconnected, which the service may not have detected yet.
    std::thread::sleep(Duration::from_millis(500));
    let files = service.open_files()?;
    let stalled = wire::request(service.address, METRICS, false)?;
    let second = Duration::from_secs(1);
    wait_for(second, || Ok(service.open_files()? > files))?.ok_or("no connection")?;
    let cut = wait_for(25 * second, || Ok(service.open_files()? <= files))?;
    drop(stalled);
    let seconds = cut.map_or(f64::INFINITY, |cut| cut.as_secs_f64());
    let figure =
        format!("memory: a reader of {terminals} terminals that does not read is cut after");
    verdict.judge(&figure, "", seconds, " s", Target::AtMost(12.0));
    Ok(())
}

//! Resident memory: of each terminal, at its peak, and what readers add who take their time.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::feed::MOST_ROWS;
use crate::feeder::Feeder;
use crate::process::{Service, wait_for};
use crate::scraper::{METRICS, Scraper};
use crate::verdict::{Target, Verdict};
use crate::wire;

const MIB: f64 = 1024.0 * 1024.0;

/// The largest fleet.
const MILLION: usize = 1_000_000;

/// For how long scrapes go on at each size.
const SECONDS: u64 = 30;

/// A batch in each.
const EVERY: Duration = Duration::from_secs(1);

/// Measures memory.
///
/// # Errors
/// When a process does not start or ends.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    let none = nobody()?;
    verdict.judge(
        "memory: without terminals",
        "",
        none / MIB,
        " MiB",
        Target::Told,
    );
    let many = fleet(verdict, MOST_ROWS, 256.0)?;
    let million = fleet(verdict, MILLION, 1500.0)?;

    let going_on = "scrapes and batches going on";
    let yardstick = format!("no terminals: {:.0} MiB", none / MIB);
    let each = (million - none) / MILLION as f64;
    let figure = format!("memory: each of 1,000,000 terminals, {going_on}");
    verdict.judge(&figure, &yardstick, each, " B", Target::AtMost(700.0));
    // Batches of 65,000 rows here as there: what one needs while it is decoded and planned is in both.
    let yardstick = format!("65,000 terminals: {:.0} MiB", many / MIB);
    let each = (million - many) / (MILLION - MOST_ROWS) as f64;
    let figure = format!("memory: each terminal more, {going_on}");
    verdict.judge(&figure, &yardstick, each, " B", Target::AtMost(700.0));
    Ok(())
}

/// What is resident without terminals, in bytes.
fn nobody() -> Result<f64, Failure> {
    let mut feeder = Feeder::start(0)?;
    let service = feeder.serve()?;
    let plain = Scraper::start(service.address, false, 3, 0)?;
    plain.scrapes();
    service.memory("VmRSS")
}

/// The highest of what is resident while batches arrive and a plain scraper and a slow reader scrape, in bytes. What else there
/// is to say of this fleet goes into the table.
fn fleet(verdict: &mut Verdict, terminals: usize, limit: f64) -> Result<f64, Failure> {
    let mut feeder = Feeder::start(terminals)?;
    let service = feeder.serve()?;

    // The slow reader holds its snapshot while every terminal is written once.
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

/// The highest `VmRSS` while a reader takes a little of its answer every now and then.
fn highest(service: &Service, mut slow: TcpStream) -> Result<f64, Failure> {
    let mut highest: f64 = 0.0;
    let mut piece = vec![0; 64 * 1024];
    let end = Instant::now() + Duration::from_secs(SECONDS);
    while Instant::now() < end {
        // It may come to the end of its answer, or be cut: it is only there to hold something.
        let _ = slow.read(&mut piece);
        highest = service.memory("VmRSS")?.max(highest);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(highest)
}

/// What readers add to a fleet that does not change: one that reads slowly, one that does not read.
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
        // The compressed body is kept for the next reader, and counts apart.
        let target = if is_gzip {
            Target::Told
        } else {
            Target::AtMost(64.0)
        };
        verdict.judge(&figure, "", added, " MiB", target);
    }

    // The readers before have gone; the service may not have noticed yet.
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

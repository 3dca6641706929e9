//! Compares 100 accounts of 1,000 terminals each with one account of 100,000: CPU time and memory.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::feeder::{Feeder, LINGER};
use crate::process::Service;
use crate::scraper::{METRICS, Scraper};
use crate::verdict::{Target, Verdict};
use crate::wire::Sink;

/// The number of accounts, and of terminals in each.
const ACCOUNTS: usize = 100;
const TERMINALS: usize = 1_000;

/// How often the whole fleet reports while batches are measured, and the interval. Real terminals report every 15 seconds.
const SWEEPS: usize = 30;
const EVERY: Duration = Duration::from_secs(1);

/// The number of measured scrapes.
const SCRAPES: usize = 20;

/// The highest accepted ratios of many accounts to one.
const CPU: f64 = 1.3;
const MEMORY: f64 = 1.2;

const MIB: f64 = 1024.0 * 1024.0;

/// What was measured of a service.
struct Costs {
    /// CPU time in milliseconds for one report of the whole fleet.
    sweep: f64,
    /// CPU time in milliseconds of a plain scrape of the whole fleet.
    scrape: f64,
    /// Resident memory in MiB after the sweeps and scrapes, and at its peak, with plain and gzip scrapes.
    resident: f64,
    peak: f64,
}

/// Measures both services one after the other.
///
/// # Errors
/// A process does not start or ends, or a scrape fails or is not complete.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    let one = measure(Feeder::start(ACCOUNTS * TERMINALS)?)?;
    let many = measure(Feeder::start_accounts(ACCOUNTS, TERMINALS)?)?;
    let figures = [
        (
            "CPU of a report of the whole fleet",
            " ms",
            CPU,
            one.sweep,
            many.sweep,
        ),
        ("CPU of a plain scrape", " ms", CPU, one.scrape, many.scrape),
        (
            "CPU of a report and a scrape",
            " ms",
            CPU,
            one.sweep + one.scrape,
            many.sweep + many.scrape,
        ),
        (
            "resident memory",
            " MiB",
            MEMORY,
            one.resident,
            many.resident,
        ),
        ("peak memory", " MiB", MEMORY, one.peak, many.peak),
    ];
    for (what, unit, limit, one, many) in figures {
        let figure = format!("accounts: {what}, 100 accounts of 1,000 terminals: {many:.1}{unit}");
        let yardstick = format!("one account of 100,000: {one:.1}{unit}");
        verdict.judge(&figure, &yardstick, many / one, "", Target::AtMost(limit));
    }
    Ok(())
}

fn measure(mut feeder: Feeder) -> Result<Costs, Failure> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("accounts.yml");
    std::fs::write(&file, entries(&feeder))?;
    let service = start(&file)?;
    feeder.fill()?;

    let mut sink = Sink::default();
    sink.drain(service.address, METRICS, false)?;
    let before = service.cpu()?;
    for _ in 0..SCRAPES {
        sink.drain(service.address, METRICS, false)?;
    }
    let scrape = millis(&service, before, SCRAPES)?;

    let interval = EVERY / feeder.sweep as u32;
    feeder.feed(feeder.sweep, interval)?;
    let before = service.cpu()?;
    feeder.feed(SWEEPS * feeder.sweep, interval)?;
    let sweep = millis(&service, before, SWEEPS)?;

    let seconds = (EVERY * SWEEPS as u32).as_secs();
    // Batches of several accounts are not stored at the same time, so a scrape may show reports of two sweeps: 0 checks completeness only.
    let scrapers =
        [false, true].map(|is_gzip| Scraper::start(service.address, is_gzip, seconds, 0));
    feeder.feed(SWEEPS * feeder.sweep, interval)?;
    for scraper in scrapers {
        if let Some(fault) = scraper?.scrapes().faults.into_iter().next() {
            return Err(fault.into());
        }
    }
    if let Some(complaint) = service.complaints().into_iter().next() {
        return Err(complaint.into());
    }
    Ok(Costs {
        sweep,
        scrape,
        resident: service.memory("VmRSS")? / MIB,
        peak: service.memory("VmHWM")? / MIB,
    })
}

/// The service with the accounts of a file.
fn start(file: &Path) -> Result<Service, Failure> {
    let file = file.to_str().ok_or("an odd directory")?;
    // An empty value unsets a variable.
    let settings = [
        ("ACCOUNTS_FILE", file),
        ("CLIENT_ID", ""),
        ("CLIENT_SECRET", ""),
    ];
    Service::start_with("", LINGER.as_millis() as u32, &settings)
}

/// The text of `ACCOUNTS_FILE`: an entry for each account of the feeder.
fn entries(feeder: &Feeder) -> String {
    let mut text = "accounts:\n".to_owned();
    for (number, url) in feeder.api_urls().iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  - name: account{number}\n    client_id: client{number}\n    client_secret: secret\n    api_url: {url}\n"
        );
    }
    text
}

/// The CPU time since `before` for each of `count` repetitions, in milliseconds.
fn millis(service: &Service, before: Duration, count: usize) -> Result<f64, Failure> {
    let spent = service.cpu()?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e3 / count as f64)
}

//! A scraper in its own process: scrapes continuously and checks that the responses are complete.

use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::process::Helper;
use crate::wire::{self, Sink};

/// The scraped path.
pub const METRICS: &str = "/metrics?format=prometheus";

/// A scraper in its own process.
#[derive(Debug)]
pub struct Scraper(Helper);

/// The results of the scrapes.
#[derive(Debug, Default)]
pub struct Scrapes {
    /// The durations of the successful scrapes.
    pub took: Vec<Duration>,
    /// The errors of the others.
    pub faults: Vec<String>,
}

impl Scraper {
    /// Scrapes continuously for some seconds. Each scrape must show `terminals` terminals, and rows of a single batch if the fleet fits
    /// into one. With 0 terminals, only completeness is checked.
    ///
    /// # Errors
    /// The process does not start.
    pub fn start(
        address: SocketAddr,
        is_gzip: bool,
        seconds: u64,
        terminals: usize,
    ) -> Result<Self, Failure> {
        let arguments = [
            address.to_string(),
            is_gzip.to_string(),
            seconds.to_string(),
            terminals.to_string(),
        ];
        Ok(Self(Helper::start("scraper", &arguments)?))
    }

    /// Waits for the results.
    pub fn scrapes(&self) -> Scrapes {
        let mut scrapes = Scrapes::default();
        for line in self.0.hear_all() {
            match line.parse() {
                Ok(micros) => scrapes.took.push(Duration::from_micros(micros)),
                Err(_) => scrapes.faults.push(line),
            }
        }
        scrapes
    }
}

/// The main function of the process.
///
/// # Errors
/// Its arguments are wrong.
pub fn scrape(arguments: &[String]) -> Result<(), Failure> {
    let [address, is_gzip, seconds, terminals] = arguments else {
        return Err("scraper ADDRESS IS_GZIP SECONDS TERMINALS".into());
    };
    let address = address.parse()?;
    let is_gzip = is_gzip.parse()?;
    let terminals = terminals.parse()?;
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    let mut sink = Sink::default();
    while Instant::now() < end {
        let scraped = if terminals == 0 {
            let started = Instant::now();
            let drained = sink.drain(address, METRICS, is_gzip);
            drained.map(|_| started.elapsed()).map_err(Failure::from)
        } else {
            checked(address, is_gzip, terminals)
        };
        match scraped {
            Ok(took) => println!("{}", took.as_micros()),
            Err(fault) => println!("{fault}"),
        }
    }
    Ok(())
}

/// Scrapes and checks the response. Returns the duration.
fn checked(address: SocketAddr, is_gzip: bool, terminals: usize) -> Result<Duration, Failure> {
    let mut answer = Vec::new();
    let started = Instant::now();
    wire::request(address, METRICS, is_gzip)?.read_to_end(&mut answer)?;
    let took = started.elapsed();
    check(&answer, is_gzip, terminals)?;
    Ok(took)
}

/// Checks that a response is complete and shows a single batch.
fn check(answer: &[u8], is_gzip: bool, terminals: usize) -> Result<(), Failure> {
    let body = wire::body(answer)?;
    let text = if is_gzip {
        unzip(&body)?
    } else {
        String::from_utf8(body)?
    };
    let mut stamps = values(&text, "starlink_last_report_timestamp_seconds");
    let first = stamps.next().ok_or("no terminal")?;
    let mut count = 1;
    for stamp in stamps {
        count += 1;
        if stamp != first {
            return Err(format!("half a batch: {first} and {stamp}").into());
        }
    }
    // The feeder's batches alternate between odd and even uptimes.
    let mut uptimes =
        values(&text, "starlink_Uptime").map(|uptime| uptime.ends_with(['1', '3', '5', '7', '9']));
    let is_odd = uptimes.next().ok_or("no uptime")?;
    if uptimes.any(|uptime| uptime != is_odd) {
        return Err("half a batch: odd and even uptimes".into());
    }
    if count != terminals {
        return Err(format!("{count} of {terminals} terminals").into());
    }
    Ok(())
}

fn unzip(body: &[u8]) -> std::io::Result<String> {
    let mut text = String::with_capacity(12 * body.len());
    flate2::bufread::GzDecoder::new(body).read_to_string(&mut text)?;
    Ok(text)
}

/// The values of a family.
fn values<'t>(text: &'t str, family: &str) -> impl Iterator<Item = &'t str> {
    let header = format!("# TYPE {family} gauge\n");
    let samples = text
        .find(&header)
        .map_or("", |at| &text[at + header.len()..]);
    let lines = samples.lines().take_while(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.1))
}

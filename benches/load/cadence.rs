//! Measures scrapes while a batch of the whole fleet arrives every second.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::feed::MOST_ROWS;
use crate::feeder::Feeder;
use crate::scraper::Scraper;
use crate::verdict::{Target, Verdict};

/// The duration in seconds, and the number of batches.
const SECONDS: u64 = 60;

/// Measures concurrent scrapes and polls.
///
/// # Errors
/// A process does not start, or ends.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    let mut feeder = Feeder::start(MOST_ROWS)?;
    let service = feeder.serve()?;
    let scrapers = [("plain", false), ("gzip", true)];
    let mut started = Vec::new();
    for (name, is_gzip) in scrapers {
        let scraper = Scraper::start(service.address, is_gzip, SECONDS, MOST_ROWS)?;
        started.push((name, scraper));
    }
    let begun = Instant::now();
    let polls = feeder.feed(SECONDS as usize, Duration::from_secs(1))?;
    let pace = polls.len() as f64 / begun.elapsed().as_secs_f64();
    let mut faults = Vec::new();
    for (name, scraper) in started {
        let scrapes = scraper.scrapes();
        let count = format!(
            "cadence: {name} scrapes of 65,000 terminals, {}",
            scrapes.took.len()
        );
        report(verdict, &count, scrapes.took);
        faults.extend(scrapes.faults);
    }
    report(
        verdict,
        &format!("cadence: batches of 65,000 rows, {}", polls.len()),
        polls,
    );
    let figure = "cadence: batches a second that were stored";
    verdict.judge(figure, "", pace, "", Target::AtLeast(0.95));
    faults.extend(service.complaints());
    for fault in faults.iter().take(5) {
        eprintln!("{fault}");
    }
    let count = faults.len() as f64;
    verdict.judge(
        "cadence: scrapes and polls that failed, or showed half a batch",
        "",
        count,
        "",
        Target::AtMost(0.0),
    );
    Ok(())
}

fn report(verdict: &mut Verdict, what: &str, mut took: Vec<Duration>) {
    took.sort();
    for percent in [50, 99] {
        // The percentile.
        let rank = (took.len() * percent).div_ceil(100).saturating_sub(1);
        let millis = took
            .get(rank)
            .map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
        verdict.judge(
            &format!("{what}: p{percent}"),
            "",
            millis,
            " ms",
            Target::None,
        );
    }
}

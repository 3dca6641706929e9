//! Measures the CPU time of batches and scrapes for each terminal, in fleets of several sizes.

use std::time::Duration;

use crate::Failure;
use crate::feeder::Feeder;
use crate::process::Service;
use crate::scraper::METRICS;
use crate::verdict::{Target, Verdict};
use crate::wire::Sink;

/// The sizes of the fleets.
const FLEETS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// The fewest batches that are measured.
const BATCHES: usize = 32;

/// The fewest scrapes that are measured, and the fewest terminals that they show in total.
const SCRAPES: usize = 5;
const SCRAPED: usize = 2_000_000;

/// The largest accepted deviation of a fleet's cost from the mean of all.
const FLAT: f64 = 0.25;

/// Measures the cost of a terminal.
///
/// # Errors
/// A process does not start, or ends.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    let (empty, _) = {
        let mut feeder = Feeder::start(0)?;
        let service = feeder.serve()?;
        batches(&mut feeder, &service)?
    };
    let mut rows = Vec::new();
    let mut samples = Vec::new();
    for terminals in FLEETS {
        let mut feeder = Feeder::start(terminals)?;
        let service = feeder.serve()?;
        let (batch, count) = batches(&mut feeder, &service)?;
        let reported = count / feeder.sweep * terminals;
        // The cost of a poll without rows is subtracted, because it does not depend on terminals.
        rows.push((batch - empty) * count as f64 / reported as f64);
        samples.push(scrapes(&service, terminals)?);
    }
    verdict.judge(
        "cost: CPU of a poll without rows",
        "",
        empty,
        " µs",
        Target::None,
    );
    for (what, costs) in [
        ("terminal of a batch", rows),
        ("terminal of a plain scrape", samples),
    ] {
        judge(verdict, what, &costs);
    }
    Ok(())
}

/// The CPU time of a batch in microseconds, without the first ones after the start, and the number of measured batches.
fn batches(feeder: &mut Feeder, service: &Service) -> Result<(f64, usize), Failure> {
    feeder.feed(feeder.sweep, Duration::ZERO)?;
    let count = BATCHES.next_multiple_of(feeder.sweep);
    let before = service.cpu()?;
    feeder.feed(count, Duration::ZERO)?;
    let spent = service.cpu()?.saturating_sub(before);
    Ok((spent.as_secs_f64() * 1e6 / count as f64, count))
}

/// The CPU time of a scrape for each terminal, in microseconds.
fn scrapes(service: &Service, terminals: usize) -> Result<f64, Failure> {
    let mut sink = Sink::default();
    sink.drain(service.address, METRICS, false)?;
    let count = SCRAPES.max(SCRAPED / terminals);
    let before = service.cpu()?;
    for _ in 0..count {
        sink.drain(service.address, METRICS, false)?;
    }
    let spent = service.cpu()?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e6 / (count * terminals) as f64)
}

fn judge(verdict: &mut Verdict, what: &str, costs: &[f64]) {
    let mean = costs.iter().sum::<f64>() / costs.len() as f64;
    for (terminals, cost) in FLEETS.iter().zip(costs) {
        let figure = format!("cost: CPU for each {what}, {terminals} terminals");
        let mean = format!("mean of all: {mean:.2} µs");
        verdict.judge(&figure, &mean, *cost, " µs", Target::None);
    }
    let spread = costs.iter().map(|cost| (cost / mean - 1.0).abs());
    let figure = format!("cost: CPU for each {what}, farthest from the mean");
    let spread = 100.0 * spread.fold(0.0, f64::max);
    verdict.judge(&figure, "", spread, " %", Target::AtMost(100.0 * FLAT));
}

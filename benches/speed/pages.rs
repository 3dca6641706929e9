//! Benchmarks of the page and the JSON API with a large fleet, compared with a scrape of it.

use std::error::Error;

use criterion::Throughput;

use crate::crate_api::Service;
use crate::runs::{Runs, timed};
use crate::verdict::Target;
use crate::wire::Sink;

/// The number of terminals.
const TERMINALS: usize = 100_000;

/// The requests: the start page, a search through all texts without a match, sorted lists.
const QUESTIONS: [(&str, &str); 6] = [
    ("pages/the page", "/"),
    ("pages/the page, searched", "/?search=zzz"),
    ("pages/status", "/api/v1/status"),
    (
        "pages/devices, sorted by latency",
        "/api/v1/devices?sort=-latency",
    ),
    (
        "pages/devices, the last page",
        "/api/v1/devices?page=2000&per_page=50",
    ),
    (
        "pages/devices, an address searched",
        "/api/v1/devices?search=192.0.2.999",
    ),
];

/// Measures responses a second.
///
/// # Errors
/// The service does not start or does not respond.
pub fn run(runs: &mut Runs) -> Result<(), Box<dyn Error>> {
    let service = Service::start(TERMINALS)?;
    let mut sink = Sink::default();
    let mut time = |runs: &mut Runs, name: &str, path: &str| {
        runs.time(name, Throughput::Elements(1), || {
            let mut answer = Ok(0);
            let took = timed(|| answer = sink.drain(service.address, path, false));
            match answer {
                Ok(_) => took,
                Err(error) => panic!("{path}: {error}"),
            }
        });
    };
    let yardstick = "pages/a plain scrape";
    time(runs, yardstick, "/metrics?format=prometheus");
    for (name, path) in QUESTIONS {
        time(runs, name, path);
        runs.compare(name, yardstick, Target::None);
        runs.within(name, 100.0);
    }
    Ok(())
}

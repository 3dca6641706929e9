//! Measures restarts with a state file: the time to stop and to serve all devices again, and the cost of writing the file.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::feed::MOST_ROWS;
use crate::feeder::{Feeder, LINGER};
use crate::process::Service;
use crate::verdict::{Target, Verdict};
use crate::wire;

const MIB: f64 = 1024.0 * 1024.0;

/// Measures restarts of a large and of the largest fleet.
///
/// # Errors
/// A process does not start, or ends.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    for terminals in [MOST_ROWS, 1_000_000] {
        restart(verdict, terminals)?;
    }
    Ok(())
}

fn restart(verdict: &mut Verdict, terminals: usize) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("state");
    let settings = [
        ("STATE_FILE", file.to_str().ok_or("an odd directory")?),
        ("STATE_INTERVAL", "2"),
    ];
    let mut feeder = Feeder::start(terminals)?;
    let linger = LINGER.as_millis() as u32;
    let service = Service::start_with(feeder.api_url(), linger, &settings)?;
    feeder.fill()?;
    let before = service.memory("VmRSS")?;
    service.forget_peak()?;
    let mut report = |what: &str, yardstick: &str, value, unit, target| {
        let figure = format!("restart: {terminals} terminals, {what}");
        verdict.judge(&figure, yardstick, value, unit, target);
    };

    // The file is written every two seconds during this.
    let slowest = feeder.feed(20, Duration::from_secs(1))?.into_iter().max();
    let slowest = slowest.unwrap_or_default().as_secs_f64() * 1e3;
    report(
        "slowest of 20 batches while the file is written",
        "",
        slowest,
        " ms",
        Target::None,
    );
    let more = (service.memory("VmHWM")? - before) / MIB;
    report(
        "additional memory while the file is written",
        "",
        more,
        " MiB",
        Target::None,
    );

    let took = service.terminate()?.as_secs_f64();
    report(
        "from SIGTERM to the end",
        "of which 1 s is waiting",
        took,
        " s",
        Target::AtMost(5.0),
    );
    let size = std::fs::metadata(&file)?.len() as f64 / MIB;
    report("state file", "", size, " MiB", Target::None);

    // No batches are sent, so the scrape shows what was read from the file.
    let mut empty = Feeder::start(0)?;
    let started = Instant::now();
    let service = Service::start_with(empty.api_url(), linger, &settings)?;
    report(
        "from the start to listening",
        "",
        started.elapsed().as_secs_f64(),
        " s",
        Target::None,
    );
    let mut answer = Vec::new();
    wire::request(service.address, "/metrics?format=prometheus", false)?
        .read_to_end(&mut answer)?;
    let shown = String::from_utf8_lossy(&answer)
        .matches("\nstarlink_last_report_timestamp_seconds{")
        .count();
    let missing = terminals.abs_diff(shown) as f64;
    report(
        "missing in the first scrape",
        "",
        missing,
        "",
        Target::AtMost(0.0),
    );
    empty.feed(1, Duration::ZERO)?;
    Ok(())
}

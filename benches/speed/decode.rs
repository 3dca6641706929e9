//! Benchmarks decoding an answer and applying it to the fleet, compared with serde_json's `Value` and with a typed visitor.

use std::error::Error;

use criterion::Throughput;
use serde_json::Value;
use starlink_telemetry::simulator::TERMINAL_COLUMNS;

use crate::crate_api::{World, rows};
use crate::feed::{Body, Digits, MOST_ROWS, documented, stamp_of};
use crate::runs::{Runs, timed};
use crate::verdict::Target;
use crate::visitor;

/// Measures decoding and applying, in rows a second.
///
/// # Errors
/// The batch cannot be decoded.
pub fn run(runs: &mut Runs) -> Result<(), Box<dyn Error>> {
    batches(runs, documented, "")?;
    batches(runs, |value| value.to_string(), " of 17 digits")
}

fn batches(runs: &mut Runs, digits: Digits, which: &str) -> Result<(), Box<dyn Error>> {
    let tree = format!("decode/serde_json::Value of the same bytes{which}");
    let work = Throughput::Elements(MOST_ROWS as u64);
    let body = |variant| Body::terminals(TERMINAL_COLUMNS, 0..MOST_ROWS, variant, digits);
    let bodies = [0, 1].map(body);
    let json = bodies[0].json();
    serde_json::from_slice::<Value>(json)?;
    runs.report(
        &format!("decode: the batch of 65,000 rows of 16 columns{which}"),
        json.len() as f64 / 1e6,
        " MB",
        Target::None,
    );
    runs.time(&tree, work.clone(), || {
        timed(|| serde_json::from_slice::<Value>(json))
    });
    let alone = format!("decode/decode alone{which}");
    runs.time(&alone, work.clone(), || {
        let body = json.to_vec();
        timed(|| rows(body))
    });
    runs.compare(&alone, &tree, Target::None);
    let typed = format!("decode/typed serde_json visitor of the same bytes{which}");
    visitor::rows(std::str::from_utf8(json)?)?;
    runs.time(&typed, work.clone(), || {
        let body = json.to_vec();
        timed(|| {
            let text = String::from_utf8(body).unwrap_or_default();
            visitor::rows(&text)
        })
    });
    runs.compare(&alone, &typed, Target::AtMost(0.7));

    for (is_changing, values) in [(false, "same values"), (true, "other values")] {
        for (is_watched, watched) in [(false, ""), (true, ", a snapshot alive")] {
            let name = format!("decode/decode and apply, {values}{watched}{which}");
            let mut world = World::new();
            let mut bodies = bodies.clone();
            world.apply(bodies[0].json().to_vec())?;
            let mut number = 0;
            runs.time(&name, work.clone(), || {
                number += 1;
                let body = &mut bodies[if is_changing { number as usize % 2 } else { 0 }];
                body.stamp(stamp_of(number));
                let json = body.json().to_vec();
                let snapshot = is_watched.then(|| world.snapshot());
                let took = timed(|| world.apply(json));
                drop(snapshot);
                took
            });
            runs.compare(&name, &tree, Target::AtMost(0.6));
            let millions = MOST_ROWS as f64 / 1e6;
            runs.rate(&name, millions, " M rows/s", Target::AtLeast(1.5));
        }
    }
    Ok(())
}

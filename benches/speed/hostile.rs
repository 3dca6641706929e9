//! Benchmarks decoding the most expensive answers of 64 MiB, compared with serde_json skipping the same bytes.

use serde::de::IgnoredAny;

use crate::bombs::BOMBS;
use crate::crate_api::rows;
use crate::runs::{Runs, timed};
use crate::verdict::Target;

/// The largest decompressed answer.
const SIZE: usize = 64 * 1024 * 1024;

/// The time limit of one answer in seconds.
const MOST_SECONDS: f64 = 3.0;

/// Measures each answer once: it takes seconds, and varies much less than its distance from the limit.
pub fn run(runs: &mut Runs) {
    for bomb in BOMBS {
        let body = bomb.body(SIZE);
        let bytes = body.len() as f64;
        // serde_json stops early at deep nesting and invalid UTF-8.
        let is_read = serde_json::from_slice::<IgnoredAny>(&body).is_ok();
        let beside = timed(|| serde_json::from_slice::<IgnoredAny>(&body)).as_secs_f64();
        let took = timed(|| rows(body)).as_secs_f64();
        let yardstick = match is_read {
            true => format!(
                "serde_json::IgnoredAny: {:.2} ns/byte",
                beside * 1e9 / bytes
            ),
            false => "serde_json::IgnoredAny: refused".to_owned(),
        };
        let figure = format!(
            "decode bombs/{}: {:.2} ns/byte",
            bomb.name,
            took * 1e9 / bytes
        );
        runs.judge(
            &figure,
            &yardstick,
            took,
            " s",
            Target::AtMost(MOST_SECONDS),
        );
    }
}

//! The fault campaign: runs the service with one to five accounts, a simulator for each, under random faults of all kinds, and compares
//! scrapes with a model. Meanwhile devices move between accounts, the list of accounts changes, and the management API lists random
//! inventories and fails, which must not affect telemetry.
//!
//! `cargo test --locked` repeats the runs of a fixed list of seeds, which takes a minute. `cargo test --locked --test chaos -- --minutes
//! 30` performs runs with new seeds, `-- --seeds 17,18` and `-- --seeds 1..200` those of these seeds. The seed determines the faults
//! and their times, but not the scheduling of threads.
#![expect(
    clippy::unwrap_used,
    reason = "a failure of the test is shown with its place"
)]

mod ageing;
mod answers;
mod faults;
#[path = "../it/form.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
mod form;
#[path = "../it/harness.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
mod harness;
mod inventory;
mod journals;
mod lane;
mod model;
mod plan;
mod roll;
mod run;
mod scraper;
mod timeline;
#[path = "../it/wire.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
mod wire;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::plan::{Plan, Seeds};

/// The number of concurrent runs. A run mostly waits.
const AT_ONCE: usize = 6;

/// The events of all runs.
#[derive(Default)]
struct Summary {
    runs: AtomicUsize,
    failed: Mutex<Vec<u64>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

fn main() -> ExitCode {
    let plan = match Plan::from_arguments(std::env::args().skip(1)) {
        Ok(Some(plan)) => plan,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    println!("fault campaign: {plan}");
    let files = open_files();
    let summary = run(&plan);
    let failed = summary.failed.into_inner().unwrap();
    println!("runs: {}", summary.runs.into_inner());
    for (what, count) in summary.counts.into_inner().unwrap() {
        println!("{what}: {count}");
    }
    for seed in &failed {
        println!("FAILED: cargo test --locked --test chaos -- --seeds {seed}");
    }
    if failed.is_empty() && !are_closed(files) {
        println!(
            "FAILED: {} files are open, {files} were open before",
            open_files()
        );
        return ExitCode::FAILURE;
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Performs runs until the plan is complete or one has failed.
fn run(plan: &Plan) -> Summary {
    let summary = Summary::default();
    let deadline = Instant::now() + plan.time;
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(seed) = plan.seed(next.fetch_add(1, Ordering::Relaxed)) {
                    let is_over = plan.seeds == Seeds::Endless && Instant::now() >= deadline;
                    if is_over || !summary.failed.lock().unwrap().is_empty() {
                        return;
                    }
                    play(seed, plan, &summary);
                }
            });
        }
    });
    summary
}

fn play(seed: u64, plan: &Plan, summary: &Summary) {
    let length = plan.run_length;
    let played = catch_unwind(AssertUnwindSafe(|| {
        actix_rt::System::new().block_on(run::play(seed, length))
    }));
    summary.runs.fetch_add(1, Ordering::Relaxed);
    match played {
        Ok(counts) => {
            let mut all = summary
                .counts
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for (what, count) in counts {
                *all.entry(what).or_default() += count;
            }
        }
        Err(_) => {
            println!("run {seed} has failed");
            summary.failed.lock().unwrap().push(seed);
        }
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Waits until as few files are open as before, with a tolerance for the runtime's own; connections take a moment to close.
fn are_closed(before: usize) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while open_files() > before + 20 {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    true
}

//! criterion, and beside its statistics the best time of each benchmark, from which the ratios at the end are made.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};

use crate::verdict::{Target, Verdict};

/// Everything that is measured here takes milliseconds: few samples say enough.
const SAMPLES: usize = 10;

/// For how long each benchmark is measured, if its samples do not take longer.
const MEASURED: Duration = Duration::from_secs(2);

/// For how long each benchmark runs before.
const WARM_UP: Duration = Duration::from_millis(500);

/// What the names of the benchmarks begin with.
const GROUPS: [&str; 6] = ["decode", "bombs", "render", "scrape", "shards", "pages"];

/// All benchmarks of a run.
pub struct Runs {
    criterion: Criterion,
    best: BTreeMap<String, Duration>,
    verdict: Verdict,
}

impl Runs {
    /// What the command line asks for.
    pub fn from_command_line() -> Self {
        let criterion = Criterion::default()
            .sample_size(SAMPLES)
            .warm_up_time(WARM_UP)
            .measurement_time(MEASURED)
            .configure_from_args();
        Self {
            criterion,
            best: BTreeMap::new(),
            verdict: Verdict::default(),
        }
    }

    /// Whether the command line names this group, or none of all: what a group needs is made only then.
    pub fn wants(&self, group: &str) -> bool {
        let named = |group: &str| std::env::args().any(|argument| argument.starts_with(group));
        named(group) || !GROUPS.into_iter().any(named)
    }

    /// Measures `once`, which prepares what it needs and says how long the rest took. `name` is `group/what`; `work` is what
    /// is done each time.
    pub fn time(&mut self, name: &str, work: Throughput, mut once: impl FnMut() -> Duration) {
        let mut best = Duration::MAX;
        let (group, what) = name.split_once('/').unwrap_or((name, ""));
        let mut group = self.criterion.benchmark_group(group);
        group.sampling_mode(SamplingMode::Flat).throughput(work);
        group.bench_function(what, |bencher| {
            bencher.iter_custom(|count| {
                (0..count)
                    .map(|_| {
                        let took = once();
                        best = best.min(took);
                        took
                    })
                    .sum()
            });
        });
        group.finish();
        if best < Duration::MAX {
            self.best.insert(name.to_owned(), best);
        }
    }

    /// Compares the best times of two benchmarks, if the filter let both run: the first divided by the second.
    pub fn compare(&mut self, name: &str, yardstick: &str, target: Target) {
        if let (Some(best), Some(beside)) = (self.best.get(name), self.best.get(yardstick)) {
            let ratio = best.as_secs_f64() / beside.as_secs_f64();
            let figure = format!("{name}: {}", millis(*best));
            let yardstick = format!("{yardstick}: {}", millis(*beside));
            self.verdict.judge(&figure, &yardstick, ratio, " ×", target);
        }
    }

    /// How many times slower the peer is.
    pub fn outrun(&mut self, name: &str, peer: &str, target: Target) {
        if let (Some(best), Some(beside)) = (self.best.get(name), self.best.get(peer)) {
            let ratio = beside.as_secs_f64() / best.as_secs_f64();
            let figure = format!("{name}: {}", millis(*best));
            let yardstick = format!("{peer}: {}", millis(*beside));
            self.verdict
                .judge(&figure, &yardstick, ratio, " × faster", target);
        }
    }

    /// How much of its work a benchmark does in a second, at its best. `count` in millions.
    pub fn rate(&mut self, name: &str, millions: f64, unit: &str, target: Target) {
        if let Some(best) = self.best.get(name) {
            let figure = format!("{name}: {}", millis(*best));
            let rate = millions / best.as_secs_f64();
            self.verdict.judge(&figure, "", rate, unit, target);
        }
    }

    /// Whether a benchmark's best is within so many milliseconds.
    pub fn within(&mut self, name: &str, most: f64) {
        if let Some(best) = self.best.get(name) {
            let took = best.as_secs_f64() * 1e3;
            self.verdict
                .judge(name, "", took, " ms", Target::AtMost(most));
        }
    }

    /// A figure that was measured beside its yardstick elsewhere.
    pub fn judge(&mut self, figure: &str, yardstick: &str, value: f64, unit: &str, target: Target) {
        self.verdict.judge(figure, yardstick, value, unit, target);
    }

    /// A figure that is no time.
    pub fn tell(&mut self, figure: &str, value: f64, unit: &str, target: Target) {
        self.verdict.judge(figure, "", value, unit, target);
    }

    /// Prints the ratios.
    pub fn finish(self) {
        self.criterion.final_summary();
        self.verdict.print();
    }
}

/// How long something takes. What it gives is dropped outside the time.
pub fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let result = std::hint::black_box(work());
    let took = started.elapsed();
    drop(result);
    took
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

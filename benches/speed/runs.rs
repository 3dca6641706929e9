//! Runs benchmarks by criterion, and records the best time of each for the table of ratios at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};

use crate::verdict::{Target, Verdict};

/// The number of samples. Each takes milliseconds, so few are enough.
const SAMPLES: usize = 10;

/// The measurement time of each benchmark, unless its samples take longer.
const MEASURED: Duration = Duration::from_secs(2);

/// The warm-up time of each benchmark.
const WARM_UP: Duration = Duration::from_millis(500);

/// The groups of benchmarks, which are the prefixes of their names.
const GROUPS: [&str; 8] = [
    "decode", "bombs", "render", "scrape", "shards", "pages", "history", "journal",
];

/// All benchmarks of a run.
pub struct Runs {
    criterion: Criterion,
    best: BTreeMap<String, Duration>,
    verdict: Verdict,
}

impl Runs {
    /// Reads the filter from the command line.
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

    /// Whether the group is selected: the command line names it or no group at all. The data of other groups is not created.
    pub fn wants(&self, group: &str) -> bool {
        let named = |group: &str| std::env::args().any(|argument| argument.starts_with(group));
        named(group) || !GROUPS.into_iter().any(named)
    }

    /// Measures `once`, which prepares its data and returns the duration of the measured part. `name` is `group/what`; `work` is the
    /// throughput of one call.
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

    /// Adds the ratio of the best times of two benchmarks, the first divided by the second, if both were run.
    pub fn compare(&mut self, name: &str, yardstick: &str, target: Target) {
        if let (Some(best), Some(beside)) = (self.best.get(name), self.best.get(yardstick)) {
            let ratio = best.as_secs_f64() / beside.as_secs_f64();
            let figure = format!("{name}: {}", millis(*best));
            let yardstick = format!("{yardstick}: {}", millis(*beside));
            self.verdict.judge(&figure, &yardstick, ratio, " ×", target);
        }
    }

    /// Adds the additional time of a benchmark beside another. It should be at most `added`, or the ratio at most `ratio`.
    pub fn not_slower(&mut self, name: &str, yardstick: &str, ratio: f64, added: Duration) {
        if let (Some(best), Some(beside)) = (self.best.get(name), self.best.get(yardstick)) {
            let more = best.saturating_sub(*beside).as_secs_f64() * 1e6;
            let most = added.max(beside.mul_f64(ratio - 1.0)).as_secs_f64() * 1e6;
            let yardstick = format!("{yardstick}: {}", millis(*beside));
            self.verdict
                .judge(name, &yardstick, more, " µs more", Target::AtMost(most));
        }
    }

    /// Adds the ratio of the best times of two benchmarks for each byte of their texts, if both were run.
    pub fn compare_per_byte(
        &mut self,
        (name, bytes): (&str, usize),
        (yardstick, beside_bytes): (&str, usize),
        target: Target,
    ) {
        if let (Some(best), Some(beside)) = (self.best.get(name), self.best.get(yardstick)) {
            let each = |took: &Duration, bytes| took.as_secs_f64() * 1e9 / bytes as f64;
            let (each, beside) = (each(best, bytes), each(beside, beside_bytes));
            let figure = format!("{name}: {each:.3} ns a byte");
            let yardstick = format!("{yardstick}: {beside:.3} ns a byte");
            let ratio = each / beside;
            self.verdict.judge(&figure, &yardstick, ratio, " ×", target);
        }
    }

    /// Adds the ratio by which a peer is slower.
    pub fn outrun(&mut self, name: &str, peer: &str, target: Target) {
        if let (Some(best), Some(beside)) = (self.best.get(name), self.best.get(peer)) {
            let ratio = beside.as_secs_f64() / best.as_secs_f64();
            let figure = format!("{name}: {}", millis(*best));
            let yardstick = format!("{peer}: {}", millis(*beside));
            self.verdict
                .judge(&figure, &yardstick, ratio, " × faster", target);
        }
    }

    /// Adds the best throughput of a benchmark, in millions a second.
    pub fn rate(&mut self, name: &str, millions: f64, unit: &str, target: Target) {
        if let Some(best) = self.best.get(name) {
            let figure = format!("{name}: {}", millis(*best));
            let rate = millions / best.as_secs_f64();
            self.verdict.judge(&figure, "", rate, unit, target);
        }
    }

    /// Adds the best time of a benchmark, which should be at most `most` milliseconds.
    pub fn within(&mut self, name: &str, most: f64) {
        if let Some(best) = self.best.get(name) {
            let took = best.as_secs_f64() * 1e3;
            self.verdict
                .judge(name, "", took, " ms", Target::AtMost(most));
        }
    }

    /// Adds a figure that was measured elsewhere with its reference.
    pub fn judge(&mut self, figure: &str, yardstick: &str, value: f64, unit: &str, target: Target) {
        self.verdict.judge(figure, yardstick, value, unit, target);
    }

    /// Adds a figure without a reference.
    pub fn report(&mut self, figure: &str, value: f64, unit: &str, target: Target) {
        self.verdict.judge(figure, "", value, unit, target);
    }

    /// Prints the ratios.
    pub fn finish(self) {
        self.criterion.final_summary();
        self.verdict.print();
    }
}

/// Measures the duration of `work`, without dropping its result.
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

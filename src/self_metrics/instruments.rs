//! Counters, gauges and histograms that any thread can write and read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::exposition::{Kind, OwnFamily};

/// A number that only increases.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds a number.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The number as the value of a sample.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
    pub fn value(&self) -> f64 {
        self.count() as f64
    }
}

/// A number that can be set. Unknown at first.
#[derive(Debug)]
pub struct Gauge(AtomicU64);

impl Default for Gauge {
    fn default() -> Self {
        Self(AtomicU64::new(f64::NAN.to_bits()))
    }
}

impl Gauge {
    /// Sets the number.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Makes the number unknown again.
    pub fn clear(&self) {
        self.set(f64::NAN);
    }

    /// Sets the number, or makes it unknown.
    pub fn set_or_clear(&self, value: Option<f64>) {
        match value {
            Some(value) => self.set(value),
            None => self.clear(),
        }
    }

    /// The number, if it is known.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        let value = f64::from_bits(self.0.load(Ordering::Relaxed));
        value.is_finite().then_some(value)
    }
}

/// A histogram of durations, in seconds.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [f64; N],
    /// The count of each bucket; `beyond` counts durations above the last bound.
    counts: [AtomicU64; N],
    beyond: AtomicU64,
    sum_micros: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    pub(crate) fn new(bounds: [f64; N]) -> Self {
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; N],
            beyond: AtomicU64::new(0),
            sum_micros: AtomicU64::new(0),
        }
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.iter().position(|bound| seconds <= *bound);
        let count = bucket.map_or(&self.beyond, |bucket| &self.counts[bucket]);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
    pub(crate) fn family(&self, name: &'static str, help: &'static str) -> OwnFamily {
        let mut family = OwnFamily::new(Kind::Histogram, name, help);
        let mut total = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            // `1.0`, not `1`: OpenMetrics requires this spelling, and with another one in other formats the series would differ.
            let labels = vec![("le", format!("{bound:?}").into())];
            family = family.sample("_bucket", labels, total as f64);
        }
        total += self.beyond.load(Ordering::Relaxed);
        let sum = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        family
            .sample("_bucket", vec![("le", "+Inf".into())], total as f64)
            .sample("_sum", Vec::new(), sum)
            .sample("_count", Vec::new(), total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_cumulative() {
        let histogram = Histogram::new([0.5, 1.0]);
        for millis in [100, 500, 900, 5000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let family = histogram.family("h", "H.");
        let samples: Vec<_> = family
            .samples
            .iter()
            .map(|sample| {
                (
                    sample.suffix,
                    sample.labels.first().map(|label| &*label.1),
                    sample.value,
                )
            })
            .collect();
        assert_eq!(
            samples,
            [
                ("_bucket", Some("0.5"), 2.0),
                ("_bucket", Some("1.0"), 3.0),
                ("_bucket", Some("+Inf"), 4.0),
                ("_sum", None, 6.5),
                ("_count", None, 4.0)
            ]
        );
    }
}

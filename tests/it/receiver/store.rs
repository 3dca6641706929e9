//! What the receiver has stored, and models of what real receivers accept (tried on Prometheus 2.42 and 3.5 and VictoriaMetrics).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::message::{Message, Protocol, Series};
use super::reply::Response;

/// A receiver.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    pub kind: Kind,
    /// The answer to a message of 2.0.
    pub version_2: Version2,
}

/// Which samples a receiver accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Samples of a series in the order of their times, or within the window before the newest of all. In 1.0 a request is stored wholly or
    /// not at all.
    Prometheus {
        window: Duration,
        /// The status for samples that are older than the window.
        too_old: u16,
    },
    /// All samples; a repeated one is stored again.
    VictoriaMetrics,
}

/// The answer to a message of 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version2 {
    Spoken,
    /// 204 without storing anything.
    Ignored,
    /// 415.
    Refused,
}

impl Model {
    /// Prometheus 3.5 with this window.
    pub fn prometheus(window: Duration) -> Self {
        Self {
            kind: Kind::Prometheus {
                window,
                too_old: 400,
            },
            version_2: Version2::Spoken,
        }
    }

    /// Prometheus 2.42 with this window, which speaks 1.0 only.
    pub fn prometheus_2_42(window: Duration) -> Self {
        Self {
            kind: Kind::Prometheus {
                window,
                too_old: 500,
            },
            version_2: Version2::Ignored,
        }
    }

    /// VictoriaMetrics, which speaks 1.0 only.
    pub fn victoria_metrics() -> Self {
        Self {
            kind: Kind::VictoriaMetrics,
            version_2: Version2::Ignored,
        }
    }
}

/// Samples by series and time: the bits of their values.
pub type Samples = BTreeMap<String, BTreeMap<i64, u64>>;

/// How far ahead of the clock samples may be, in ms.
const FUTURE: i64 = 10 * 60 * 1000;

/// Without a window, samples that are so much older than the newest one are out of bounds, in ms.
const BOUND: i64 = 60 * 60 * 1000;

/// The stored samples.
#[derive(Debug, Clone)]
pub struct Store {
    model: Model,
    pub samples: Samples,
    /// The newest time.
    newest: Option<i64>,
    /// The number of samples that were accepted although they were stored already.
    pub repeated: u64,
    /// Samples with another value at a time that has one: what a sender must never send.
    pub conflicts: Vec<(String, i64, u64, u64)>,
}

impl Store {
    pub(super) fn new(model: Model) -> Self {
        Self {
            model,
            samples: Samples::new(),
            newest: None,
            repeated: 0,
            conflicts: Vec::new(),
        }
    }

    /// Stores what the model accepts.
    pub(super) fn write(&mut self, message: &Message) -> Response {
        if message.protocol == Protocol::V2 {
            match self.model.version_2 {
                Version2::Spoken => {}
                Version2::Ignored => return Response::new(204, ""),
                Version2::Refused => {
                    return Response::new(415, "unsupported proto message\n");
                }
            }
        }
        let Kind::Prometheus { window, too_old } = self.model.kind else {
            for series in &message.series {
                self.add(series, &series.samples);
            }
            return Response::new(204, "");
        };
        let newest = self.newest;
        let mut refusal = None;
        let mut accepted = Vec::new();
        for series in &message.series {
            let (mut good, mut last) = (Vec::new(), None);
            for &(time, value) in &series.samples {
                match self.refuses(series, (time, value), last, newest, window) {
                    None => {
                        good.push((time, value));
                        last = last.max(Some(time));
                    }
                    Some(reason) => drop(refusal.get_or_insert(reason)),
                }
            }
            accepted.push((series, good));
        }
        let is_rolled_back = refusal.is_some() && message.protocol == Protocol::V1;
        let mut written = 0;
        if !is_rolled_back {
            for (series, samples) in &accepted {
                written += samples.len();
                self.add(series, samples);
            }
        }
        let response = match refusal {
            None => Response::new(204, ""),
            Some(text @ "too old sample") => Response::new(too_old, text),
            Some(text) => Response::new(400, text),
        };
        match message.protocol {
            Protocol::V1 => response,
            Protocol::V2 => {
                ["Samples", "Histograms", "Exemplars"]
                    .iter()
                    .fold(response, |response, kind| {
                        let count = if *kind == "Samples" { written } else { 0 };
                        let name = format!("X-Prometheus-Remote-Write-{kind}-Written");
                        response.header(&name, &count.to_string())
                    })
            }
        }
    }

    /// Why Prometheus refuses a sample. `last` is the newest accepted time of the series in the request, `newest` that of all series before it.
    fn refuses(
        &self,
        series: &Series,
        (time, value): (i64, u64),
        last: Option<i64>,
        newest: Option<i64>,
        window: Duration,
    ) -> Option<&'static str> {
        let known = self.samples.get(&series.text);
        let newest_of_series = known.and_then(|known| known.last_key_value());
        let newest_of_series = newest_of_series.map(|(time, _)| *time).max(last);
        let window = window.as_millis() as i64;
        if time > milliseconds(SystemTime::now()) + FUTURE {
            return Some("out of bounds");
        }
        if newest.is_some_and(|newest| time < newest - window.max(BOUND)) {
            return Some(if window > 0 {
                "too old sample"
            } else {
                "out of bounds"
            });
        }
        if newest_of_series.is_some_and(|newest| time < newest) {
            if window == 0 {
                return Some("out of order sample");
            }
            if newest.is_some_and(|newest| time < newest - window) {
                return Some("too old sample");
            }
        }
        let stored = known.and_then(|known| known.get(&time));
        let is_other = stored.is_some_and(|stored| *stored != value);
        is_other.then_some("duplicate sample for timestamp")
    }

    fn add(&mut self, series: &Series, samples: &[(i64, u64)]) {
        let known = self.samples.entry(series.text.clone()).or_default();
        for &(time, value) in samples {
            self.newest = self.newest.max(Some(time));
            match known.insert(time, value) {
                None => {}
                Some(before) if before == value => self.repeated += 1,
                Some(before) => {
                    let conflict = (series.text.clone(), time, before, value);
                    self.conflicts.push(conflict);
                }
            }
        }
    }

    /// The value of a series at a time.
    pub fn value(&self, series: &str, time: i64) -> Option<f64> {
        let bits = self.samples.get(series)?.get(&time)?;
        Some(f64::from_bits(*bits))
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.samples.values().map(BTreeMap::len).sum()
    }
}

/// Milliseconds since 1970.
pub fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}

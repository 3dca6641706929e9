//! The series of a scrape in the registries of two client libraries, for comparison.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus::{Encoder, GaugeVec, Opts, TextEncoder};
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Label keys and values.
type Labels = Vec<(String, String)>;

/// The samples by name.
type Series = BTreeMap<String, Vec<(Labels, f64)>>;

/// The labels of a device, in the form that is fastest for prometheus-client: texts that many series share are stored once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Device {
    common: [(&'static str, Arc<str>); 2],
    others: Labels,
}

impl EncodeLabelSet for Device {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (key, value) in &self.common {
            (*key, value.as_ref()).encode(encoder.encode_label())?;
        }
        for (key, value) in &self.others {
            (key.as_str(), value.as_str()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// The crate `prometheus-client`.
pub struct PrometheusClient(prometheus_client::registry::Registry);

impl PrometheusClient {
    /// Registers the series of a text in the format 0.0.4.
    pub fn of(text: &str) -> Self {
        let mut registry = prometheus_client::registry::Registry::default();
        let mut texts = HashMap::<String, Arc<str>>::new();
        let mut common = |key, labels: &mut Labels| {
            let at = labels.iter().position(|(found, _)| found == key);
            let text = at.map(|at| labels.remove(at).1).unwrap_or_default();
            let shared = texts
                .entry(text)
                .or_insert_with_key(|text| text.as_str().into());
            (key, Arc::clone(shared))
        };
        for (name, samples) in series(text) {
            let family = Family::<Device, Gauge<f64, AtomicU64>>::default();
            for (mut labels, value) in samples {
                let device = Device {
                    common: ["device_type", "deviceID"].map(|key| common(key, &mut labels)),
                    others: labels,
                };
                family.get_or_create_owned(&device).set(value);
            }
            registry.register(&name, &name, family);
        }
        Self(registry)
    }

    /// Encodes the series.
    ///
    /// # Errors
    /// Never, with a `String`.
    pub fn encode(&self, out: &mut String) -> fmt::Result {
        prometheus_client::encoding::text::encode(out, &self.0)
    }
}

/// The crate `prometheus`.
pub struct Prometheus(prometheus::Registry);

impl Prometheus {
    /// Registers the series of a text in the format 0.0.4.
    ///
    /// # Errors
    /// The crate rejects a series.
    pub fn of(text: &str) -> prometheus::Result<Self> {
        let registry = prometheus::Registry::new();
        for (name, samples) in series(text) {
            // In this crate all samples of a family have the same keys. A missing key is added with an empty value, which is the same series.
            let keys: BTreeSet<&str> = samples
                .iter()
                .flat_map(|(labels, _)| labels.iter().map(|(key, _)| key.as_str()))
                .collect();
            let keys: Vec<_> = keys.into_iter().collect();
            let family = GaugeVec::new(Opts::new(&name, &name), &keys)?;
            for (labels, value) in &samples {
                let of_key = |key: &&str| {
                    let label = labels.iter().find(|(found, _)| found == key);
                    label.map_or("", |(_, value)| value.as_str())
                };
                let values: Vec<_> = keys.iter().map(of_key).collect();
                family.get_metric_with_label_values(&values)?.set(*value);
            }
            registry.register(Box::new(family))?;
        }
        Ok(Self(registry))
    }

    /// Gathers and encodes the series.
    ///
    /// # Errors
    /// The crate fails to encode them.
    pub fn encode(&self, out: &mut Vec<u8>) -> prometheus::Result<()> {
        TextEncoder::new().encode(&self.0.gather(), out)
    }
}

/// Parses the exporter's output. Labels of the benchmark contain nothing that is escaped.
fn series(text: &str) -> Series {
    let mut series = Series::new();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    for (series_name, value) in samples.filter_map(|line| line.rsplit_once(' ')) {
        let (name, labels) = series_name.split_once('{').unwrap_or((series_name, "}"));
        let labels = labels.trim_end_matches('}').split("\",");
        let labels = labels.filter_map(|label| {
            let (key, value) = label.split_once("=\"")?;
            Some((key.to_owned(), value.trim_end_matches('"').to_owned()))
        });
        let sample = (labels.collect(), value.parse().unwrap_or(f64::NAN));
        series.entry(name.to_owned()).or_default().push(sample);
    }
    series
}

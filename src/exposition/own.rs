//! The exporter's own metric families, and their text format.

use std::borrow::Cow;
use std::sync::Arc;

use super::Format;
use super::number::number;
use super::text::{Family, Kind, header, label, line};

/// One family of the exporter's own metrics, with its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnFamily {
    /// Name, help, type and unit.
    pub family: Family<'static>,
    /// The samples; a family without any is not written.
    pub samples: Vec<OwnSample>,
}

/// Keys and values of labels.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnSample {
    /// The suffix after the family's name: `_bucket`, `_sum` or `_count` of a histogram, else empty.
    pub suffix: &'static str,
    /// The value of the label `account`, which comes before the others.
    pub account: Option<Arc<str>>,
    /// The other labels, unescaped.
    pub labels: Labels,
    /// The value; finite.
    pub value: f64,
}

impl OwnFamily {
    /// A family without samples. If the name ends in `seconds` or `bytes`, that is its unit.
    #[must_use]
    pub fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        let base = name.strip_suffix("_total").unwrap_or(name);
        let units = ["seconds", "bytes"].into_iter();
        let unit = units.into_iter().find(|unit| base.ends_with(unit));
        Self {
            family: Family {
                name,
                help,
                kind,
                unit,
            },
            samples: Vec::new(),
        }
    }

    /// Adds a sample without labels.
    #[must_use]
    pub fn value(self, value: f64) -> Self {
        self.sample("", Vec::new(), value)
    }

    /// Adds a sample with one label.
    #[must_use]
    pub fn labelled(self, key: &'static str, of: &'static str, value: f64) -> Self {
        self.sample("", vec![(key, of.into())], value)
    }

    /// Gives all samples the label `account`.
    #[must_use]
    pub fn of_account(mut self, account: &Arc<str>) -> Self {
        for sample in &mut self.samples {
            sample.account = Some(Arc::clone(account));
        }
        self
    }

    /// Gives all samples the label `destination`, before their other labels except `account`.
    #[must_use]
    pub fn of_destination(mut self, destination: &str) -> Self {
        for sample in &mut self.samples {
            let value = destination.to_owned().into();
            sample.labels.insert(0, ("destination", value));
        }
        self
    }

    /// Combines the families of several objects, which all have the same ones in the same order. Empty without objects.
    #[must_use]
    pub fn merged(mut objects: impl Iterator<Item = Vec<Self>>) -> Vec<Self> {
        let mut families = objects.next().unwrap_or_default();
        for own in objects {
            for (family, own) in families.iter_mut().zip(own) {
                family.samples.extend(own.samples);
            }
        }
        families
    }

    /// Adds a sample with this suffix and these labels.
    #[must_use]
    pub fn sample(mut self, suffix: &'static str, labels: Labels, value: f64) -> Self {
        self.samples.push(OwnSample {
            suffix,
            account: None,
            labels,
            value,
        });
        self
    }
}

/// Writes families one after the other.
pub fn write(out: &mut Vec<u8>, format: Format, families: &[OwnFamily]) {
    for OwnFamily { family, samples } in families {
        if samples.is_empty() {
            continue;
        }
        header(out, format, family);
        for sample in samples {
            line(out, &[family.name, sample.suffix]);
            let account = sample.account.iter().map(|account| ("account", &**account));
            let labels = sample.labels.iter().map(|(key, value)| (*key, &**value));
            let mut begin = b'{';
            for (key, value) in account.chain(labels) {
                out.push(begin);
                label(out, key, value);
                begin = b',';
            }
            if begin == b',' {
                out.push(b'}');
            }
            out.push(b' ');
            number(out, sample.value);
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_with_their_samples() {
        let families = [
            OwnFamily::new(Kind::Counter, "a_seconds_total", "A.")
                .labelled("reason", "x\"", 1.0)
                .labelled("reason", "y", 0.5)
                .of_account(&"ship".into()),
            OwnFamily::new(Kind::Gauge, "empty", "E."),
            OwnFamily::new(Kind::Histogram, "h", "H.")
                .sample("_bucket", vec![("le", "+Inf".into())], 2.0)
                .sample("_sum", vec![], 0.25),
        ];
        for (format, expected) in [
            (
                Format::Prometheus,
                "# HELP a_seconds_total A.\n# TYPE a_seconds_total counter\na_seconds_total{account=\"ship\",reason=\"x\\\"\"} 1\n\
                 a_seconds_total{account=\"ship\",reason=\"y\"} 0.5\n# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 0.25\n",
            ),
            (
                Format::OpenMetrics,
                "# HELP a_seconds A.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                 a_seconds_total{account=\"ship\",reason=\"x\\\"\"} 1\na_seconds_total{account=\"ship\",reason=\"y\"} 0.5\n# HELP h H.\n\
                 # TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 0.25\n",
            ),
        ] {
            let mut out = Vec::new();
            write(&mut out, format, &families);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

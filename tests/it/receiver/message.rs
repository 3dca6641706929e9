//! The messages of remote write, as their specifications declare them, and what a request must fulfil. Independent of the service's
//! encoders.

use std::collections::BTreeMap;

use prost::Message as _;

/// The messages of remote write 1.0.
mod v1 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Label {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sample {
        #[prost(double, tag = "1")]
        pub value: f64,
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }
}

/// The messages of remote write 2.0.
mod v2 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<super::v1::Sample>,
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metadata {
        #[prost(int32, tag = "1")]
        pub kind: i32,
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub unit_ref: u32,
    }
}

/// The bits of the NaN that ends a series.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    V1,
    V2,
}

/// Type (1 counter, 2 gauge, 3 histogram, 6 info), help and unit of a series of 2.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    pub kind: i32,
    pub help: String,
    pub unit: String,
}

/// A series of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The name, then the labels in the order of their names: `name{a="1",b="2"}`, without escapes.
    pub text: String,
    /// All labels, with `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Milliseconds since 1970, and the bits of the values.
    pub samples: Vec<(i64, u64)>,
    pub metadata: Option<Metadata>,
}

/// The content of a request, and which rules of the specification it violates.
#[derive(Debug, Clone)]
pub struct Message {
    pub protocol: Protocol,
    pub series: Vec<Series>,
    pub violations: Vec<String>,
}

impl Protocol {
    /// The protocol that the headers announce.
    fn announced(header: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let of = |name: &str| header(name).ok_or_else(|| format!("no header {name}"));
        let version = of("x-prometheus-remote-write-version")?;
        match (&*of("content-type")?, &*version) {
            ("application/x-protobuf", "0.1.0") => Ok(Self::V1),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0") => {
                Ok(Self::V2)
            }
            (kind, version) => Err(format!("Content-Type {kind} in version {version}")),
        }
    }
}

impl Message {
    /// Reads a request.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<Self, String> {
        let protocol = Protocol::announced(header)?;
        if header("content-encoding").as_deref() != Some("snappy") {
            return Err("Content-Encoding is not snappy".to_owned());
        }
        let plain = snap::raw::Decoder::new().decompress_vec(body);
        let plain = plain.map_err(|error| error.to_string())?;
        let series = match protocol {
            Protocol::V1 => read_v1(&plain)?,
            Protocol::V2 => read_v2(&plain)?,
        };
        let mut message = Self {
            protocol,
            series: Vec::with_capacity(series.len()),
            violations: Vec::new(),
        };
        if header("user-agent").is_none_or(|agent| !agent.starts_with("starlink-telemetry/")) {
            message.violations.push("no User-Agent".to_owned());
        }
        for (labels, samples, metadata) in series {
            message.add(labels, samples, metadata);
        }
        Ok(message)
    }

    fn add(
        &mut self,
        labels: Vec<(String, String)>,
        samples: Vec<(i64, u64)>,
        metadata: Option<Metadata>,
    ) {
        for (is_valid, rule) in [
            (
                labels.is_sorted_by(|one, other| one.0 < other.0),
                "labels are sorted, and none is repeated",
            ),
            (
                labels
                    .iter()
                    .all(|(name, value)| !name.is_empty() && !value.is_empty()),
                "names and values of labels are not empty",
            ),
            (
                labels.iter().any(|(name, _)| name == "__name__"),
                "a series has a name",
            ),
            (!samples.is_empty(), "a series has samples"),
            (
                samples.is_sorted_by(|one, other| one.0 < other.0),
                "times are ascending",
            ),
        ] {
            if !is_valid {
                self.violations
                    .push(format!("{rule}: {labels:?} {samples:?}"));
            }
        }
        let labels: BTreeMap<_, _> = labels.into_iter().collect();
        self.series.push(Series {
            text: text(&labels),
            labels,
            samples,
            metadata,
        });
    }
}

/// A series as a text; see [`Series::text`].
pub fn text(labels: &BTreeMap<String, String>) -> String {
    let name = labels.get("__name__").map_or("", String::as_str);
    let others = labels.iter().filter(|(name, _)| *name != "__name__");
    let others: Vec<_> = others
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    format!("{name}{{{}}}", others.join(","))
}

type Read = (Vec<(String, String)>, Vec<(i64, u64)>, Option<Metadata>);

fn samples(samples: &[v1::Sample]) -> Vec<(i64, u64)> {
    let samples = samples.iter();
    samples
        .map(|sample| (sample.timestamp, sample.value.to_bits()))
        .collect()
}

fn read_v1(plain: &[u8]) -> Result<Vec<Read>, String> {
    let request = v1::WriteRequest::decode(plain).map_err(|error| error.to_string())?;
    let series = request.timeseries.into_iter().map(|series| {
        let labels = series.labels.into_iter();
        let labels = labels.map(|label| (label.name, label.value)).collect();
        (labels, samples(&series.samples), None)
    });
    Ok(series.collect())
}

fn read_v2(plain: &[u8]) -> Result<Vec<Read>, String> {
    let request = v2::Request::decode(plain).map_err(|error| error.to_string())?;
    let symbols = &request.symbols;
    if symbols.first().map(String::as_str) != Some("") {
        return Err("the first symbol is not empty".to_owned());
    }
    let symbol = |reference: u32| {
        let symbol = symbols.get(reference as usize).cloned();
        symbol.ok_or_else(|| format!("there is no symbol {reference}"))
    };
    let series = request.timeseries.iter().map(|series| {
        let pairs = series.labels_refs.chunks(2).map(|pair| match *pair {
            [name, value] => Ok((symbol(name)?, symbol(value)?)),
            _ => Err("a label without a value".to_owned()),
        });
        let labels = pairs.collect::<Result<Vec<_>, String>>()?;
        let metadata = series.metadata.as_ref().map(|metadata| {
            Ok::<_, String>(Metadata {
                kind: metadata.kind,
                help: symbol(metadata.help_ref)?,
                unit: symbol(metadata.unit_ref)?,
            })
        });
        Ok((labels, samples(&series.samples), metadata.transpose()?))
    });
    series.collect()
}

/// Encodes a request, for the receiver's own tests.
#[cfg(test)]
pub mod written {
    use super::*;

    /// Labels and samples.
    pub type Plain<'p> = (&'p [(&'p str, &'p str)], &'p [(i64, f64)]);

    /// The body of a request.
    pub fn body(protocol: Protocol, series: &[Plain<'_>]) -> Vec<u8> {
        let samples = |samples: &[(i64, f64)]| {
            let samples = samples.iter();
            samples
                .map(|&(timestamp, value)| v1::Sample { value, timestamp })
                .collect()
        };
        let plain = match protocol {
            Protocol::V1 => {
                let label = |&(name, value): &(&str, &str)| v1::Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                };
                let timeseries = series.iter().map(|(labels, points)| v1::TimeSeries {
                    labels: labels.iter().map(label).collect(),
                    samples: samples(points),
                });
                v1::WriteRequest {
                    timeseries: timeseries.collect(),
                }
                .encode_to_vec()
            }
            Protocol::V2 => {
                let mut symbols = vec![String::new()];
                let timeseries = series.iter().map(|(labels, points)| {
                    let mut labels_refs = Vec::new();
                    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                        labels_refs.push(symbols.len() as u32);
                        symbols.push((*text).to_owned());
                    }
                    v2::TimeSeries {
                        labels_refs,
                        samples: samples(points),
                        metadata: None,
                    }
                });
                let timeseries = timeseries.collect();
                v2::Request {
                    symbols,
                    timeseries,
                }
                .encode_to_vec()
            }
        };
        snap::raw::Encoder::new().compress_vec(&plain).unwrap()
    }

    /// The headers of a request.
    pub fn headers(protocol: Protocol) -> Vec<(&'static str, &'static str)> {
        let (kind, version) = match protocol {
            Protocol::V1 => ("application/x-protobuf", "0.1.0"),
            Protocol::V2 => (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                "2.0.0",
            ),
        };
        vec![
            ("Content-Type", kind),
            ("X-Prometheus-Remote-Write-Version", version),
            ("Content-Encoding", "snappy"),
            ("User-Agent", "starlink-telemetry/test"),
        ]
    }
}

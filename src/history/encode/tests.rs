//! Decodes requests with an independent implementation of protocol buffers, and compares them with what was written.

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;

use super::super::families::Families;
use super::super::{DestinationLabels, NameFilter, OwnSeries, STALE};
use super::series::{Message, Metadata, MetricType, Point};
use super::*;
use crate::telemetry::catalogue::TelemetryFamily;

/// The messages of remote write 1.0, as its specification declares them.
mod v1_messages {
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

/// The messages of remote write 2.0, as its specification declares them.
mod v2_messages {
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
        pub samples: Vec<super::v1_messages::Sample>,
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metadata {
        #[prost(int32, tag = "1")]
        pub r#type: i32,
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub unit_ref: u32,
    }
}

/// A decoded series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, String)>,
    /// Times, and the bits of values.
    pub(crate) samples: Vec<(i64, u64)>,
    /// Type, help and unit; `None` in 1.0.
    pub(crate) metadata: Option<(i32, String, String)>,
}

/// Decodes a request, and checks what the specifications demand.
pub(crate) fn decode(protocol: Protocol, request: &Request) -> Vec<Series> {
    let message = snap::raw::Decoder::new()
        .decompress_vec(&request.body)
        .unwrap();
    let series = decode_message(protocol, &message);
    let samples: usize = series.iter().map(|series| series.samples.len()).sum();
    assert_eq!(samples, request.samples);
    series
}

/// Decodes the body of a request, and checks what the specifications demand.
pub(crate) fn decode_body(protocol: Protocol, body: &[u8]) -> Vec<Series> {
    let message = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    decode_message(protocol, &message)
}

fn decode_message(protocol: Protocol, message: &[u8]) -> Vec<Series> {
    let series = match protocol {
        Protocol::V1 => decode_v1(message),
        Protocol::V2 => decode_v2(message),
    };
    for series in &series {
        let labels = &series.labels;
        assert!(
            labels.is_sorted_by(|one, other| one.0 < other.0),
            "{labels:?}"
        );
        assert!(
            labels.iter().all(|(_, value)| !value.is_empty()),
            "{labels:?}"
        );
        assert!(
            labels.iter().any(|(name, _)| name == "__name__"),
            "{labels:?}"
        );
        let samples = &series.samples;
        assert!(
            samples.is_sorted_by(|one, other| one.0 < other.0),
            "{series:?}"
        );
        assert!(!samples.is_empty(), "{labels:?}");
    }
    series
}

fn samples_of(samples: &[v1_messages::Sample]) -> Vec<(i64, u64)> {
    let samples = samples.iter();
    let sample = |sample: &v1_messages::Sample| (sample.timestamp, sample.value.to_bits());
    samples.map(sample).collect()
}

fn decode_v1(message: &[u8]) -> Vec<Series> {
    let request = v1_messages::WriteRequest::decode(message).unwrap();
    let series = request.timeseries.into_iter();
    series
        .map(|series| Series {
            samples: samples_of(&series.samples),
            labels: series
                .labels
                .into_iter()
                .map(|label| (label.name, label.value))
                .collect(),
            metadata: None,
        })
        .collect()
}

fn decode_v2(message: &[u8]) -> Vec<Series> {
    let request = v2_messages::Request::decode(message).unwrap();
    let symbols = request.symbols;
    assert_eq!(symbols[0], "");
    let mut unique = symbols.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), symbols.len(), "{symbols:?}");
    let text = |symbol: u32| symbols[symbol as usize].clone();
    let series = request.timeseries.into_iter();
    series
        .map(|series| {
            assert_eq!(series.labels_refs.len() % 2, 0);
            let pairs = series.labels_refs.chunks(2);
            let metadata = series.metadata.unwrap();
            Series {
                samples: samples_of(&series.samples),
                labels: pairs.map(|pair| (text(pair[0]), text(pair[1]))).collect(),
                metadata: Some((
                    metadata.r#type,
                    text(metadata.help_ref),
                    text(metadata.unit_ref),
                )),
            }
        })
        .collect()
}

fn labels(pairs: &[(&str, &str)]) -> DestinationLabels {
    let mut labels = DestinationLabels::none();
    for (name, value) in pairs {
        labels.set(name, value).unwrap();
    }
    labels
}

/// The request with what `write` writes to it.
fn written(
    encoder: &mut Encoder,
    protocol: Protocol,
    samples: usize,
    write: impl Fn(&mut dyn Message),
) -> Request {
    match protocol {
        Protocol::V1 => {
            encoder.v1.begin();
            write(&mut encoder.v1);
            encoder.finish_v1(samples).unwrap()
        }
        Protocol::V2 => {
            encoder.v2.begin();
            write(&mut encoder.v2);
            encoder.finish_v2(samples).unwrap()
        }
    }
}

#[test]
fn the_bytes_of_a_small_request_are_those_of_the_specification() {
    let mut families = Families::new(NameFilter::default());
    let (name, field) = ("starlink_x", "x");
    let id = families
        .intern(TelemetryFamily::Field { name, field })
        .unwrap();
    let family = Arc::clone(families.get(id).unwrap());
    let points = [Point {
        time: 1,
        value: 0.0,
    }];
    let write = |message: &mut dyn Message| {
        message.device("d", "T");
        message.series(id, &family, &points);
    };
    let value = [&[0x12, 11, 0x09][..], &[0; 8], &[0x10, 1]].concat();
    let label = |name: &str, value: &str| {
        let [n, v] = [name, value].map(|text| u8::try_from(text.len()).unwrap());
        let parts = [
            &[0x0a, 4 + n + v, 0x0a, n],
            name.as_bytes(),
            &[0x12, v],
            value.as_bytes(),
        ];
        parts.concat()
    };
    let mut series = label("__name__", "starlink_x");
    series.extend(label("deviceID", "d"));
    series.extend(label("device_type", "T"));
    series.extend(&value);
    let v1 = [&[0x0a, u8::try_from(series.len()).unwrap()], &*series].concat();
    let mut v2 = Vec::new();
    let help = "Starlink telemetry field x.";
    let symbols = [
        "",
        "__name__",
        "deviceID",
        "d",
        "device_type",
        "T",
        "starlink_x",
        help,
    ];
    for symbol in symbols {
        v2.extend([0x22, u8::try_from(symbol.len()).unwrap()]);
        v2.extend(symbol.as_bytes());
    }
    let mut series = vec![0x0a, 6, 1, 6, 2, 3, 4, 5];
    series.extend(&value);
    series.extend([0x2a, 4, 0x08, 2, 0x18, 7]);
    v2.extend([0x2a, u8::try_from(series.len()).unwrap()]);
    v2.extend(series);
    let mut encoder = Encoder::new(&DestinationLabels::none());
    for (protocol, expected) in [(Protocol::V1, v1), (Protocol::V2, v2)] {
        // The second request does not depend on the first.
        for _ in 0..2 {
            let request = written(&mut encoder, protocol, 1, write);
            let message = snap::raw::Decoder::new()
                .decompress_vec(&request.body)
                .unwrap();
            assert_eq!(message, expected, "{protocol:?}");
        }
    }
}

#[test]
fn labels_of_the_destination_are_sorted_in() {
    let mut families = Families::new(NameFilter::default());
    let name = "starlink_x";
    let id = families
        .intern(TelemetryFamily::Field { name, field: "x" })
        .unwrap();
    let family = Arc::clone(families.get(id).unwrap());
    let destination = labels(&[
        ("Zone", "1"),
        ("_a", "2"),
        ("a", "3"),
        ("deviceX", "4"),
        ("device_z", "5"),
        ("z", "6"),
    ]);
    let point = Point {
        time: -5,
        value: STALE,
    };
    let write = |message: &mut dyn Message| {
        for (id_label, device_type) in [("d", "T"), ("d", ""), ("", "T")] {
            message.device(id_label, device_type);
            message.series(id, &family, &[point]);
        }
        let metadata = Metadata {
            metric_type: MetricType::Info,
            help: "H",
            unit: "seconds",
        };
        let own = [("A", "y"), ("__name__", "n"), ("b", "x")];
        message.labelled(&own, metadata, &[point]);
    };
    let rest = [("_a", "2"), ("a", "3")];
    let expected = [
        vec![
            ("Zone", "1"),
            ("__name__", name),
            ("_a", "2"),
            ("a", "3"),
            ("deviceID", "d"),
            ("deviceX", "4"),
            ("device_type", "T"),
            ("device_z", "5"),
            ("z", "6"),
        ],
        vec![
            ("Zone", "1"),
            ("__name__", name),
            ("_a", "2"),
            ("a", "3"),
            ("deviceID", "d"),
            ("deviceX", "4"),
            ("device_z", "5"),
            ("z", "6"),
        ],
        vec![
            ("Zone", "1"),
            ("__name__", name),
            ("_a", "2"),
            ("a", "3"),
            ("deviceX", "4"),
            ("device_type", "T"),
            ("device_z", "5"),
            ("z", "6"),
        ],
        [
            &[("A", "y"), ("Zone", "1"), ("__name__", "n")][..],
            &rest,
            &[("b", "x"), ("deviceX", "4"), ("device_z", "5"), ("z", "6")],
        ]
        .concat(),
    ];
    let mut encoder = Encoder::new(&destination);
    for protocol in [Protocol::V1, Protocol::V2] {
        let request = written(&mut encoder, protocol, 4, write);
        let series = decode(protocol, &request);
        let found: Vec<Vec<_>> = series
            .iter()
            .map(|series| {
                let labels = series.labels.iter();
                labels.map(|(name, value)| (&**name, &**value)).collect()
            })
            .collect();
        assert_eq!(found, expected, "{protocol:?}");
        for series in series {
            assert_eq!(series.samples, [(-5, 0x7ff0_0000_0000_0002)]);
        }
    }
}

#[test]
fn a_set_bears_the_instance_and_its_metadata() {
    let text = "# HELP starlink_up Is it \\\\ up?\\n\n# TYPE starlink_up gauge\nstarlink_up{account=\"a\\\"b\",empty=\"\"} 1\n\
                # HELP h_seconds Durations.\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"+Inf\"} 3\nh_seconds_sum NaN\n";
    let series = OwnSeries::new("host".into(), Arc::default());
    let mut set = series.empty_set(7);
    series.scrape(7).chunk(text, &mut set);
    let mut encoder = Encoder::new(&labels(&[("job", "j")]));
    let histogram = (3, "Durations.".to_owned(), "seconds".to_owned());
    let up = (2, "Is it \\ up?\n".to_owned(), String::new());
    let expected = [
        (
            vec![
                ("__name__", "starlink_up"),
                ("account", "a\"b"),
                ("instance", "host"),
                ("job", "j"),
            ],
            1.0_f64.to_bits(),
            up,
        ),
        (
            vec![
                ("__name__", "h_seconds_bucket"),
                ("instance", "host"),
                ("job", "j"),
                ("le", "+Inf"),
            ],
            3.0_f64.to_bits(),
            histogram.clone(),
        ),
        (
            vec![
                ("__name__", "h_seconds_sum"),
                ("instance", "host"),
                ("job", "j"),
            ],
            f64::NAN.to_bits(),
            histogram,
        ),
    ];
    for protocol in [Protocol::V1, Protocol::V2] {
        let series = decode(protocol, &encoder.own(protocol, &set).unwrap());
        assert_eq!(series.len(), expected.len());
        for (series, (labels, value, metadata)) in series.iter().zip(&expected) {
            let found = series.labels.iter();
            let found: Vec<_> = found.map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(found, *labels, "{protocol:?}");
            assert_eq!(series.samples, [(7, *value)]);
            let is_v2 = protocol == Protocol::V2;
            assert_eq!(series.metadata, is_v2.then(|| metadata.clone()));
        }
    }
}

proptest! {
    #[test]
    fn any_series_is_decoded_as_it_was_written(
        all in prop::collection::vec(
            (
                prop::collection::btree_map("[a-z]{1,3}", "[a-z\u{e9}\"]{1,200}", 0..4),
                prop::collection::btree_map(any::<i64>(), any::<u64>(), 1..4),
                (".{0,9}", ".{0,3}"),
            ),
            0..20,
        ),
    ) {
        let mut encoder = Encoder::new(&labels(&[("Site", "s")]));
        let all: Vec<_> = all
            .into_iter()
            .map(|(mut labels, samples, metadata)| {
                labels.insert("__name__".to_owned(), "n".to_owned());
                (labels, samples, metadata)
            })
            .collect();
        let count = all.iter().map(|(_, samples, _)| samples.len()).sum();
        for protocol in [Protocol::V1, Protocol::V2] {
            let request = written(&mut encoder, protocol, count, |message| {
                for (labels, samples, (help, unit)) in &all {
                    let labels: Vec<_> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
                    let metadata = Metadata { metric_type: MetricType::Counter, help, unit };
                    let points: Vec<_> = samples
                        .iter()
                        .map(|(time, bits)| Point { time: *time, value: f64::from_bits(*bits) })
                        .collect();
                    message.labelled(&labels, metadata, &points);
                }
            });
            let series = decode(protocol, &request);
            prop_assert_eq!(series.len(), all.len());
            for (series, (labels, samples, (help, unit))) in series.iter().zip(&all) {
                let mut expected = labels.clone();
                expected.insert("Site".to_owned(), "s".to_owned());
                prop_assert_eq!(&series.labels, &expected.into_iter().collect::<Vec<_>>());
                let expected: Vec<_> = samples.iter().map(|(time, bits)| (*time, *bits)).collect();
                prop_assert_eq!(&series.samples, &expected);
                if protocol == Protocol::V2 {
                    let expected = Some((1, help.clone(), unit.clone()));
                    prop_assert_eq!(&series.metadata, &expected);
                }
            }
        }
    }
}

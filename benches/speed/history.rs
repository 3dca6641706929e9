//! Benchmarks turning rows into samples and writing them as requests of remote write, compared with compressing the same messages, and with
//! encoding the same series by prost.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Throughput;
use prost::Message;
use starlink_telemetry::history::{
    Content, DestinationLabels, DeviceRow, Encoder, History, Input, Options, Protocol, Request,
    Slice,
};
use starlink_telemetry::simulator::TERMINAL_COLUMNS;
use starlink_telemetry::telemetry::{Batch, SchemaCache, decode};

use crate::feed::{Body, documented, stamp_of};
use crate::runs::{Runs, timed};
use crate::verdict::Target;

/// The terminals of an answer, as Starlink sends them by default.
const TERMINALS: usize = 1000;

/// The rows of a request. They have about 10,000 samples, the most of a request by default.
const ROWS_OF_REQUEST: usize = 700;

/// The rows of a device in a request of the backlog.
const BACKLOG: u64 = 40;

/// `prometheus.WriteRequest`
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// A history, and the answers that it reads.
struct Reader {
    history: History,
    schemas: SchemaCache,
    body: Body,
    number: u64,
}

impl Reader {
    fn new() -> Self {
        Self {
            history: History::new(Arc::new(Options::standard(false))),
            schemas: SchemaCache::default(),
            body: Body::terminals(TERMINAL_COLUMNS, 0..TERMINALS, 0, documented),
            number: 0,
        }
    }

    /// The next answer, 15 seconds after the one before.
    fn batch(&mut self) -> Result<Batch, Box<dyn Error>> {
        self.number += 15;
        self.body.stamp(stamp_of(self.number));
        let (rows, metadata) = decode(self.body.json().to_vec())?;
        let schema = self.schemas.resolve(&metadata).schema;
        Ok(Batch { rows, schema })
    }

    fn read(&mut self, batch: &Batch) -> Slice {
        self.history.read(&Input {
            received: i64::try_from(stamp_of(self.number)).unwrap_or(i64::MAX),
            covers: 15_000,
            content: Content::Answer(batch),
        })
    }
}

/// The requests of these rows.
fn requests(
    encoder: &mut Encoder,
    protocol: Protocol,
    rows: &[(&Slice, &DeviceRow)],
) -> Vec<Request> {
    let parts = rows.chunks(ROWS_OF_REQUEST).map(<[_]>::iter);
    let requests = parts.map(|rows| encoder.rows(protocol, rows.copied()));
    requests.flatten().collect()
}

fn rows_of(slices: &[Slice]) -> Vec<(&Slice, &DeviceRow)> {
    let rows = slices.iter();
    rows.flat_map(|slice| slice.rows().iter().map(move |row| (slice, row)))
        .collect()
}

/// Measures the way from rows to requests, in samples a second.
///
/// # Errors
/// The batch cannot be decoded.
pub fn run(runs: &mut Runs) -> Result<(), Box<dyn Error>> {
    let mut reader = Reader::new();
    let mut encoder = Encoder::new(&DestinationLabels::default());
    let first = reader.batch()?;
    reader.read(&first);
    let batch = reader.batch()?;
    let samples = reader.read(&batch).len();
    let work = Throughput::Elements(samples as u64);
    runs.time("history/rows to samples", work.clone(), || {
        let batch = reader.batch();
        batch.map_or(Duration::MAX, |batch| timed(|| reader.read(&batch)))
    });
    for (protocol, version, target, most) in [
        (Protocol::V1, "1.0", 1.0, 20.0),
        (Protocol::V2, "2.0", 2.0, 15.0),
    ] {
        let name = format!("history/rows to requests of {version}");
        runs.time(&name, work.clone(), || {
            let batch = reader.batch();
            batch.map_or(Duration::MAX, |batch| {
                timed(|| {
                    let slices = [reader.read(&batch)];
                    requests(&mut encoder, protocol, &rows_of(&slices))
                })
            })
        });
        let batch = reader.batch()?;
        let slices = [reader.read(&batch)];
        let bodies = requests(&mut encoder, protocol, &rows_of(&slices));
        peers(runs, protocol, version, &bodies)?;
        let millions = slices[0].len() as f64 / 1e6;
        runs.rate(&name, millions, " M samples/s", Target::AtLeast(target));
        runs.compare(&name, &compressing(version), Target::None);
        per_sample(runs, &format!("live, {version}"), &bodies, most);
    }
    backlog(runs, &mut reader, &mut encoder)
}

fn compressing(version: &str) -> String {
    format!("history/compressing the messages of {version}")
}

/// Measures what others need for the same messages: compressing them alone, and encoding those of 1.0 by prost.
fn peers(
    runs: &mut Runs,
    protocol: Protocol,
    version: &str,
    bodies: &[Request],
) -> Result<(), Box<dyn Error>> {
    let decoded = bodies.iter();
    let decoded = decoded.map(|request| snap::raw::Decoder::new().decompress_vec(&request.body));
    let decoded: Vec<Vec<u8>> = decoded.collect::<Result<_, _>>()?;
    let samples: usize = bodies.iter().map(|request| request.samples).sum();
    let work = Throughput::Elements(samples as u64);
    let mut snappy = snap::raw::Encoder::new();
    runs.time(&compressing(version), work.clone(), || {
        timed(|| {
            for message in &decoded {
                black_box(snappy.compress_vec(message).ok());
            }
        })
    });
    if protocol == Protocol::V1 {
        let messages = decoded.iter();
        let messages = messages.map(|message| WriteRequest::decode(message.as_slice()));
        let messages: Vec<WriteRequest> = messages.collect::<Result<_, _>>()?;
        let name = "history/prost and snappy with ready structures of 1.0";
        runs.time(name, work, || {
            timed(|| {
                for message in &messages {
                    black_box(snappy.compress_vec(&message.encode_to_vec()).ok());
                }
            })
        });
        runs.outrun("history/rows to requests of 1.0", name, Target::None);
    }
    Ok(())
}

/// Reports the bytes of a sample in the body of a request.
fn per_sample(runs: &mut Runs, what: &str, bodies: &[Request], most: f64) {
    let samples: usize = bodies.iter().map(|request| request.samples).sum();
    let bytes: usize = bodies.iter().map(|request| request.body.len()).sum();
    let figure = format!("history: bytes a sample, {what}");
    let value = bytes as f64 / samples as f64;
    runs.report(&figure, value, " B", Target::AtMost(most));
}

/// Measures requests with several rows of each device.
fn backlog(
    runs: &mut Runs,
    reader: &mut Reader,
    encoder: &mut Encoder,
) -> Result<(), Box<dyn Error>> {
    let mut slices = Vec::new();
    for _ in 0..BACKLOG {
        let batch = reader.batch()?;
        slices.push(reader.read(&batch));
    }
    let samples: usize = slices.iter().map(Slice::len).sum();
    for (protocol, version) in [(Protocol::V1, "1.0"), (Protocol::V2, "2.0")] {
        let name = format!("history/samples of a backlog to requests of {version}");
        let mut bodies = Vec::new();
        runs.time(&name, Throughput::Elements(samples as u64), || {
            timed(|| {
                let mut rows = rows_of(&slices);
                // As the sender orders the rows of a backlog.
                rows.sort_by_key(|(_, row)| (row.hash, row.time));
                bodies = requests(encoder, protocol, &rows);
            })
        });
        let millions = samples as f64 / 1e6;
        runs.rate(&name, millions, " M samples/s", Target::None);
        if !bodies.is_empty() {
            per_sample(runs, &format!("backlog, {version}"), &bodies, 9.5);
        }
    }
    Ok(())
}

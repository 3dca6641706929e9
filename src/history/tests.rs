//! Tests from answers to decoded requests.

mod info;
mod markers;
mod model;
mod replay;
mod scrape;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::encode::tests::decode as decode_request;
use super::*;
use crate::telemetry::{Batch, SchemaCache, decode};

/// A time of the tests in milliseconds.
const START: i64 = 1_700_000_000_000;

const COLUMNS: &str = r#"
    "u":["DeviceType","UtcTimestampNs","DeviceId","Speed","Load","Version","Job","H3CellId","ActiveAlerts"],
    "r":["DeviceType","UtcTimestampNs","DeviceId","Speed","Version","ActiveAlerts"],
    "i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Version","Ipv4","Ipv6Ue","Ipv6Cpe"],
    "x":["DeviceType","UtcTimestampNs","DeviceId","Speed"]"#;

const ENUMS: &str = r#"{"DeviceType":{"u":"UserTerminal","r":"Router","i":"IpAllocs"},"AlertsByDeviceType":{"u":{"82":"pending","83":"hot"},"r":{"82":"other"}}}"#;

/// Samples by series and time, as the bits of their values. A series is its labels in order.
type Samples = BTreeMap<(String, i64), u64>;

/// A history, and what it needs to read answers.
struct World {
    history: History,
    schemas: SchemaCache,
    encoder: Encoder,
    /// Milliseconds since 1970.
    now: i64,
}

fn options() -> Options {
    Options::standard(true)
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = options();
        change(&mut options);
        Self {
            encoder: Encoder::new(&options.labels),
            history: History::new(Arc::new(options)),
            schemas: SchemaCache::default(),
            now: START,
        }
    }

    fn batch(&mut self, rows: &str) -> Batch {
        self.batch_with(rows, ENUMS)
    }

    fn batch_with(&mut self, rows: &str, enums: &str) -> Batch {
        let body = format!(
            r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{{{COLUMNS}}}}},"metadata":{{"enums":{enums}}}}}"#
        );
        let (rows, metadata) = decode(body.into()).unwrap();
        let schema = self.schemas.resolve(&metadata).schema;
        Batch { rows, schema }
    }

    fn slice(&mut self, covers: u32, content: Content<'_>) -> Slice {
        let slice = self.history.read(&Input {
            received: self.now * 1_000_000,
            covers,
            content,
        });
        check(&slice);
        slice
    }

    /// The samples of an answer with these rows, which covers this many seconds.
    fn answer(&mut self, covers: u32, rows: &str) -> Samples {
        let batch = self.batch(rows);
        let slice = self.slice(covers * 1000, Content::Answer(&batch));
        self.samples(&[&slice])
    }

    /// The samples of a record without rows.
    fn tick(&mut self, seconds: u32) -> Samples {
        let slice = self.slice(seconds * 1000, Content::Tick);
        self.samples(&[&slice])
    }

    /// The samples of slices, sent in one request of each version, which must be equal.
    fn samples(&mut self, slices: &[&Slice]) -> Samples {
        let [v1, v2] = [Protocol::V1, Protocol::V2].map(|protocol| {
            let rows = slices.iter().flat_map(|slice| {
                let rows = slice.rows().iter();
                rows.map(move |row| (*slice, row))
            });
            let request = self.encoder.rows(protocol, rows).unwrap();
            let mut samples = Samples::new();
            for series in decode_request(protocol, &request) {
                let name = text_of(&series.labels);
                for (time, value) in series.samples {
                    let before = samples.insert((name.clone(), time), value);
                    assert_eq!(before, None, "{name} {time}");
                }
            }
            samples
        });
        assert_eq!(v1, v2);
        v1
    }
}

/// Orders rows of several slices as the sender does for a backlog.
fn by_device(rows: &mut [(&Slice, &DeviceRow)]) {
    rows.sort_by_key(|(_, row)| (row.hash, row.time));
}

/// Rows are in time slices, those of a device in the order of their times, and all samples belong to a row.
fn check(slice: &Slice) {
    let rows = slice.rows();
    let samples: usize = rows.iter().map(DeviceRow::len).sum();
    assert_eq!(samples, slice.len());
    assert!(rows.iter().all(|row| !row.is_empty()));
    assert!(rows.is_sorted_by_key(|row| (row.turn, row.hash)));
    let mut last = BTreeMap::new();
    for row in rows {
        let (id, _) = slice.device(row);
        let (turn, time) = last
            .insert(row.hash, (row.turn, row.time))
            .map_or((0, i64::MIN), |(turn, time)| (turn + 1, time));
        assert_eq!(row.turn, turn, "{id}");
        assert!(row.time >= time, "{id}");
    }
}

#[test]
fn shards_are_of_similar_size() {
    let rows =
        (0..3000).map(|number| format!(r#"["u",{},"ut01000000-00000000-{number:08x}",1]"#, at(0)));
    let mut world = World::new();
    let batch = world.batch(&rows.collect::<Vec<_>>().join(","));
    let slice = world.slice(0, Content::Answer(&batch));
    for shards in [1, 2, 3, 8, u16::MAX] {
        let mut sizes = BTreeMap::<u16, usize>::new();
        for row in slice.rows() {
            // As the sender chooses a shard.
            let shard = u16::try_from(row.hash % u64::from(shards)).unwrap();
            *sizes.entry(shard).or_default() += 1;
        }
        assert!(sizes.keys().all(|shard| *shard < shards));
        let mean = 3000 / usize::from(shards);
        let is_similar = |size: &usize| size.abs_diff(mean) <= mean / 5;
        assert!(shards > 8 || sizes.values().all(is_similar), "{sizes:?}");
    }
}

/// The labels without the default one of the destination, in the text format.
fn text_of(labels: &[(String, String)]) -> String {
    let (name, others): (Vec<_>, Vec<_>) = labels.iter().partition(|(name, _)| name == "__name__");
    let is_default =
        |label: &&&(String, String)| **label == &("job".into(), "starlink-telemetry".into());
    let others = others.iter().filter(|label| !is_default(label));
    let others: Vec<_> = others
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{}{{{}}}", name[0].1, others.join(","))
}

/// A sample of the terminal `ut1`.
fn sample(name: &str, seconds: i64, value: f64) -> ((String, i64), u64) {
    let labels = r#"deviceID="ut1",device_type="UserTerminal""#;
    let name = match name.split_once('{') {
        Some((name, rest)) => format!("{name}{{{rest}"),
        None => format!("{name}{{{labels}}}"),
    };
    ((name, START + seconds * 1000), value.to_bits())
}

/// A timestamp in nanoseconds.
fn at(seconds: i64) -> i64 {
    (START + seconds * 1000) * 1_000_000
}

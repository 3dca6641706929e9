//! From a record of the journal to samples. Pure.

use std::sync::Arc;

use thiserror::Error;

use crate::history::{Content, DestinationLabels, DeviceKey, History, Input, Options, Slice};
use crate::journal::moved::{self, InvalidDevices};
use crate::journal::{Kind, Record, payload};
use crate::remote_write::{Destination, Row, Selected};
use crate::telemetry::{
    Batch, DecodeError, FilledEnums, InvalidEnums, SchemaCache, SharedSchemas, decode,
};

use super::SenderContext;

/// Why a record gives no samples.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    #[error("its payload cannot be expanded: {0}")]
    Payload(#[from] std::io::Error),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Enums(#[from] InvalidEnums),
    #[error(transparent)]
    Devices(#[from] InvalidDevices),
}

/// Reads the records of an account for one destination, in their order.
#[derive(Debug)]
pub(super) struct Decoder {
    schemas: SchemaCache,
    history: History,
}

impl Decoder {
    pub(super) fn new(schemas: SharedSchemas, options: Arc<Options>) -> Self {
        Self {
            schemas: SchemaCache::sharing(schemas),
            history: History::new(options),
        }
    }

    /// The samples of a record.
    pub(super) fn read(&mut self, record: &Record) -> Result<Slice, Unreadable> {
        let header = &record.header;
        let mut read = |content| {
            self.history.read(&Input {
                received: header.received,
                covers: header.covers,
                content,
            })
        };
        Ok(match header.kind {
            Kind::Tick => read(Content::Tick),
            Kind::Moved => {
                let devices = moved::decode(&record.payload)?;
                let keys = devices.iter().map(|device| DeviceKey {
                    code: &device.code,
                    id: &device.id,
                });
                read(Content::Moved(&keys.collect::<Vec<_>>()))
            }
            Kind::Answer => {
                let (rows, mut metadata) = decode(payload::expand(&record.payload)?)?;
                if !record.enums.is_empty() {
                    metadata.fill(FilledEnums::decode(&record.enums)?);
                }
                let schema = self.schemas.resolve(&metadata).schema;
                read(Content::Answer(&Batch { rows, schema }))
            }
        })
    }
}

/// The options of the history of a destination.
pub(super) fn options(destination: &Destination, context: &SenderContext) -> Options {
    Options {
        include_routers: context.include_routers,
        retention: context.retention,
        limits: context.limits,
        names: destination.names.clone(),
        labels: labels(destination),
    }
}

/// The labels that a destination adds to all series.
pub(in crate::recording) fn labels(destination: &Destination) -> DestinationLabels {
    let mut labels = DestinationLabels::none();
    for (name, value) in &destination.labels {
        // They were checked when the destination was parsed.
        let _ = labels.set(name, value);
    }
    labels
}

/// The rows of a slice, as shards need them, in the order of the slice.
pub(super) fn rows(slice: &Slice) -> Vec<Row> {
    let rows = slice.rows().iter();
    rows.map(|row| Row {
        device: row.hash,
        time: row.time,
        samples: u32::try_from(row.len()).unwrap_or(u32::MAX),
        is_marker: row.is_marker,
    })
    .collect()
}

/// About how many bytes decoding a record with so many rows takes: its text, cells and samples.
pub(super) fn estimate_decoding(rows: u32) -> usize {
    rows as usize * 1024
}

/// About how many bytes the slice of a record with so many rows has, and its rows that wait.
pub(super) fn estimate(rows: u32) -> usize {
    rows as usize * 320
}

/// How many bytes a slice and its rows that wait have.
pub(super) fn bytes(slice: &Slice) -> usize {
    slice.bytes() + slice.rows().len() * size_of::<Selected>()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::journal::Header;
    use crate::remote_write::{Lane, Limits, Position, Shards, Window};

    const NOW: i64 = 1_700_000_000_000;

    /// A decoder with the options of tests.
    pub(in crate::recording::sender) fn decoder() -> Decoder {
        let options = Options::standard(true);
        Decoder::new(SharedSchemas::default(), Arc::new(options))
    }

    /// An answer with so many rows of each of so many terminals, 15 s apart, those of a terminal one after the other or not.
    fn record(terminals: u32, each: u32, is_by_terminal: bool) -> Record {
        let mut rows = Vec::new();
        for number in 0..terminals * each {
            let (terminal, turn) = match is_by_terminal {
                true => (number / each, number % each),
                false => (number % terminals, number / terminals),
            };
            let time = (NOW - 15_000 * i64::from(each - 1 - turn)) * 1_000_000;
            rows.push(format!(r#"["u",{time},"ut{terminal}",1,"v"]"#));
        }
        let body = format!(
            r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId","Speed","Version"]}}}},"metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}},"AlertsByDeviceType":{{}}}}}}}}"#,
            rows.join(",")
        );
        Record {
            header: Header {
                sequence: 0,
                incarnation: 1,
                batch: 0,
                received: NOW * 1_000_000,
                covers: 15_000,
                rows: terminals * each,
                oldest: 0,
                newest: NOW * 1_000_000,
                kind: Kind::Answer,
            },
            enums: Bytes::new(),
            payload: payload::compress(&body).unwrap(),
        }
    }

    #[test]
    fn a_record_with_several_rows_of_each_device_is_sent_in_as_many_requests() {
        let none = Window::Limited(Duration::ZERO);
        let hours = Window::Limited(Duration::from_secs(9 * 3600));
        for window in [none, hours, Window::Unlimited] {
            for (terminals, each, shards) in [(1000, 1, 1), (1000, 2, 1), (100, 5, 3), (1, 40, 1)] {
                for is_by_terminal in [true, false] {
                    let record = record(terminals, each, is_by_terminal);
                    let slice = decoder().read(&record).unwrap();
                    let limits = Limits {
                        max_samples: 10_000,
                        window,
                    };
                    let position = Position {
                        next: 0,
                        gap: None,
                        shards,
                    };
                    let mut state = Shards::new(limits, &position);
                    state.add(Lane::Live, 0, &rows(&slice));
                    let mut requests = 0;
                    let mut sent: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
                    for shard in 0..shards {
                        while let Some(request) = state.take(shard, NOW, 0) {
                            requests += 1;
                            let time = request.rows.first().unwrap().row.time;
                            for row in request.rows {
                                assert_eq!(row.row.time, time, "not one time slice");
                                sent.entry(row.row.device).or_default().push(time);
                            }
                            state.finish(shard);
                        }
                    }
                    let what = format!("{terminals} × {each} in {shards} shards, {window:?}");
                    assert_eq!(requests, each * u32::from(shards), "{what}");
                    assert_eq!(sent.len(), terminals as usize, "{what}");
                    for times in sent.values() {
                        assert_eq!(times.len(), each as usize, "{what}");
                        assert!(times.is_sorted(), "{what}");
                    }
                    assert!(state.is_drained());
                }
            }
        }
    }

    #[test]
    fn markers_are_no_rows() {
        let mut decoder = decoder();
        let mut read = |record: &Record| rows(&decoder.read(record).unwrap());
        let first = read(&record(2, 1, true));
        assert!(first.len() == 2 && first.iter().all(|row| !row.is_marker));
        let mut silence = record(0, 0, true);
        silence.header.kind = Kind::Tick;
        silence.header.covers = 120_000;
        let markers = read(&silence);
        assert!(markers.len() == 2 && markers.iter().all(|row| row.is_marker));
    }
}

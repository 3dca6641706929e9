//! From a record of the journal to samples. Pure.

use std::sync::Arc;

use thiserror::Error;

use crate::history::{Content, DestinationLabels, DeviceKey, History, Input, Options, Slice};
use crate::journal::moved::{self, InvalidDevices};
use crate::journal::{Kind, Record, payload};
use crate::remote_write::{Destination, Row};
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
pub(super) fn labels(destination: &Destination) -> DestinationLabels {
    let mut labels = DestinationLabels::none();
    for (name, value) in &destination.labels {
        // They were checked when the destination was parsed.
        let _ = labels.set(name, value);
    }
    labels
}

/// The rows of a slice, as shards need them.
pub(super) fn rows(slice: &Slice) -> Vec<Row> {
    let rows = slice.rows().iter();
    rows.map(|row| Row {
        device: row.hash,
        time: row.time,
        samples: u32::try_from(row.len()).unwrap_or(u32::MAX),
    })
    .collect()
}

/// About how many bytes the slice of a record with so many rows has.
pub(super) fn estimate(rows: u32) -> usize {
    rows as usize * 400
}

//! Turns records into samples.

use std::sync::Arc;
use std::time::Duration;

use super::STALE;
use super::centres::Centres;
use super::columns::PreparedTypes;
use super::devices::{Device, Devices, Shape};
use super::families::{Families, FamilyId};
use super::info::Info;
use super::interner::Interner;
use super::options::Options;
use super::row::RowSamples;
use super::rows::BatchReader;
use super::slice::{Sample, Slice};
use crate::fleet::latest;
use crate::telemetry::readings::{Identity, Row};
use crate::telemetry::schema::{TERMINAL_CODE, TypeSchema};
use crate::telemetry::{Batch, Cell, DeviceKind};

/// A device of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceKey<'k> {
    /// The type code.
    pub code: &'k str,
    /// `DeviceId`, as Starlink spells it.
    pub id: &'k str,
}

/// A record of the journal.
#[derive(Debug, Clone, Copy)]
pub struct Input<'r> {
    /// When it was received, by the corrected clock, in nanoseconds since 1970.
    pub received: i64,
    /// The stream time that it covers, in milliseconds.
    pub covers: u32,
    /// What it contains.
    pub content: Content<'r>,
}

/// The content of a record.
#[derive(Debug, Clone, Copy)]
pub enum Content<'r> {
    /// An answer with rows.
    Answer(&'r Batch),
    /// Only stream time.
    Tick,
    /// Devices that another account delivers from now on.
    Moved(&'r [DeviceKey<'r>]),
}

/// The state of an account's devices for one destination.
#[derive(Debug)]
pub struct History {
    pub(super) options: Arc<Options>,
    pub(super) families: Families,
    pub(super) types: PreparedTypes,
    pub(super) devices: Devices,
    pub(super) device_types: Interner<Arc<str>>,
    pub(super) shapes: Interner<Box<[FamilyId]>>,
    pub(super) infos: Interner<Info>,
    pub(super) centres: Centres,
    /// The stream time in milliseconds.
    pub(super) stream: u64,
    /// No device becomes silent before this stream time.
    pub(super) due: u64,
}

/// A row that may give samples, or the row of an allocation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'b> {
    pub(super) slot: u32,
    /// `UtcTimestampNs`.
    pub(super) reported: i64,
    /// Whether it is the row of a device, and not of an allocation.
    pub(super) is_device: bool,
    /// Its position in the batch.
    row: u32,
    /// The index of its prepared columns.
    pub(super) columns: u32,
    pub(super) cells: Row<'b>,
}

impl Entry<'_> {
    /// The time of its samples in milliseconds since 1970.
    pub(super) fn time(&self) -> i64 {
        milliseconds(self.reported)
    }
}

/// Why a row gives no samples.
#[derive(Debug, Clone, Copy)]
enum NotUsed {
    Rejected,
    Future,
    /// A row of a router, which is not wanted.
    Unwanted,
}

impl History {
    /// A history without devices.
    #[must_use]
    pub fn new(options: Arc<Options>) -> Self {
        Self {
            families: Families::new(options.names.clone()),
            options,
            types: PreparedTypes::default(),
            devices: Devices::default(),
            device_types: Interner::default(),
            shapes: Interner::default(),
            infos: Interner::default(),
            centres: Centres::default(),
            stream: 0,
            due: u64::MAX,
        }
    }

    /// The samples of a record: those of its rows, and the stale markers of series that end with it.
    pub fn read(&mut self, input: &Input<'_>) -> Slice {
        let mut slice = Slice::default();
        self.stream = self.stream.saturating_add(input.covers.into());
        match input.content {
            Content::Answer(batch) => self.read_batch(batch, input.received, &mut slice),
            Content::Tick => {}
            // Its series go on, so they get no markers.
            Content::Moved(keys) => {
                for key in keys {
                    if let Some(slot) = self.devices.find(key.code, key.id) {
                        self.devices.remove(slot);
                    }
                }
            }
        }
        if self.stream >= self.due {
            self.end_silent(input.received, &mut slice);
        }
        slice.finish(Arc::clone(self.families.table()));
        slice
    }

    fn read_batch(&mut self, batch: &Batch, received: i64, slice: &mut Slice) {
        let mut entries = self.select(batch, received, slice);
        // The rows of a device, and of its allocation, in the order of their times. Within a millisecond, rows of the allocation come first,
        // and the row that wins is the last one.
        entries.sort_unstable_by_key(|entry| {
            let Entry {
                slot,
                reported,
                is_device,
                row,
                ..
            } = *entry;
            (slot, entry.time(), is_device, reported, row)
        });
        let mut reader = BatchReader {
            history: self,
            slice,
            row: RowSamples::default(),
        };
        for device in entries.chunk_by(|one, other| one.slot == other.slot) {
            reader.device(device);
        }
        // Only now, so that each row gives samples, however many devices are new.
        self.devices.forget_beyond(self.options.limits.devices);
    }

    /// The rows that may give samples, and those of allocations. Counts the others.
    fn select<'b>(&mut self, batch: &'b Batch, received: i64, slice: &mut Slice) -> Vec<Entry<'b>> {
        let counts = &mut slice.counts;
        counts.rejected += (batch.rows.malformed() + batch.rows.beyond()) as u64;
        let latest = latest(batch, Some(received), &self.options.limits);
        self.types.begin();
        let mut entries = Vec::with_capacity(batch.rows.iter().len());
        let mut last = None;
        for (cells, row) in batch.rows.iter().zip(0..) {
            match self.entry(batch, cells, row, latest, &mut last) {
                Ok(entry) => entries.push(entry),
                Err(NotUsed::Rejected) => counts.rejected += 1,
                Err(NotUsed::Future) => counts.future += 1,
                Err(NotUsed::Unwanted) => {}
            }
        }
        entries
    }

    /// Checks a row, and finds its device. `last` is the type of the row before: rows of a type mostly follow each other.
    fn entry<'b>(
        &mut self,
        batch: &'b Batch,
        cells: &'b [Cell],
        row: u32,
        latest: i64,
        last: &mut Option<(&'b str, u32, &'b Arc<TypeSchema>)>,
    ) -> Result<Entry<'b>, NotUsed> {
        let code = batch.rows.code(cells).ok_or(NotUsed::Rejected)?;
        let (_, columns, schema) = match *last {
            Some(known) if known.0 == code => known,
            _ => *last.insert(self.columns(batch, code)?),
        };
        let limits = &self.options.limits;
        let cells = Row::new(&batch.rows, schema, cells);
        let identity = cells.identity().map_err(|_| NotUsed::Rejected)?;
        if identity.reported < limits.earliest {
            return Err(NotUsed::Rejected);
        }
        if identity.reported > latest {
            return Err(NotUsed::Future);
        }
        let is_device = schema.kind != DeviceKind::Allocation;
        let (code, id) = subject(schema, identity).ok_or(NotUsed::Rejected)?;
        if code.len().max(id.len()) > limits.identifier {
            return Err(NotUsed::Rejected);
        }
        let slot = self.devices.find_or_add(code, id);
        Ok(Entry {
            slot: slot.ok_or(NotUsed::Rejected)?,
            reported: identity.reported,
            is_device,
            row,
            columns,
            cells,
        })
    }

    /// A type of an answer, and its prepared columns.
    fn columns<'b>(
        &mut self,
        batch: &'b Batch,
        code: &'b str,
    ) -> Result<(&'b str, u32, &'b Arc<TypeSchema>), NotUsed> {
        if DeviceKind::of(code) == DeviceKind::Router && !self.options.include_routers {
            return Err(NotUsed::Unwanted);
        }
        let schema = batch.schema.get(code).ok_or(NotUsed::Rejected)?;
        let labels = &self.options.labels;
        let columns = self.types.find_or_add(schema, &mut self.families, labels);
        let columns = u32::try_from(columns).map_err(|_| NotUsed::Rejected)?;
        Ok((code, columns, schema))
    }

    /// Ends the fields and alerts of the devices that are silent, and forgets devices.
    fn end_silent(&mut self, received: i64, slice: &mut Slice) {
        let retention = self.options.retention;
        let forgotten =
            milliseconds(received).saturating_sub_unsigned(millis(retention.forget_after));
        self.due = u64::MAX;
        for slot in 0..self.devices.slots() {
            let Some(device) = self.devices.get_mut(slot) else {
                continue;
            };
            if device.is_awaited() {
                let silent_at = device.seen.saturating_add(millis(retention.stale_after));
                if silent_at > self.stream {
                    self.due = self.due.min(silent_at);
                } else {
                    end_readings(device, &self.families, &mut self.shapes, slice);
                }
            } else if device.last() < forgotten {
                self.devices.remove(slot);
            }
        }
    }
}

/// Ends the fields and alerts of a silent device a millisecond after its last row: a later marker could have the time of a row that
/// arrives late.
fn end_readings(
    device: &mut Device,
    families: &Families,
    shapes: &mut Interner<Box<[FamilyId]>>,
    slice: &mut Slice,
) {
    device.is_silent = true;
    let (Some(shape), Some(device_type)) = (device.shape.take(), &device.device_type) else {
        return;
    };
    slice.begin_device(device.id(), device_type);
    let mut rest = Vec::new();
    for &family in shape.iter() {
        match families.get(family) {
            Some(known) if known.ends_in_silence => slice.push(Sample {
                family,
                value: STALE,
            }),
            _ => rest.push(family),
        }
    }
    slice.end_row(device.hash(), device.newest.saturating_add(1), true);
    device.shape = intern(shapes, &rest);
}

/// The shared list of these families; `None` if there are none.
pub(super) fn intern(
    shapes: &mut Interner<Box<[FamilyId]>>,
    families: &[FamilyId],
) -> Option<Shape> {
    (!families.is_empty())
        .then(|| shapes.intern(families, |known| **known == *families, || families.into()))
}

/// The code and identifier of the device that a row is about: of an allocation, its terminal.
fn subject<'b>(schema: &'b TypeSchema, identity: Identity<'b>) -> Option<(&'b str, &'b str)> {
    match schema.kind {
        DeviceKind::Allocation => Some((TERMINAL_CODE, identity.terminal()?)),
        _ => Some((&schema.code, identity.device_id)),
    }
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1_000_000)
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Reads the rows of a batch, device by device, and compares each with the newest row before it.

use std::borrow::Cow;
use std::sync::Arc;

use super::STALE;
use super::devices::{Allocation, Device};
use super::families::FamilyId;
use super::info::Info;
use super::interner::Interner;
use super::read::{Entry, History, intern, millis, milliseconds};
use super::row::{RowSamples, Tools};
use super::slice::{Sample, Slice};
use crate::fleet::allocation::AllocationContent;
use crate::telemetry::{AddressKind, Reading};

/// `starlink_info` is sent with the first row of a device in each interval of this many milliseconds, and when its labels change.
///
/// The intervals are fixed in time, so which rows have it depends on the row and on the newest one before it, and not on the record with
/// which a process began. They begin at a different time for each device, so that all records have about as many of these samples.
///
/// Each row has one of these samples less than an interval before it. Between two of them are less than an interval and the distance of two
/// rows: with rows every 15 s less than a minute, also if a row is missing. Rows that are 30 s or more apart all have one.
const INFO_INTERVAL: u32 = 30_000;

/// Reads the rows of a batch.
pub(super) struct BatchReader<'h, 'b> {
    pub(super) history: &'h mut History,
    pub(super) slice: &'h mut Slice,
    /// The samples of the current row.
    pub(super) row: RowSamples<'b>,
}

impl<'b> BatchReader<'_, 'b> {
    /// Reads all rows of a device and its allocation, which are in the order of their times.
    pub(super) fn device(&mut self, entries: &[Entry<'b>]) {
        let mut begun = None;
        let last = entries.iter().rposition(|entry| entry.is_device);
        for (index, entry) in entries.iter().enumerate() {
            if !entry.is_device {
                self.allocation(entry);
            } else if last != Some(index) {
                let next = entries.get(index + 1);
                if next.is_some_and(|next| next.is_device && next.time() == entry.time()) {
                    self.slice.counts.duplicate += 1;
                } else {
                    self.row(entry, &mut begun);
                }
            }
        }
        // A scrape shows the newest row with the newest allocation, so this row comes after all allocations.
        if let Some(entry) = last.and_then(|last| entries.get(last)) {
            self.row(entry, &mut begun);
        }
    }

    /// Adds the samples of a row. `begun` is the label `device_type` of the last samples of the device, if there are any.
    fn row(&mut self, entry: &Entry<'b>, begun: &mut Option<Arc<str>>) {
        let Self {
            history,
            slice,
            row,
        } = self;
        let History {
            options,
            families,
            types,
            devices,
            device_types,
            shapes,
            infos,
            centres,
            stream,
            due,
        } = &mut **history;
        let columns = types.get_mut(entry.columns as usize);
        let (Some(device), Some(columns)) = (devices.get_mut(entry.slot), columns) else {
            return;
        };
        let time = entry.time();
        if time == device.newest {
            slice.counts.duplicate += 1;
            return;
        }
        let is_newest = time > device.newest;
        let ip_stale_after = options.retention.ip_stale_after;
        let allocation = device.allocation.as_deref().filter(|allocation| {
            let reported = milliseconds(allocation.reported);
            let is_known = is_newest || reported <= time;
            is_known && time < reported.saturating_add_unsigned(millis(ip_stale_after))
        });
        let tools = Tools {
            families,
            columns,
            centres,
            limits: &options.limits,
        };
        row.read(entry.cells, allocation, tools);
        let device_type = &entry.cells.schema().name;
        if is_newest {
            rename(device, device_type, time, device_types, slice, begun);
        }
        if begun.as_ref() != Some(device_type) {
            slice.begin_device(device.id(), device_type);
            *begun = Some(Arc::clone(device_type));
        }
        let hash = device.hash();
        row.samples.iter().for_each(|sample| slice.push(*sample));
        if is_newest {
            end_missing(device, row, shapes, slice);
            add_info(device, row, infos, is_info_due(device, hash, time), slice);
            device.newest = time;
            device.is_silent = false;
        } else {
            add_older_info(device, row, infos, slice);
        }
        // A device whose rows come late is not silent.
        device.seen = *stream;
        *due = (*due).min(stream.saturating_add(millis(options.retention.stale_after)));
        slice.end_row(hash, time, false);
    }

    /// Stores the row of an allocation, unless a newer one is known.
    fn allocation(&mut self, entry: &Entry<'_>) {
        let History {
            options,
            types,
            devices,
            infos,
            stream,
            due,
            ..
        } = &mut *self.history;
        let columns = types.get_mut(entry.columns as usize);
        let (Some(device), Some(columns)) = (devices.get_mut(entry.slot), columns) else {
            return;
        };
        let known = device.allocation.as_ref();
        if known.is_some_and(|known| known.reported > entry.reported) {
            return;
        }
        let mut content = AllocationContent::default();
        let mut texts: Vec<(Arc<str>, Cow<'_, str>)> = Vec::new();
        for (column, reading) in entry.cells.readings() {
            match reading {
                Reading::Addresses(kind, addresses) => addresses.each(|address| {
                    if let Ok(address) = address {
                        content.add(kind, address, options.limits.addresses);
                    }
                }),
                Reading::Info(_, raw) => {
                    let key = columns.targets.get(column).and_then(|to| to.key.as_ref());
                    let text = raw.text().ok().flatten();
                    if let (Some(key), Some(text)) = (key, text)
                        && text.len() <= options.limits.text
                    {
                        texts.push((Arc::clone(key), text));
                    }
                }
                // The columns of an allocation have no such readings.
                Reading::Number(..)
                | Reading::Text(..)
                | Reading::Location(..)
                | Reading::Alerts(_)
                | Reading::Fault(_) => {}
            }
        }
        texts.sort_by(|(one, _), (other, _)| one.cmp(other));
        texts.dedup_by(|(later, _), (first, _)| later == first);
        let texts = texts.iter().map(|(key, value)| (key, &**value));
        let addresses = AddressKind::ALL.map(|kind| &content.addresses[kind as usize]);
        device.allocation = Some(Box::new(Allocation {
            reported: entry.reported,
            counts: addresses.map(|list| u16::try_from(list.len()).unwrap_or(u16::MAX)),
            numbers: addresses
                .into_iter()
                .flatten()
                .map(|address| address.numeric())
                .collect(),
            infos: intern_info(infos, Info::of(texts)),
        }));
        // Otherwise devices without rows would never be forgotten.
        *due = (*due).min(stream.saturating_add(millis(options.retention.stale_after)));
    }
}

/// Ends all series of a device whose label `device_type` changes with its newest row.
fn rename(
    device: &mut Device,
    device_type: &Arc<str>,
    time: i64,
    known: &mut Interner<Arc<str>>,
    slice: &mut Slice,
    begun: &mut Option<Arc<str>>,
) {
    if device
        .device_type
        .as_ref()
        .is_some_and(|before| **before == *device_type)
    {
        return;
    }
    let shared = known.intern(
        device_type,
        |known| known == device_type,
        || Arc::clone(device_type),
    );
    let Some(before) = device.device_type.replace(shared) else {
        return;
    };
    let (shape, info) = (device.shape.take(), device.info.take());
    if shape.is_none() && info.is_none() {
        return;
    }
    slice.begin_device(device.id(), &before);
    for &family in shape.iter().flat_map(|shape| shape.iter()) {
        let value = STALE;
        slice.push(Sample { family, value });
    }
    if let Some(info) = info {
        slice.push_info(&info, STALE);
    }
    slice.end_row(device.hash(), time, true);
    *begun = Some(Arc::clone(&before));
}

/// Ends the series of the row before that the newest row lacks.
fn end_missing(
    device: &mut Device,
    row: &RowSamples<'_>,
    shapes: &mut Interner<Box<[FamilyId]>>,
    slice: &mut Slice,
) {
    let families = || row.samples.iter().map(|sample| sample.family);
    let before = device.shape.as_deref();
    if before.is_some_and(|before| before.iter().copied().eq(families())) {
        return;
    }
    for &family in before.into_iter().flat_map(|before| before.iter()) {
        let found = row
            .samples
            .binary_search_by_key(&family, |sample| sample.family);
        if found.is_err() {
            let value = STALE;
            slice.push(Sample { family, value });
        }
    }
    device.shape = intern(shapes, &families().collect::<Vec<_>>());
}

/// Adds `starlink_info` of the newest row if its labels changed or `is_due`, and ends the one before.
fn add_info(
    device: &mut Device,
    row: &RowSamples<'_>,
    known: &mut Interner<Info>,
    is_due: bool,
    slice: &mut Slice,
) {
    if let Some(info) = unchanged_info(device, row) {
        if is_due {
            slice.push_info(info, 1.0);
        }
        return;
    }
    let info = current_info(device, row, known);
    if let Some(before) = std::mem::replace(&mut device.info, info) {
        slice.push_info(&before, STALE);
    }
    if let Some(info) = &device.info {
        slice.push_info(info, 1.0);
    }
}

/// Whether a row at this time is the first of its device in an interval.
fn is_info_due(device: &Device, hash: u64, time: i64) -> bool {
    let interval = i64::from(INFO_INTERVAL);
    let offset = hash % u64::from(INFO_INTERVAL);
    let number = |time: i64| time.saturating_add_unsigned(offset).div_euclid(interval);
    number(device.newest) != number(time)
}

/// Adds `starlink_info` of a row that is not the newest.
fn add_older_info(
    device: &Device,
    row: &RowSamples<'_>,
    known: &mut Interner<Info>,
    slice: &mut Slice,
) {
    if let Some(info) = unchanged_info(device, row) {
        slice.push_info(info, 1.0);
    } else if let Some(info) = current_info(device, row, known) {
        slice.push_info(&info, 1.0);
    }
}

/// The info fields of the device, if the row has the same ones.
fn unchanged_info<'d>(device: &'d Device, row: &RowSamples<'_>) -> Option<&'d Arc<Info>> {
    let infos = row.infos(allocated(device));
    let infos = infos.map(|(key, value)| (&**key, value));
    device.info.as_ref().filter(|known| known.iter().eq(infos))
}

/// The info fields of the row; `None` if there are none.
fn current_info(
    device: &Device,
    row: &RowSamples<'_>,
    known: &mut Interner<Info>,
) -> Option<Arc<Info>> {
    let info = Info::of(row.infos(allocated(device)));
    (!info.is_empty()).then(|| intern_info(known, info))
}

/// The info fields of the device's allocation.
fn allocated(device: &Device) -> Option<&Info> {
    device.allocation.as_ref().map(|known| &*known.infos)
}

fn intern_info(known: &mut Interner<Info>, info: Info) -> Arc<Info> {
    known.intern(&info, |other| *other == info, || info.clone())
}

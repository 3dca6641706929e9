//! The samples of one record: rows of devices, each with samples at one time.

use std::ops::Range;
use std::sync::Arc;

use super::families::{Family, FamilyId, FamilyTable};
use super::info::Info;
use super::lists::Lists;

/// A sample of a family without labels of its own.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The family.
    pub family: FamilyId,
    /// The value, or [`super::STALE`].
    pub value: f64,
}

/// A sample of `starlink_info`.
#[derive(Debug, Clone)]
pub struct InfoSample {
    /// The info fields.
    pub info: Arc<Info>,
    /// 1, or [`super::STALE`].
    pub value: f64,
}

/// The samples of one device at one time. A sender can send a part of them: a copy with shorter ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// The number of the device in the slice.
    pub(super) device: u32,
    /// Depends on the device alone, and is the same in every process.
    pub hash: u64,
    /// The number of rows of the device before it in the slice.
    pub(super) turn: u32,
    /// Milliseconds since 1970.
    pub time: i64,
    /// Whether it only ends series, in addition to the rows of the record.
    pub is_marker: bool,
    /// The values of its samples in the slice.
    pub(super) values: Range<u32>,
    /// Where the families of its samples begin in the lists of the slice.
    pub(super) families: u32,
    /// Its samples of `starlink_info` in the slice.
    pub(super) infos: Range<u32>,
}

impl DeviceRow {
    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() + self.infos.len()
    }

    /// A row with a part of the samples: those without labels of their own come first, then those of `starlink_info`.
    #[must_use]
    pub fn part(&self, range: Range<u32>) -> Self {
        let values = number(self.values.len());
        let (start, end) = (range.start.min(values), range.end.min(values));
        let first_info = self.infos.start;
        Self {
            values: self.values.start + start..self.values.start + end,
            families: self.families + start,
            infos: first_info + range.start.saturating_sub(values)
                ..first_info + range.end.saturating_sub(values),
            ..self.clone()
        }
    }

    /// Whether it has no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The labels of a device.
#[derive(Debug, Clone)]
pub(super) struct SliceDevice {
    /// Where `deviceID` is in the texts.
    pub(super) id: Range<usize>,
    /// The label `device_type`.
    pub(super) device_type: Arc<str>,
}

/// Rows that give no samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of a device with the same millisecond as another one.
    pub duplicate: u64,
    /// Rows more than ten minutes ahead of the clock.
    pub future: u64,
    /// Rows without a known type, a valid identifier or a valid timestamp, and rows beyond limits.
    pub rejected: u64,
}

/// The samples of one record, in time slices: first one row of each device, then the second row of each device that has several, and so
/// on. The rows of a device are in the order of their times, and those of a time slice in the order of their hashes. So the order does not
/// depend on the records before.
#[derive(Debug, Default)]
pub struct Slice {
    rows: Vec<DeviceRow>,
    devices: Vec<SliceDevice>,
    /// The identifiers of all devices.
    ids: String,
    /// The values of all samples.
    values: Vec<f64>,
    /// The families of all samples: rows mostly have the same ones.
    lists: Lists,
    /// The families of the samples since the last row.
    begun: Vec<FamilyId>,
    infos: Vec<InfoSample>,
    pub(super) families: FamilyTable,
    /// The rows that give no samples.
    pub counts: Counts,
}

impl Slice {
    /// The rows with samples.
    #[must_use]
    pub fn rows(&self) -> &[DeviceRow] {
        &self.rows
    }

    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() + self.infos.len()
    }

    /// Whether it has no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its memory in bytes, without texts that are shared with other slices.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<DeviceRow>()
            + self.devices.capacity() * size_of::<SliceDevice>()
            + self.ids.capacity()
            + self.values.capacity() * size_of::<f64>()
            + self.lists.bytes()
            + self.infos.capacity() * size_of::<InfoSample>()
    }

    /// The labels `deviceID` and `device_type` of a row of this slice.
    #[must_use]
    pub fn device(&self, row: &DeviceRow) -> (&str, &str) {
        let Some(device) = self.devices.get(row.device as usize) else {
            return ("", "");
        };
        let id = self.ids.get(device.id.clone()).unwrap_or_default();
        (id, &device.device_type)
    }

    /// The samples of a row of this slice.
    pub fn samples(&self, row: &DeviceRow) -> impl Iterator<Item = Sample> {
        let families = self.families_of(row).iter().zip(self.values(row));
        families.map(|(&family, &value)| Sample { family, value })
    }

    /// The families of the samples of a row of this slice.
    #[must_use]
    pub fn families_of(&self, row: &DeviceRow) -> &[FamilyId] {
        self.lists.get(row.families, row.values.len())
    }

    /// The values of the samples of a row of this slice.
    #[must_use]
    pub fn values(&self, row: &DeviceRow) -> &[f64] {
        self.values.get(range(&row.values)).unwrap_or_default()
    }

    /// The samples of `starlink_info` of a row of this slice.
    #[must_use]
    pub fn infos(&self, row: &DeviceRow) -> &[InfoSample] {
        self.infos.get(range(&row.infos)).unwrap_or_default()
    }

    /// A family of its samples.
    #[must_use]
    pub fn family(&self, id: FamilyId) -> Option<&Family> {
        self.families.get(id as usize).map(|family| &**family)
    }

    /// The device for further rows.
    pub(super) fn begin_device(&mut self, id: &str, device_type: &Arc<str>) {
        let start = self.ids.len();
        self.ids.push_str(id);
        self.devices.push(SliceDevice {
            id: start..self.ids.len(),
            device_type: Arc::clone(device_type),
        });
    }

    pub(super) fn push(&mut self, sample: Sample) {
        self.values.push(sample.value);
        self.begun.push(sample.family);
    }

    pub(super) fn push_info(&mut self, info: &Arc<Info>, value: f64) {
        self.infos.push(InfoSample {
            info: Arc::clone(info),
            value,
        });
    }

    /// Ends a row of the last device: all samples since the row before. Does nothing if there are none. The rows of a device must follow
    /// each other, until [`Self::finish`] is called.
    pub(super) fn end_row(&mut self, hash: u64, time: i64, is_marker: bool) {
        let last = self.rows.last();
        let (first, first_info) = last.map_or((0, 0), |row| (row.values.end, row.infos.end));
        let turn = last
            .filter(|row| row.hash == hash)
            .map_or(0, |row| row.turn + 1);
        let row = DeviceRow {
            device: number(self.devices.len().saturating_sub(1)),
            hash,
            turn,
            time,
            is_marker,
            values: first..number(self.values.len()),
            families: self.lists.intern(&self.begun),
            infos: first_info..number(self.infos.len()),
        };
        self.begun.clear();
        if !row.is_empty() {
            self.rows.push(row);
        }
    }

    /// Ends the slice: orders the rows by time slice, and frees what only adding rows needs.
    pub(super) fn finish(&mut self, families: FamilyTable) {
        self.families = families;
        self.begun = Vec::new();
        self.lists.finish();
        self.rows.shrink_to_fit();
        self.devices.shrink_to_fit();
        self.ids.shrink_to_fit();
        self.values.shrink_to_fit();
        self.infos.shrink_to_fit();
        // Devices with the same hash are in the order in which they were read.
        let key = |row: &DeviceRow| (row.turn, row.hash, row.device);
        self.rows.sort_unstable_by_key(key);
    }
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// A number of entries: an answer has less than 2^32 bytes, and fewer samples.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

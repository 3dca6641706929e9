//! Groups samples to series.

use std::sync::Arc;

use super::super::families::{Family, FamilyId, INFO};
use super::super::info::Info;
use super::super::labels::NAME;
use super::super::slice::{DeviceRow, InfoSample, Sample, Slice};
use crate::telemetry::catalogue::{DEVICE_LABELS, FamilyType};

/// A sample of a series.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Milliseconds since 1970.
    pub time: i64,
    /// The value, or [`crate::history::STALE`].
    pub value: f64,
}

/// The type of a metric. The numbers are those of `Metadata.MetricType` in remote write 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Not known.
    Unspecified = 0,
    /// A counter.
    Counter = 1,
    /// A gauge.
    Gauge = 2,
    /// A histogram.
    Histogram = 3,
    /// Information in labels.
    Info = 6,
}

impl From<FamilyType> for MetricType {
    fn from(family_type: FamilyType) -> Self {
        match family_type {
            FamilyType::Gauge => Self::Gauge,
            FamilyType::Info => Self::Info,
        }
    }
}

/// What a message says about a metric besides its samples.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'m> {
    /// The type.
    pub metric_type: MetricType,
    /// The text of HELP, unescaped.
    pub help: &'m str,
    /// The unit, or empty.
    pub unit: &'m str,
}

impl<'f> From<&'f Family> for Metadata<'f> {
    fn from(family: &'f Family) -> Self {
        Self {
            metric_type: family.family_type.into(),
            help: &family.help,
            unit: family.unit,
        }
    }
}

/// A message of a version of the protocol that is being written.
pub trait Message {
    /// Begins the series of a device.
    fn device(&mut self, id: &str, device_type: &str);

    /// Writes a series of the last device.
    fn series(&mut self, id: FamilyId, family: &Family, points: &[Point]);

    /// Writes a series with other labels: those of the destination are added. The labels are sorted by name, and have no empty value.
    fn labelled(&mut self, labels: &[(&str, &str)], metadata: Metadata<'_>, points: &[Point]);
}

/// The samples of a device that has several rows, by series.
#[derive(Debug, Default)]
struct Collected<'s> {
    /// The rows, if all have the same families: their times and values.
    rows: Vec<(i64, &'s [f64])>,
    /// The samples, if not.
    points: Vec<(FamilyId, Point)>,
    infos: Vec<(&'s Arc<Info>, Point)>,
    series: Vec<Point>,
    labels: Vec<(&'s str, &'s str)>,
}

/// The labels of a series and those of its destination, both sorted by name, in the order of their names.
pub(super) fn merged<'l>(
    own: &'l [(&'l str, &'l str)],
    destination: &'l [(Box<str>, Box<str>)],
) -> impl Iterator<Item = (&'l str, &'l str)> {
    let destination = destination.iter().map(|(name, value)| (&**name, &**value));
    let mut destination = destination.peekable();
    let mut own = own.iter().copied().peekable();
    std::iter::from_fn(move || match own.peek() {
        Some(next) => destination
            .next_if(|before| before < next)
            .or_else(|| own.next()),
        None => destination.next(),
    })
}

/// Writes rows. Returns the number of samples.
pub(super) fn write_rows<'s, M: Message>(
    message: &mut M,
    rows: impl Iterator<Item = (&'s Slice, &'s DeviceRow)>,
) -> usize {
    let mut samples = 0;
    let mut rows = rows.filter(|(_, row)| !row.is_empty()).peekable();
    let mut device = Vec::new();
    let mut collected = Collected::default();
    while let Some((slice, row)) = rows.next() {
        let labels @ (id, device_type) = slice.device(row);
        message.device(id, device_type);
        device.clear();
        device.push((slice, row));
        let is_same = |(slice, next): &(&'s Slice, &'s DeviceRow)| {
            next.hash == row.hash && slice.device(next) == labels
        };
        while let Some(next) = rows.next_if(is_same) {
            device.push(next);
        }
        samples += device.iter().map(|(_, row)| row.len()).sum::<usize>();
        match device.as_slice() {
            [(slice, row)] => write_row(message, slice, row, labels, &mut collected.labels),
            rows => collected.write(message, rows, labels),
        }
    }
    samples
}

fn write_row<'s, M: Message>(
    message: &mut M,
    slice: &'s Slice,
    row: &DeviceRow,
    device: (&'s str, &'s str),
    labels: &mut Vec<(&'s str, &'s str)>,
) {
    let time = row.time;
    for Sample { family: id, value } in slice.samples(row) {
        if let Some(family) = slice.family(id) {
            message.series(id, family, &[Point { time, value }]);
        }
    }
    for sample in slice.infos(row) {
        let value = sample.value;
        write_info(
            message,
            slice,
            &sample.info,
            device,
            labels,
            &[Point { time, value }],
        );
    }
}

/// Writes a series of `starlink_info`. `labels` is a buffer.
fn write_info<'s, M: Message>(
    message: &mut M,
    slice: &'s Slice,
    info: &'s Info,
    (id, device_type): (&'s str, &'s str),
    labels: &mut Vec<(&'s str, &'s str)>,
    points: &[Point],
) {
    let Some(family) = slice.family(INFO) else {
        return;
    };
    let [type_name, id_name] = DEVICE_LABELS;
    let own = [
        (NAME, &*family.name),
        (id_name, id),
        (type_name, device_type),
    ];
    let own = own.into_iter().filter(|(_, value)| !value.is_empty());
    labels.clear();
    labels.extend(own.chain(info.iter()));
    labels.sort_unstable();
    message.labelled(labels, family.into(), points);
}

impl<'s> Collected<'s> {
    /// Writes the rows of one device, which are in the order of their times.
    fn write<M: Message>(
        &mut self,
        message: &mut M,
        rows: &[(&'s Slice, &'s DeviceRow)],
        device: (&'s str, &'s str),
    ) {
        // The families of a later record are those of the earlier ones and possibly more. The last row can be of an earlier record, because
        // rows are sorted by time.
        let slices = rows.iter().map(|(slice, _)| slice);
        let Some(slice) = slices.max_by_key(|slice| slice.families.len()) else {
            return;
        };
        let families = rows.first().map(|(slice, row)| slice.families_of(row));
        let families = families.unwrap_or_default();
        let has_same = |(slice, row): &(&Slice, &DeviceRow)| slice.families_of(row) == families;
        match rows.iter().all(has_same) {
            true => self.write_columns(message, slice, rows, families),
            false => self.write_points(message, slice, rows),
        }
        self.write_infos(message, slice, rows, device);
    }

    /// Writes the samples of rows that all have these families.
    fn write_columns<M: Message>(
        &mut self,
        message: &mut M,
        slice: &Slice,
        rows: &[(&'s Slice, &'s DeviceRow)],
        families: &[FamilyId],
    ) {
        self.rows.clear();
        let values = rows
            .iter()
            .map(|(slice, row)| (row.time, slice.values(row)));
        self.rows.extend(values);
        for (column, id) in families.iter().enumerate() {
            self.series.clear();
            let points = self.rows.iter().filter_map(|&(time, values)| {
                let value = *values.get(column)?;
                Some(Point { time, value })
            });
            self.series.extend(points);
            if let Some(family) = slice.family(*id) {
                message.series(*id, family, &self.series);
            }
        }
    }

    /// Writes the samples of rows with different families.
    fn write_points<M: Message>(
        &mut self,
        message: &mut M,
        slice: &Slice,
        rows: &[(&'s Slice, &'s DeviceRow)],
    ) {
        self.points.clear();
        for (slice, row) in rows {
            let time = row.time;
            let samples = slice.samples(row);
            self.points
                .extend(samples.map(|Sample { family, value }| (family, Point { time, value })));
        }
        self.points
            .sort_unstable_by_key(|(family, point)| (*family, point.time));
        for points in self.points.chunk_by(|(one, _), (other, _)| one == other) {
            self.series.clear();
            self.series.extend(points.iter().map(|(_, point)| *point));
            if let Some((id, _)) = points.first()
                && let Some(family) = slice.family(*id)
            {
                message.series(*id, family, &self.series);
            }
        }
    }

    /// Writes the samples of `starlink_info`.
    fn write_infos<M: Message>(
        &mut self,
        message: &mut M,
        slice: &'s Slice,
        rows: &[(&'s Slice, &'s DeviceRow)],
        device: (&'s str, &'s str),
    ) {
        self.infos.clear();
        for (slice, row) in rows {
            let time = row.time;
            let point = |sample: &'s InfoSample| {
                let value = sample.value;
                (&sample.info, Point { time, value })
            };
            self.infos.extend(slice.infos(row).iter().map(point));
        }
        self.infos
            .sort_unstable_by(|(one, first), (other, second)| {
                one.cmp(other).then(first.time.cmp(&second.time))
            });
        for points in self.infos.chunk_by(|(one, _), (other, _)| one == other) {
            self.series.clear();
            self.series.extend(points.iter().map(|(_, point)| *point));
            if let Some((info, _)) = points.first() {
                let labels = &mut self.labels;
                write_info(message, slice, info, device, labels, &self.series);
            }
        }
    }
}

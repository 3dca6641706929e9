//! Messages of remote write 1.0: `prometheus.WriteRequest`, in which every series repeats its labels.

use super::super::families::{Family, FamilyId};
use super::super::labels::{DestinationLabels, NAME};
use super::samples::{samples, samples_length};
use super::series::{Message, Metadata, Point, merged};
use super::varint;
use crate::telemetry::catalogue::DEVICE_LABELS;

/// `WriteRequest.timeseries`, a message.
const TIMESERIES: u8 = 1 << 3 | 2;
/// `TimeSeries.labels`, a message.
const LABEL: u8 = 1 << 3 | 2;
/// `Label.name`, a string.
const LABEL_NAME: u8 = 1 << 3 | 2;
/// `Label.value`, a string.
const LABEL_VALUE: u8 = 2 << 3 | 2;

/// A request that is being written.
#[derive(Debug)]
pub(super) struct V1 {
    out: Vec<u8>,
    /// The labels of the destination.
    destination: Vec<(Box<str>, Box<str>)>,
    /// The labels of the destination whose names are before `__name__`, as fields.
    before: Vec<u8>,
    /// All other labels of the current device, but `__name__`, as fields.
    after: Vec<u8>,
    /// The labels of a series, as fields.
    fields: Vec<u8>,
}

impl V1 {
    pub(super) fn new(labels: &DestinationLabels) -> Self {
        let mut before = Vec::new();
        for (name, value) in labels.iter().filter(|(name, _)| *name < NAME) {
            label_field(&mut before, name, value);
        }
        let own = |(name, value): (&str, &str)| (name.into(), value.into());
        Self {
            out: Vec::new(),
            destination: labels.iter().map(own).collect(),
            before,
            after: Vec::new(),
            fields: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self) {
        self.out.clear();
    }

    pub(super) fn finish(&self) -> &[u8] {
        &self.out
    }
}

impl Message for V1 {
    fn device(&mut self, id: &str, device_type: &str) {
        self.after.clear();
        let [type_name, id_name] = DEVICE_LABELS;
        let destination = self.destination.iter();
        let destination = destination.map(|(name, value)| (&**name, &**value));
        let mut destination = destination.filter(|(name, _)| *name > NAME).peekable();
        // `deviceID` is before `device_type`.
        for own @ (name, value) in [(id_name, id), (type_name, device_type)] {
            while let Some((name, value)) = destination.next_if(|before| *before < own) {
                label_field(&mut self.after, name, value);
            }
            if !value.is_empty() {
                label_field(&mut self.after, name, value);
            }
        }
        for (name, value) in destination {
            label_field(&mut self.after, name, value);
        }
    }

    fn series(&mut self, _: FamilyId, family: &Family, points: &[Point]) {
        let parts = [&self.before, &*family.label, &self.after];
        series(&mut self.out, &parts, points);
    }

    fn labelled(&mut self, labels: &[(&str, &str)], _: Metadata<'_>, points: &[Point]) {
        self.fields.clear();
        for (name, value) in merged(labels, &self.destination) {
            label_field(&mut self.fields, name, value);
        }
        series(&mut self.out, &[&self.fields], points);
    }
}

/// Appends a series whose labels are these parts.
#[inline]
fn series(out: &mut Vec<u8>, labels: &[&[u8]], points: &[Point]) {
    let labels_length: usize = labels.iter().map(|part| part.len()).sum();
    out.push(TIMESERIES);
    varint::push_length(out, labels_length + samples_length(points));
    for part in labels {
        out.extend_from_slice(part);
    }
    samples(out, points);
}

/// Appends a label as a field of a series.
pub fn label_field(out: &mut Vec<u8>, name: &str, value: &str) {
    let [name_length, value_length] = [name, value].map(|text| varint::length(text.len() as u64));
    out.push(LABEL);
    let length = 2 + name_length + name.len() + value_length + value.len();
    varint::push_length(out, length);
    for (tag, text) in [(LABEL_NAME, name), (LABEL_VALUE, value)] {
        out.push(tag);
        varint::push_length(out, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

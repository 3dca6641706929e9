//! Writes the telemetry of a snapshot, step by step: a scrape of any fleet holds one chunk at a time, and steps may be
//! written in any order and on any thread.

use std::ops::Range;
use std::sync::Arc;

use super::layout::{BlockRef, DEVICE_NAME, Layout, Section, info_fields, known};
use super::own::{self, OwnFamily};
use super::text::{Padded, escape_into, label, line, number, string_field, tag};
use super::{Format, Shard};
use crate::fleet::Snapshot;
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::names::Names;

/// A chunk is handed out when it has reached this many bytes.
const CHUNK: usize = 64 * 1024;

/// How much more than [`CHUNK`] a chunk may grow before it is looked at: the samples of one family and block.
const SLACK: usize = 32 * 1024;

/// The telemetry of a shard of a snapshot in one format.
#[derive(Debug)]
pub struct Telemetry {
    snapshot: Arc<Snapshot>,
    shard: Shard,
    format: Format,
    layout: Layout,
}

impl Telemetry {
    /// Works out what is to be written where nobody gives devices names.
    #[must_use]
    pub fn new(format: Format, snapshot: Arc<Snapshot>, shard: Shard) -> Self {
        Self::of(format, snapshot, shard, None)
    }

    /// The same with the names of the devices. Names of no generation are none.
    #[must_use]
    pub fn named(
        format: Format,
        snapshot: Arc<Snapshot>,
        shard: Shard,
        names: &Arc<Names>,
    ) -> Self {
        let names = (names.generation() > 0).then_some(names);
        Self::of(format, snapshot, shard, names)
    }

    fn of(
        format: Format,
        snapshot: Arc<Snapshot>,
        shard: Shard,
        names: Option<&Arc<Names>>,
    ) -> Self {
        Self {
            layout: Layout::new(&snapshot, shard, names),
            snapshot,
            shard,
            format,
        }
    }

    /// In how many steps it is written: each one family of up to 256 devices.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.layout.steps().len()
    }

    /// Appends some of the steps. Those that do not exist write nothing.
    pub fn write(&self, steps: Range<usize>, out: &mut Vec<u8>) {
        for step in self.layout.steps().get(steps).unwrap_or_default() {
            let (section, is_first, at, view, block) = self.layout.resolve(step, &self.snapshot);
            if is_first {
                section.header(out, self.format);
            }
            match section {
                Section::Info => self.infos(view, block, out),
                Section::DeviceName(names) => self.device_names(names, view, block, out),
                _ => self.samples(section, at, view, block, out),
            }
        }
    }

    fn samples(
        &self,
        section: &Section,
        at: BlockRef,
        view: &TableView,
        block: &Block,
        out: &mut Vec<u8>,
    ) {
        let prefix = prefix(&section.name(), view);
        let labels = block.labels();
        section.each(at, view, block, self.shard, |slot, value| {
            prefix.push(out);
            labels.push(slot, out);
            out.extend_from_slice(b"\"} ");
            number(out, value);
            out.push(b'\n');
        });
    }

    fn device_names(&self, names: &Names, view: &TableView, block: &Block, out: &mut Vec<u8>) {
        let prefix = prefix(DEVICE_NAME, view);
        let labels = block.labels();
        for slot in known(block, self.shard) {
            let Some(called) = names.get(labels.id(slot)) else {
                continue;
            };
            prefix.push(out);
            labels.push(slot, out);
            // The group also where there is none: all samples have the same labels.
            for (key, value) in [("name", &*called.name), ("group", &*called.group)] {
                line(out, &["\",", key, "=\""]);
                escape_into(out, value, true);
            }
            line(out, &["\"} 1\n"]);
        }
    }

    fn infos(&self, view: &TableView, block: &Block, out: &mut Vec<u8>) {
        let write = match self.format {
            Format::Mixed => line_protocol,
            Format::Prometheus | Format::OpenMetrics => info_labels,
        };
        let prefix = match self.format {
            Format::Mixed => {
                let mut prefix = b"starlink_info".to_vec();
                tag(&mut prefix, "device_type", &view.name);
                Padded::new(prefix)
            }
            Format::Prometheus | Format::OpenMetrics => prefix("starlink_info", view),
        };
        for slot in known(block, self.shard) {
            if info_fields(view, block, slot).next().is_some() {
                prefix.push(out);
                write(view, block, slot, out);
            }
        }
    }
}

/// What all samples of a family and a table begin with.
fn prefix(family: &str, view: &TableView) -> Padded {
    let mut prefix = Vec::with_capacity(128);
    line(&mut prefix, &[family, "{"]);
    label(&mut prefix, "device_type", &view.name);
    line(&mut prefix, &[",deviceID=\""]);
    Padded::new(prefix)
}

/// Writes the rest of a device's `starlink_info`, its info fields as labels.
fn info_labels(view: &TableView, block: &Block, slot: usize, out: &mut Vec<u8>) {
    block.labels().push(slot, out);
    for (key, value) in info_fields(view, block, slot) {
        line(out, &["\",", key, "=\""]);
        escape_into(out, value, true);
    }
    line(out, &["\"} 1\n"]);
}

/// Writes the rest of a device's `starlink_info` in line protocol.
fn line_protocol(view: &TableView, block: &Block, slot: usize, out: &mut Vec<u8>) {
    tag(out, "deviceID", block.labels().id(slot));
    for (index, (key, value)) in info_fields(view, block, slot).enumerate() {
        out.push(if index == 0 { b' ' } else { b',' });
        string_field(out, key, value);
    }
    out.push(b'\n');
}

/// The body of a scrape: an iterator over its chunks.
#[derive(Debug)]
pub struct Exposition {
    telemetry: Telemetry,
    steps: Range<usize>,
    own: Option<Vec<OwnFamily>>,
}

impl Exposition {
    /// The telemetry, then the exporter's own families.
    #[must_use]
    pub fn new(telemetry: Telemetry, own: Vec<OwnFamily>) -> Self {
        Self {
            steps: 0..telemetry.steps(),
            telemetry,
            own: Some(own),
        }
    }
}

impl Iterator for Exposition {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut chunk = Vec::with_capacity(CHUNK + SLACK);
        while chunk.len() < CHUNK {
            if let Some(step) = self.steps.next() {
                self.telemetry.write(step..step + 1, &mut chunk);
                continue;
            }
            if let Some(own) = self.own.take() {
                write_end(&mut chunk, self.telemetry.format, &own);
            }
            break;
        }
        (!chunk.is_empty()).then_some(chunk)
    }
}

/// Writes what stands behind the telemetry: the exporter's own families, and what ends the format.
pub fn write_end(out: &mut Vec<u8>, format: Format, own: &[OwnFamily]) {
    own::write(out, format, own);
    if format == Format::OpenMetrics {
        line(out, &["# EOF\n"]);
    }
}

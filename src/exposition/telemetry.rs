//! Writes the telemetry of a snapshot in steps, so that a scrape holds only one chunk at a time. Steps can be written in any order
//! and on any thread.

use std::sync::Arc;

use super::layout::{BlockRef, Layout, Section, shown_slots};
use super::number::number;
use super::own::{self, OwnFamily};
use super::text::{label, line, string_field, tag};
use super::{Format, Shard};
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{AccountId, Lease, Snapshot};
use crate::names::{Names, TableNames};
use crate::telemetry::catalogue::{DEVICE_LABELS, TelemetryFamily};
use crate::text::escape::escape_into;
use crate::text::padded::Padded;

/// A chunk is handed out when it has reached this many bytes.
const CHUNK: usize = 64 * 1024;

/// How far a chunk may exceed [`CHUNK`]: its length is checked after the samples of each family and block.
const SLACK: usize = 32 * 1024;

/// The first line of the mixed format. It explains why a parser of Prometheus text fails.
const MIXED: &str = "# starlink_info is in InfluxDB line protocol here: ?format=prometheus gives strict Prometheus text.\n";

/// The snapshot was revoked, because its reader is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot was revoked: the reader is too slow")]
pub struct Revoked;

/// A position in the text: a step, and the first device of it that is not written yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    step: usize,
    slot: usize,
}

impl Cursor {
    /// The beginning of a step: of the samples of one family and block.
    #[must_use]
    pub const fn at_step(step: usize) -> Self {
        Self { step, slot: 0 }
    }

    /// The index of the step.
    #[must_use]
    pub const fn step(self) -> usize {
        self.step
    }
}

/// The telemetry of a shard of a snapshot in one format.
#[derive(Debug)]
pub struct Telemetry {
    lease: Arc<Lease>,
    shard: Shard,
    format: Format,
    layout: Layout,
}

impl Telemetry {
    /// The telemetry of all accounts, without a names file.
    #[must_use]
    pub fn new(format: Format, snapshot: Arc<Snapshot>, shard: Shard) -> Self {
        let lease = Arc::new(Lease::from(snapshot));
        Self::named(format, lease, shard, None, &Arc::default())
    }

    /// The telemetry of all accounts or of one, with the names of the devices: those of the names file, which may be empty, else those of
    /// the inventory. If the lease is revoked already, the layout is empty, and [`Telemetry::write`] fails.
    #[must_use]
    pub fn named(
        format: Format,
        lease: Arc<Lease>,
        shard: Shard,
        account: Option<AccountId>,
        names: &Arc<Names>,
    ) -> Self {
        let snapshot = lease.get().unwrap_or_default();
        Self {
            layout: Layout::new(&snapshot, shard, account, names),
            lease,
            shard,
            format,
        }
    }

    /// The number of steps in which it is written.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.layout.steps().len()
    }

    /// Appends the text from a cursor on until `out` has `enough` bytes. Returns where it continues, or `None` at the end. Exceeds
    /// `enough` by at most the samples of one family of 256 devices, or by the texts of one device.
    ///
    /// # Errors
    /// If the snapshot was revoked.
    pub fn write(
        &self,
        from: Cursor,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> Result<Option<Cursor>, Revoked> {
        let snapshot = self.lease.get().ok_or(Revoked)?;
        let mut at = from;
        let mut enough = enough;
        if self.format == Format::Mixed && from == Cursor::default() && out.len() < enough {
            line(out, &[MIXED]);
            // The line does not count, so that this call always writes a step: otherwise it could return its own cursor.
            enough = enough.saturating_add(MIXED.len());
        }
        while let Some(step) = self.layout.steps().get(at.step) {
            if out.len() >= enough {
                return Ok(Some(at));
            }
            let (section, is_first, block_ref, view, block) = self.layout.resolve(step, &snapshot);
            if is_first && at.slot == 0 {
                section.header(out, self.format);
            }
            let mut part = Part {
                view,
                block,
                first: at.slot,
                enough,
                out,
            };
            let next = match section {
                Section::Info => self.infos(&mut part),
                Section::DeviceName(names) => {
                    let names = TableNames::new(names, &snapshot, view);
                    self.device_names(names, &mut part)
                }
                Section::DeviceAccount => {
                    let account = part.block.account();
                    let name = account.and_then(|account| snapshot.account_name(account));
                    name.and_then(|name| self.device_accounts(name, &mut part))
                }
                _ => {
                    self.samples(section, block_ref, &mut part);
                    None
                }
            };
            at = match next {
                Some(slot) => Cursor { slot, ..at },
                None => Cursor {
                    step: at.step + 1,
                    slot: 0,
                },
            };
        }
        Ok(None)
    }

    fn samples(&self, section: &Section, at: BlockRef, part: &mut Part<'_>) {
        let Part {
            view, block, out, ..
        } = part;
        let prefix = prefix(section.family(), view);
        let labels = block.labels();
        section.each(at, view, block, self.shard, |slot, value| {
            prefix.push(out);
            labels.push(slot, out);
            out.extend_from_slice(b"\"} ");
            number(out, value);
            out.push(b'\n');
        });
    }

    fn device_names(&self, names: TableNames<'_>, part: &mut Part<'_>) -> Option<usize> {
        let prefix = prefix(TelemetryFamily::DeviceName, part.view);
        let (block, labels) = (part.block, part.block.labels());
        part.each(self.shard, |slot, out| {
            let Some(device_name) = names.get(block, slot) else {
                return;
            };
            prefix.push(out);
            labels.push(slot, out);
            // An empty group is written too: all samples have the same labels.
            for (key, value) in [("name", device_name.name), ("group", device_name.group)] {
                line(out, &["\",", key, "=\""]);
                escape_into(out, value, true);
            }
            line(out, &["\"} 1\n"]);
        })
    }

    fn device_accounts(&self, account: &str, part: &mut Part<'_>) -> Option<usize> {
        let prefix = prefix(TelemetryFamily::DeviceAccount, part.view);
        let labels = part.block.labels();
        let mut rest = b"\",account=\"".to_vec();
        escape_into(&mut rest, account, true);
        rest.extend_from_slice(b"\"} 1\n");
        part.each(self.shard, |slot, out| {
            prefix.push(out);
            labels.push(slot, out);
            out.extend_from_slice(&rest);
        })
    }

    fn infos(&self, part: &mut Part<'_>) -> Option<usize> {
        let write = match self.format {
            Format::Mixed => line_protocol,
            Format::Prometheus | Format::OpenMetrics => info_labels,
        };
        let (view, block) = (part.view, part.block);
        let prefix = match self.format {
            Format::Mixed => {
                let mut prefix = TelemetryFamily::Info.name().as_bytes().to_vec();
                tag(&mut prefix, DEVICE_LABELS[0], &view.name);
                Padded::new(prefix)
            }
            Format::Prometheus | Format::OpenMetrics => prefix(TelemetryFamily::Info, view),
        };
        part.each(self.shard, |slot, out| {
            if view.info_fields(block, slot).next().is_some() {
                prefix.push(out);
                write(view, block, slot, out);
            }
        })
    }
}

/// The samples of one family and block that are being written.
struct Part<'p> {
    view: &'p TableView,
    block: &'p Block,
    /// The first slot that is not written yet.
    first: usize,
    enough: usize,
    out: &'p mut Vec<u8>,
}

impl<'p> Part<'p> {
    /// Calls `write` with the slots that a scrape shows, at least with one, until `out` has `enough` bytes. Returns the slot to continue with, or
    /// `None` at the end of the block.
    fn each(&mut self, shard: Shard, mut write: impl FnMut(usize, &mut Vec<u8>)) -> Option<usize> {
        let from = self.first;
        let mut slots = shown_slots(self.block, shard).filter(|slot| *slot >= from);
        write(slots.next()?, self.out);
        for slot in slots {
            if self.out.len() >= self.enough {
                return Some(slot);
            }
            write(slot, self.out);
        }
        None
    }
}

/// The common beginning of all samples of a family and a table.
fn prefix(family: TelemetryFamily<'_>, view: &TableView) -> Padded {
    let mut prefix = Vec::with_capacity(128);
    let [device_type, device_id] = DEVICE_LABELS;
    line(&mut prefix, &[&family.name(), "{"]);
    label(&mut prefix, device_type, &view.name);
    line(&mut prefix, &[",", device_id, "=\""]);
    Padded::new(prefix)
}

/// Writes the rest of a device's `starlink_info`, its info fields as labels.
fn info_labels(view: &TableView, block: &Block, slot: usize, out: &mut Vec<u8>) {
    block.labels().push(slot, out);
    for (key, value) in view.info_fields(block, slot) {
        line(out, &["\",", key, "=\""]);
        escape_into(out, value, true);
    }
    line(out, &["\"} 1\n"]);
}

/// Writes the rest of a device's `starlink_info` in line protocol.
fn line_protocol(view: &TableView, block: &Block, slot: usize, out: &mut Vec<u8>) {
    tag(out, DEVICE_LABELS[1], block.labels().id(slot));
    for (index, (key, value)) in view.info_fields(block, slot).enumerate() {
        out.push(if index == 0 { b' ' } else { b',' });
        string_field(out, key, value);
    }
    out.push(b'\n');
}

/// The body of a scrape: an iterator over its chunks.
#[derive(Debug)]
pub struct Exposition {
    telemetry: Telemetry,
    next: Option<Cursor>,
    own: Option<Vec<OwnFamily>>,
    is_revoked: bool,
}

impl Exposition {
    /// The telemetry, then the exporter's own families.
    #[must_use]
    pub fn new(telemetry: Telemetry, own: Vec<OwnFamily>) -> Self {
        Self {
            telemetry,
            next: Some(Cursor::default()),
            own: Some(own),
            is_revoked: false,
        }
    }

    /// Whether the last chunk was the end of the text.
    ///
    /// # Errors
    /// If the snapshot was revoked before the end.
    pub fn ended(&self) -> Result<(), Revoked> {
        match self.is_revoked {
            true => Err(Revoked),
            false => Ok(()),
        }
    }

    fn write(&mut self, chunk: &mut Vec<u8>) -> Result<(), Revoked> {
        if let Some(next) = self.next {
            self.next = self.telemetry.write(next, chunk, CHUNK)?;
        }
        if self.next.is_none()
            && let Some(own) = self.own.take()
        {
            write_end(chunk, self.telemetry.format, &own);
        }
        Ok(())
    }
}

impl Iterator for Exposition {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut chunk = Vec::with_capacity(CHUNK + SLACK);
        if self.is_revoked || self.write(&mut chunk).is_err() {
            self.is_revoked = true;
            return None;
        }
        (!chunk.is_empty()).then_some(chunk)
    }
}

/// Writes what follows the telemetry: the exporter's own families, and the end mark of OpenMetrics.
pub fn write_end(out: &mut Vec<u8>, format: Format, own: &[OwnFamily]) {
    own::write(out, format, own);
    if format == Format::OpenMetrics {
        line(out, &["# EOF\n"]);
    }
}

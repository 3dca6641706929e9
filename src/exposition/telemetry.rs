//! Writes the telemetry of a snapshot in steps, so that a scrape holds only one chunk at a time. Steps can be written in any order
//! and on any thread.

use std::sync::Arc;

use super::devices::Part;
use super::layout::{Content, Layout};
use super::own::{self, OwnFamily};
use super::section::Section;
use super::text::line;
use super::{Format, Selection, Shard};
use crate::fleet::{Lease, Snapshot};
use crate::names::Names;

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

/// A position in the text: a step, and the first device or service line of it that is not written yet.
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
        Self::named(format, lease, shard.into(), &Arc::default())
    }

    /// The telemetry and inventory of a part of the snapshot, with the names of the devices: those of the names file, which may be empty,
    /// else those of the inventory. If the lease is revoked already, the layout is empty, and [`Telemetry::write`] fails.
    #[must_use]
    pub fn named(
        format: Format,
        lease: Arc<Lease>,
        selection: Selection,
        names: &Arc<Names>,
    ) -> Self {
        let snapshot = lease.get().unwrap_or_default();
        Self {
            layout: Layout::new(&snapshot, selection, names),
            lease,
            shard: selection.shard,
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
            let (section, is_first, content) = self.layout.resolve(step, &snapshot);
            if is_first && at.slot == 0 {
                section.header(out, self.format);
            }
            let next = match (section, content) {
                (Section::Lines(family), Content::Lines(lines, number)) => {
                    lines.write(*family, number, at.slot, enough, out)
                }
                (_, Content::Devices(block_ref, view, block)) => {
                    let mut part = Part {
                        snapshot: &snapshot,
                        view,
                        block,
                        shard: self.shard,
                        first: at.slot,
                        enough,
                        out,
                    };
                    match part.labels_only(section, self.format) {
                        Some(next) => next,
                        None => {
                            part.samples(section, block_ref);
                            None
                        }
                    }
                }
                _ => None,
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

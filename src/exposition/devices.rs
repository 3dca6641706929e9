//! Writes the samples of one family and one block of devices.

use super::layout::BlockRef;
use super::number::number;
use super::section::{Section, shown_slots};
use super::text::{label, line, string_field, tag};
use super::{Format, Shard};
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{Listing, Snapshot};
use crate::inventory::{Directory, ListedTerminal};
use crate::names::{Bonds, Names, TableNames};
use crate::telemetry::catalogue::{DEVICE_LABELS, TelemetryFamily};
use crate::text::escape::escape_into;
use crate::text::padded::Padded;

/// The terminals of the inventory, of all accounts or of one.
#[derive(Debug, Clone, Copy)]
pub struct TerminalInfos<'s> {
    directory: &'s Directory,
    account: Option<&'s str>,
}

impl<'s> TerminalInfos<'s> {
    /// The terminals that the account with this name lists, or all.
    #[must_use]
    pub fn new(directory: &'s Directory, account: Option<&'s str>) -> Self {
        Self { directory, account }
    }

    /// The terminal in a slot.
    #[must_use]
    pub fn get(&self, block: &Block, slot: usize) -> Option<ListedTerminal<'s>> {
        let Listing::Terminal(entry, _) = block.listing(slot) else {
            return None;
        };
        let listed = self.directory.terminal(entry)?;
        let is_wanted = self
            .account
            .is_none_or(|wanted| wanted == &**listed.account);
        is_wanted.then_some(listed)
    }
}

/// The samples of one family and block that are being written.
#[derive(Debug)]
pub struct Part<'p> {
    pub snapshot: &'p Snapshot,
    pub view: &'p TableView,
    pub block: &'p Block,
    pub shard: Shard,
    /// The first slot that is not written yet.
    pub first: usize,
    pub enough: usize,
    pub out: &'p mut Vec<u8>,
}

impl<'p> Part<'p> {
    /// Writes the samples of a family with numbers.
    pub fn samples(&mut self, section: &Section, at: BlockRef) {
        let Self {
            view, block, out, ..
        } = self;
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

    /// Writes the samples of a family whose samples differ in labels only, until `out` has enough bytes. Returns the slot to continue with,
    /// which is `None` at the end of the block. Returns `None` and writes nothing for a family with numbers.
    pub fn labels_only(&mut self, section: &'p Section, format: Format) -> Option<Option<usize>> {
        let prefix = || prefix(section.family(), self.view);
        Some(match section {
            Section::Info => self.infos(format),
            Section::DeviceName(names) => self.device_names(&prefix(), names),
            Section::DeviceAccount => self.device_accounts(&prefix()),
            Section::TerminalInfo(account) => self.terminal_infos(&prefix(), account.as_deref()),
            Section::RouterTerminal => self.router_terminals(&prefix()),
            _ => return None,
        })
    }

    fn device_names(&mut self, prefix: &Padded, names: &'p Names) -> Option<usize> {
        let names = TableNames::new(names, self.snapshot, self.view);
        let block = self.block;
        self.each(|slot, out| {
            if let Some(device_name) = names.get(block, slot) {
                // An empty group is written too: all samples have the same labels.
                let rest = [("name", device_name.name), ("group", device_name.group)];
                labelled(prefix, block, slot, &rest, out);
            }
        })
    }

    fn device_accounts(&mut self, prefix: &Padded) -> Option<usize> {
        let account = self.block.account()?;
        let account = self.snapshot.account_name(account)?;
        let labels = self.block.labels();
        let mut rest = b"\",account=\"".to_vec();
        escape_into(&mut rest, account, true);
        rest.extend_from_slice(b"\"} 1\n");
        self.each(|slot, out| {
            prefix.push(out);
            labels.push(slot, out);
            out.extend_from_slice(&rest);
        })
    }

    fn terminal_infos(&mut self, prefix: &Padded, account: Option<&'p str>) -> Option<usize> {
        let infos = TerminalInfos::new(&self.snapshot.directory, account);
        let block = self.block;
        self.each(|slot, out| {
            if let Some(ListedTerminal {
                account, terminal, ..
            }) = infos.get(block, slot)
            {
                let rest = [
                    ("account", &**account),
                    ("kit_serial", terminal.kit_serial.unwrap_or_default()),
                    ("dish_serial", terminal.dish_serial.unwrap_or_default()),
                    ("service_line", terminal.service_line.unwrap_or_default()),
                ];
                labelled(prefix, block, slot, &rest, out);
            }
        })
    }

    fn router_terminals(&mut self, prefix: &Padded) -> Option<usize> {
        let bonds = Bonds::new(self.snapshot, self.view);
        let block = self.block;
        self.each(|slot, out| {
            if let Some(terminal) = bonds.terminal(block, slot) {
                prefix.push(out);
                block.labels().push(slot, out);
                line(out, &["\",terminal=\""]);
                escape_into(out, &terminal, true);
                line(out, &["\"} 1\n"]);
            }
        })
    }

    fn infos(&mut self, format: Format) -> Option<usize> {
        let write = match format {
            Format::Mixed => line_protocol,
            Format::Prometheus | Format::OpenMetrics => info_labels,
        };
        let (view, block) = (self.view, self.block);
        let prefix = match format {
            Format::Mixed => {
                let mut prefix = TelemetryFamily::Info.name().as_bytes().to_vec();
                tag(&mut prefix, DEVICE_LABELS[0], &view.name);
                Padded::new(prefix)
            }
            Format::Prometheus | Format::OpenMetrics => prefix(TelemetryFamily::Info, view),
        };
        self.each(|slot, out| {
            if block.has_reported(slot) && view.info_fields(block, slot).next().is_some() {
                prefix.push(out);
                write(view, block, slot, out);
            }
        })
    }

    /// Calls `write` with the slots that a scrape shows, at least with one, until `out` has `enough` bytes. Returns the slot to continue with, or
    /// `None` at the end of the block.
    fn each(&mut self, mut write: impl FnMut(usize, &mut Vec<u8>)) -> Option<usize> {
        let from = self.first;
        let mut slots = shown_slots(self.block, self.shard).filter(|slot| *slot >= from);
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

/// Writes a sample with the value 1 and these labels after those of the device.
fn labelled(prefix: &Padded, block: &Block, slot: usize, rest: &[(&str, &str)], out: &mut Vec<u8>) {
    prefix.push(out);
    block.labels().push(slot, out);
    for (key, value) in rest {
        line(out, &["\",", key, "=\""]);
        escape_into(out, value, true);
    }
    line(out, &["\"} 1\n"]);
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

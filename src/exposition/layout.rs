//! The order in which a scrape writes a snapshot: families, and blocks of devices or service lines within them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lines::{self, AccountLines};
use super::rare::Rare;
use super::section::{LaneOf, Section};
use super::{Selection, Shard};
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{AccountId, Snapshot};
use crate::names::Names;
use crate::telemetry::{AddressKind, DeviceKind};

/// The index of a table in a snapshot, and of a block in the table.
pub type BlockRef = (u32, u32);

/// A block, and some of its slots in ascending order.
pub type ActiveSlots = (BlockRef, Vec<u8>);

/// The samples of one family and one block, which are written together.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    section: u32,
    /// The block; of families of lines the index of the account in the directory, and that of the step.
    at: (u32, u32),
    /// Whether the family's header comes before it.
    is_first: bool,
}

/// What a step refers to.
#[derive(Debug, Clone, Copy)]
pub enum Content<'s> {
    /// The devices of a block.
    Devices(BlockRef, &'s TableView, &'s Block),
    /// A step of the lines of an account.
    Lines(AccountLines<'s>, usize),
    /// Nothing: the snapshot is another one.
    Nothing,
}

/// All steps of a scrape, without the families of pools and accounts and the exporter's own. Refers to the snapshot by indices, so that it
/// does not keep it in memory.
#[derive(Debug)]
pub struct Layout {
    sections: Vec<Section>,
    steps: Vec<Step>,
}

impl Layout {
    /// The steps of a part of a snapshot. Reads every device once. Families without samples are left out.
    #[must_use]
    pub fn new(snapshot: &Snapshot, selection: Selection, names: &Arc<Names>) -> Self {
        let mut layout = Self {
            sections: Vec::new(),
            steps: Vec::new(),
        };
        let blocks = blocks(snapshot, selection.account);
        if selection.collect.telemetry {
            layout.add_telemetry(snapshot, selection.shard, &blocks);
        } else if selection.collect.online {
            layout.add(Section::Online, &blocks, snapshot, selection.shard);
        }
        if selection.collect.inventory {
            layout.add_inventory(snapshot, selection, names, &blocks);
        }
        layout
    }

    fn add_telemetry(&mut self, snapshot: &Snapshot, shard: Shard, blocks: &[BlockRef]) {
        let rare = Rare::collect(snapshot, shard, blocks);
        for section in gauges(snapshot) {
            self.add(section, blocks, snapshot, shard);
        }
        for kind in AddressKind::ALL {
            let several = 0..rare.most_addresses[kind as usize];
            for nth in std::iter::once(None).chain(several.map(Some)) {
                let section = Section::Address { kind, nth };
                self.add(section, &rare.allocations, snapshot, shard);
            }
        }
        let mut alerts = rare.alerts;
        alerts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (name, active) in alerts {
            let with_alert: Vec<_> = active.iter().map(|(block, _)| *block).collect();
            self.add(
                Section::Alert { name, active },
                &with_alert,
                snapshot,
                shard,
            );
        }
        let sections = [
            Section::Latitude,
            Section::Longitude,
            Section::LastReport,
            Section::Online,
            Section::Info,
        ];
        for section in sections {
            self.add(section, blocks, snapshot, shard);
        }
    }

    fn add_inventory(
        &mut self,
        snapshot: &Snapshot,
        selection: Selection,
        names: &Arc<Names>,
        blocks: &[BlockRef],
    ) {
        let Selection { shard, account, .. } = selection;
        let name = account.and_then(|account| snapshot.account_name(account));
        let of_kind = |kind, blocks: &[BlockRef]| -> Vec<BlockRef> {
            let is_it = |at: &&BlockRef| find(snapshot, **at).1.kind == kind;
            blocks.iter().filter(is_it).copied().collect()
        };
        self.add(
            Section::DeviceName(Arc::clone(names)),
            blocks,
            snapshot,
            shard,
        );
        self.add(Section::DeviceAccount, blocks, snapshot, shard);
        // An account may list a terminal that another one delivers.
        let terminals = of_kind(DeviceKind::Terminal, &self::blocks(snapshot, None));
        self.add(
            Section::TerminalInfo(name.map(Arc::clone)),
            &terminals,
            snapshot,
            shard,
        );
        let routers = of_kind(DeviceKind::Router, blocks);
        self.add(Section::RouterTerminal, &routers, snapshot, shard);
        if shard.is_first() {
            self.add_lines(snapshot, name);
        }
    }

    /// Adds the families of service lines of all accounts, or of the one with this name.
    fn add_lines(&mut self, snapshot: &Snapshot, name: Option<&Arc<str>>) {
        let accounts = (0..).zip(snapshot.directory.accounts());
        let accounts = accounts.filter(|(_, (account, _))| name.is_none_or(|name| name == account));
        for family in lines::FAMILIES {
            let steps = accounts.clone().flat_map(|(number, account)| {
                let lines = AccountLines::new(account);
                let steps = 0..lines.steps(family);
                let steps = steps.filter(move |&step| lines.has_samples(family, step));
                steps.map(move |step| (number, u32::try_from(step).unwrap_or(u32::MAX)))
            });
            self.push(Section::Lines(family), steps);
        }
    }

    /// Adds a section's steps, from the first block with samples on. Of later blocks, those are left out that cannot have samples.
    fn add(&mut self, section: Section, blocks: &[BlockRef], snapshot: &Snapshot, shard: Shard) {
        let may_have = |&&at: &&BlockRef| section.may_have_samples(at, find(snapshot, at).2);
        let has_samples = |&&at: &&BlockRef| {
            let (_, view, block) = find(snapshot, at);
            section.has_samples(snapshot, at, view, block, shard)
        };
        let mut blocks = blocks.iter().filter(may_have);
        let Some(first) = blocks.find(has_samples) else {
            return;
        };
        let steps: Vec<_> = std::iter::once(first).chain(blocks).copied().collect();
        self.push(section, steps.into_iter());
    }

    /// Adds a section with its steps, of which the first has a sample; nothing without steps.
    fn push(&mut self, section: Section, steps: impl Iterator<Item = (u32, u32)>) {
        let number = u32::try_from(self.sections.len()).unwrap_or(u32::MAX);
        let before = self.steps.len();
        self.steps.extend(steps.enumerate().map(|(index, at)| Step {
            section: number,
            at,
            is_first: index == 0,
        }));
        if self.steps.len() > before {
            self.sections.push(section);
        }
    }

    /// The steps, in the order in which they are written.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The content of a step: the family, whether its header comes first, and what it refers to.
    #[must_use]
    pub fn resolve<'s>(
        &'s self,
        step: &Step,
        snapshot: &'s Snapshot,
    ) -> (&'s Section, bool, Content<'s>) {
        let section = &self.sections[step.section as usize];
        let content = match section {
            Section::Lines(_) => {
                let (account, number) = (step.at.0 as usize, step.at.1 as usize);
                let account = snapshot.directory.accounts().get(account);
                account.map_or(Content::Nothing, |account| {
                    Content::Lines(AccountLines::new(account), number)
                })
            }
            _ => {
                let (_, view, block) = find(snapshot, step.at);
                Content::Devices(step.at, view, block)
            }
        };
        (section, step.is_first, content)
    }
}

/// The index of the table, the table, and the block.
pub(super) fn find(snapshot: &Snapshot, (table, block): BlockRef) -> (usize, &TableView, &Block) {
    let view = &snapshot.tables[table as usize];
    (table as usize, view, &view.blocks[block as usize])
}

/// The blocks of all devices, or of those of one account.
fn blocks(snapshot: &Snapshot, account: Option<AccountId>) -> Vec<BlockRef> {
    let tables = (0..).zip(&snapshot.tables);
    let blocks = tables.flat_map(|(table, view)| {
        let blocks = (0..).zip(&view.blocks);
        let blocks =
            blocks.filter(move |(_, block)| account.is_none() || block.account() == account);
        blocks.map(move |(block, _)| (table, block))
    });
    blocks.collect()
}

/// The families of fields, by name.
fn gauges(snapshot: &Snapshot) -> Vec<Section> {
    let mut families: BTreeMap<_, (&Arc<str>, LaneOf)> = BTreeMap::new();
    for (table, view) in snapshot.tables.iter().enumerate() {
        for (number, lane) in view.gauges.all().iter().enumerate() {
            let absent = || (&lane.field, vec![None; snapshot.tables.len()]);
            let (_, lanes) = families.entry(&lane.name).or_insert_with(absent);
            lanes[table] = Some(number);
        }
    }
    let section = |(name, (field, lanes)): (&Arc<str>, (&Arc<str>, _))| Section::Gauge {
        name: Arc::clone(name),
        field: Arc::clone(field),
        lanes,
    };
    families.into_iter().map(section).collect()
}

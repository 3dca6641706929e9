//! The devices of one type: the slot of each device and the lane of each field.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Retention;
use super::block::{Ageing, BLOCK_SIZE, Block, Due, Presence};
use super::changes::{Changes, SOFTWARE_FIELD, What};
use super::churn::{AllocationChurn, Churn};
use super::labels::stable_hash;
use crate::telemetry::DeviceKind;
use crate::telemetry::schema::{Column, Field, TypeSchema};
use crate::telemetry::values::info_key;
use crate::time::Moment;

/// Unused lanes are searched only if there are at least this many lanes.
const LOOK_FROM: usize = 128;

/// The time between searches if all lanes are in use.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// The lanes of one kind of value. A name keeps its lane.
#[derive(Debug, Clone, Default)]
pub struct Lanes {
    lanes: Vec<Lane>,
    by_name: BTreeMap<Arc<str>, usize>,
}

/// One lane: a column of values in each block.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The family of its gauges, or the key of its texts.
    pub name: Arc<str>,
    /// The field that it was made for, as Starlink spells it.
    pub field: Arc<str>,
}

impl Lanes {
    /// The lanes, by number.
    #[must_use]
    pub fn all(&self) -> &[Lane] {
        &self.lanes
    }

    /// The lane with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// These lanes, in this order.
    fn only(&self, lanes: &[usize]) -> Self {
        let mut only = Self::default();
        for &lane in lanes {
            let Lane { name, field } = &self.lanes[lane];
            only.find_or_add(name, field);
        }
        only
    }

    fn find_or_add(&mut self, name: &Arc<str>, field: &Arc<str>) -> usize {
        if let Some(lane) = self.find(name) {
            return lane;
        }
        let lane = self.lanes.len();
        self.by_name.insert(Arc::clone(name), lane);
        self.lanes.push(Lane {
            name: Arc::clone(name),
            field: Arc::clone(field),
        });
        lane
    }
}

/// The lanes of a column's values, determined with the first value of each kind.
#[derive(Debug, Clone, Copy, Default)]
struct ColumnLanes {
    gauge: Option<usize>,
    info: Option<usize>,
}

/// The subject of a row: the device of a slot, or its IP allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The device.
    Device,
    /// Its allocation.
    Allocation,
}

/// All devices of one type.
#[derive(Debug)]
pub struct Table {
    /// The type code.
    pub code: Arc<str>,
    /// The kind of the type.
    pub kind: DeviceKind,
    /// The name of the type, which no other table has: set by [`super::Tables`] alone.
    pub(super) name: Arc<str>,
    gauges: Arc<Lanes>,
    infos: Arc<Lanes>,
    /// The columns of the last batch, and their lanes.
    schema: Option<Arc<TypeSchema>>,
    columns: Vec<ColumnLanes>,
    /// The last column of each info lane.
    info_columns: Vec<usize>,
    blocks: Vec<Arc<Block>>,
    /// When each block must be reviewed.
    due: Vec<Due>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    free: Vec<usize>,
    /// Counts changes of the layout of snapshots, which scrapes do not show.
    layouts: u64,
    /// The number of lanes at which unused ones are searched next, and the earliest time if there is no room.
    look_at: usize,
    look_again: Moment,
    /// By info lane.
    churn: Churn,
    allocation_churn: AllocationChurn,
    /// By slot and [`Subject`], scratch numbers for planning a batch. They are never cleared, so a reader must validate them.
    notes: Vec<[u32; 2]>,
}

impl Table {
    /// A table without devices.
    #[must_use]
    pub fn new(code: Arc<str>, name: Arc<str>) -> Self {
        Self {
            kind: DeviceKind::of(&code),
            name,
            code,
            gauges: Arc::default(),
            infos: Arc::default(),
            schema: None,
            columns: Vec::new(),
            info_columns: Vec::new(),
            blocks: Vec::new(),
            due: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            free: Vec::new(),
            layouts: 0,
            look_at: LOOK_FROM,
            look_again: Moment::default(),
            churn: Churn::default(),
            allocation_churn: AllocationChurn::default(),
            notes: Vec::new(),
        }
    }

    /// The blocks of all devices.
    #[must_use]
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// The families of the gauge lanes.
    #[must_use]
    pub fn gauges(&self) -> &Arc<Lanes> {
        &self.gauges
    }

    /// The keys of the info lanes.
    #[must_use]
    pub fn infos(&self) -> &Arc<Lanes> {
        &self.infos
    }

    /// The last column of each info lane.
    #[must_use]
    pub fn info_columns(&self) -> &[usize] {
        &self.info_columns
    }

    /// The gauge lane of a family that an earlier process knew; `None` when there are `most` lanes already.
    pub fn thaw_gauge_lane(&mut self, family: &str, field: &str, most: usize) -> Option<usize> {
        if self.gauges.lanes.len() >= most && self.gauges.find(family).is_none() {
            return None;
        }
        Some(Arc::make_mut(&mut self.gauges).find_or_add(&family.into(), &field.into()))
    }

    /// The info lane of a key that an earlier process knew, and at which column it stood last; `None` when there are `most` lanes
    /// already.
    pub fn thaw_info_lane(
        &mut self,
        key: &str,
        field: &str,
        column: usize,
        most: usize,
    ) -> Option<usize> {
        if self.infos.lanes.len() >= most && self.infos.find(key).is_none() {
            return None;
        }
        let lane = Arc::make_mut(&mut self.infos).find_or_add(&key.into(), &field.into());
        self.info_columns.resize(self.infos.lanes.len(), column);
        Some(lane)
    }

    /// The info lanes in column order. A lane without a column in the last list is placed by its last column.
    #[must_use]
    pub fn info_order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.info_columns.len()).collect();
        order.sort_by_key(|&lane| self.info_columns[lane]);
        order
    }

    /// Removes lanes without values, and converts columns with few values to lists, if there are many lanes: when their number has
    /// doubled since the last time, or, at most once a minute, when there are `most` or values have no room (`is_tight`). Call it between
    /// batches.
    pub fn drop_unused_lanes(&mut self, now: Moment, most: usize, is_tight: bool) {
        let lanes = self.gauges.lanes.len().max(self.infos.lanes.len());
        let is_full = (lanes >= most || is_tight) && now >= self.look_again;
        if lanes < self.look_at && !is_full {
            return;
        }
        let has_gauge = |lane: &usize| self.blocks.iter().any(|block| block.gauges().has(*lane));
        let has_info = |lane: &usize| self.blocks.iter().any(|block| block.infos().has(*lane));
        let gauges: Vec<_> = (0..self.gauges.lanes.len()).filter(has_gauge).collect();
        let infos: Vec<_> = (0..self.infos.lanes.len()).filter(has_info).collect();
        // Everything that can fail is done before the first change.
        let blocks = self
            .blocks
            .iter()
            .map(|block| block.with_lanes(&gauges, &infos));
        let blocks: Vec<_> = blocks.map(Arc::new).collect();
        let info_columns = infos.iter().map(|&lane| self.info_columns[lane]).collect();
        self.look_at = LOOK_FROM.max(2 * gauges.len().max(infos.len()));
        self.look_again = now.after(BETWEEN_LOOKS);
        self.layouts += 1;
        self.gauges = Arc::new(self.gauges.only(&gauges));
        self.infos = Arc::new(self.infos.only(&infos));
        self.info_columns = info_columns;
        self.blocks = blocks;
        // Columns are to be adopted anew: their lanes have other numbers.
        self.churn.begin();
        self.schema = None;
        self.columns.clear();
    }

    /// Sets the columns of a batch, for which lanes are requested next.
    pub fn adopt(&mut self, schema: &Arc<TypeSchema>) {
        if self
            .schema
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, schema))
        {
            return;
        }
        let lanes_of = |column: &Column| match column {
            Column::Field(field) | Column::Location(field) => ColumnLanes {
                gauge: field
                    .gauge
                    .as_deref()
                    .and_then(|name| self.gauges.find(name)),
                info: field.info.as_deref().and_then(|name| self.infos.find(name)),
            },
            Column::Ignored | Column::Info(_) | Column::Alerts(_) | Column::Addresses(_) => {
                ColumnLanes::default()
            }
        };
        self.columns = schema.columns.iter().map(lanes_of).collect();
        self.schema = Some(Arc::clone(schema));
    }

    /// The name of the type that the adopted columns came with.
    pub(super) fn adopted_name(&self) -> Option<&Arc<str>> {
        self.schema.as_ref().map(|schema| &schema.name)
    }

    /// Uses the order of the adopted columns. Returns whether it is new.
    pub fn settle(&mut self) -> bool {
        let mut changed = false;
        for (column, lanes) in self.columns.iter().enumerate() {
            if let Some(lane) = lanes.info {
                changed |= self.info_columns[lane] != column;
                self.info_columns[lane] = column;
            }
        }
        changed
    }

    /// The gauge lane of an adopted column, made if need be; `None` when the column has no family of its own, or there are `most`
    /// lanes already.
    pub fn gauge_lane(&mut self, column: usize, field: &Field, most: usize) -> Option<usize> {
        let lanes = self.columns.get_mut(column)?;
        if lanes.gauge.is_none() {
            let family = field.gauge.as_ref()?;
            if self.gauges.lanes.len() >= most && self.gauges.find(family).is_none() {
                return None;
            }
            lanes.gauge = Some(Arc::make_mut(&mut self.gauges).find_or_add(family, &field.name));
        }
        lanes.gauge
    }

    /// The gauge lane of an adopted column, if it has one already.
    #[inline]
    #[must_use]
    pub fn known_gauge_lane(&self, column: usize) -> Option<usize> {
        self.columns.get(column)?.gauge
    }

    /// The info lane of an adopted column, if it has one already.
    #[must_use]
    pub fn known_info_lane(&self, column: usize) -> Option<usize> {
        self.columns.get(column)?.info
    }

    /// The info lane of an adopted column, made if need be; `None` when the column has no key of its own, or there are `most`
    /// lanes already.
    pub fn info_lane(&mut self, column: usize, field: &Field, most: usize) -> Option<usize> {
        let lanes = self.columns.get_mut(column)?;
        if lanes.info.is_none() {
            let key = field.info.as_ref()?;
            if self.infos.lanes.len() >= most && self.infos.find(key).is_none() {
                return None;
            }
            let lane = Arc::make_mut(&mut self.infos).find_or_add(key, &field.name);
            self.info_columns.resize(self.infos.lanes.len(), column);
            lanes.info = Some(lane);
        }
        lanes.info
    }

    /// A number that increases when blocks or lanes are added, moved or removed.
    #[must_use]
    pub fn layouts(&self) -> u64 {
        self.layouts
    }

    /// The memory of numbers, references to texts and alerts, and entries of allocations in bytes, without the texts themselves.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.value_bytes()).sum()
    }

    /// The number of slots, including free ones.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.notes.len()
    }

    /// The number of lanes of numbers and of texts.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.gauges.lanes.len() + self.infos.lanes.len()
    }

    /// Counts the rows of devices whose texts change.
    pub(super) fn churn(&mut self) -> &mut Churn {
        &mut self.churn
    }

    /// Counts the rows of IP allocations whose texts change.
    pub(super) fn allocation_churn(&mut self) -> &mut AllocationChurn {
        &mut self.allocation_churn
    }

    /// The fields whose text changes in nearly every row of most devices. Each is returned once.
    pub fn churning(&mut self) -> Vec<Arc<str>> {
        let devices = self.index.len();
        let fields = self.infos.lanes.iter().map(|lane| &lane.field);
        let mut found = self.churn.look(devices, fields);
        found.extend(self.allocation_churn.look(devices));
        found
    }

    /// The number of used slots.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.index.len()
    }

    /// The slot of a device. If it has none, a slot is assigned if allowed; the device is known only once something is written.
    pub fn slot(&mut self, id: &str, may_add: bool) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let blocks = &self.blocks;
        let is_it = |&slot: &u32| id_at(blocks, slot as usize) == id;
        if let Some(&slot) = self.index.find(hash, is_it) {
            return Some(slot as usize);
        }
        if !may_add {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| self.next_slot());
        self.claim(slot, id);
        let (blocks, hasher) = (&self.blocks, &self.hasher);
        let hash_of = |&slot: &u32| hasher.hash_one(id_at(blocks, slot as usize));
        self.index.insert_unique(hash, numbered(slot), hash_of);
        Some(slot)
    }

    fn next_slot(&self) -> usize {
        let Some(last) = self.blocks.last() else {
            return 0;
        };
        (self.blocks.len() - 1) * BLOCK_SIZE + last.len()
    }

    fn claim(&mut self, slot: usize, id: &str) {
        let block = slot / BLOCK_SIZE;
        if block == self.blocks.len() {
            self.layouts += 1;
            self.blocks.push(Arc::default());
            self.due.push(Due::NEVER);
        }
        if slot == self.notes.len() {
            self.notes.push([0; 2]);
        }
        let hash = stable_hash(&self.code, id);
        Arc::make_mut(&mut self.blocks[block]).claim(slot % BLOCK_SIZE, id, hash);
        // If nothing is written to the slot, it is freed at the next review.
        self.due[block].clock = Moment::default();
    }

    /// The last scratch number of a slot, which may be that of an earlier batch or unset.
    pub fn note(&mut self, slot: usize, subject: Subject) -> &mut u32 {
        &mut self.notes[slot][subject as usize]
    }

    /// The same number, to look at.
    #[must_use]
    pub fn noted(&self, slot: usize, subject: Subject) -> u32 {
        self.notes[slot][subject as usize]
    }

    /// The slots that other devices may replace, with the times since which they are silent.
    pub fn giving_way(
        &self,
        now: Moment,
        stale_after: Duration,
    ) -> impl Iterator<Item = (usize, Moment)> {
        let blocks = self.blocks.iter().enumerate();
        blocks.flat_map(move |(number, block)| {
            let slots = 0..block.len();
            slots.filter_map(move |slot| {
                let since = block.gives_way(slot, now, stale_after)?;
                Some((number * BLOCK_SIZE + slot, since))
            })
        })
    }

    /// The block of a slot, and the slot within it.
    #[must_use]
    pub fn block(&self, slot: usize) -> (&Block, usize) {
        (&self.blocks[slot / BLOCK_SIZE], slot % BLOCK_SIZE)
    }

    /// The block of a slot for writing, copied if a snapshot shares it; it is reviewed at `due` or before.
    pub fn block_mut(&mut self, slot: usize, due: Moment) -> (&mut Block, usize) {
        let block = slot / BLOCK_SIZE;
        self.due[block].clock = self.due[block].clock.min(due);
        (Arc::make_mut(&mut self.blocks[block]), slot % BLOCK_SIZE)
    }

    /// When the next block must be reviewed, by the clock.
    #[must_use]
    pub fn due(&self) -> Moment {
        let due = self.due.iter().map(|due| due.clock);
        due.min().unwrap_or(Moment::NEVER)
    }

    /// Applies the passing of time to the blocks that are due, and adds the changes of devices. Returns whether a scrape shows a
    /// difference.
    pub fn expire(
        &mut self,
        now: Moment,
        stream: Moment,
        retention: &Retention,
        changes: &mut Changes,
    ) -> bool {
        let mut changed = false;
        for block in 0..self.blocks.len() {
            if self.due[block].is_over(now, stream) {
                changed |= self.expire_block(block, now, stream, retention, changes);
            }
        }
        changed
    }

    fn expire_block(
        &mut self,
        block: usize,
        now: Moment,
        stream: Moment,
        retention: &Retention,
        changes: &mut Changes,
    ) -> bool {
        let mut changed = false;
        let mut due = Due::NEVER;
        for slot in 0..self.blocks[block].len() {
            loop {
                match self.blocks[block].review(slot, now, stream, retention) {
                    ControlFlow::Continue(next) => {
                        due = due.min(next);
                        break;
                    }
                    ControlFlow::Break(change) => {
                        let what = match change {
                            Ageing::Presence(Presence::Offline) => Some(What::WentSilent),
                            Ageing::Forget => Some(What::Forgotten),
                            _ => None,
                        };
                        if let Some(what) = what {
                            let id = self.blocks[block].labels().id(slot);
                            changes.add(&self.name, id, what);
                        }
                        if change == Ageing::Free {
                            self.release(block * BLOCK_SIZE + slot);
                        } else {
                            changed = true;
                        }
                        Arc::make_mut(&mut self.blocks[block]).change(slot, change);
                    }
                }
            }
        }
        self.due[block] = due;
        changed
    }

    /// Clears a slot, so that another device can use it. Returns whether a scrape shows a difference.
    pub fn evict(&mut self, slot: usize, changes: &mut Changes) -> bool {
        let (block, at) = self.block(slot);
        let was_known = block.presences()[at] != Presence::Absent;
        if was_known {
            changes.add(&self.name, block.labels().id(at), What::Forgotten);
        }
        self.release(slot);
        Arc::make_mut(&mut self.blocks[slot / BLOCK_SIZE]).free(at);
        was_known
    }

    /// The info lane of the version of the software.
    #[must_use]
    pub fn software_lane(&self) -> Option<usize> {
        self.infos.find(&info_key(SOFTWARE_FIELD))
    }

    /// Gives a slot back.
    fn release(&mut self, slot: usize) {
        let hash = self.hasher.hash_one(id_at(&self.blocks, slot));
        let number = numbered(slot);
        if let Ok(entry) = self.index.find_entry(hash, |&known| known == number) {
            entry.remove();
            self.free.push(slot);
        }
    }
}

/// The identifier at a slot of a table.
fn id_at(blocks: &[Arc<Block>], slot: usize) -> &str {
    blocks[slot / BLOCK_SIZE].labels().id(slot % BLOCK_SIZE)
}

/// A slot in the index. 32 bits suffice, because more devices would not fit in memory.
fn numbered(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

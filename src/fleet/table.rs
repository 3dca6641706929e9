//! The devices of one type: the slot of each device and the lane of each field.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::{AccountId, Clocks};
use super::block::Block;
use super::changes::{Changes, SOFTWARE_FIELD};
use super::churn::{AllocationChurn, Churn};
use super::columns::BLOCK_SIZE;
use super::options::Retention;
use super::slots::Slots;
use crate::telemetry::DeviceKind;
use crate::telemetry::schema::{Column, Field, TypeSchema};
use crate::telemetry::values::info_key;
use crate::time::Moment;

/// Unused lanes are searched only if there are at least this many lanes.
const SEARCH_FROM: usize = 128;

/// The shortest time between two searches while the number of lanes or the memory for values is at its limit.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(60);

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
    /// The field for which it was created, as Starlink spells it.
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

    /// Only these lanes, in this order.
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

/// All devices of one type.
#[derive(Debug)]
pub struct Table {
    /// The type code.
    pub code: Arc<str>,
    /// The kind of the type.
    pub kind: DeviceKind,
    /// The name of the type, which no other table has. Only [`super::tables::Tables`] sets it.
    pub(super) name: Arc<str>,
    gauges: Arc<Lanes>,
    infos: Arc<Lanes>,
    /// The columns of the last batch. Their lanes are in `columns`.
    schema: Option<Arc<TypeSchema>>,
    columns: Vec<ColumnLanes>,
    /// The last column of each info lane.
    info_columns: Vec<usize>,
    slots: Slots,
    /// Counts changes of lanes that change the blocks of snapshots, but not their content.
    layouts: u64,
    /// Unused lanes are searched next when there are so many lanes.
    search_at: usize,
    /// If there is no room, unused lanes are searched next at this time.
    search_again: Moment,
    /// The texts that change constantly, by info lane.
    churn: Churn,
    allocation_churn: AllocationChurn,
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
            slots: Slots::default(),
            layouts: 0,
            search_at: SEARCH_FROM,
            search_again: Moment::default(),
            churn: Churn::default(),
            allocation_churn: AllocationChurn::default(),
        }
    }

    /// The blocks of all devices.
    #[must_use]
    pub fn blocks(&self) -> &[Arc<Block>] {
        self.slots.blocks()
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

    /// The gauge lane of a family from a state file; `None` if there are `most` lanes already.
    pub fn restore_gauge_lane(&mut self, family: &str, field: &str, most: usize) -> Option<usize> {
        if self.gauges.lanes.len() >= most && self.gauges.find(family).is_none() {
            return None;
        }
        Some(Arc::make_mut(&mut self.gauges).find_or_add(&family.into(), &field.into()))
    }

    /// The info lane of a key from a state file, whose last column was `column`; `None` if there are `most` lanes already.
    pub fn restore_info_lane(
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
        let is_full = (lanes >= most || is_tight) && now >= self.search_again;
        if lanes < self.search_at && !is_full {
            return;
        }
        let has_gauge = |lane: &usize| {
            self.slots
                .blocks()
                .iter()
                .any(|block| block.gauges().has(*lane))
        };
        let has_info = |lane: &usize| {
            self.slots
                .blocks()
                .iter()
                .any(|block| block.infos().has(*lane))
        };
        let gauges: Vec<_> = (0..self.gauges.lanes.len()).filter(has_gauge).collect();
        let infos: Vec<_> = (0..self.infos.lanes.len()).filter(has_info).collect();
        // Everything that can fail is done before the first change.
        let blocks = self
            .slots
            .blocks()
            .iter()
            .map(|block| block.with_lanes(&gauges, &infos));
        let blocks: Vec<_> = blocks.map(Arc::new).collect();
        let info_columns = infos.iter().map(|&lane| self.info_columns[lane]).collect();
        self.search_at = SEARCH_FROM.max(2 * gauges.len().max(infos.len()));
        self.search_again = now.after(BETWEEN_SEARCHES);
        self.layouts += 1;
        self.gauges = Arc::new(self.gauges.only(&gauges));
        self.infos = Arc::new(self.infos.only(&infos));
        self.info_columns = info_columns;
        self.slots.set_blocks(blocks);
        // Columns must be adopted again, because lanes have other numbers.
        self.churn.reset();
        self.schema = None;
        self.columns.clear();
    }

    /// Sets the columns of a batch, for which lanes are requested next.
    pub fn adopt(&mut self, schema: &Arc<TypeSchema>) {
        // Equal columns are one `Arc` for all accounts, so that alternating batches of accounts are cheap.
        let known = self.schema.as_ref();
        if known.is_some_and(|known| Arc::ptr_eq(known, schema)) {
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

    /// Orders the info lanes as the adopted columns. Returns whether the order is new.
    pub fn apply_column_order(&mut self) -> bool {
        let mut changed = false;
        for (column, lanes) in self.columns.iter().enumerate() {
            if let Some(lane) = lanes.info {
                changed |= self.info_columns[lane] != column;
                self.info_columns[lane] = column;
            }
        }
        changed
    }

    /// The gauge lane of an adopted column, created if necessary; `None` if the column has no family, or there are `most` lanes already.
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

    /// The gauge lane of an adopted column, if the column has one already.
    #[inline]
    #[must_use]
    pub fn known_gauge_lane(&self, column: usize) -> Option<usize> {
        self.columns.get(column)?.gauge
    }

    /// The info lane of an adopted column, if the column has one already.
    #[must_use]
    pub fn known_info_lane(&self, column: usize) -> Option<usize> {
        self.columns.get(column)?.info
    }

    /// The info lane of an adopted column, created if necessary; `None` if the column has no key, or there are `most` lanes already.
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
        self.layouts + self.slots.layouts()
    }

    /// The memory of numbers, references to texts and alerts, and entries of allocations in bytes, without the texts themselves.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.slots
            .blocks()
            .iter()
            .map(|block| block.value_bytes())
            .sum()
    }

    /// The counter of changes of texts in the rows of devices.
    pub(super) fn churn(&mut self) -> &mut Churn {
        &mut self.churn
    }

    /// The counter of changes of texts in the rows of IP allocations.
    pub(super) fn allocation_churn(&mut self) -> &mut AllocationChurn {
        &mut self.allocation_churn
    }

    /// The fields whose text changes in nearly every row of most devices. Each is returned once.
    pub fn churning(&mut self) -> Vec<Arc<str>> {
        let devices = self.slots.devices();
        let fields = self.infos.lanes.iter().map(|lane| &lane.field);
        let mut found = self.churn.take_churning(devices, fields);
        found.extend(self.allocation_churn.take_churning(devices));
        found
    }

    /// The slots of the devices.
    #[must_use]
    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The slots of the devices, for writing.
    pub(super) fn slots_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// The slot of a device. If the device has none and `may_add` is true, it gets one in a block of the account; a scrape shows it only
    /// after its state was written.
    pub fn slot(&mut self, id: &str, may_add: bool, account: Option<AccountId>) -> Option<usize> {
        self.slots.slot(&self.code, id, may_add, account)
    }

    /// Moves a device to a slot of another account. Returns the slot.
    pub fn relocate(&mut self, slot: usize, account: AccountId) -> usize {
        self.slots.relocate(&self.code, slot, account)
    }

    /// The block of a slot, and the slot within it.
    #[must_use]
    pub fn block(&self, slot: usize) -> (&Block, usize) {
        self.slots.block(slot)
    }

    /// The slots that may be evicted to make room for new devices, each with the time of its last row.
    pub fn evictable(
        &self,
        now: Moment,
        stale_after: Duration,
    ) -> impl Iterator<Item = (usize, Moment)> {
        let blocks = self.slots.blocks().iter().enumerate();
        blocks.flat_map(move |(number, block)| {
            let slots = 0..block.len();
            slots.filter_map(move |slot| {
                let since = block.evictable_since(slot, now, stale_after)?;
                Some((number * BLOCK_SIZE + slot, since))
            })
        })
    }

    /// Applies the passing of time to the blocks that are due, and adds the changes of devices, and the slots of terminals that stay without
    /// rows because an inventory lists them. Returns whether a scrape shows a difference.
    pub(super) fn expire(
        &mut self,
        now: Moment,
        clocks: &Clocks,
        retention: &Retention,
        changes: &mut Changes,
        unheard: &mut Vec<usize>,
    ) -> bool {
        self.slots
            .expire(now, clocks, retention, &self.name, changes, unheard)
    }

    /// Removes the device and the allocation of a slot, so that another device can use it. Returns whether a scrape shows a difference.
    pub fn evict(&mut self, slot: usize, changes: &mut Changes) -> bool {
        self.slots.evict(slot, &self.name, changes)
    }

    /// The info lane of the software version.
    #[must_use]
    pub fn software_lane(&self) -> Option<usize> {
        self.infos.find(&info_key(SOFTWARE_FIELD))
    }
}

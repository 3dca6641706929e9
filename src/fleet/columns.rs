//! The values of a block's devices by lane. A lane with values of many devices is a column, one with values of few is a short list, so
//! that the memory of a device depends only on its own values.

use super::interner::Text;

/// The number of devices of a block: small enough that a batch of few devices copies little, and large enough that the column of a
/// block fills cache lines.
pub const BLOCK_SIZE: usize = 256;

/// The most devices with a value in a lane that is a list. With more, the lane becomes a column. At this number, a list needs about a
/// quarter of the memory of a column.
const FEW: usize = 32;

/// The memory of a list in addition to its values.
const LIST_COST: usize = 96;

/// The most additional bytes for one value: those of a new list.
pub const MOST_FOR_A_VALUE: usize = LIST_COST + size_of::<(u8, f64)>();

/// A value that may be absent.
pub trait Value: Clone + PartialEq {
    /// The representation of an absent value.
    const ABSENT: Self;

    /// Whether the value is absent.
    fn is_absent(&self) -> bool;

    /// Whether a scrape shows a difference between two values.
    fn is_same(&self, other: &Self) -> bool;
}

impl Value for f64 {
    const ABSENT: Self = Self::NAN;

    fn is_absent(&self) -> bool {
        self.is_nan()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

impl Value for Option<Text> {
    const ABSENT: Self = None;

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// A lane in which many devices have a value.
#[derive(Debug, Clone)]
struct Column<T> {
    lane: u32,
    values: Box<[T; BLOCK_SIZE]>,
}

/// A lane in which few devices, at least one, have a value.
#[derive(Debug, Clone)]
struct List<T> {
    lane: u32,
    /// Slots and values, by slot.
    values: Vec<(u8, T)>,
}

/// The values of up to [`BLOCK_SIZE`] devices. A lane is a column or a list, or no device has a value in it.
#[derive(Debug, Clone)]
pub struct Columns<T> {
    /// In the order of their lanes.
    columns: Vec<Column<T>>,
    /// In the order of their lanes.
    lists: Vec<List<T>>,
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            lists: Vec::new(),
        }
    }
}

impl<T: Value> Columns<T> {
    /// A device's value in a lane.
    #[must_use]
    pub fn get(&self, lane: usize, slot: usize) -> Option<&T> {
        let value = match self.column(lane) {
            Some(column) => column.values.get(slot)?,
            None => self.list(lane)?.get(slot)?,
        };
        (!value.is_absent()).then_some(value)
    }

    /// Calls `each` with slot and value of every device that has one in a lane, by slot.
    pub fn each<'v>(&'v self, lane: usize, mut each: impl FnMut(usize, &'v T)) {
        if let Some(column) = self.column(lane) {
            let values = column.values.iter().enumerate();
            for (slot, value) in values.filter(|(_, value)| !value.is_absent()) {
                each(slot, value);
            }
        } else if let Some(list) = self.list(lane) {
            for (slot, value) in &list.values {
                each(usize::from(*slot), value);
            }
        }
    }

    /// Whether a device may have a value in the lane: false only if no device has one.
    #[must_use]
    pub fn may_have(&self, lane: usize) -> bool {
        self.column(lane).is_some() || self.list(lane).is_some()
    }

    /// Whether a device has a value in a lane.
    #[must_use]
    pub fn has(&self, lane: usize) -> bool {
        let in_column = |column: &Column<T>| column.values.iter().any(|value| !value.is_absent());
        self.list(lane).is_some() || self.column(lane).is_some_and(in_column)
    }

    /// The lanes in which a device has a value, with the values.
    pub fn row(&self, slot: usize) -> Vec<(usize, &T)> {
        let columns = self.columns.iter();
        let columns = columns.filter_map(|column| Some((column.lane, column.values.get(slot)?)));
        let lists = self.lists.iter();
        let lists = lists.filter_map(|list| Some((list.lane, list.get(slot)?)));
        let mut row: Vec<_> = columns
            .chain(lists)
            .filter(|(_, value)| !value.is_absent())
            .map(|(lane, value)| (lane as usize, value))
            .collect();
        row.sort_unstable_by_key(|&(lane, _)| lane);
        row
    }

    /// The number of lanes that use memory here.
    #[cfg(test)]
    pub(super) fn lanes(&self) -> usize {
        self.columns.len() + self.lists.len()
    }

    /// The approximate memory of the values in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let values: usize = self.lists.iter().map(|list| list.values.len()).sum();
        self.columns.len() * size_of::<[T; BLOCK_SIZE]>()
            + self.lists.len() * LIST_COST
            + values * size_of::<(u8, T)>()
    }

    /// Replaces all values of a device by `values` in `lanes`, which are ascending; other lanes become absent. Returns whether a value
    /// changed.
    pub fn replace(&mut self, slot: usize, lanes: &[u32], values: &[T]) -> bool {
        let known = self.columns.iter().map(|column| &column.lane);
        if self.lists.is_empty() && known.eq(lanes) {
            let mut changed = false;
            for (column, value) in self.columns.iter_mut().zip(values) {
                changed |= column.set(slot, value);
            }
            return changed;
        }
        self.merge(slot, lanes, values)
    }

    /// [`Columns::replace`] if the lanes are not exactly the columns.
    fn merge(&mut self, slot: usize, lanes: &[u32], values: &[T]) -> bool {
        let mut changed = false;
        let mut row = lanes.iter().copied().zip(values).peekable();
        let mut rest = Vec::new();
        for column in &mut self.columns {
            while let Some(before) = row.next_if(|&(lane, _)| lane < column.lane) {
                rest.push(before);
            }
            let value = row.next_if(|&(lane, _)| lane == column.lane);
            changed |= column.set(slot, value.map_or(&T::ABSENT, |(_, value)| value));
        }
        rest.extend(row);
        if !self.lists.is_empty() || !rest.is_empty() {
            changed |= self.merge_lists(slot, &rest);
        }
        changed
    }

    /// Replaces a device's values in lists.
    fn merge_lists(&mut self, slot: usize, row: &[(u32, &T)]) -> bool {
        let mut changed = false;
        if row.is_empty() {
            self.lists.retain_mut(|list| {
                changed |= list.set(slot, &T::ABSENT);
                !list.values.is_empty()
            });
            return changed;
        }
        let mut merged = Vec::with_capacity(self.lists.len().max(row.len()));
        let mut row = row.iter().copied().peekable();
        for mut list in std::mem::take(&mut self.lists) {
            while let Some((lane, value)) = row.next_if(|(lane, _)| *lane < list.lane) {
                merged.push(List::of(lane, slot, value));
                changed = true;
            }
            let value = row.next_if(|(lane, _)| *lane == list.lane);
            changed |= list.set(slot, value.map_or(&T::ABSENT, |(_, value)| value));
            if !list.values.is_empty() {
                merged.push(list);
            }
        }
        changed |= row.peek().is_some();
        merged.extend(row.map(|(lane, value)| List::of(lane, slot, value)));
        self.lists = merged;
        self.promote();
        changed
    }

    /// Sets the value of a device in one lane. Returns whether it changed.
    pub fn set(&mut self, lane: usize, slot: usize, value: &T) -> bool {
        let number = numbered(lane);
        if let Ok(at) = self.find_column(number) {
            return self.columns[at].set(slot, value);
        }
        match self.lists.binary_search_by_key(&number, |list| list.lane) {
            Ok(at) => {
                let changed = self.lists[at].set(slot, value);
                match self.lists[at].values.len() {
                    0 => drop(self.lists.remove(at)),
                    1..=FEW => {}
                    _ => self.promote(),
                }
                changed
            }
            Err(_) if value.is_absent() => false,
            Err(at) => {
                self.lists.insert(at, List::of(number, slot, value));
                true
            }
        }
    }

    /// Removes all values of a device.
    pub fn clear(&mut self, slot: usize) {
        for column in &mut self.columns {
            column.set(slot, &T::ABSENT);
        }
        self.lists.retain_mut(|list| {
            list.set(slot, &T::ABSENT);
            !list.values.is_empty()
        });
    }

    /// The values of these lanes, which become the lanes 0, 1, ….
    #[must_use]
    pub fn only(&self, lanes: &[usize]) -> Self {
        let mut only = Self::default();
        for (number, &lane) in lanes.iter().enumerate() {
            let mut list = List {
                lane: numbered(number),
                values: Vec::new(),
            };
            // A slot of a block is below 256.
            self.each(lane, |slot, value| {
                list.values.push((slot as u8, value.clone()))
            });
            if list.values.len() > FEW {
                only.columns.push(list.into_column());
            } else if !list.values.is_empty() {
                list.values.shrink_to_fit();
                only.lists.push(list);
            }
        }
        only
    }

    /// Converts lists that have become too long to columns.
    fn promote(&mut self) {
        if self.lists.iter().all(|list| list.values.len() <= FEW) {
            return;
        }
        let is_long = |list: &mut List<T>| list.values.len() > FEW;
        for list in self.lists.extract_if(.., is_long) {
            let column = list.into_column();
            let at = self
                .columns
                .partition_point(|known| known.lane < column.lane);
            self.columns.insert(at, column);
        }
    }

    fn find_column(&self, lane: u32) -> Result<usize, usize> {
        // Usually the first lanes are columns.
        match self.columns.get(lane as usize) {
            Some(column) if column.lane == lane => Ok(lane as usize),
            _ => self
                .columns
                .binary_search_by_key(&lane, |column| column.lane),
        }
    }

    fn column(&self, lane: usize) -> Option<&Column<T>> {
        let at = self.find_column(numbered(lane)).ok()?;
        self.columns.get(at)
    }

    fn list(&self, lane: usize) -> Option<&List<T>> {
        let lane = numbered(lane);
        let at = self.lists.binary_search_by_key(&lane, |list| list.lane);
        self.lists.get(at.ok()?)
    }
}

impl<T: Value> Column<T> {
    fn set(&mut self, slot: usize, value: &T) -> bool {
        let current = &mut self.values[slot];
        let changed = !current.is_same(value);
        if changed {
            current.clone_from(value);
        }
        changed
    }
}

impl<T: Value> List<T> {
    fn of(lane: u32, slot: usize, value: &T) -> Self {
        Self {
            lane,
            values: vec![(slot as u8, value.clone())],
        }
    }

    fn find(&self, slot: usize) -> Result<usize, usize> {
        self.values
            .binary_search_by_key(&slot, |(slot, _)| usize::from(*slot))
    }

    fn get(&self, slot: usize) -> Option<&T> {
        self.values
            .get(self.find(slot).ok()?)
            .map(|(_, value)| value)
    }

    fn set(&mut self, slot: usize, value: &T) -> bool {
        match self.find(slot) {
            Ok(at) if value.is_absent() => {
                self.values.remove(at);
                true
            }
            Ok(at) => {
                let changed = !self.values[at].1.is_same(value);
                self.values[at].1.clone_from(value);
                changed
            }
            Err(_) if value.is_absent() => false,
            Err(at) => {
                self.values.insert(at, (slot as u8, value.clone()));
                true
            }
        }
    }

    fn into_column(self) -> Column<T> {
        let mut values = Box::new([const { T::ABSENT }; BLOCK_SIZE]);
        for (slot, value) in self.values {
            values[usize::from(slot)] = value;
        }
        Column {
            lane: self.lane,
            values,
        }
    }
}

/// A lane as a 32-bit number. The fleet's limits are far below.
fn numbered(lane: usize) -> u32 {
    u32::try_from(lane).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// By slot and lane.
    type Model = BTreeMap<(usize, usize), f64>;

    fn row_of(model: &Model, slot: usize) -> Vec<(usize, f64)> {
        let row = model.range((slot, 0)..(slot + 1, 0));
        row.map(|(&(_, lane), &value)| (lane, value)).collect()
    }

    fn check(columns: &Columns<f64>, model: &Model) -> Result<(), TestCaseError> {
        for slot in 0..60 {
            let row: Vec<_> = columns
                .row(slot)
                .into_iter()
                .map(|(l, v)| (l, *v))
                .collect();
            prop_assert_eq!(row, row_of(model, slot));
        }
        for lane in 0..9 {
            let mut values = Vec::new();
            columns.each(lane, |slot, value| values.push((slot, *value)));
            let expected: Vec<_> = (0..60)
                .filter_map(|slot| Some((slot, *model.get(&(slot, lane))?)))
                .collect();
            prop_assert_eq!(columns.has(lane), !expected.is_empty());
            prop_assert!(columns.may_have(lane) || expected.is_empty());
            for slot in 0..60 {
                prop_assert_eq!(columns.get(lane, slot), model.get(&(slot, lane)));
            }
            prop_assert_eq!(values, expected);
        }
        Ok(())
    }

    /// A slot, and the lanes in which it gets a value; `None` clears it.
    fn step() -> impl Strategy<Value = (usize, Option<Vec<bool>>)> {
        let lanes = prop_oneof![
            3 => Just(vec![true; 5]),
            1 => prop::collection::vec(any::<bool>(), 9),
        ];
        (0..60_usize, prop::option::weighted(0.9, lanes))
    }

    proptest! {
        #[test]
        fn values_equal_those_that_were_set(
            steps in prop::collection::vec(step(), 0..150),
            single in any::<bool>(),
        ) {
            let mut columns = Columns::default();
            let mut model = Model::new();
            for (number, (slot, lanes)) in steps.into_iter().enumerate() {
                let before = row_of(&model, slot);
                model.retain(|(known, _), _| *known != slot);
                let Some(lanes) = lanes else {
                    columns.clear(slot);
                    continue;
                };
                let lanes: Vec<_> = (0..9).filter(|&lane| lanes.get(lane) == Some(&true)).collect();
                let value = (number / 3) as f64;
                model.extend(lanes.iter().map(|&lane| ((slot, lane), value)));
                let mut changed = false;
                if single {
                    for lane in 0..9 {
                        let value = if lanes.contains(&lane) { value } else { f64::NAN };
                        changed |= columns.set(lane, slot, &value);
                    }
                } else {
                    let numbers: Vec<_> = lanes.iter().map(|&lane| lane as u32).collect();
                    changed = columns.replace(slot, &numbers, &vec![value; lanes.len()]);
                }
                prop_assert_eq!(changed, before != row_of(&model, slot));
            }
            check(&columns, &model)?;
            let kept = [7, 0, 3, 2];
            let renamed = model.iter().filter_map(|(&(slot, lane), &value)| {
                let number = kept.iter().position(|&known| known == lane)?;
                Some(((slot, number), value))
            });
            check(&columns.only(&kept), &renamed.collect())?;
        }
    }

    #[test]
    fn memory_depends_on_the_values_of_the_devices() {
        let wide: Vec<u32> = (0..1000).collect();
        let narrow = [0, 1, 2];
        let mut columns = Columns::default();
        columns.replace(7, &wide, &vec![1.0; 1000]);
        assert!(columns.bytes() < 1000 * 128);
        for slot in 8..256 {
            columns.replace(slot, &narrow, &[1.0; 3]);
        }
        assert_eq!(columns.columns.len(), 3);
        assert!(columns.bytes() < 1000 * 128 + 3 * 256 * 8);
        columns.replace(7, &narrow, &[1.0; 3]);
        assert_eq!(columns.bytes(), 3 * 256 * 8);
    }
}

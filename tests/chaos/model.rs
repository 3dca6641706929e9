//! The model: a list of the sent batches of all accounts, and from it the rows that may and must be shown.

use std::collections::{BTreeMap, BTreeSet};

use crate::ageing::Ages;
use crate::roll::Roll;
use crate::timeline::{Elapsed, Timeline};

/// A sent row. Its values contain its number, so that a sample identifies its row.
#[derive(Debug, Clone)]
pub struct Row {
    pub batch: usize,
    pub device: usize,
    pub timestamp: i64,
    /// Whether its timestamp is valid.
    pub counts: bool,
    pub has_text: bool,
    pub has_double: bool,
    pub has_alert: bool,
}

/// Whether a batch was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Unknown: it may be shown.
    Open,
    /// It must be shown: the service has polled again, and no fault could have lost the batch.
    Certain,
}

/// The valid rows of an answer.
#[derive(Debug)]
struct Batch {
    /// The number of its account.
    lane: usize,
    rows: Vec<usize>,
    fate: Fate,
    sent: Elapsed,
    /// The account has polled again, so the service has stored this batch already or never will.
    settled: Option<Elapsed>,
}

/// The first address, to which the number of an allocation is added.
pub const FIRST_ADDRESS: u32 = 0x0a00_0000;

/// A sent IP allocation, and its batch.
#[derive(Debug)]
struct Allocation {
    device: usize,
    batch: usize,
}

/// Everything that was sent so far.
#[derive(Debug)]
pub struct Model {
    pub time: Timeline,
    pub ages: Ages,
    pub rows: Vec<Row>,
    /// The accounts and the names that they had.
    pub roll: Roll,
    /// The last timestamp of each device.
    pub clocks: Vec<i64>,
    /// The account of each device: the only one that sends rows of it in runs with short ages.
    pub homes: Vec<usize>,
    batches: Vec<Batch>,
    allocations: Vec<Allocation>,
    /// Each terminal that an inventory has listed, with the account.
    listed: BTreeSet<(usize, usize)>,
    /// The last fault of the store. Only for some time after it, scrapes may fail.
    pub store_hurt: Option<Elapsed>,
    /// The last scrape that failed or showed the store as down.
    pub store_down: Option<Elapsed>,
}

/// The oldest row of each device that may be shown.
pub type Floor = BTreeMap<usize, usize>;

impl Model {
    pub fn new(time: Timeline, ages: Ages, roll: Roll, homes: Vec<usize>) -> Self {
        Self {
            time,
            ages,
            rows: Vec::new(),
            roll,
            clocks: vec![0; homes.len()],
            homes,
            batches: Vec::new(),
            allocations: Vec::new(),
            listed: BTreeSet::new(),
            store_hurt: None,
            store_down: None,
        }
    }

    /// The number of the batch that is being generated.
    pub fn next_batch(&self) -> usize {
        self.batches.len()
    }

    /// Adds an allocation to the batch that is being generated. Returns its number.
    pub fn allocate(&mut self, device: usize) -> usize {
        let batch = self.next_batch();
        self.allocations.push(Allocation { device, batch });
        self.allocations.len() - 1
    }

    /// The number of the allocation that a sample of a device shows.
    pub fn allocation(&self, device: usize, shown: f64) -> Option<usize> {
        let number = shown - f64::from(FIRST_ADDRESS);
        let known = self.allocations.get(number as usize)?;
        (known.device == device).then_some(number as usize)
    }

    /// When a row was sent.
    pub fn sent(&self, row: usize) -> Elapsed {
        self.batches[self.rows[row].batch].sent
    }

    /// When an allocation was sent.
    pub fn address_sent(&self, allocation: usize) -> Elapsed {
        self.batches[self.allocations[allocation].batch].sent
    }

    /// The newest allocation of a device that was certainly stored before a moment.
    pub fn certain_address(&self, device: usize, before: Elapsed) -> Option<usize> {
        let is_certain = |allocation: &Allocation| {
            let batch = &self.batches[allocation.batch];
            let is_settled = batch.settled.is_some_and(|settled| settled < before);
            allocation.device == device && batch.fate == Fate::Certain && is_settled
        };
        self.allocations.iter().rposition(is_certain)
    }

    /// The latest time at which a row of a device can have been stored; `None` while one is in transit.
    pub fn last_stored(&self, device: usize) -> Option<Elapsed> {
        let rows = self.rows.iter().filter(|row| row.counts);
        let rows = rows.filter(|row| row.device == device);
        self.last_settled(rows.map(|row| row.batch))
    }

    /// [`Model::last_stored`] for allocations.
    pub fn last_address(&self, device: usize) -> Option<Elapsed> {
        let own = self.allocations.iter();
        let own = own.filter(|allocation| allocation.device == device);
        self.last_settled(own.map(|allocation| allocation.batch))
    }

    fn last_settled(&self, batches: impl Iterator<Item = usize>) -> Option<Elapsed> {
        // The batch that is being generated is not in the list yet.
        let settled = |batch: usize| self.batches.get(batch).and_then(|batch| batch.settled);
        let all: Option<Vec<_>> = batches.map(settled).collect();
        all?.into_iter().max()
    }

    /// Records that the account has polled again after this batch, and so after its batches before it.
    pub fn settle(&mut self, batch: usize) {
        let now = self.time.now();
        let lane = self.batches[batch].lane;
        for batch in &mut self.batches[..=batch] {
            if batch.lane == lane {
                batch.settled.get_or_insert(now);
            }
        }
    }

    /// Records that the inventory of an account lists these terminals.
    pub fn list(&mut self, lane: usize, terminals: &[usize]) {
        self.listed
            .extend(terminals.iter().map(|&terminal| (terminal, lane)));
    }

    /// Whether an inventory has listed the terminal.
    pub fn is_listed(&self, device: usize) -> bool {
        self.listed
            .range((device, 0)..=(device, usize::MAX))
            .next()
            .is_some()
    }

    /// Whether the inventory of this account has listed the terminal.
    pub fn is_listed_by(&self, device: usize, lane: usize) -> bool {
        self.listed.contains(&(device, lane))
    }

    /// The devices of an account.
    pub fn devices(&self, lane: usize) -> Vec<usize> {
        let devices = 0..self.homes.len();
        devices
            .filter(|&device| self.homes[device] == lane)
            .collect()
    }

    /// The account that sent a row.
    pub fn lane(&self, row: usize) -> usize {
        self.batches[self.rows[row].batch].lane
    }

    /// The accounts that sent rows of a device, or are sending one.
    pub fn lanes(&self, device: usize) -> impl Iterator<Item = Option<usize>> {
        let rows = self
            .rows
            .iter()
            .filter(move |row| row.counts && row.device == device);
        rows.map(|row| Some(self.batches.get(row.batch)?.lane))
    }

    /// Whether since a moment only this account can have had a row of a device stored, and so for `stale` before this moment.
    pub fn is_sole(&self, device: usize, lane: usize, since: Elapsed) -> bool {
        let rows = self
            .rows
            .iter()
            .filter(|row| row.device == device && row.counts);
        let mut rows = rows.map(|row| self.batches.get(row.batch));
        rows.all(|batch| {
            batch.is_some_and(|batch| {
                batch.lane == lane || batch.settled.is_some_and(|settled| settled < since)
            })
        })
    }

    /// Adds a row that will be sent. Returns its number.
    pub fn row(&mut self, row: Row) -> usize {
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Adds a batch of an account. Returns its number.
    pub fn batch(&mut self, lane: usize, rows: Vec<usize>) -> usize {
        self.batches.push(Batch {
            lane,
            rows,
            fate: Fate::Open,
            sent: self.time.now(),
            settled: None,
        });
        self.batches.len() - 1
    }

    pub fn decide(&mut self, batch: usize, fate: Fate) {
        self.batches[batch].fate = fate;
    }

    /// The newest row of each device in the batches that must be shown.
    pub fn floor(&self) -> Floor {
        let mut floor = Floor::new();
        for batch in &self.batches {
            if batch.fate == Fate::Certain {
                for &row in &batch.rows {
                    self.raise(&mut floor, row);
                }
            }
        }
        floor
    }

    fn raise(&self, floor: &mut Floor, number: usize) {
        let row = &self.rows[number];
        let newest = floor.entry(row.device).or_insert(number);
        // With equal timestamps the later row is used.
        if row.timestamp >= self.rows[*newest].timestamp {
            *newest = number;
        }
    }

    /// Checks whether a row may be shown, if rows of `floor` or newer ones must be.
    pub fn may_show(&self, shown: usize, device: usize, floor: &Floor) -> Result<(), String> {
        let row = self.rows.get(shown).ok_or("a row that was never sent")?;
        if row.device != device {
            return Err(format!("a row of device {}", row.device));
        }
        if !row.counts {
            return Err(format!(
                "a row with an impossible timestamp: {}",
                row.timestamp
            ));
        }
        match floor.get(&device) {
            Some(&least) if row.timestamp < self.rows[least].timestamp => {
                Err(format!("an older row than {least}"))
            }
            _ => Ok(()),
        }
    }

    /// Records that a row is shown: its batch was stored, and so all rows of it.
    pub fn saw(&mut self, shown: usize) {
        self.batches[self.rows[shown].batch].fate = Fate::Certain;
    }
}

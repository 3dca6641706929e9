//! What was sent, and what must therefore be shown: a plain list of batches.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ageing::Ages;

/// A row that was sent. Its number stands in it, so that a sample tells which row it is from.
#[derive(Debug, Clone)]
pub struct Row {
    pub batch: usize,
    pub device: usize,
    pub timestamp: i64,
    /// Whether its time is one that can be.
    pub counts: bool,
    pub has_text: bool,
    pub has_double: bool,
    pub has_alert: bool,
}

/// What is known of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Not known yet: it may be shown.
    Open,
    /// It must be shown: the service has asked for the next one, and nothing has happened that could have lost it.
    Certain,
}

/// The rows of one answer that can be shown.
#[derive(Debug)]
struct Batch {
    rows: Vec<usize>,
    fate: Fate,
    sent: Instant,
    /// The service has asked for more: it has stored this batch, or never will.
    settled: Option<Instant>,
}

/// The first address; an allocation's number is added to it.
pub const FIRST_ADDRESS: u32 = 0x0a00_0000;

/// An IP allocation that was sent, of a batch.
#[derive(Debug)]
struct Allocation {
    device: usize,
    batch: usize,
}

/// All that was sent so far.
#[derive(Debug)]
pub struct Model {
    pub ages: Ages,
    pub rows: Vec<Row>,
    /// How many rows stood in all good answers, those that cannot be read among them.
    pub sent: usize,
    batches: Vec<Batch>,
    allocations: Vec<Allocation>,
    /// When the store was hurt last: only then may it have nothing to say.
    pub store_hurt: Option<Instant>,
    /// When a scrape showed a dead store last, or none came.
    pub store_down: Option<Instant>,
}

/// The lowest row of each device that may be shown at a moment.
pub type Floor = BTreeMap<usize, usize>;

impl Model {
    pub fn new(ages: Ages) -> Self {
        Self {
            ages,
            rows: Vec::new(),
            sent: 0,
            batches: Vec::new(),
            allocations: Vec::new(),
            store_hurt: None,
            store_down: None,
        }
    }

    /// The number of the batch that is being made.
    pub fn next_batch(&self) -> usize {
        self.batches.len()
    }

    /// Adds an allocation to the batch that is being made. Its number.
    pub fn allocate(&mut self, device: usize) -> usize {
        let batch = self.next_batch();
        self.allocations.push(Allocation { device, batch });
        self.allocations.len() - 1
    }

    /// The number of the allocation of a device that a sample shows.
    pub fn allocation(&self, device: usize, shown: f64) -> Option<usize> {
        let number = shown - f64::from(FIRST_ADDRESS);
        let known = self.allocations.get(number as usize)?;
        (known.device == device).then_some(number as usize)
    }

    /// When a row was sent.
    pub fn sent(&self, row: usize) -> Instant {
        self.batches[self.rows[row].batch].sent
    }

    /// When an allocation was sent.
    pub fn address_sent(&self, allocation: usize) -> Instant {
        self.batches[self.allocations[allocation].batch].sent
    }

    /// The newest allocation of a device that was stored before a moment.
    pub fn certain_address(&self, device: usize, before: Instant) -> Option<usize> {
        let is_certain = |allocation: &Allocation| {
            let batch = &self.batches[allocation.batch];
            let is_settled = batch.settled.is_some_and(|settled| settled < before);
            allocation.device == device && batch.fate == Fate::Certain && is_settled
        };
        self.allocations.iter().rposition(is_certain)
    }

    /// The last moment at which a row of a device can have been stored; none while one is under way.
    pub fn last_word(&self, device: usize) -> Option<Instant> {
        let rows = self.rows.iter().filter(|row| row.counts);
        let rows = rows.filter(|row| row.device == device);
        self.last_settled(rows.map(|row| row.batch))
    }

    /// The same of its allocations.
    pub fn last_address(&self, device: usize) -> Option<Instant> {
        let own = self.allocations.iter();
        let own = own.filter(|allocation| allocation.device == device);
        self.last_settled(own.map(|allocation| allocation.batch))
    }

    fn last_settled(&self, batches: impl Iterator<Item = usize>) -> Option<Instant> {
        // The batch that is being made is not there yet.
        let settled = |batch: usize| self.batches.get(batch).and_then(|batch| batch.settled);
        // All before a batch that is settled are.
        batches.max().and_then(settled)
    }

    /// The service has asked for more after this batch, and so after those before it.
    pub fn settle(&mut self, batch: usize) {
        let now = Instant::now();
        for batch in &mut self.batches[..=batch] {
            batch.settled.get_or_insert(now);
        }
    }

    /// Adds a row that is going to be sent. Its number.
    pub fn row(&mut self, row: Row) -> usize {
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Adds a batch. Its number.
    pub fn batch(&mut self, rows: Vec<usize>) -> usize {
        self.batches.push(Batch {
            rows,
            fate: Fate::Open,
            sent: Instant::now(),
            settled: None,
        });
        self.batches.len() - 1
    }

    pub fn decide(&mut self, batch: usize, fate: Fate) {
        self.batches[batch].fate = fate;
    }

    /// The newest row of each device of the batches that must be shown.
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
        // Of equal timestamps the later row counts.
        if row.timestamp >= self.rows[*newest].timestamp {
            *newest = number;
        }
    }

    /// Whether a row may be shown, where `floor` must be shown at least.
    pub fn may_show(&self, shown: usize, device: usize, floor: &Floor) -> Result<(), String> {
        let row = self.rows.get(shown).ok_or("a row that was never sent")?;
        if row.device != device {
            return Err(format!("a row of device {}", row.device));
        }
        if !row.counts {
            return Err(format!("a row of a time that cannot be: {}", row.timestamp));
        }
        match floor.get(&device) {
            Some(&least) if row.timestamp < self.rows[least].timestamp => {
                Err(format!("an older row than {least}"))
            }
            _ => Ok(()),
        }
    }

    /// A batch of which one row is shown was stored, and so all of its rows were.
    pub fn saw(&mut self, shown: usize) {
        self.batches[self.rows[shown].batch].fate = Fate::Certain;
    }
}

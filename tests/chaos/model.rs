//! What was sent, and what must therefore be shown: a plain list of batches.

use std::collections::BTreeMap;
use std::time::Instant;

/// A row that was sent. Its number stands in it, so that a sample tells which row it is from.
#[derive(Debug, Clone)]
pub struct Row {
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

/// All that was sent so far.
#[derive(Debug, Default)]
pub struct Model {
    pub rows: Vec<Row>,
    /// How many rows stood in all good answers, those that cannot be read among them.
    pub sent: usize,
    /// The rows of each batch.
    batches: Vec<(Vec<usize>, Fate)>,
    /// When the store was hurt last: only then may it have nothing to say.
    pub store_hurt: Option<Instant>,
}

/// The lowest row of each device that may be shown at a moment.
pub type Floor = BTreeMap<usize, usize>;

impl Model {
    /// Adds a row that is going to be sent. Its number.
    pub fn row(&mut self, row: Row) -> usize {
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Adds a batch. Its number.
    pub fn batch(&mut self, rows: Vec<usize>) -> usize {
        self.batches.push((rows, Fate::Open));
        self.batches.len() - 1
    }

    pub fn decide(&mut self, batch: usize, fate: Fate) {
        self.batches[batch].1 = fate;
    }

    /// The newest row of each device of the batches that must be shown.
    pub fn floor(&self) -> Floor {
        let mut floor = Floor::new();
        for (rows, fate) in &self.batches {
            if *fate == Fate::Certain {
                for &row in rows {
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
        let batch = self
            .batches
            .iter_mut()
            .find(|(rows, _)| rows.contains(&shown));
        if let Some((_, fate)) = batch {
            *fate = Fate::Certain;
        }
    }
}

//! Detects texts that change constantly, because each change of a text creates a new series of `starlink_info`.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The fewest rows after which fields are examined.
const LEAST_ROWS: u64 = 100;

/// The same on average for each device.
const LEAST_ROWS_EACH: u64 = 10;

/// The most fields that are reported, because columns may change with every answer.
const MOST_REPORTED: usize = 64;

/// Finds the fields whose text changes in nearly every row. Fields are identified by numbers of the caller.
#[derive(Debug, Default)]
pub(super) struct Churn {
    rows: u64,
    /// By field: the number of rows with a text before and after, and the number of those in which it changed.
    fields: Vec<[u64; 2]>,
    reported: BTreeSet<Arc<str>>,
}

impl Churn {
    /// Resets the counts. Must be called when the numbers of fields change.
    pub(super) fn reset(&mut self) {
        self.rows = 0;
        self.fields.clear();
    }

    /// Counts an accepted row.
    pub(super) fn note_row(&mut self) {
        self.rows += 1;
    }

    /// Counts a row whose device had a text in a field before and has one now.
    pub(super) fn note_text(&mut self, field: usize, changed: bool) {
        if field >= self.fields.len() {
            self.fields.resize(field + 1, [0; 2]);
        }
        self.fields[field][0] += 1;
        self.fields[field][1] += u64::from(changed);
    }

    /// The fields whose text has changed in at least nine of ten rows with a text, and in half of all rows; each is returned once. Empty
    /// until enough rows were counted; then the counts begin again. `names` are the fields by number, `devices` is the number of devices.
    pub(super) fn take_churning<'n>(
        &mut self,
        devices: usize,
        names: impl Iterator<Item = &'n Arc<str>>,
    ) -> Vec<Arc<str>> {
        if self.rows < LEAST_ROWS.max(LEAST_ROWS_EACH * devices as u64) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for ([compared, changed], name) in self.fields.iter().zip(names) {
            let is_churning = changed * 10 >= compared * 9 && changed * 2 >= self.rows;
            if is_churning
                && self.reported.len() < MOST_REPORTED
                && self.reported.insert(Arc::clone(name))
            {
                found.push(Arc::clone(name));
            }
        }
        self.reset();
        found
    }
}

/// [`Churn`] for the info fields of IP allocations, which have names and no lanes.
#[derive(Debug, Default)]
pub(super) struct AllocationChurn {
    churn: Churn,
    names: Vec<Arc<str>>,
}

impl AllocationChurn {
    /// The most fields that are tracked.
    const MOST_FIELDS: usize = 1024;

    /// Counts an accepted row.
    pub(super) fn note_row(&mut self) {
        self.churn.note_row();
    }

    /// Counts a row whose terminal had a text in a field before and has one now.
    pub(super) fn note_text(&mut self, name: &Arc<str>, changed: bool) {
        let field = self.names.iter().position(|known| known == name);
        let field = field.or_else(|| {
            let has_room = self.names.len() < Self::MOST_FIELDS;
            has_room.then(|| {
                self.names.push(Arc::clone(name));
                self.names.len() - 1
            })
        });
        if let Some(field) = field {
            self.churn.note_text(field, changed);
        }
    }

    /// See [`Churn::take_churning`].
    pub(super) fn take_churning(&mut self, terminals: usize) -> Vec<Arc<str>> {
        let found = self.churn.take_churning(terminals, self.names.iter());
        if self.churn.rows == 0 {
            self.names.clear();
        }
        found
    }
}

//! A batch: the rows of one answer and what their columns mean. Immutable, so that several actors can share it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::readings::Row;
use super::rows::Rows;
use super::schema::Schema;

/// The rows of one answer and what their columns mean.
#[derive(Debug)]
pub struct Batch {
    /// The rows.
    pub rows: Rows,
    /// The columns, type names and alert names of these rows.
    pub schema: Arc<Schema>,
}

impl Batch {
    /// The median `UtcTimestampNs` of the rows that have one within `range`.
    #[must_use]
    pub fn median_timestamp(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let timestamp = |cells| {
            let schema = self.schema.get(self.rows.code(cells)?)?;
            let reported = Row::new(&self.rows, schema, cells).reported()?;
            range.contains(&reported).then_some(reported)
        };
        let mut timestamps: Vec<i64> = self.rows.iter().filter_map(timestamp).collect();
        let middle = timestamps.len() / 2;
        if timestamps.is_empty() {
            return None;
        }
        let (_, median, _) = timestamps.select_nth_unstable(middle);
        Some(*median)
    }
}

//! The newest row of each device that was sent to a receiver without an out-of-order window.

use std::collections::HashMap;

use super::Row;

/// A device is forgotten when its newest row is so many milliseconds older than that of any device: as long as `FORGET_AFTER` by default.
const KEPT: i64 = 24 * 60 * 60 * 1000;

/// Devices are only forgotten if there are at least this many.
const FORGET_FROM: usize = 1024;

/// A row that was sent, or put into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sent {
    /// Its time in Unix milliseconds.
    pub(super) time: i64,
    /// The number of its record, if this process read it.
    pub(super) record: Option<u64>,
}

/// The newest row of each device.
#[derive(Debug)]
pub(super) struct Newest {
    rows: HashMap<u64, Sent>,
    /// The number of devices at which the old ones are forgotten.
    forget_at: usize,
}

impl Default for Newest {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            forget_at: FORGET_FROM,
        }
    }
}

impl Newest {
    /// The newest row of a device.
    pub(super) fn get(&self, device: u64) -> Option<Sent> {
        self.rows.get(&device).copied()
    }

    /// A row was sent. `record` is its number, if this process read it.
    pub(super) fn add(&mut self, row: &Row, record: Option<u64>) {
        let sent = Sent {
            time: row.time,
            record,
        };
        let newest = self.rows.entry(row.device).or_insert(sent);
        *newest = sent.max(*newest);
        if self.rows.len() >= self.forget_at {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let newest = self.rows.values().map(|sent| sent.time).max();
        let since = newest.unwrap_or(i64::MIN).saturating_sub(KEPT);
        self.rows.retain(|_, sent| sent.time >= since);
        // Amortised: the next search is when the number of devices has doubled.
        self.forget_at = FORGET_FROM.max(2 * self.rows.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;

    fn row(device: u64, time: i64) -> Row {
        Row {
            device,
            time,
            samples: 1,
            is_marker: false,
        }
    }

    #[test]
    fn the_newest_row_counts() {
        let mut newest = Newest::default();
        for (time, record, expected) in [
            (5, None, (5, None)),
            (3, Some(7), (5, None)),
            (5, Some(8), (5, Some(8))),
            (6, None, (6, None)),
        ] {
            newest.add(&row(1, time), record);
            let found = newest.get(1).map(|sent| (sent.time, sent.record));
            assert_eq!(found, Some(expected));
        }
        assert_eq!(newest.get(2), None);
    }

    #[test]
    fn devices_without_rows_for_a_day_are_forgotten() {
        let mut newest = Newest::default();
        // Each device has one row, and each hour another hundred devices begin.
        for device in 0..200_000_u64 {
            let time = device as i64 / 100 * HOUR;
            newest.add(&row(device, time), None);
            assert!(newest.rows.len() <= 2 * 25 * 100, "{device}");
            let yesterday = device.saturating_sub(24 * 100);
            assert!(newest.get(yesterday).is_some(), "{device}");
        }
    }
}

//! Which rows of which records a request holds, and how far the cursor is. A pure state machine.
//!
//! Rows are spread over shards by a stable hash of their device, and each shard has one request in flight. So the rows of a device are
//! sent in the order of the records. A record is done when all shards are done with its rows.
//!
//! A request holds rows of one record, and at most one row of a device: Prometheus stores such a request wholly or not at all, so it can be
//! repeated without an out-of-order window. What a request holds depends on the record, the number of shards and the limits only, so that
//! requests after a restart are those before it. With a window, requests of a backlog hold up to 40 rows of a device.
//!
//! After an outage, new records can be sent before the older ones ([`Shards::live_first`]), which are then a second range, the gap.

mod newest;
mod queue;
mod range;
mod share;

use std::collections::HashSet;
use std::ops::RangeInclusive;

use self::newest::{Newest, Sent};
use self::queue::Verdict;
use self::range::Records;
use self::share::Share;
use super::destination::Window;
use super::reasons::RowReason;

/// The most rows of a device in a request.
const MOST_ROWS: usize = 40;

/// Records that are read beyond the oldest one that is not done.
const AHEAD: usize = 4;

/// What is left of the window must be more than this, in ms, for requests with several rows of a device: they are less likely to be
/// stored if they have to be repeated for long.
const MARGIN: i64 = 10 * 60 * 1000;

/// A row of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// A stable hash of the device.
    pub device: u64,
    /// Its time in Unix milliseconds.
    pub time: i64,
    /// The number of its samples.
    pub samples: u32,
    /// Whether it only ends series, so that it is no row that Starlink sent: it is not counted.
    pub is_marker: bool,
}

/// A row of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// The number of its record.
    pub sequence: u64,
    /// Its position in the record.
    pub index: u32,
    /// The row.
    pub row: Row,
}

/// A request of a shard. Rows of a device are adjacent and in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The shard.
    pub shard: u16,
    /// Its rows; at least one.
    pub rows: Vec<Selected>,
    /// The number of their samples.
    pub samples: u64,
}

/// The limits of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most samples; a row with more is alone in its request, which the caller divides.
    pub max_samples: u32,
    /// The receiver's out-of-order window.
    pub window: Window,
}

/// How far a destination is: what a cursor of the journal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// All records below this number are done, except for those of the gap.
    pub next: u64,
    /// The records of the gap that are not done.
    pub gap: Option<RangeInclusive<u64>>,
    /// The number of shards.
    pub shards: u16,
}

/// One of the two ranges of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The newest records.
    Live,
    /// Older records that wait behind them.
    Gap,
}

/// The state of all shards of a destination and an account.
#[derive(Debug)]
pub struct Shards {
    limits: Limits,
    wanted: u16,
    live: Records,
    gap: Option<Records>,
    shards: Vec<Shard>,
    /// The newest row of each device that was put into a request. Only without a window.
    newest: Newest,
    dropped: Vec<(RowReason, u64)>,
}

#[derive(Debug, Default)]
struct Shard {
    in_flight: Option<InFlight>,
    share: Share,
}

#[derive(Debug)]
struct InFlight {
    lane: Lane,
    sequences: Vec<u64>,
}

impl Shards {
    /// The state at a position, with nothing read yet.
    #[must_use]
    pub fn new(limits: Limits, position: &Position) -> Self {
        let count = position.shards.max(1);
        let gap = position.gap.as_ref().map(|gap| {
            let end = gap.end().saturating_add(1);
            Records::new(*gap.start(), Some(end), count)
        });
        Self {
            limits,
            wanted: count,
            live: Records::new(position.next, None, count),
            gap,
            shards: (0..count).map(|_| Shard::default()).collect(),
            newest: Newest::default(),
            dropped: Vec::new(),
        }
    }

    /// How far the destination is.
    #[must_use]
    pub fn position(&self) -> Position {
        let gap = self.gap.as_ref().and_then(|gap| {
            let last = gap.end()?.checked_sub(1)?;
            (gap.done() <= last).then(|| gap.done()..=last)
        });
        Position {
            next: self.live.done(),
            gap,
            shards: self.count(),
        }
    }

    /// The number of shards.
    #[must_use]
    pub fn count(&self) -> u16 {
        u16::try_from(self.shards.len()).unwrap_or(u16::MAX)
    }

    /// Changes the number of shards, as soon as no record that was read is left.
    pub fn resize(&mut self, count: u16) {
        self.wanted = count.max(1);
        self.apply_size();
    }

    /// Whether no record that was read is left.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.live.is_drained() && self.gap.as_ref().is_none_or(Records::is_drained)
    }

    /// A row of a record before the position: after a restart, so that older rows of its device are recognised.
    pub fn seen(&mut self, row: &Row) {
        if !self.limits.window.is_open() {
            self.newest.add(row, None);
        }
    }

    /// The number from which the next record of a range is to be read; `None` if enough are read, or the range has no more.
    #[must_use]
    pub fn wants(&self, lane: Lane) -> Option<u64> {
        if lane == Lane::Live && self.gap.is_some() && !self.limits.window.is_open() {
            // A gap from before the window was closed: newer rows would have its rows left out.
            return None;
        }
        let records = self.records(lane)?;
        let is_full = records.open() >= self.most_open();
        (!is_full && !records.is_read() && self.wanted == self.count()).then(|| records.next())
    }

    /// The number behind the last record that was read of a range; `None` without a gap.
    #[must_use]
    pub fn next(&self, lane: Lane) -> Option<u64> {
        self.records(lane).map(Records::next)
    }

    /// A record that was read, in the order of the numbers, with its rows in time slices: first one row of each device, then the second row
    /// of each device that has several, and so on. Records below [`Self::wants`] are ignored: they were read before.
    pub fn add(&mut self, lane: Lane, sequence: u64, rows: &[Row]) {
        if let Some(records) = self.records_mut(lane) {
            records.add(sequence, rows);
        }
        self.end_gap();
    }

    /// There is no record below this number that was not read, such as after a tick, a record that is lost, or one that cannot be read.
    pub fn skip(&mut self, lane: Lane, next: u64) {
        if let Some(records) = self.records_mut(lane) {
            records.skip(next);
        }
        self.end_gap();
    }

    /// Sends the records from `end` on before those below it. Without a window, or while there is already a gap, nothing changes.
    pub fn live_first(&mut self, end: u64) {
        let end = end.max(self.live.next());
        if !self.limits.window.is_open() || self.gap.is_some() || end == self.live.done() {
            return;
        }
        let count = self.count();
        let mut gap = std::mem::replace(&mut self.live, Records::new(end, None, count));
        gap.end_at(end);
        self.gap = Some(gap);
        for shard in &mut self.shards {
            if let Some(request) = &mut shard.in_flight {
                request.lane = Lane::Gap;
            }
        }
        self.end_gap();
    }

    /// The next request of a shard, at a time in Unix milliseconds; `None` if one is in flight, or no row waits. `end` is the number of the
    /// next record of the journal: if records before it are not read yet, more than one waits.
    pub fn take(&mut self, shard: u16, now: i64, end: u64) -> Option<Request> {
        let at = usize::from(shard);
        if self.shards.get(at)?.in_flight.is_some() {
            return None;
        }
        self.drop_old(at, now);
        let (lane, rows) = loop {
            let Some(lane) = self.lane(at) else {
                // All rows that waited were left out.
                self.end_gap();
                self.apply_size();
                return None;
            };
            let rows = self.select(at, lane, now, end);
            if !rows.is_empty() {
                break (lane, rows);
            }
        };
        let samples = rows.iter().map(|row| u64::from(row.row.samples)).sum();
        let other_waits = {
            let other = match lane {
                Lane::Live => Lane::Gap,
                Lane::Gap => Lane::Live,
            };
            self.waits(at, other)
        };
        let state = self.shards.get_mut(at)?;
        state.share.add(lane, samples, other_waits);
        state.in_flight = Some(InFlight {
            lane,
            sequences: rows.iter().map(|row| row.sequence).collect(),
        });
        Some(Request {
            shard,
            rows,
            samples,
        })
    }

    /// The request of a shard is done: its samples are stored, or counted as not stored.
    pub fn finish(&mut self, shard: u16) {
        let shard = self.shards.get_mut(usize::from(shard));
        let Some(request) = shard.and_then(|shard| shard.in_flight.take()) else {
            return;
        };
        if let Some(records) = self.records_mut(request.lane) {
            for sequence in request.sequences {
                records.row_done(sequence);
            }
        }
        self.end_gap();
        self.apply_size();
    }

    /// The rows that were left out since the last call.
    pub fn take_dropped(&mut self) -> Vec<(RowReason, u64)> {
        std::mem::take(&mut self.dropped)
    }

    fn most_open(&self) -> usize {
        match self.limits.window.is_open() {
            // A merge of 40 records counts as one.
            true => MOST_ROWS + AHEAD,
            false => 1 + AHEAD,
        }
    }

    fn records(&self, lane: Lane) -> Option<&Records> {
        match lane {
            Lane::Live => Some(&self.live),
            Lane::Gap => self.gap.as_ref(),
        }
    }

    fn records_mut(&mut self, lane: Lane) -> Option<&mut Records> {
        match lane {
            Lane::Live => Some(&mut self.live),
            Lane::Gap => self.gap.as_mut(),
        }
    }

    fn waits(&self, shard: usize, lane: Lane) -> bool {
        self.records(lane)
            .is_some_and(|records| records.queue(shard).is_some_and(|queue| !queue.is_empty()))
    }

    /// The range whose turn it is.
    fn lane(&mut self, shard: usize) -> Option<Lane> {
        let (live, gap) = (self.waits(shard, Lane::Live), self.waits(shard, Lane::Gap));
        match (live, gap) {
            (false, false) => None,
            (true, false) => Some(Lane::Live),
            (false, true) => Some(Lane::Gap),
            (true, true) => Some(self.shards.get(shard)?.share.turn()),
        }
    }

    /// Takes the next rows out of a queue that is not empty. If there are none, the queue is empty then.
    fn select(&mut self, shard: usize, lane: Lane, now: i64, end: u64) -> Vec<Selected> {
        let may_merge = |oldest: i64| match self.limits.window {
            Window::Unlimited => true,
            Window::Limited(window) => {
                let left = millis(window).saturating_sub(now.saturating_sub(oldest));
                left > MARGIN
            }
        };
        let is_open = self.limits.window.is_open();
        let max_samples = u64::from(self.limits.max_samples);
        let records = match lane {
            Lane::Live => Some(&mut self.live),
            Lane::Gap => self.gap.as_mut(),
        };
        let Some(records) = records else {
            return Vec::new();
        };
        let is_read = records.is_read_to(end);
        let Some(queue) = records.queue_mut(shard) else {
            return Vec::new();
        };
        if is_open {
            let wait_several = match queue.records() {
                0 => false,
                1 => !is_read,
                _ => true,
            };
            if wait_several && queue.oldest().is_some_and(may_merge) {
                let dropped = queue.merge();
                count(&mut self.dropped, records, dropped);
            }
            if let Some(queue) = records.queue_mut(shard)
                && let Some(rows) = queue.take_merged(max_samples)
            {
                return rows;
            }
        }
        let Some(queue) = records.queue_mut(shard) else {
            return Vec::new();
        };
        let newest = &self.newest;
        let mut devices = HashSet::new();
        let (rows, dropped) =
            queue.take_slice(max_samples, |Selected { sequence, row, .. }| {
                if devices.contains(&row.device) {
                    return Verdict::Stop;
                }
                match newest.get(row.device) {
                    Some(Sent { time, .. }) if row.time < time => {
                        Verdict::Drop(RowReason::OutOfOrder)
                    }
                    // Rows of a record with the same time have different series: those that end, and the new ones.
                    Some(Sent { time, record })
                        if row.time == time && record != Some(*sequence) =>
                    {
                        Verdict::Drop(RowReason::Duplicate)
                    }
                    _ => {
                        devices.insert(row.device);
                        Verdict::Take
                    }
                }
            });
        if !is_open {
            for Selected { sequence, row, .. } in &rows {
                self.newest.add(row, Some(*sequence));
            }
        }
        count(&mut self.dropped, records, dropped);
        rows
    }

    /// Leaves out rows that are older than the window.
    fn drop_old(&mut self, shard: usize, now: i64) {
        let Window::Limited(window) = self.limits.window else {
            return;
        };
        if !self.limits.window.is_open() {
            return;
        }
        let oldest = now.saturating_sub(millis(window));
        for records in [Some(&mut self.live), self.gap.as_mut()]
            .into_iter()
            .flatten()
        {
            let Some(queue) = records.queue_mut(shard) else {
                continue;
            };
            let is_old = |row: &Row| (row.time < oldest).then_some(RowReason::TooOld);
            let dropped = queue.drop_all(is_old);
            count(&mut self.dropped, records, dropped);
        }
        self.end_gap();
    }

    /// Forgets a gap that is done.
    fn end_gap(&mut self) {
        let is_done = |gap: &Records| gap.is_read() && gap.is_drained();
        if self.gap.as_ref().is_some_and(is_done) {
            self.gap = None;
        }
    }

    fn apply_size(&mut self) {
        if self.wanted == self.count() || !self.is_drained() {
            return;
        }
        let count = self.wanted;
        self.live.resize(count);
        if let Some(gap) = &mut self.gap {
            gap.resize(count);
        }
        self.shards = (0..count).map(|_| Shard::default()).collect();
    }
}

/// Counts rows that are left out, without markers, and marks all of them as done.
fn count(
    total: &mut Vec<(RowReason, u64)>,
    records: &mut Records,
    dropped: Vec<(RowReason, Selected)>,
) {
    for (reason, row) in dropped {
        records.row_done(row.sequence);
        if row.row.is_marker {
            continue;
        }
        match total.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => total.push((reason, 1)),
        }
    }
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

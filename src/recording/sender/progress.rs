//! What is read and not sent yet, and what is to be read next. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::budget::Share;
use super::decoder::{Decoder, rows};
use super::rewind::{self, Rewind};
use crate::fleet;
use crate::history::Slice;
use crate::journal::{Cursor, Header, Record};
use crate::recording::messages::ReadReply;
use crate::remote_write::{Lane, Limits, Position, RowReason, Shards};

/// The bytes of records that are read at once, if one is not longer.
const READ: usize = 64 << 10;

/// So many records from the position on may have been sent by an earlier process.
const REPEATED: u64 = 64;

/// The records of a sender.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) shards: Shards,
    /// Whether new records can be sent before older ones: the destination has a window.
    may_overtake: bool,
    entries: BTreeMap<u64, Entry>,
    live: Range,
    gap: Option<Range>,
    /// What the journal was told last.
    reported: Position,
    /// The numbers of records that an earlier process may have sent.
    repeated: Vec<std::ops::Range<u64>>,
    dropped: Vec<(RowReason, u64)>,
    /// Whether new records can only be read behind the gap: there would be a second one.
    waits_for_gap: bool,
}

/// A record that is read and not done.
#[derive(Debug)]
struct Entry {
    rows: u64,
    /// The earliest time of a row, in nanoseconds. That of its receipt if the record's rows have none, or one that is not a time.
    oldest: i64,
    /// When it was received, in nanoseconds.
    received: i64,
    slice: Option<Arc<Slice>>,
    /// Its part of the budget.
    _share: Option<Share>,
}

/// The reading of one range of records.
#[derive(Debug)]
struct Range {
    /// The state before the next record.
    decoder: Holder,
    /// How the state is rebuilt, until it is.
    rewind: Option<Rewind>,
    /// Records that are read and not decoded.
    queue: VecDeque<Arc<Record>>,
}

/// The state of a range.
#[derive(Debug)]
enum Holder {
    /// It is made when the first record is read.
    New,
    Here(Box<Decoder>),
    /// It is used. When no record is being decoded, it is lost.
    Taken,
}

/// What is to be done next to read on.
#[derive(Debug)]
pub(super) enum Step {
    /// Read records, and report them with [`Progress::was_read`].
    Read {
        lane: Lane,
        from: u64,
        most_bytes: usize,
        /// Whether records in memory may be read although older ones cannot be read.
        may_overtake: bool,
    },
    /// Decode a record, and report it with [`Progress::decoded`].
    Decode { lane: Lane, record: Arc<Record> },
    /// Nothing until a request is done, or there are more records.
    Wait,
}

impl Range {
    /// A range whose state is rebuilt first.
    fn at(next: u64) -> Self {
        Self {
            decoder: Holder::New,
            rewind: Some(Rewind::new(next)),
            queue: VecDeque::new(),
        }
    }
}

impl Progress {
    /// The state at a cursor. `end` is the number of the next record of the journal.
    pub(super) fn new(limits: Limits, cursor: Cursor, end: u64) -> Self {
        let position = Position::from(cursor);
        let first = position.gap.iter().map(|gap| *gap.start());
        let repeated = first.chain([position.next]).map(|first| {
            let last = first.saturating_add(REPEATED);
            first..last.min(end)
        });
        let repeated = repeated.collect();
        Self {
            shards: Shards::new(limits, &position),
            may_overtake: limits.window.is_open(),
            entries: BTreeMap::new(),
            live: Range::at(position.next),
            gap: position.gap.as_ref().map(|gap| Range::at(*gap.start())),
            reported: position,
            repeated,
            dropped: Vec::new(),
            waits_for_gap: false,
        }
    }

    fn range(&mut self, lane: Lane) -> Option<&mut Range> {
        match lane {
            Lane::Live => Some(&mut self.live),
            Lane::Gap => self.gap.as_mut(),
        }
    }

    /// What to do next. `end` is the number of the next record of the journal.
    pub(super) fn step(&mut self, end: u64) -> Step {
        for lane in [Lane::Live, Lane::Gap] {
            if let Some(step) = self.step_of(lane, end) {
                return step;
            }
        }
        Step::Wait
    }

    fn step_of(&mut self, lane: Lane, end: u64) -> Option<Step> {
        if lane == Lane::Live && self.waits_for_gap {
            if self.gap.is_some() {
                return None;
            }
            self.waits_for_gap = false;
        }
        let wanted = self.shards.wants(lane)?;
        // What lies behind the gap is read in the other range.
        let may_overtake = self.may_overtake && lane == Lane::Live;
        let read = |from, most_bytes| {
            Some(Step::Read {
                lane,
                from,
                most_bytes,
                may_overtake,
            })
        };
        let is_drained = self.shards.is_drained();
        let range = self.range(lane)?;
        if matches!(range.decoder, Holder::Taken) {
            // Slices of another history must not be in the same request.
            if !is_drained {
                return None;
            }
            *range = Range::at(wanted);
        }
        if let Some(record) = range.queue.front() {
            // It stays there until its decoding begins.
            let record = Arc::clone(record);
            return Some(Step::Decode { lane, record });
        }
        if let Some(rewind) = &range.rewind {
            match rewind.step() {
                rewind::Step::Find(from) => return read(from, 1),
                rewind::Step::Read(from) => return read(from, READ),
                rewind::Step::Done => range.rewind = None,
            }
        }
        match wanted < end {
            true => read(wanted, READ),
            false => None,
        }
    }

    /// The reply to a [`Step::Read`] from this number on. Returns whether it was one: false if there is no record where one is expected.
    pub(super) fn was_read(&mut self, lane: Lane, from: u64, reply: ReadReply) -> bool {
        let first = reply.records.first().map(|record| record.header.sequence);
        match first.filter(|_| lane == Lane::Live && is_overtaken(from, &reply)) {
            Some(first) if !self.overtaken(first) => {}
            None if first.is_none() && reply.next <= from && !self.is_rewinding(lane) => {
                return false;
            }
            _ => self.read(lane, reply.records, reply.next),
        }
        true
    }

    /// The records from this number on are read before those below it, which cannot be read now. Returns whether that is possible: if not, the
    /// records must not be reported.
    fn overtaken(&mut self, first: u64) -> bool {
        if self.live.rewind.is_some() {
            return true;
        }
        self.live_first(first);
        let next = self.shards.next(Lane::Live);
        let is_possible = next.is_none_or(|next| next >= first);
        self.waits_for_gap = !is_possible;
        if is_possible {
            // Its state would be rebuilt from the records that cannot be read.
            self.live.rewind = None;
        }
        is_possible
    }

    /// Records were read, and none below `next` is missing here that exists.
    fn read(&mut self, lane: Lane, records: Vec<Arc<Record>>, next: u64) {
        let Some(range) = self.range(lane) else {
            return;
        };
        if let Some(rewind) = &mut range.rewind {
            match rewind.step() {
                rewind::Step::Find(_) => {
                    let first = records.first().map(|record| &record.header);
                    rewind.found(first.map(|header| (header.sequence, header.received)));
                }
                rewind::Step::Read(from) => {
                    let needed = |record: &Arc<Record>| {
                        rewind.needs(record.header.sequence, record.header.received)
                    };
                    range.queue = records.into_iter().filter(needed).collect();
                    match next > from {
                        true => rewind.read(next),
                        // There is nothing more to read.
                        false => rewind.give_up(),
                    }
                }
                rewind::Step::Done => {}
            }
            return;
        }
        let mut records = VecDeque::from(records);
        if lane == Lane::Gap {
            // What follows is read in the other range.
            let last = self.shards.position().gap.map(|gap| *gap.end());
            records.retain(|record| last.is_some_and(|last| record.header.sequence <= last));
        }
        match (records.is_empty(), self.range(lane)) {
            (false, Some(range)) => range.queue = records,
            _ => self.shards.skip(lane, next),
        }
    }

    /// The state of a range is not rebuilt, because its records cannot be read.
    pub(super) fn give_up_rewind(&mut self, lane: Lane) -> bool {
        let rewind = self.range(lane).and_then(|range| range.rewind.as_mut());
        rewind.map(Rewind::give_up).is_some()
    }

    /// Whether the state of a range is being rebuilt.
    fn is_rewinding(&mut self, lane: Lane) -> bool {
        self.range(lane).is_some_and(|range| range.rewind.is_some())
    }

    /// Begins to decode the next record of a range: its state, which must be returned with [`Self::decoded`].
    pub(super) fn take_decoder(
        &mut self,
        lane: Lane,
        make: impl FnOnce() -> Decoder,
    ) -> Box<Decoder> {
        let range = self.range(lane);
        let holder = range.map(|range| {
            range.queue.pop_front();
            std::mem::replace(&mut range.decoder, Holder::Taken)
        });
        match holder {
            Some(Holder::Here(decoder)) => decoder,
            _ => Box::new(make()),
        }
    }

    /// Whether a record only rebuilds the state.
    pub(super) fn is_replay(&self, lane: Lane, header: &Header) -> bool {
        let next = self.shards.next(lane);
        next.is_none_or(|next| header.sequence < next)
    }

    /// A record was decoded: its samples, or `None` if it is left out.
    pub(super) fn decoded(
        &mut self,
        lane: Lane,
        header: &Header,
        decoder: Box<Decoder>,
        slice: Option<Slice>,
        share: Option<Share>,
    ) {
        let is_replay = self.is_replay(lane, header);
        if let Some(range) = self.range(lane) {
            range.decoder = Holder::Here(decoder);
        }
        if is_replay {
            for row in slice.iter().flat_map(rows) {
                self.shards.seen(&row);
            }
            return;
        }
        self.add(lane, header, slice, share);
    }

    /// The next record of a range is left out without its state.
    pub(super) fn skip(&mut self, lane: Lane, header: &Header) {
        if let Some(range) = self.range(lane) {
            range.queue.pop_front();
        }
        if !self.is_replay(lane, header) {
            self.add(lane, header, None, None);
        }
    }

    fn add(&mut self, lane: Lane, header: &Header, slice: Option<Slice>, share: Option<Share>) {
        let sequence = header.sequence;
        match &slice {
            Some(slice) => self.shards.add(lane, sequence, &rows(slice)),
            None => self.shards.skip(lane, sequence.saturating_add(1)),
        }
        if let Some(counts) = slice.as_ref().map(|slice| slice.counts) {
            let counts = [
                (RowReason::Duplicate, counts.duplicate),
                (RowReason::Future, counts.future),
            ];
            self.dropped
                .extend(counts.into_iter().filter(|(_, rows)| *rows > 0));
        }
        let entry = Entry {
            rows: header.rows.into(),
            oldest: match header.oldest < fleet::Limits::STANDARD.earliest {
                true => header.received,
                false => header.oldest,
            },
            received: header.received,
            slice: slice.map(Arc::new),
            _share: share,
        };
        self.entries.insert(sequence, entry);
    }

    /// The slice of a record.
    pub(super) fn slice(&self, sequence: u64) -> Option<Arc<Slice>> {
        self.entries.get(&sequence)?.slice.clone()
    }

    /// Whether no samples are in memory.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.values().all(|entry| entry.slice.is_none())
    }

    /// Whether an earlier process may have sent a record.
    pub(super) fn may_be_repeated(&self, sequence: u64) -> bool {
        self.repeated.iter().any(|range| range.contains(&sequence))
    }

    /// Sends the records from `end` on before those below it, if the receiver has a window. Not while a record is being read.
    pub(super) fn live_first(&mut self, end: u64) {
        if self.gap.is_some() || self.shards.position().gap.is_some() {
            return;
        }
        self.shards.live_first(end);
        if let Some(gap) = self.shards.position().gap {
            let live = Range::at(gap.end().saturating_add(1));
            self.gap = Some(std::mem::replace(&mut self.live, live));
        }
    }

    /// The new cursor and the number of rows that are done, if the position has changed. Frees what is done.
    pub(super) fn advance(&mut self) -> Option<(Cursor, u64)> {
        let position = self.shards.position();
        if position == self.reported {
            return None;
        }
        let mut done = 0;
        let gap = &position.gap;
        self.entries.retain(|sequence, entry| {
            let is_open = *sequence >= position.next
                || gap.as_ref().is_some_and(|gap| gap.contains(sequence));
            if !is_open {
                done += entry.rows;
            }
            is_open
        });
        if gap.is_none() {
            self.gap = None;
        }
        self.reported = position.clone();
        Some((position.into(), done))
    }

    /// The rows that were left out since the last call.
    pub(super) fn take_dropped(&mut self) -> Vec<(RowReason, u64)> {
        let mut dropped = std::mem::take(&mut self.dropped);
        dropped.extend(self.shards.take_dropped());
        dropped
    }

    /// Whether all records of the journal are done. `end` is the number of its next record.
    pub(super) fn is_done(&self, end: u64) -> bool {
        self.reported.gap.is_none() && self.reported.next >= end
    }

    /// The earliest time of a row that is not done, in nanoseconds, for a journal with rows that wait. While the first record that is not done
    /// is not read, because the state is being rebuilt or the disk cannot be read, this is when the record before it was received, if that is
    /// known. If not, it is `known`, the result of the last call, or else `began`, a time before that of all records.
    pub(super) fn oldest(&self, known: Option<i64>, began: Option<i64>) -> Option<i64> {
        let rows = self.entries.values().filter(|entry| entry.rows > 0);
        let read = rows.map(|entry| entry.oldest).min();
        let Position { next, gap, .. } = &self.reported;
        let first = gap.as_ref().map_or(*next, |gap| *gap.start());
        if self.entries.contains_key(&first) {
            return read;
        }
        let range = self.gap.as_ref().unwrap_or(&self.live);
        let before = range.rewind.as_ref().and_then(Rewind::last);
        let unread = before.or(known).or(began);
        read.into_iter().chain(unread).min()
    }

    /// When the oldest record was received that is read and not done, in nanoseconds.
    pub(super) fn received(&self) -> Option<i64> {
        self.entries.values().map(|entry| entry.received).min()
    }
}

/// Whether the first record is in memory, and those before it are on a disk that cannot be read now.
fn is_overtaken(from: u64, reply: &ReadReply) -> bool {
    let first = reply.records.first();
    let is_missing = reply.gaps.iter().any(|gap| gap.numbers.contains(&from));
    first.is_some_and(|first| first.header.sequence > from) && !is_missing
}

impl From<Cursor> for Position {
    fn from(Cursor { next, gap, shards }: Cursor) -> Self {
        let gap = gap.filter(|gap| !gap.is_empty());
        Self { next, gap, shards }
    }
}

impl From<Position> for Cursor {
    fn from(Position { next, gap, shards }: Position) -> Self {
        Self { next, gap, shards }
    }
}

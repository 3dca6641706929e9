//! The records of one account on its storage: appends them, reads them from a number on, and deletes the oldest segment. Synchronous.

mod opening;
mod reading;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use self::reading::Position;
use super::record::{self, Record};
use super::retention::Bounds;
use super::segment::{SegmentName, Tally, encode_header};
use super::storage::Storage;

pub use self::opening::{AsideReason, LeftAside, OpenError};
pub use self::reading::{Gap, Read};

/// When a segment is closed.
#[derive(Debug, Clone, Copy)]
pub struct SegmentLimits {
    /// A record that would make the segment longer begins a new one. A longer record has a segment of its own.
    pub bytes: u64,
    /// The longest time from its first record to its last.
    pub age: Duration,
}

impl SegmentLimits {
    /// 64 MiB, 15 minutes.
    pub const STANDARD: Self = Self {
        bytes: 64 << 20,
        age: Duration::from_secs(15 * 60),
    };

    /// Limits with which journals within narrow bounds consist of several segments: only whole segments are deleted, and the one that is
    /// written is not.
    #[must_use]
    pub fn within(bounds: Bounds) -> Self {
        /// The share of a bound.
        const PART: u32 = 8;
        /// Shorter segments would be many files.
        const SHORTEST: Duration = Duration::from_secs(10);
        Self {
            bytes: Self::STANDARD.bytes.min(bounds.bytes / u64::from(PART)),
            age: (bounds.age / PART).clamp(SHORTEST, Self::STANDARD.age),
        }
    }
}

/// Whether an append waits until the record is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Synced,
    /// It does not: the record becomes durable with the next one that is synced.
    Unsynced,
}

/// Why a record is not appended. Except after [`AppendError::Order`] and [`AppendError::TooLong`], the next append begins a new segment.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The number is not above those of all appended records.
    #[error("the number of the record is in use")]
    Order,
    /// No segment can hold the record.
    #[error("the record is too long")]
    TooLong,
    /// A segment cannot be created.
    #[error("cannot create a segment: {0}")]
    Create(#[source] io::Error),
    /// The record cannot be written.
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    /// The record cannot be made durable.
    #[error("cannot sync: {0}")]
    Sync(#[source] io::Error),
}

/// A segment of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its file.
    pub name: SegmentName,
    /// Its length.
    pub bytes: u64,
    /// The receipt of its first record, in nanoseconds since 1970; `None` without records.
    pub began: Option<i64>,
    /// The sums over its records; `None` if they were not read yet, see [`Log::survey`].
    pub tally: Option<Tally>,
}

/// The segment that is written.
#[derive(Debug)]
struct Writing<F> {
    file: F,
    began: Duration,
    /// Whether its records are durable.
    is_synced: bool,
}

/// The records of one account.
#[derive(Debug)]
pub struct Log<S: Storage> {
    storage: S,
    account: Arc<str>,
    limits: SegmentLimits,
    /// Sorted by name. While a segment is written, it is the last.
    segments: Vec<Segment>,
    /// The other files with names of segments.
    aside: Vec<LeftAside>,
    writing: Option<Writing<S::File>>,
    /// All appended records have lower numbers.
    next: u64,
    /// All durable records have lower numbers.
    durable: u64,
    positions: VecDeque<Position>,
}

impl<S: Storage> Log<S> {
    /// The lowest number that the next record may have.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Above the numbers of all durable records.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The segments, the oldest first.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segments that are not written any more: all, or all but the last.
    #[must_use]
    pub fn closed(&self) -> &[Segment] {
        let closed = self.segments.len() - usize::from(self.writing.is_some());
        &self.segments[..closed]
    }

    /// The number of bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The storage.
    #[must_use]
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Appends a record. `now` is a monotonic time. After an error the segment is not written any more, so that no good record follows a
    /// torn one; the same record may be appended again.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(
        &mut self,
        record: &Record,
        durability: Durability,
        now: Duration,
    ) -> Result<(), AppendError> {
        let number = record.header.sequence;
        if number < self.next {
            return Err(AppendError::Order);
        }
        let mut bytes = Vec::new();
        self.close_if_due(record.encoded_len() as u64, now);
        let passed = self.next..=number;
        if self.aside.iter().any(|it| passed.contains(&it.name.first)) {
            // The next start may find this file among the segments, whose numbers must not overlap.
            self.close();
        }
        let is_new = self.writing.is_none();
        if is_new {
            bytes = encode_header(number, &self.account);
        }
        record::encode(record, &mut bytes).map_err(|_| AppendError::TooLong)?;
        if is_new {
            self.create(number, now).map_err(AppendError::Create)?;
        }
        let written = self.write(&bytes, is_new, durability);
        if let Err(error) = written {
            self.abandon();
            return Err(error);
        }
        self.next = number.saturating_add(1);
        if durability == Durability::Synced {
            self.durable = self.next;
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.began.get_or_insert(record.header.received);
            segment.tally.get_or_insert_default().add(&record.header);
        }
        Ok(())
    }

    /// Creates a segment, to be written.
    fn create(&mut self, first: u64, now: Duration) -> io::Result<()> {
        let aside = self.aside.iter().map(|it| it.name);
        let names = self.segments.iter().map(|segment| segment.name);
        let same = names.chain(aside.filter(SegmentName::is_possible));
        let attempts = same
            .filter(|it| it.first == first)
            .map(|name| name.attempt.saturating_add(1));
        let attempt = attempts.max().unwrap_or_default();
        let name = SegmentName { first, attempt };
        let created = self.storage.create(&name.to_string());
        let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        if created.is_ok() || created.as_ref().is_err_and(exists) {
            // A file may exist although creating it failed. Its name is in use, so that the next attempt has another one.
            self.segments.push(Segment {
                name,
                bytes: 0,
                began: None,
                tally: Some(Tally::default()),
            });
        }
        let file = created?;
        self.writing = Some(Writing {
            file,
            began: now,
            is_synced: true,
        });
        Ok(())
    }

    /// Writes to the last segment.
    fn write(
        &mut self,
        bytes: &[u8],
        is_new: bool,
        durability: Durability,
    ) -> Result<(), AppendError> {
        let (Some(writing), Some(segment)) = (&mut self.writing, self.segments.last_mut()) else {
            return Ok(());
        };
        segment.bytes += bytes.len() as u64;
        writing.is_synced = false;
        let storage = &self.storage;
        storage
            .append(&mut writing.file, bytes)
            .map_err(AppendError::Write)?;
        if durability == Durability::Synced {
            storage.sync(&mut writing.file).map_err(AppendError::Sync)?;
            writing.is_synced = true;
        }
        if is_new {
            storage.sync_directory().map_err(AppendError::Sync)?;
        }
        Ok(())
    }

    /// Closes the last segment after an error, and deletes it if it has no record that was appended.
    fn abandon(&mut self) {
        self.writing = None;
        let is_empty = self.segments.last().is_some_and(|it| it.began.is_none());
        if is_empty
            && let Some(segment) = self.segments.last()
            && self.storage.delete(&segment.name.to_string()).is_ok()
        {
            self.segments.pop();
        }
    }

    /// Closes the segment that is written if it has reached its age, or if `more` bytes would make it too long.
    fn close_if_due(&mut self, more: u64, now: Duration) {
        let (Some(writing), Some(segment)) = (&self.writing, self.segments.last()) else {
            return;
        };
        let is_full = segment.bytes.saturating_add(more) > self.limits.bytes;
        if is_full || now.saturating_sub(writing.began) >= self.limits.age {
            self.close();
        }
    }

    /// Closes the segment that is written if it has reached its age.
    pub fn close_if_old(&mut self, now: Duration) {
        self.close_if_due(0, now);
    }

    /// Closes the segment that is written. Records that were not synced may get lost in a crash if syncing them fails now; they were not
    /// acknowledged.
    pub fn close(&mut self) {
        if let Some(mut writing) = self.writing.take()
            && !writing.is_synced
            && self.storage.sync(&mut writing.file).is_ok()
        {
            self.durable = self.next;
        }
    }

    /// A segment was deleted by others: its records are lost. It stays in the list without records, so that they are counted.
    fn lose(&mut self, index: usize) {
        let is_last = index + 1 == self.segments.len();
        if let Some(segment) = self.segments.get_mut(index) {
            segment.bytes = 0;
            segment.began = None;
            segment.tally = Some(Tally::default());
        }
        if is_last {
            self.writing = None;
        }
    }

    /// Whether the file of the segment that is written was deleted by others: what is written to it is lost.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        let Some(segment) = self.segments.last().filter(|_| self.writing.is_some()) else {
            return false;
        };
        let read = self.storage.read(&segment.name.to_string(), 0, 1);
        read.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Finds the segments that others deleted, perhaps with the directory, which are not written any more. Returns the numbers of their
    /// records, those that are known.
    ///
    /// # Errors
    /// It is not known which segments exist.
    pub fn lose_deleted(&mut self) -> io::Result<Vec<RangeInclusive<u64>>> {
        let found = match self.storage.list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            found => found?,
        };
        let found: BTreeSet<_> = found.into_iter().map(|entry| entry.name).collect();
        let mut lost = Vec::new();
        for index in 0..self.segments.len() {
            let segment = &self.segments[index];
            if segment.began.is_none() || found.contains(&segment.name.to_string()) {
                continue;
            }
            let following = self.segments.get(index + 1);
            let following = following.map_or(self.next, |following| following.name.first);
            let end = segment
                .tally
                .map_or(following, |tally| tally.last.saturating_add(1));
            if segment.name.first < end {
                lost.push(segment.name.first..=end - 1);
            }
            self.lose(index);
        }
        Ok(lost)
    }

    /// Deletes the oldest segment that is not written any more. Returns it with its sums; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be deleted. If it cannot be read, it is deleted without sums.
    pub fn delete_oldest(&mut self) -> io::Result<Option<Segment>> {
        if self.closed().is_empty() {
            return Ok(None);
        }
        // Otherwise the sums stay unknown.
        let _ = self.survey_segment(0);
        let name = self.segments[0].name.to_string();
        match self.storage.delete(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // Deleted, perhaps by someone else.
            _ => Ok(Some(self.segments.remove(0))),
        }
    }
}

/// Where the first record of an account's segments begins.
fn first_offset(account: &str) -> u64 {
    encode_header(0, account).len() as u64
}

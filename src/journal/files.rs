//! The files of one journal: the log, and the cursors of the destinations. Synchronous.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::cursors::{Cursor, Cursors, FILE, Loaded};
use super::log::{Log, OpenError, Segment, SegmentLimits};
use super::retention::{AccountUse, SegmentUse};
use super::storage::Storage;

/// Where a new destination starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record: the destination takes samples out of order.
    Oldest,
    /// At the next record.
    Next,
}

/// A segment that was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Above the numbers of its records.
    pub end: u64,
    /// The number of its rows that each destination was not sent, without the destinations that were sent everything.
    pub lost: BTreeMap<Arc<str>, u64>,
    /// Numbers that a destination was not sent, of records that could not be read: those behind damage, or all if the disk could not be read.
    pub unread: Option<RangeInclusive<u64>>,
}

/// The log and the cursors of one account.
#[derive(Debug)]
pub struct JournalFiles<S: Storage> {
    log: Log<S>,
    cursors: Cursors,
    /// What the file of cursors has durably; `None` until it is saved. After the crash of a process, what is read is not necessarily
    /// durable.
    saved: Option<Cursors>,
    /// Whether the cursors of earlier processes are lost, so that every destination starts at the oldest record.
    is_lost: bool,
}

impl<S: Storage> JournalFiles<S> {
    /// Opens the files of an account.
    ///
    /// # Errors
    /// [`OpenError`]. Lost cursors are not an error, see [`JournalFiles::has_lost_cursors`].
    pub fn open(storage: S, account: Arc<str>, limits: SegmentLimits) -> Result<Self, OpenError> {
        let loaded = Cursors::load(&storage).map_err(|error| OpenError::File {
            name: FILE.to_owned(),
            error,
        })?;
        let (mut cursors, mut is_damaged) = match loaded {
            Loaded::Cursors(cursors) => (Some(cursors), false),
            Loaded::Absent => (None, false),
            Loaded::Damaged => (None, true),
        };
        let log = Log::open_above(storage, account, limits, |end| {
            if let Some(loaded) = cursors.take_if(|cursors| !cursors.fits(end)) {
                is_damaged = true;
                let tenant = loaded.tenant;
                cursors = Some(Cursors {
                    tenant,
                    ..Cursors::default()
                });
            }
            // Without cursors, a first record has number 1.
            cursors.as_ref().map_or(1, Cursors::floor).max(1)
        })?;
        let is_lost = is_damaged || (cursors.is_none() && !log.segments().is_empty());
        Ok(Self {
            log,
            cursors: cursors.unwrap_or_default(),
            saved: None,
            is_lost,
        })
    }

    /// Whether the cursors of earlier processes are lost.
    #[must_use]
    pub fn has_lost_cursors(&self) -> bool {
        self.is_lost
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log<S> {
        &self.log
    }

    /// The log, to append and to read.
    #[must_use]
    pub fn log_mut(&mut self) -> &mut Log<S> {
        &mut self.log
    }

    /// The cursors of all destinations.
    #[must_use]
    pub fn cursors(&self) -> &BTreeMap<Arc<str>, Cursor> {
        &self.cursors.destinations
    }

    /// The cursor of a destination, which is added if it is new. `next` is the number of the next record.
    pub fn subscribe(&mut self, destination: &Arc<str>, starts: Start, next: u64) -> Cursor {
        let oldest = self.log.segments().first().map(|first| first.name.first);
        let is_oldest = starts == Start::Oldest || self.is_lost;
        let start = oldest.filter(|_| is_oldest).unwrap_or(next);
        let destinations = &mut self.cursors.destinations;
        let cursor = destinations
            .entry(Arc::clone(destination))
            .or_insert(Cursor {
                next: start,
                gap: None,
                shards: 1,
            });
        cursor.clone()
    }

    /// Sets the tenant of the account, which is saved with the cursors.
    pub fn set_tenant(&mut self, tenant: Arc<str>) {
        self.cursors.tenant = Some(tenant);
    }

    /// Sets the cursor of a destination, unless it was released.
    pub fn advance(&mut self, destination: &str, cursor: Cursor) {
        if let Some(current) = self.cursors.destinations.get_mut(destination) {
            *current = cursor;
        }
    }

    /// Removes a destination.
    pub fn release(&mut self, destination: &str) {
        self.cursors.destinations.remove(destination);
    }

    /// Saves the cursors if they have changed.
    ///
    /// # Errors
    /// They cannot be saved. They are saved with the next call.
    pub fn save(&mut self) -> io::Result<()> {
        self.cursors.end = self.cursors.end.max(self.log.durable());
        if self.saved.as_ref() == Some(&self.cursors) {
            return Ok(());
        }
        self.cursors.save(self.log.storage())?;
        self.saved = Some(self.cursors.clone());
        Ok(())
    }

    /// Finds the files that others deleted, see [`Log::lose_deleted`]. The cursors are saved again.
    ///
    /// # Errors
    /// It is not known which files exist.
    pub fn lose_deleted(&mut self) -> io::Result<Vec<RangeInclusive<u64>>> {
        self.saved = None;
        self.log.lose_deleted()
    }

    /// What [`super::retention::deletions`] needs to know.
    #[must_use]
    pub fn usage(&self) -> AccountUse {
        let closed = self.log.closed().len();
        let segments = self.log.segments().iter().enumerate();
        let segments = segments.map(|(index, segment)| SegmentUse {
            first: segment.name.first,
            bytes: segment.bytes,
            began: segment.began,
            is_closed: index < closed,
        });
        let tallies = self.log.segments().iter().rev();
        let mut tallies = tallies.filter_map(|segment| segment.tally);
        let last = tallies.find(|tally| tally.records > 0);
        AccountUse {
            segments: segments.collect(),
            oldest_needed: self.saved.as_ref().and_then(Cursors::oldest),
            last_received: last.map_or(0, |last| last.received),
        }
    }

    /// Deletes the oldest segment. The cursors that are not past it are moved there. Returns `None` if there is no closed segment.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn delete_oldest(&mut self) -> io::Result<Option<Deleted>> {
        let Some(first) = self.log.closed().first() else {
            return Ok(None);
        };
        let first = first.name.first;
        let cursors = self.cursors.destinations.clone();
        let needed = self.cursors.oldest();
        let mut lost = BTreeMap::new();
        for (destination, cursor) in &cursors {
            // The rows of a segment that cannot be read are not known.
            let rows = self.unsent_rows(first, cursor).unwrap_or_default();
            if rows > 0 {
                lost.insert(Arc::clone(destination), rows);
            }
        }
        let Some(deleted) = self.log.delete_oldest()? else {
            return Ok(None);
        };
        let end = end_of(&deleted);
        for cursor in self.cursors.destinations.values_mut() {
            cursor.skip_to(end);
        }
        let following = self.log.segments().first();
        let following = following.map_or(self.log.next(), |segment| segment.name.first);
        let unread = needed.and_then(|needed| {
            let (first, last) = (needed.max(end), following.checked_sub(1)?);
            (first <= last).then_some(first..=last)
        });
        Ok(Some(Deleted { end, lost, unread }))
    }

    /// The number of rows of the oldest segment that a destination was not sent.
    fn unsent_rows(&mut self, first: u64, cursor: &Cursor) -> io::Result<u64> {
        self.log.survey_oldest()?;
        let Some(segment) = self.log.segments().first() else {
            return Ok(0);
        };
        let last = end_of(segment).saturating_sub(1);
        let mut rows = 0;
        for numbers in cursor.unsent() {
            let numbers = first.max(*numbers.start())..=last.min(*numbers.end());
            if !numbers.is_empty() {
                rows += self.log.count(&numbers)?.rows;
            }
        }
        Ok(rows)
    }
}

/// Above the numbers of a segment.
fn end_of(segment: &Segment) -> u64 {
    let last = segment.tally.map(|tally| tally.last.saturating_add(1));
    last.unwrap_or_default().max(segment.name.first)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Durability::Synced;
    use super::super::record::tests::record;
    use super::super::tests::simulated::{Crash, Simulated};
    use super::*;

    /// Each segment has two records of three rows each.
    const LIMITS: SegmentLimits = SegmentLimits {
        bytes: 240,
        age: Duration::MAX,
    };

    fn open(storage: &Simulated) -> JournalFiles<Simulated> {
        JournalFiles::open(storage.clone(), "a".into(), LIMITS).unwrap()
    }

    fn append(files: &mut JournalFiles<Simulated>, numbers: RangeInclusive<u64>) {
        for number in numbers {
            let appended =
                files
                    .log_mut()
                    .append(&record(number, &[7; 30]), Synced, Duration::ZERO);
            appended.unwrap();
        }
    }

    fn cursor(next: u64, gap: Option<RangeInclusive<u64>>) -> Cursor {
        Cursor {
            next,
            gap,
            shards: 1,
        }
    }

    fn subscribe(files: &mut JournalFiles<Simulated>, name: &str, starts: Start) -> u64 {
        let next = files.log().next();
        files.subscribe(&name.into(), starts, next).next
    }

    #[test]
    fn a_destination_starts_where_it_ended() {
        let storage = Simulated::new(1);
        let mut files = open(&storage);
        assert_eq!(subscribe(&mut files, "early", Start::Next), 1);
        append(&mut files, 1..=5);
        assert_eq!(subscribe(&mut files, "new", Start::Next), 6);
        assert_eq!(subscribe(&mut files, "window", Start::Oldest), 1);
        files.advance("window", cursor(4, None));
        files.advance("unknown", cursor(4, None));
        files.save().unwrap();
        files.release("early");
        files.advance("new", cursor(7, None));
        storage.start(Crash::Power);
        let mut files = open(&storage);
        assert!(!files.has_lost_cursors());
        for (name, expected) in [("early", 1), ("new", 6), ("window", 4)] {
            assert_eq!(subscribe(&mut files, name, Start::Next), expected, "{name}");
        }
        assert_eq!(files.cursors().len(), 3);
    }

    #[test]
    fn without_cursors_every_destination_starts_at_the_oldest_record() {
        for is_absent in [false, true] {
            let storage = Simulated::new(1);
            let mut files = open(&storage);
            append(&mut files, 1..=5);
            files.save().unwrap();
            match is_absent {
                true => storage.delete(FILE).unwrap(),
                false => storage.damage(FILE, 3),
            }
            let mut files = open(&storage);
            assert!(files.has_lost_cursors());
            assert_eq!(subscribe(&mut files, "a", Start::Next), 1);
            assert_eq!(files.log().next(), 6);
        }
    }

    #[test]
    fn retention_sees_saved_cursors_only() {
        let storage = Simulated::new(1);
        let mut files = open(&storage);
        append(&mut files, 1..=5);
        subscribe(&mut files, "a", Start::Oldest);
        assert_eq!(files.usage().oldest_needed, None);
        files.save().unwrap();
        files.advance("a", cursor(6, Some(3..=4)));
        assert_eq!(files.usage().oldest_needed, Some(1));
        files.save().unwrap();
        assert_eq!(files.usage().oldest_needed, Some(3));
        // What another process wrote is not necessarily durable.
        let mut files = open(&storage);
        assert_eq!(files.usage().oldest_needed, None);
        files.save().unwrap();
        let usage = files.usage();
        assert_eq!(usage.oldest_needed, Some(3));
        assert_eq!(usage.last_received, record(5, &[]).header.received);
        let segments = usage.segments.iter();
        let segments: Vec<_> = segments
            .map(|it| (it.first, it.began.is_some(), it.is_closed))
            .collect();
        assert_eq!(
            segments,
            [(1, true, true), (3, true, true), (5, true, true)]
        );
        storage.fail(1.0);
        files.save().unwrap();
        files.advance("a", cursor(6, None));
        assert!(files.save().is_err());
        assert_eq!(files.usage().oldest_needed, Some(3));
    }

    #[test]
    fn the_unsent_rows_of_a_deleted_segment_are_counted_for_each_destination() {
        let storage = Simulated::new(1);
        let mut files = open(&storage);
        append(&mut files, 1..=5);
        let mut files = open(&storage);
        for (name, cursor) in [
            ("all", cursor(6, None)),
            ("none", cursor(1, None)),
            ("one", cursor(2, None)),
            ("gap", cursor(5, Some(2..=3))),
        ] {
            subscribe(&mut files, name, Start::Oldest);
            files.advance(name, cursor);
        }
        let mut delete = || {
            let deleted = files.delete_oldest().unwrap()?;
            let deleted = deleted
                .lost
                .iter()
                .map(|(name, rows)| format!("{name} {rows}"));
            let cursors = files.cursors().values().cloned();
            Some((
                deleted.collect::<Vec<_>>().join(", "),
                cursors.collect::<Vec<_>>(),
            ))
        };
        let (lost, cursors) = delete().unwrap();
        assert_eq!(lost, "gap 3, none 6, one 3");
        let three = cursor(3, None);
        assert_eq!(
            cursors,
            [
                cursor(6, None),
                cursor(5, Some(3..=3)),
                three.clone(),
                three
            ]
        );
        let (lost, cursors) = delete().unwrap();
        assert_eq!(lost, "gap 3, none 6, one 6");
        let five = cursor(5, None);
        assert_eq!(cursors, [cursor(6, None), five.clone(), five.clone(), five]);
        assert!(delete().is_some());
        assert!(delete().is_none());
    }

    #[test]
    fn the_numbers_of_records_that_cannot_be_read_are_known_after_their_deletion() {
        // The damaged byte of the first segment, which has the records 1 and 2; the cursor; and the numbers that are unread.
        for (damaged, next, expected) in [
            (None, 1, None),
            (Some(220), 1, Some(2..=2)),
            (Some(100), 1, Some(1..=2)),
            (Some(100), 2, Some(2..=2)),
            (Some(100), 3, None),
        ] {
            let storage = Simulated::new(1);
            let mut files = open(&storage);
            append(&mut files, 1..=5);
            subscribe(&mut files, "d", Start::Oldest);
            files.advance("d", cursor(next, None));
            files.save().unwrap();
            let name = files.log().segments()[0].name.to_string();
            drop(files);
            if let Some(at) = damaged {
                storage.damage(&name, at);
            }
            let mut files = open(&storage);
            let deleted = files.delete_oldest().unwrap().unwrap();
            assert_eq!(deleted.unread, expected, "{damaged:?} {next}");
        }
    }

    #[test]
    fn cursors_beyond_the_records_are_damaged_and_never_skip() {
        for (end, next) in [
            (4, 1_000_000_000),
            (1_000_000_000, 1_000_000_000),
            (u64::MAX, u64::MAX),
        ] {
            let storage = Simulated::new(1);
            let mut files = open(&storage);
            append(&mut files, 1..=4);
            drop(files);
            let saved = Cursors {
                end,
                destinations: BTreeMap::from([("d".into(), cursor(next, None))]),
                tenant: Some("t".into()),
            };
            saved.save(&storage).unwrap();
            let mut files = open(&storage);
            assert!(files.has_lost_cursors());
            assert_eq!(files.log().next(), 5);
            assert_eq!(subscribe(&mut files, "d", Start::Next), 1);
            assert_eq!(files.cursors.tenant.as_deref(), Some("t"));
        }
    }

    #[test]
    fn an_error_names_the_file_that_cannot_be_read() {
        let storage = Simulated::new(1);
        storage.fail(1.0);
        let error = JournalFiles::open(storage, "a".into(), LIMITS).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("cannot read cursors: "), "{error}");
    }
}

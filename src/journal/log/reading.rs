//! Reads the records of a log from a number on, and counts them.

use std::io;
use std::ops::{ControlFlow, RangeInclusive};

use super::{Log, Segment, first_offset};
use crate::journal::record::Record;
use crate::journal::segment::{self, End, SegmentName, Tally};
use crate::journal::storage::Storage;

/// Numbers of which the journal has no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The numbers.
    pub numbers: RangeInclusive<u64>,
    /// Whether they precede all segments, so that they were deleted. Otherwise they were damaged, or never written.
    pub is_deleted: bool,
}

/// What [`Log::read`] returns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The records, in ascending order.
    pub records: Vec<Record>,
    /// The number from which to read on.
    pub next: u64,
    /// The missing numbers below `next`.
    pub gaps: Vec<Gap>,
    /// Whether the journal has no records from `next` on.
    pub is_end: bool,
}

/// Where the record with a number is, or will be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    number: u64,
    name: SegmentName,
    offset: u64,
}

/// The number of positions that are kept, so that a destination that reads on need not search its segment.
const MOST_POSITIONS: usize = 64;

impl<S: Storage> Log<S> {
    /// Up to `most_bytes` of records with numbers from `from` on, but at least one record if there is one.
    ///
    /// # Errors
    /// A segment cannot be read, and there is no record before it.
    pub fn read(&mut self, from: u64, most_bytes: usize) -> io::Result<Read> {
        let mut read = Read {
            next: from,
            ..Read::default()
        };
        let mut bytes = 0;
        let (mut index, mut offset) = self.locate(from);
        while let Some(segment) = self.segments.get(index) {
            let name = segment.name;
            let offset = std::mem::take(&mut offset).max(first_offset(&self.account));
            let visited = match segment.began {
                Some(_) => {
                    self.read_segment(index, name, offset, most_bytes, &mut bytes, &mut read)
                }
                None => Ok(End::Whole),
            };
            match visited {
                Ok(End::Stopped) => return Ok(read),
                Ok(End::Whole | End::Torn(_)) => index += 1,
                Err(error) if read.records.is_empty() => return Err(error),
                Err(_) => return Ok(read),
            }
        }
        read.is_end = true;
        Ok(read)
    }

    /// Where to begin reading: the index of a segment, and an offset in it.
    fn locate(&self, from: u64) -> (usize, u64) {
        let behind = self.segments.partition_point(|it| it.name.first <= from);
        let index = behind.saturating_sub(1);
        let name = self.segments.get(index).map(|segment| segment.name);
        let mut positions = self.positions.iter();
        let known = positions.find(|it| it.number == from && Some(it.name) == name);
        if let Some(position) = known {
            return (index, position.offset);
        }
        // Of several segments with the same first number, only the last can have acknowledged records.
        (index, 0)
    }

    fn read_segment(
        &mut self,
        index: usize,
        name: SegmentName,
        offset: u64,
        most_bytes: usize,
        bytes: &mut usize,
        read: &mut Read,
    ) -> io::Result<End> {
        let oldest = self.oldest();
        let mut position = None;
        let visitor = |record: Record, behind| {
            let number = record.header.sequence;
            if number < read.next {
                return ControlFlow::Continue(());
            }
            let size = record.encoded_len();
            if !read.records.is_empty() && *bytes + size > most_bytes {
                return ControlFlow::Break(());
            }
            *bytes += size;
            if number > read.next {
                read.gaps.extend(gaps(read.next..=number - 1, oldest));
            }
            read.next = number.saturating_add(1);
            read.records.push(record);
            position = Some(Position {
                number: read.next,
                name,
                offset: behind,
            });
            match *bytes >= most_bytes {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let visited = self.visit(index, offset, visitor);
        if let Some(position) = position {
            self.positions.retain(|it| it.number != position.number);
            self.positions.truncate(MOST_POSITIONS - 1);
            self.positions.push_front(position);
        }
        visited
    }

    /// Visits the records of a segment, none if it was deleted by others.
    fn visit(
        &mut self,
        index: usize,
        offset: u64,
        visitor: impl FnMut(Record, u64) -> ControlFlow<()>,
    ) -> io::Result<End> {
        let Some(segment) = self.segments.get(index) else {
            return Ok(End::Whole);
        };
        match segment::visit(&self.storage, &segment.name.to_string(), offset, visitor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lose(index);
                Ok(End::Whole)
            }
            visited => visited.map(|(_, end)| end),
        }
    }

    /// Reads the next segment whose sums are unknown. Returns whether there was one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn survey(&mut self) -> io::Result<bool> {
        let unknown = |segment: &Segment| segment.tally.is_none();
        match self.segments.iter().position(unknown) {
            Some(index) => self.survey_segment(index).map(|_| true),
            None => Ok(false),
        }
    }

    /// Reads the sums of the oldest segment, if they are unknown.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn survey_oldest(&mut self) -> io::Result<()> {
        self.survey_segment(0).map(drop)
    }

    pub(super) fn survey_segment(&mut self, index: usize) -> io::Result<Tally> {
        let offset = first_offset(&self.account);
        let Some(segment) = self.segments.get(index) else {
            return Ok(Tally::default());
        };
        if let Some(tally) = segment.tally {
            return Ok(tally);
        }
        let mut tally = Tally::default();
        let visitor = |record: Record, _| {
            tally.add(&record.header);
            ControlFlow::Continue(())
        };
        self.visit(index, offset, visitor)?;
        if let Some(segment) = self.segments.get_mut(index) {
            segment.tally = Some(tally);
        }
        Ok(tally)
    }

    /// The sums over the records with these numbers. Reads the segments whose sums are unknown or that have other numbers, too.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn count(&mut self, numbers: &RangeInclusive<u64>) -> io::Result<Tally> {
        let mut sum = Tally::default();
        let offset = first_offset(&self.account);
        let (mut index, _) = self.locate(*numbers.start());
        while let Some(segment) = self.segments.get(index) {
            if segment.name.first > *numbers.end() {
                break;
            }
            let (name, is_empty) = (segment.name, segment.began.is_none());
            let tally = self.survey_segment(index)?;
            let current = index;
            index += 1;
            if numbers.contains(&name.first) && numbers.contains(&tally.last) {
                sum.append(tally);
            } else if !is_empty {
                let visitor = |record: Record, _| {
                    if numbers.contains(&record.header.sequence) {
                        sum.add(&record.header);
                    }
                    ControlFlow::Continue(())
                };
                self.visit(current, offset, visitor)?;
            }
        }
        Ok(sum)
    }
}

/// The missing numbers, divided into those before the oldest segment and those behind its beginning.
fn gaps(numbers: RangeInclusive<u64>, oldest: u64) -> impl Iterator<Item = Gap> {
    let (start, end) = numbers.into_inner();
    let deleted = (start < oldest).then(|| Gap {
        numbers: start..=end.min(oldest - 1),
        is_deleted: true,
    });
    let damaged = (end >= oldest).then(|| Gap {
        numbers: start.max(oldest)..=end,
        is_deleted: false,
    });
    deleted.into_iter().chain(damaged)
}

//! Opens a log: finds its segments, and the end of its numbers.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use thiserror::Error;

use super::{Log, Segment, SegmentLimits};
use crate::journal::record::Record;
use crate::journal::segment::{self, HeaderError, SegmentHeader, SegmentName, Tally, read_header};
use crate::journal::storage::Storage;

/// Why a journal cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Its files cannot be read now.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// One of its files cannot be read now.
    #[error("cannot read {name}: {error}")]
    File {
        /// The file.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// A segment has another format.
    #[error("{name} was written by another version (its format has version {version}, not {expected})", expected = segment::VERSION)]
    Version {
        /// The segment.
        name: SegmentName,
        /// The version of its format.
        version: u32,
    },
    /// A segment belongs to another account.
    #[error("{name} belongs elsewhere: it is a segment of account {}", .account.escape_debug())]
    Misplaced {
        /// The segment.
        name: SegmentName,
        /// The account by its header.
        account: String,
    },
}

impl OpenError {
    /// Whether another attempt may succeed. Otherwise the journal has files of another version or account.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Io(_) | Self::File { .. } => true,
            Self::Version { .. } | Self::Misplaced { .. } => false,
        }
    }
}

/// A segment file that is neither read nor changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftAside {
    /// Its name.
    pub name: SegmentName,
    /// Why it is not read.
    pub reason: AsideReason,
}

/// Why a segment file is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AsideReason {
    /// It was renamed or copied.
    #[error("it was renamed or copied: it is the segment with first number {0}")]
    Renamed(u64),
    /// No record of it can be read, and its number does not follow from other files.
    #[error("it has no record that can be read, and its number cannot be right")]
    Number,
}

impl<S: Storage> Log<S> {
    /// Opens the journal of an account. Its records get numbers of at least `floor`, which is above every number in use elsewhere.
    ///
    /// # Errors
    /// [`OpenError`]. Torn and damaged segments are not errors.
    pub fn open(
        storage: S,
        account: Arc<str>,
        limits: SegmentLimits,
        floor: u64,
    ) -> Result<Self, OpenError> {
        Self::open_above(storage, account, limits, |_| floor)
    }

    /// The same with a floor that depends on the end of the records that can be read: above the number of the last one, if there is any.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_above(
        storage: S,
        account: Arc<str>,
        limits: SegmentLimits,
        floor: impl FnOnce(Option<u64>) -> u64,
    ) -> Result<Self, OpenError> {
        let (mut segments, mut aside, mut unproven) = (Vec::new(), Vec::new(), Vec::new());
        for entry in storage.list()? {
            let Some(name) = SegmentName::parse(&entry.name) else {
                continue;
            };
            let mut leave = |reason| aside.push(LeftAside { name, reason });
            if !name.is_possible() {
                leave(AsideReason::Number);
                continue;
            }
            match open_segment(&storage, &account, name, entry.length)? {
                Found::Segment(segment) => segments.push(segment),
                Found::Unproven(segment) => {
                    unproven.push(name);
                    segments.push(segment);
                }
                Found::Renamed(first) => leave(AsideReason::Renamed(first)),
            }
        }
        segments.sort_by_key(|segment| segment.name);
        let mut log = Self {
            storage,
            account,
            limits,
            segments,
            aside,
            writing: None,
            next: 0,
            durable: 0,
            positions: VecDeque::new(),
        };
        log.find_next(floor, &unproven)?;
        log.durable = log.next;
        Ok(log)
    }

    /// Raises the next number above those of all segments, and leaves those aside whose number only their name says if it is higher.
    fn find_next(
        &mut self,
        floor: impl FnOnce(Option<u64>) -> u64,
        unproven: &[SegmentName],
    ) -> io::Result<()> {
        let mut end = None;
        for index in (0..self.segments.len()).rev() {
            let tally = self.survey_segment(index)?;
            if tally.records > 0 {
                end = Some(tally.last.saturating_add(1));
                break;
            }
        }
        let proven = self.segments.iter().map(|segment| segment.name);
        let proven = proven.filter(|name| !unproven.contains(name)).max();
        let proven = proven.map_or(0, |last| last.first);
        self.next = floor(end).max(end.unwrap_or_default()).max(proven);
        self.leave_overlapping(unproven)?;
        let next = self.next;
        let beyond = self.segments.partition_point(|it| it.name.first <= next);
        let beyond = self.segments.split_off(beyond).into_iter();
        self.aside.extend(beyond.map(|segment| LeftAside {
            name: segment.name,
            reason: AsideReason::Number,
        }));
        Ok(())
    }

    /// Leaves those aside whose number only their name says if it is that of a record in a segment before: the numbers of segments do not
    /// overlap.
    fn leave_overlapping(&mut self, unproven: &[SegmentName]) -> io::Result<()> {
        for name in unproven {
            let index = self.segments.partition_point(|it| it.name < *name);
            let mut before = self.segments[..index].iter();
            let Some(before) = before.rposition(|it| it.began.is_some()) else {
                continue;
            };
            if self.survey_segment(before)?.last >= name.first {
                self.segments.retain(|segment| segment.name != *name);
                self.aside.push(LeftAside {
                    name: *name,
                    reason: AsideReason::Number,
                });
            }
        }
        Ok(())
    }

    /// Reads the segments again that were deleted and exist again, for example because their volume is mounted again.
    ///
    /// # Errors
    /// It is not known which segments exist. Those that cannot be read stay deleted.
    pub fn find_again(&mut self) -> io::Result<()> {
        let entries = self.storage.list()?;
        let closed = self.segments.len() - usize::from(self.writing.is_some());
        for segment in &mut self.segments[..closed] {
            let name = segment.name;
            let mut entries = entries.iter();
            if segment.began.is_none()
                && let Some(entry) = entries.find(|it| it.name == name.to_string())
                && let Ok(Found::Segment(again)) =
                    open_segment(&self.storage, &self.account, name, entry.length)
            {
                *segment = again;
            }
        }
        Ok(())
    }

    /// The files with names of segments that are not read.
    #[must_use]
    pub fn aside(&self) -> &[LeftAside] {
        &self.aside
    }

    /// The lowest number of which the journal has, or had, a file that was not deleted as the oldest.
    pub(super) fn oldest(&self) -> u64 {
        let renamed = self.aside.iter();
        let renamed = renamed.filter(|it| matches!(it.reason, AsideReason::Renamed(_)));
        let segments = self.segments.iter().map(|segment| segment.name);
        let names = segments.chain(renamed.map(|it| it.name));
        names.map(|name| name.first).min().unwrap_or_default()
    }
}

/// A file with the name of a segment.
enum Found {
    /// Its header says that it has its number.
    Segment(Segment),
    /// It has no header that can be read: only its name says its number.
    Unproven(Segment),
    /// Its header has this number, and not that of the name.
    Renamed(u64),
}

/// A segment of which only the beginning is read.
fn open_segment<S: Storage>(
    storage: &S,
    account: &str,
    name: SegmentName,
    bytes: u64,
) -> Result<Found, OpenError> {
    let file = name.to_string();
    let failed = |error| OpenError::File {
        name: file.clone(),
        error,
    };
    let header = match read_header(storage, &file).map_err(failed)? {
        Ok(header) => header,
        Err(HeaderError::Damaged) => {
            return Ok(Found::Unproven(Segment {
                name,
                bytes,
                began: None,
                tally: Some(Tally::default()),
            }));
        }
        Err(HeaderError::Version(version)) => return Err(OpenError::Version { name, version }),
    };
    let SegmentHeader {
        first,
        account: owner,
        length,
    } = header;
    if owner != account {
        let account = owner;
        return Err(OpenError::Misplaced { name, account });
    }
    if first != name.first {
        return Ok(Found::Renamed(first));
    }
    let mut began = None;
    let first_record = |record: Record, _| {
        began = Some(record.header.received);
        ControlFlow::Break(())
    };
    segment::visit(storage, &file, length as u64, first_record).map_err(failed)?;
    let tally = began.is_none().then(Tally::default);
    Ok(Found::Segment(Segment {
        name,
        bytes,
        began,
        tally,
    }))
}

//! The segment files of a journal: their names, their header, and reading one up to its first record that cannot be read.
//!
//! ```text
//! magic 8 bytes | version u32 | checksum u32 | first sequence number u64 | length of the account u16 | account | records …
//! ```
//!
//! All numbers are little-endian. The checksum is the CRC-32 of what follows it in the header.

use std::fmt;
use std::io;
use std::ops::ControlFlow;

use thiserror::Error;

use super::record::{self, Header, Record, Torn};
use super::storage::Storage;

/// The format of segments. Another version of the format has another number; all have the same magic.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"\x89SLTJRN\n";

/// The bytes of the header without the account.
const FIXED: usize = 8 + 4 + 4 + 8 + 2;

/// The longest header. Names of accounts have at most 63 bytes.
const LONGEST_HEADER: usize = 4096;

/// The bytes of a single read, unless a record is longer.
const CHUNK: usize = 1 << 20;

/// The highest number of a record that can be right. It leaves room for arithmetic.
pub const HIGHEST: u64 = 1 << 62;

/// The highest attempt that can be right.
const MOST_ATTEMPTS: u32 = 1 << 20;

/// The name of a segment file: `<first sequence number>.segment`, with 20 digits so that names sort by number. If that is in use by a
/// segment that could not be written, `<first sequence number>-<attempt>.segment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The number of the first record.
    pub first: u64,
    /// Counts the segments with this number from 0.
    pub attempt: u32,
}

impl SegmentName {
    /// The segment of a file name; `None` if it is not that of a segment.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".segment")?;
        let (first, attempt) = stem.split_once('-').unwrap_or((stem, "0"));
        let parsed = Self {
            first: first.parse().ok()?,
            attempt: attempt.parse().ok()?,
        };
        // Other spellings of the same numbers, for example with a sign, are other files.
        (parsed.to_string() == name).then_some(parsed)
    }

    /// Whether a journal can have written a segment with this name.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.first <= HIGHEST && self.attempt <= MOST_ATTEMPTS
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, attempt } = self;
        match attempt {
            0 => write!(formatter, "{first:020}.segment"),
            _ => write!(formatter, "{first:020}-{attempt}.segment"),
        }
    }
}

/// Why a file has no header of a segment that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The header was not written completely, or has been damaged.
    #[error("the header is damaged")]
    Damaged,
    /// The segment has another format.
    #[error("the format has version {0}")]
    Version(u32),
}

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The number of the first record.
    pub first: u64,
    /// The account whose journal it is.
    pub account: String,
    /// The number of bytes of the header: where the first record begins.
    pub length: usize,
}

/// The bytes of a header.
#[must_use]
pub fn encode_header(first: u64, account: &str) -> Vec<u8> {
    let mut text = account.len().min(LONGEST_HEADER - FIXED);
    while !account.is_char_boundary(text) {
        text -= 1;
    }
    let account = &account[..text];
    let mut checked = first.to_le_bytes().to_vec();
    checked.extend_from_slice(&(text as u16).to_le_bytes());
    checked.extend_from_slice(account.as_bytes());
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
    header.append(&mut checked);
    header
}

/// The header that a file begins with.
///
/// # Errors
/// [`HeaderError`].
pub fn decode_header(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
    let decoded = decode_fields(bytes).ok_or(HeaderError::Damaged)?;
    let (version, header) = decoded;
    match version {
        VERSION => header.ok_or(HeaderError::Damaged),
        // A torn write gives zeros, not another version.
        0 => Err(HeaderError::Damaged),
        other => Err(HeaderError::Version(other)),
    }
}

/// The version, and the rest if the checksum is right.
fn decode_fields(bytes: &[u8]) -> Option<(u32, Option<SegmentHeader>)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_first_chunk()?;
    let version = u32::from_le_bytes(*version);
    Some((version, decode_checked(rest)))
}

fn decode_checked(bytes: &[u8]) -> Option<SegmentHeader> {
    let (checksum, checked) = bytes.split_first_chunk()?;
    let (first, rest) = checked.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let account = rest.get(..length)?;
    let checked = &checked[..8 + 2 + length];
    if crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
        return None;
    }
    Some(SegmentHeader {
        first: u64::from_le_bytes(*first),
        account: String::from_utf8(account.to_owned()).ok()?,
        length: FIXED + length,
    })
}

/// The header of a file.
///
/// # Errors
/// The file cannot be read.
pub fn read_header<S: Storage>(
    storage: &S,
    name: &str,
) -> io::Result<Result<SegmentHeader, HeaderError>> {
    let bytes = storage.read(name, 0, LONGEST_HEADER)?;
    Ok(decode_header(&bytes))
}

/// The sums over the records of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of records.
    pub records: u64,
    /// The number of rows.
    pub rows: u64,
    /// The number of the last record; 0 without records.
    pub last: u64,
    /// The latest receipt, in nanoseconds since 1970; 0 without records.
    pub received: i64,
}

impl Tally {
    /// Adds a record.
    pub fn add(&mut self, header: &Header) {
        self.records += 1;
        self.rows += u64::from(header.rows);
        self.last = self.last.max(header.sequence);
        self.received = self.received.max(header.received);
    }

    /// Adds the sums over other records.
    pub fn append(&mut self, other: Self) {
        self.records += other.records;
        self.rows += other.rows;
        self.last = self.last.max(other.last);
        self.received = self.received.max(other.received);
    }
}

/// Why reading a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The visitor ended it.
    Stopped,
    /// The file has no further bytes.
    Whole,
    /// The next record cannot be read.
    Torn(Torn),
}

/// Visits the records of a segment in order, from an offset at which a record begins. The visitor gets the offset behind each record.
/// Returns the offset behind the last record that was visited, and why it ended.
///
/// # Errors
/// The file cannot be read. Records may have been visited before.
pub fn visit<S: Storage>(
    storage: &S,
    name: &str,
    offset: u64,
    mut visitor: impl FnMut(Record, u64) -> ControlFlow<()>,
) -> io::Result<(u64, End)> {
    let mut offset = offset;
    let mut wanted = CHUNK;
    loop {
        let chunk = storage.read(name, offset, wanted)?;
        if chunk.is_empty() {
            return Ok((offset, End::Whole));
        }
        let is_last = chunk.len() < wanted;
        wanted = CHUNK;
        let mut at = 0;
        let torn = loop {
            match record::decode(&chunk[at..]) {
                Ok((record, size)) => {
                    at += size;
                    let behind = offset + at as u64;
                    if visitor(record, behind).is_break() {
                        return Ok((behind, End::Stopped));
                    }
                }
                Err(torn) => break torn,
            }
        };
        let rest = &chunk[at..];
        offset += at as u64;
        match torn {
            Torn::Cut if rest.is_empty() && is_last => return Ok((offset, End::Whole)),
            Torn::Cut if !is_last => {
                // The record continues behind the chunk.
                let size = record::size(rest).unwrap_or_default();
                wanted = wanted.max(size);
            }
            torn => return Ok((offset, End::Torn(torn))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use crate::journal::storage::Disk;

    #[test]
    fn names_are_parsed_as_they_are_written_and_sort_by_number() {
        let name = |first, attempt| SegmentName { first, attempt };
        let names = [
            (name(0, 0), "00000000000000000000.segment"),
            (name(5, 0), "00000000000000000005.segment"),
            (name(5, 1), "00000000000000000005-1.segment"),
            (name(10, 0), "00000000000000000010.segment"),
            (name(u64::MAX, 12), "18446744073709551615-12.segment"),
        ];
        for (name, text) in names {
            assert_eq!(name.to_string(), text);
            assert_eq!(SegmentName::parse(text), Some(name));
        }
        assert!(names.is_sorted_by_key(|(name, _)| *name));
        for other in [
            "5.segment",
            "+0000000000000000005.segment",
            "00000000000000000005-0.segment",
            "00000000000000000005-01.segment",
            "00000000000000000005",
            "00000000000000000005.segment.tmp",
            "cursors",
            "28446744073709551615.segment",
        ] {
            assert_eq!(SegmentName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_damage_is_detected() {
        let good = encode_header(7, "fleet-1");
        let header = SegmentHeader {
            first: 7,
            account: "fleet-1".to_owned(),
            length: good.len(),
        };
        assert_eq!(decode_header(&good), Ok(header.clone()));
        let longer = [&good[..], b"records"].concat();
        assert_eq!(decode_header(&longer), Ok(header));
        for at in 0..good.len() {
            assert_eq!(decode_header(&good[..at]), Err(HeaderError::Damaged));
            let mut zeros = good.clone();
            zeros[at..].fill(0);
            assert_eq!(decode_header(&zeros), Err(HeaderError::Damaged), "{at}");
            let mut bytes = good.clone();
            bytes[at] ^= 0x20;
            assert!(decode_header(&bytes).is_err(), "{at}");
        }
        let mut other = good;
        other[8] = 2;
        assert_eq!(decode_header(&other), Err(HeaderError::Version(2)));
    }

    #[test]
    fn a_segment_is_read_up_to_its_first_damage() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path().to_owned());
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        // The third record is longer than a chunk, and the fourth begins shortly before the end of one.
        let lengths = [10, CHUNK - 300, 3 * CHUNK, CHUNK - 100, 5];
        for (number, length) in (1..).zip(lengths) {
            record::encode(&record(number, &vec![7; length]), &mut bytes).unwrap();
            ends.push(bytes.len());
        }
        let read = |content: &[u8], from: usize| {
            disk.replace("s", content).unwrap();
            let mut numbers = Vec::new();
            let visitor = |record: Record, end| {
                let number = record.header.sequence;
                assert_eq!(end, ends[number as usize] as u64);
                numbers.push(number);
                ControlFlow::Continue(())
            };
            let (offset, end) = visit(&disk, "s", from as u64, visitor).unwrap();
            (numbers, offset as usize, end)
        };
        let length = bytes.len();
        assert_eq!(read(&bytes, 0), (vec![1, 2, 3, 4, 5], length, End::Whole));
        assert_eq!(read(&bytes, ends[3]), (vec![4, 5], length, End::Whole));
        assert_eq!(read(&bytes, length), (vec![], length, End::Whole));
        let cut = &bytes[..length - 1];
        let torn = |torn| End::Torn(torn);
        assert_eq!(read(cut, 0), (vec![1, 2, 3, 4], ends[4], torn(Torn::Cut)));
        let mut zeros = bytes.clone();
        zeros[ends[1]..].fill(0);
        assert_eq!(read(&zeros, 0), (vec![1], ends[1], torn(Torn::Length)));
        let mut damaged = bytes.clone();
        damaged[ends[2] + 2 * CHUNK] ^= 1;
        assert_eq!(
            read(&damaged, 0),
            (vec![1, 2], ends[2], torn(Torn::Checksum))
        );
        let stop = |_, _| ControlFlow::Break(());
        disk.replace("s", &bytes).unwrap();
        let stopped = visit(&disk, "s", 0, stop).unwrap();
        assert_eq!(stopped, (ends[1] as u64, End::Stopped));
    }
}

//! A record of the journal, and its bytes on disk.
//!
//! ```text
//! length u32 | checksum u32 | header | length of the enums u32 | enums | payload
//! ```
//!
//! All numbers are little-endian. The length counts the bytes after the checksum. The checksum is the CRC-32 of the length and of all
//! bytes after the checksum.

use bytes::Bytes;
use thiserror::Error;

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What can be known about the record without reading its payload.
    pub header: Header,
    /// The enums that the answer lacks, as [`crate::telemetry::FilledEnums`] encodes them. Empty if the answer has them all.
    pub enums: Bytes,
    /// The content; its format depends on [`Header::kind`].
    pub payload: Bytes,
}

/// What can be known about a record without reading its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The number of the record. Numbers ascend and are never used again; some may be missing.
    pub sequence: u64,
    /// The incarnation of the stream, see [`crate::account::StreamId`].
    pub incarnation: u64,
    /// The number of the batch in its incarnation.
    pub batch: u64,
    /// When the answer was received, by the corrected clock, in nanoseconds since 1970.
    pub received: i64,
    /// The stream time that the record adds, in milliseconds.
    pub covers: u32,
    /// The number of rows.
    pub rows: u32,
    /// The earliest timestamp of the rows that is a time, in nanoseconds since 1970; 0 if no row has one.
    pub oldest: i64,
    /// The latest timestamp of the rows; 0 if no row has one.
    pub newest: i64,
    /// What the payload is.
    pub kind: Kind,
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body of an answer, compressed by [`super::payload::compress`].
    Answer,
    /// Only stream time. The payload is empty.
    Tick,
    /// Devices that another account has taken over, encoded by [`super::moved::encode`].
    Moved,
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Torn {
    /// The bytes end before the record does.
    #[error("the record is cut off")]
    Cut,
    /// No record has this length.
    #[error("the length of the record is impossible")]
    Length,
    /// The bytes are not those that were written.
    #[error("the checksum of the record is wrong")]
    Checksum,
    /// The checksum is right, but a field has no meaning.
    #[error("a field of the record is invalid")]
    Field,
}

/// The bytes of the length and the checksum.
pub const PREFIX: usize = 8;

/// The bytes of the header and of the length of the enums.
const FIXED: usize = 8 + 8 + 8 + 8 + 4 + 4 + 8 + 8 + 1 + 4;

/// The most bytes of a record without its prefix: more than the longest answer and all its names.
pub const LONGEST: usize = 256 << 20;

impl Record {
    /// The number of bytes on disk.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        PREFIX + FIXED + self.enums.len() + self.payload.len()
    }
}

/// Appends the bytes of a record to `out`.
///
/// # Errors
/// [`Torn::Length`] if the record is longer than [`LONGEST`]. Then `out` is unchanged.
pub fn encode(record: &Record, out: &mut Vec<u8>) -> Result<(), Torn> {
    let length = record.encoded_len() - PREFIX;
    if length > LONGEST {
        return Err(Torn::Length);
    }
    let length = u32::try_from(length).map_err(|_| Torn::Length)?;
    let enums = u32::try_from(record.enums.len()).map_err(|_| Torn::Length)?;
    let start = out.len();
    out.reserve(record.encoded_len());
    out.extend_from_slice(&length.to_le_bytes());
    // The checksum, which is known below.
    out.extend_from_slice(&[0; 4]);
    let Header {
        sequence,
        incarnation,
        batch,
        received,
        covers,
        rows,
        oldest,
        newest,
        kind,
    } = &record.header;
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&incarnation.to_le_bytes());
    out.extend_from_slice(&batch.to_le_bytes());
    out.extend_from_slice(&received.to_le_bytes());
    out.extend_from_slice(&covers.to_le_bytes());
    out.extend_from_slice(&rows.to_le_bytes());
    out.extend_from_slice(&oldest.to_le_bytes());
    out.extend_from_slice(&newest.to_le_bytes());
    out.push(kind.code());
    out.extend_from_slice(&enums.to_le_bytes());
    out.extend_from_slice(&record.enums);
    out.extend_from_slice(&record.payload);
    let checksum = checksum(length, &out[start + PREFIX..]);
    out[start + 4..start + PREFIX].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// The number of bytes of the record that `bytes` begin with, by its length alone.
///
/// # Errors
/// [`Torn::Cut`] if not even the prefix is complete, [`Torn::Length`] if no record has this length.
pub fn size(bytes: &[u8]) -> Result<usize, Torn> {
    let (prefix, _) = bytes.split_first_chunk::<PREFIX>().ok_or(Torn::Cut)?;
    let [a, b, c, d, ..] = *prefix;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    match (FIXED..=LONGEST).contains(&length) {
        true => Ok(PREFIX + length),
        false => Err(Torn::Length),
    }
}

/// The record that `bytes` begin with, and the number of its bytes.
///
/// # Errors
/// [`Torn`].
pub fn decode(bytes: &[u8]) -> Result<(Record, usize), Torn> {
    let size = size(bytes)?;
    let record = bytes.get(..size).ok_or(Torn::Cut)?;
    let mut fields = Fields(&record[4..]);
    let expected = fields.u32()?;
    let body = fields.0;
    let length = u32::try_from(body.len()).map_err(|_| Torn::Length)?;
    if checksum(length, body) != expected {
        return Err(Torn::Checksum);
    }
    let header = Header {
        sequence: fields.u64()?,
        incarnation: fields.u64()?,
        batch: fields.u64()?,
        received: fields.i64()?,
        covers: fields.u32()?,
        rows: fields.u32()?,
        oldest: fields.i64()?,
        newest: fields.i64()?,
        kind: fields.kind()?,
    };
    let enums = fields.u32()? as usize;
    let (enums, payload) = fields.0.split_at_checked(enums).ok_or(Torn::Field)?;
    let record = Record {
        header,
        enums: Bytes::copy_from_slice(enums),
        payload: Bytes::copy_from_slice(payload),
    };
    Ok((record, size))
}

fn checksum(length: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Answer => 1,
            Self::Tick => 2,
            Self::Moved => 3,
        }
    }
}

/// Reads the fields of a record in order.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Torn> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Torn::Field)?;
        self.0 = rest;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, Torn> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Torn> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, Torn> {
        self.array().map(i64::from_le_bytes)
    }

    fn kind(&mut self) -> Result<Kind, Torn> {
        let [code] = self.array()?;
        let kinds = [Kind::Answer, Kind::Tick, Kind::Moved];
        let kind = kinds.into_iter().find(|kind| kind.code() == code);
        kind.ok_or(Torn::Field)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any record.
    fn any_record() -> impl Strategy<Value = Record> {
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
        let times = (any::<i64>(), any::<i64>(), any::<i64>());
        let counts = (any::<u32>(), any::<u32>());
        let kind = prop::sample::select(vec![Kind::Answer, Kind::Tick, Kind::Moved]);
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        (numbers, times, counts, kind, bytes(), bytes()).prop_map(
            |(numbers, times, counts, kind, enums, payload)| Record {
                header: Header {
                    sequence: numbers.0,
                    incarnation: numbers.1,
                    batch: numbers.2,
                    received: times.0,
                    covers: counts.0,
                    rows: counts.1,
                    oldest: times.1,
                    newest: times.2,
                    kind,
                },
                enums: enums.into(),
                payload: payload.into(),
            },
        )
    }

    /// A record with this number and payload.
    pub(crate) fn record(sequence: u64, payload: &[u8]) -> Record {
        Record {
            header: Header {
                sequence,
                incarnation: 1,
                batch: sequence,
                received: 1_700_000_000_000_000_000 + i64::try_from(sequence).unwrap(),
                covers: 15_000,
                rows: 3,
                oldest: 7,
                newest: 9,
                kind: Kind::Answer,
            },
            enums: Bytes::new(),
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn encoded(record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(record, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_format_does_not_change() {
        let mut record = record(5, b"xyz");
        record.enums = Bytes::from_static(b"{}");
        let bytes = encoded(&record);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "42000000ab8db238\
             05000000000000000100000000000000050000000000000005002a36fe9c9717\
             983a00000300000007000000000000000900000000000000\
             0102000000\
             7b7d78797a"
        );
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        let good = encoded(&record(1, b"abc"));
        let patched = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            // A correct checksum for the changed bytes.
            let length = u32::from_le_bytes(bytes[..4].try_into().unwrap());
            let checksum = checksum(length, &bytes[PREFIX..]);
            bytes[4..PREFIX].copy_from_slice(&checksum.to_le_bytes());
            bytes
        };
        let kind_at = PREFIX + FIXED - 5;
        for (name, bytes, expected) in [
            ("nothing", vec![], Torn::Cut),
            ("a part of the prefix", good[..7].to_vec(), Torn::Cut),
            ("the prefix alone", good[..8].to_vec(), Torn::Cut),
            ("all zeros", vec![0; 4096], Torn::Length),
            ("all ones", vec![0xff; 4096], Torn::Length),
            (
                "an unknown kind",
                patched(&|bytes| bytes[kind_at] = 4),
                Torn::Field,
            ),
            (
                "enums beyond the end",
                patched(&|bytes| bytes[kind_at + 1] = 4),
                Torn::Field,
            ),
        ] {
            assert_eq!(decode(&bytes), Err(expected), "{name}");
        }
        assert!(decode(&patched(&|_| {})).is_ok());
    }

    #[test]
    fn a_record_that_is_too_long_is_not_encoded() {
        let mut long = record(1, b"");
        long.payload = vec![0; LONGEST - FIXED + 1].into();
        let mut out = vec![1, 2];
        assert_eq!(encode(&long, &mut out), Err(Torn::Length));
        assert_eq!(out, [1, 2]);
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            record in any_record(),
            before in prop::collection::vec(any::<u8>(), 0..9),
            behind in prop::collection::vec(any::<u8>(), 0..99),
        ) {
            let mut bytes = before.clone();
            encode(&record, &mut bytes).unwrap();
            prop_assert_eq!(bytes.len() - before.len(), record.encoded_len());
            bytes.extend(behind);
            let bytes = &bytes[before.len()..];
            prop_assert_eq!(size(bytes), Ok(record.encoded_len()));
            let (read, size) = decode(bytes).unwrap();
            prop_assert_eq!(size, record.encoded_len());
            prop_assert_eq!(read, record);
        }

        #[test]
        fn each_changed_and_each_missing_byte_is_detected(record in any_record(), change in 1_u8..=255) {
            let good = encoded(&record);
            for at in 0..good.len() {
                prop_assert_eq!(decode(&good[..at]), Err(Torn::Cut), "cut at {}", at);
                let mut bytes = good.clone();
                bytes[at] ^= change;
                // What follows in the file.
                bytes.extend_from_slice(&good);
                prop_assert!(decode(&bytes).is_err(), "changed at {}", at);
                // A tail of zeros, as after a power failure.
                let mut bytes = good.clone();
                bytes[at..].fill(0);
                prop_assert!(bytes == good || decode(&bytes).is_err(), "zeros from {}", at);
            }
        }

        #[test]
        fn arbitrary_bytes_are_no_record(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}

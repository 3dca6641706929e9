//! The positions of the destinations in a journal, and the tenant of its account, in a small file with a checksum.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::segment::HIGHEST;
use super::storage::{Storage, is_not_regular};

/// The name of the file.
pub const FILE: &str = "cursors";

/// The longest file: room for thousands of destinations.
const LONGEST: usize = 1 << 20;

/// How far the numbers may be beyond the readable records of the journal. That are more records than a damaged segment has.
const MOST_BEYOND: u64 = 100_000;

/// The position of a destination in a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// All records with lower numbers were sent, except those in `gap`.
    pub next: u64,
    /// Numbers below `next` that are still to be sent, because newer records were sent first.
    pub gap: Option<RangeInclusive<u64>>,
    /// The number of shards of the last requests.
    pub shards: u16,
}

impl Cursor {
    /// The lowest number that is still to be sent.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        let gap = self.gap.as_ref().filter(|gap| !gap.is_empty());
        gap.map_or(self.next, |gap| self.next.min(*gap.start()))
    }

    /// The numbers that are still to be sent.
    pub fn unsent(&self) -> impl Iterator<Item = RangeInclusive<u64>> + use<> {
        let gap = self.gap.clone().filter(|gap| !gap.is_empty());
        gap.into_iter().chain([self.next..=u64::MAX])
    }

    /// Leaves out the numbers below `end`.
    pub fn skip_to(&mut self, end: u64) {
        self.next = self.next.max(end);
        let gap = self.gap.take();
        let rest = gap.map(|gap| end.max(*gap.start())..=*gap.end());
        self.gap = rest.filter(|rest| !rest.is_empty());
    }

    /// Whether the record with this number is still to be sent.
    #[must_use]
    pub fn lacks(&self, number: u64) -> bool {
        self.unsent().any(|numbers| numbers.contains(&number))
    }
}

/// The positions of all destinations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursors {
    /// Above the numbers of all durable records when the file was written. If the last segment is damaged later, its numbers are still
    /// not used again.
    pub end: u64,
    /// By name.
    pub destinations: BTreeMap<Arc<str>, Cursor>,
    /// The tenant of the account, which is needed when the account is not configured any more. Earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
}

/// What the file of a journal contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// The positions.
    Cursors(Cursors),
    /// There is no file.
    Absent,
    /// The file is damaged, or the name is that of a directory, a link or a pipe.
    Damaged,
}

impl Cursors {
    /// The content of the file: the CRC-32 of the second line as a line of eight hexadecimal digits, and JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Maps with texts as keys are always valid JSON.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{:08x}\n{json}", crc32fast::hash(json.as_bytes())).into_bytes()
    }

    /// The positions in the content of a file; `None` if it is not as it was written.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (checksum, json) = bytes.split_first_chunk::<9>()?;
        let expected = format!("{:08x}\n", crc32fast::hash(json));
        if checksum[..] != *expected.as_bytes() {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    /// Whether the file can be that of a journal, whose readable records end below `end` if it has any. The numbers of unsynced or damaged
    /// records, and of those that were sent through memory, may be higher, but not by many.
    #[must_use]
    pub fn fits(&self, end: Option<u64>) -> bool {
        let most = end.map_or(HIGHEST, |end| end.saturating_add(MOST_BEYOND));
        self.floor() <= most.min(HIGHEST)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It exists, and cannot be read now.
    pub fn load<S: Storage>(storage: &S) -> io::Result<Loaded> {
        match storage.read(FILE, 0, LONGEST) {
            Ok(bytes) => Ok(Self::decode(&bytes).map_or(Loaded::Damaged, Loaded::Cursors)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Loaded::Absent),
            Err(error) if is_not_regular(&error) => Ok(Loaded::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file, durably.
    ///
    /// # Errors
    /// The file has the old or the new content.
    pub fn save<S: Storage>(&self, storage: &S) -> io::Result<()> {
        storage.replace(FILE, &self.encode())
    }

    /// A number above all those in use.
    #[must_use]
    pub fn floor(&self) -> u64 {
        let ends = self.destinations.values().map(|cursor| {
            let gap = cursor.gap.as_ref();
            gap.map_or(cursor.next, |gap| {
                cursor.next.max(gap.end().saturating_add(1))
            })
        });
        ends.fold(self.end, u64::max)
    }

    /// The lowest number that a destination still has to be sent; `None` without destinations.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.destinations.values().map(Cursor::oldest).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::storage::Disk;

    fn cursor(next: u64, gap: Option<RangeInclusive<u64>>) -> Cursor {
        Cursor {
            next,
            gap,
            shards: 2,
        }
    }

    fn cursors(end: u64, all: &[(&str, Cursor)]) -> Cursors {
        let all = all.iter();
        let destinations = all.map(|(name, cursor)| ((*name).into(), cursor.clone()));
        Cursors {
            end,
            destinations: destinations.collect(),
            tenant: None,
        }
    }

    #[test]
    fn the_format_does_not_change() {
        let cursors = cursors(12, &[("a", cursor(7, Some(2..=4))), ("b", cursor(9, None))]);
        let json = r#"{"end":12,"destinations":{"a":{"next":7,"gap":{"start":2,"end":4},"shards":2},"b":{"next":9,"gap":null,"shards":2}}}"#;
        let with_tenant = Cursors {
            tenant: Some("t".into()),
            ..cursors.clone()
        };
        let longer = format!(r#"{},"tenant":"t"}}"#, json.strip_suffix('}').unwrap());
        for (cursors, json) in [(cursors, json), (with_tenant, &longer)] {
            let text = String::from_utf8(cursors.encode()).unwrap();
            assert_eq!(text.split_once('\n').unwrap().1, json);
            assert_eq!(Cursors::decode(text.as_bytes()), Some(cursors));
        }
    }

    #[test]
    fn bounds_are_those_of_all_destinations_and_their_gaps() {
        for (cursors, floor, oldest) in [
            (cursors(0, &[]), 0, None),
            (cursors(5, &[("a", cursor(3, None))]), 5, Some(3)),
            (
                cursors(1, &[("a", cursor(3, None)), ("b", cursor(8, None))]),
                8,
                Some(3),
            ),
            (cursors(1, &[("a", cursor(9, Some(2..=4)))]), 9, Some(2)),
            (cursors(1, &[("a", cursor(3, Some(4..=11)))]), 12, Some(3)),
            #[expect(clippy::reversed_empty_ranges, reason = "a gap that has been sent")]
            (cursors(1, &[("a", cursor(9, Some(5..=4)))]), 9, Some(9)),
        ] {
            assert_eq!(
                (cursors.floor(), cursors.oldest()),
                (floor, oldest),
                "{cursors:?}"
            );
        }
    }

    #[test]
    fn numbers_that_cannot_be_right_do_not_fit() {
        for (cursors, end, expected) in [
            (cursors(HIGHEST, &[]), None, true),
            (cursors(HIGHEST + 1, &[]), None, false),
            (cursors(u64::MAX, &[("a", cursor(1, None))]), None, false),
            (
                cursors(9, &[("a", cursor(u64::MAX - 1, None))]),
                None,
                false,
            ),
            (cursors(9, &[("a", cursor(9, None))]), Some(4), true),
            (
                cursors(9, &[("a", cursor(1_000_000_000, None))]),
                Some(9),
                false,
            ),
            (
                cursors(9, &[("a", cursor(9, Some(2..=1_000_000_000)))]),
                Some(9),
                false,
            ),
            (
                cursors(9, &[("a", cursor(1_000_000_000, None))]),
                None,
                true,
            ),
        ] {
            assert_eq!(cursors.fits(end), expected, "{cursors:?}");
        }
    }

    #[test]
    fn a_file_is_loaded_absent_or_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path().to_owned());
        assert_eq!(Cursors::load(&disk).unwrap(), Loaded::Absent);
        let saved = cursors(4, &[("a", cursor(3, None))]);
        saved.save(&disk).unwrap();
        assert_eq!(Cursors::load(&disk).unwrap(), Loaded::Cursors(saved));
        for damaged in [&b""[..], b"{}", b"00000000\n{}", &[0; 200]] {
            disk.replace(FILE, damaged).unwrap();
            assert_eq!(Cursors::load(&disk).unwrap(), Loaded::Damaged);
        }
        let below = Disk::new(directory.path().join(FILE));
        assert!(Cursors::load(&below).is_err(), "not a directory");
        disk.delete(FILE).unwrap();
        std::fs::create_dir(directory.path().join(FILE)).unwrap();
        assert_eq!(Cursors::load(&disk).unwrap(), Loaded::Damaged);
        #[cfg(unix)]
        {
            std::fs::remove_dir(directory.path().join(FILE)).unwrap();
            std::os::unix::fs::symlink("elsewhere", directory.path().join(FILE)).unwrap();
            assert_eq!(Cursors::load(&disk).unwrap(), Loaded::Damaged);
            cursors(4, &[]).save(&disk).unwrap();
            assert!(matches!(Cursors::load(&disk).unwrap(), Loaded::Cursors(_)));
        }
    }

    proptest! {
        #[test]
        fn each_changed_and_each_missing_byte_is_detected(
            numbers in prop::collection::btree_map(".{0,3}", (any::<u64>(), any::<u16>()), 0..4),
            change in 1_u8..=255,
        ) {
            let all = numbers.into_iter().map(|(name, (next, shards))| {
                (name.into(), Cursor { next, gap: None, shards })
            });
            let cursors = Cursors { end: 1, destinations: all.collect(), tenant: None };
            let good = cursors.encode();
            prop_assert_eq!(Cursors::decode(&good), Some(cursors));
            for at in 0..good.len() {
                prop_assert_eq!(Cursors::decode(&good[..at]), None);
                let mut bytes = good.clone();
                bytes[at] ^= change;
                prop_assert_eq!(Cursors::decode(&bytes), None);
            }
        }
    }
}

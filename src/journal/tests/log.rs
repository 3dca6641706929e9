//! Tests of the log: each behaviour by itself.

use std::sync::Arc;
use std::time::Duration;

use super::simulated::{Crash, Simulated};
use crate::journal::Durability::{Synced, Unsynced};
use crate::journal::log::{AppendError, AsideReason, Gap, Log, OpenError, Read, SegmentLimits};
use crate::journal::record::tests::record;
use crate::journal::retention::Bounds;
use crate::journal::segment::{SegmentName, Tally, encode_header};
use crate::journal::storage::Storage;

/// The bytes of each record.
const SIZE: usize = 200;

/// Each segment has three records.
const LIMITS: SegmentLimits = SegmentLimits {
    bytes: 3 * SIZE as u64 + 50,
    age: Duration::from_secs(900),
};

fn open(storage: &Simulated) -> Result<Log<Simulated>, OpenError> {
    Log::open(storage.clone(), Arc::from("a"), LIMITS, 1)
}

fn sized(number: u64) -> crate::journal::Record {
    let empty = record(number, b"").encoded_len();
    record(number, &vec![1; SIZE - empty])
}

fn append(log: &mut Log<Simulated>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        log.append(&sized(number), Synced, Duration::ZERO).unwrap();
    }
}

fn names(log: &Log<Simulated>) -> Vec<String> {
    let segments = log.segments().iter();
    segments.map(|segment| segment.name.to_string()).collect()
}

/// The names of segments without leading zeros and extension.
fn short(log: &Log<Simulated>) -> Vec<String> {
    let names = names(log).into_iter();
    names
        .map(|name| name.trim_start_matches('0').replace(".segment", ""))
        .collect()
}

fn numbers(read: &Read) -> Vec<u64> {
    let records = read.records.iter();
    records.map(|record| record.header.sequence).collect()
}

fn gap(first: u64, last: u64, is_deleted: bool) -> Gap {
    Gap {
        numbers: first..=last,
        is_deleted,
    }
}

#[test]
fn records_are_read_from_any_number_on_in_portions() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, 1..=8);
    assert_eq!(short(&log), ["1", "4", "7"]);
    for log in [&mut log, &mut open(&storage).unwrap()] {
        assert_eq!(log.next(), 9);
        for (from, most, expected, next, is_end) in [
            (0, usize::MAX, 1..=8, 9, true),
            (1, 1, 1..=1, 2, false),
            (2, 2 * SIZE, 2..=3, 4, false),
            (4, 2 * SIZE + 1, 4..=5, 6, false),
            (6, 2 * SIZE, 6..=7, 8, false),
            (8, 0, 8..=8, 9, false),
            #[expect(clippy::reversed_empty_ranges, reason = "no records")]
            (9, usize::MAX, 1..=0, 9, true),
            #[expect(clippy::reversed_empty_ranges, reason = "no records")]
            (99, usize::MAX, 1..=0, 99, true),
        ] {
            let read = log.read(from, most).unwrap();
            assert_eq!(numbers(&read), Vec::from_iter(expected), "from {from}");
            assert_eq!((read.next, read.is_end), (next, is_end), "from {from}");
            let is_first = from == 0;
            let gaps = is_first.then(|| gap(0, 0, true));
            assert_eq!(read.gaps, Vec::from_iter(gaps), "from {from}");
            for read in &read.records {
                assert_eq!(*read, sized(read.header.sequence));
            }
        }
    }
}

#[test]
fn reading_on_reads_only_what_is_new() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    let limits = SegmentLimits::STANDARD;
    log = Log::open(log.storage().clone(), Arc::from("a"), limits, 1).unwrap();
    append(&mut log, 1..=1);
    let mut next = log.read(1, usize::MAX).unwrap().next;
    let name = names(&log).remove(0);
    let header = encode_header(0, "a").len();
    for number in 2..=50 {
        append(&mut log, [number]);
        // Would end a reading from the beginning.
        storage.damage(&name, header + 100);
        let read = log.read(next, usize::MAX).unwrap();
        assert_eq!((numbers(&read), read.is_end), (vec![number], true));
        next = read.next;
        storage.damage(&name, header + 100);
    }
}

#[test]
fn a_segment_is_closed_when_it_is_full_or_old() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    let append = |log: &mut Log<_>, number, seconds| {
        log.append(&sized(number), Synced, Duration::from_secs(seconds))
            .unwrap();
    };
    append(&mut log, 1, 100);
    append(&mut log, 2, 999);
    assert_eq!((short(&log).len(), log.closed().len()), (1, 0));
    append(&mut log, 3, 1000);
    assert_eq!(short(&log), ["1", "3"]);
    assert_eq!(log.closed().len(), 1);
    log.close_if_old(Duration::from_secs(1899));
    assert_eq!(log.closed().len(), 1);
    log.close_if_old(Duration::from_secs(1900));
    assert_eq!(log.closed().len(), 2);
    // A record that is longer than a segment.
    let long = record(4, &[1; 5 * SIZE]);
    log.append(&long, Synced, Duration::ZERO).unwrap();
    append(&mut log, 5, 0);
    assert_eq!(short(&log), ["1", "3", "4", "5"]);
    let read = log.read(1, usize::MAX).unwrap();
    assert_eq!(numbers(&read), [1, 2, 3, 4, 5]);
    assert_eq!(log.bytes(), storage.used());
}

#[test]
fn numbers_ascend_and_may_be_missing() {
    let storage = Simulated::new(1);
    let mut log = Log::open(storage, Arc::from("a"), LIMITS, 5).unwrap();
    let refused = |log: &mut Log<_>, number| {
        let appended = log.append(&sized(number), Synced, Duration::ZERO);
        matches!(appended, Err(AppendError::Order))
    };
    assert!(refused(&mut log, 4));
    append(&mut log, [5, 9]);
    assert!(refused(&mut log, 9) && refused(&mut log, 6));
    append(&mut log, [11]);
    let read = log.read(5, usize::MAX).unwrap();
    assert_eq!(numbers(&read), [5, 9, 11]);
    assert_eq!(read.gaps, [gap(6, 8, false), gap(10, 10, false)]);
}

#[test]
fn after_an_error_a_segment_is_not_written_any_more() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, [1, 2]);
    storage.fail(1.0);
    assert!(log.append(&sized(3), Synced, Duration::ZERO).is_err());
    assert_eq!((short(&log), log.closed().len()), (vec!["1".to_owned()], 1));
    assert!(log.append(&sized(3), Synced, Duration::ZERO).is_err());
    storage.fail(0.0);
    append(&mut log, [3, 4]);
    assert_eq!(short(&log), ["1", "3"]);
    for log in [&mut log, &mut open(&storage).unwrap()] {
        let read = log.read(1, usize::MAX).unwrap();
        assert_eq!((numbers(&read), read.gaps), (vec![1, 2, 3, 4], vec![]));
    }
}

#[test]
fn a_full_storage_fails_until_there_is_room() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, [1]);
    storage.limit(storage.used() + SIZE as u64 / 2);
    let mut append_third = |number| log.append(&sized(number), Synced, Duration::ZERO);
    assert!(matches!(append_third(2), Err(AppendError::Write(_))));
    assert!(matches!(append_third(2), Err(AppendError::Write(_))));
    storage.limit(u64::MAX);
    append_third(2).unwrap();
    let read = log.read(1, usize::MAX).unwrap();
    assert_eq!((numbers(&read), read.gaps), (vec![1, 2], vec![]));
    assert_eq!(log.segments().len(), 2, "the empty segments are deleted");
}

#[test]
fn a_segment_that_was_not_written_does_not_stop_its_successor() {
    let storage = Simulated::new(1);
    let empty = SegmentName {
        first: 1,
        attempt: 0,
    };
    storage.create(&empty.to_string()).unwrap();
    let mut log = open(&storage).unwrap();
    append(&mut log, [1, 2]);
    assert_eq!(short(&log), ["1", "1-1"]);
    for log in [&mut log, &mut open(&storage).unwrap()] {
        assert_eq!((log.next(), log.bytes()), (3, storage.used()));
        let read = log.read(1, usize::MAX).unwrap();
        assert_eq!((numbers(&read), read.gaps), (vec![1, 2], vec![]));
    }
}

#[test]
fn a_file_that_exists_although_creating_it_failed_does_not_stop_its_successor() {
    let mut has_unknown = false;
    for seed in 0..50 {
        let storage = Simulated::new(seed);
        let mut log = open(&storage).unwrap();
        append(&mut log, 1..=3);
        storage.fail(0.5);
        // Begins a segment.
        let _ = log.append(&sized(4), Synced, Duration::ZERO);
        storage.fail(0.0);
        let files = storage.list().unwrap().len();
        if files > log.segments().len() {
            has_unknown = true;
            let again = log.append(&sized(4), Synced, Duration::ZERO);
            assert!(matches!(again, Err(AppendError::Create(_))), "{again:?}");
        }
        if log.next() == 4 {
            append(&mut log, [4]);
        }
        for log in [&mut log, &mut open(&storage).unwrap()] {
            let read = log.read(1, usize::MAX).unwrap();
            assert_eq!((numbers(&read), read.gaps), (vec![1, 2, 3, 4], vec![]));
            assert_eq!(log.segments().len(), storage.list().unwrap().len());
        }
    }
    assert!(has_unknown);
}

#[test]
fn damage_ends_its_segment_and_is_reported_as_a_gap() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, 1..=9);
    let header = encode_header(0, "a").len();
    storage.damage(&names(&log)[1], header + SIZE + 20);
    let mut log = open(&storage).unwrap();
    let read = log.read(1, usize::MAX).unwrap();
    assert_eq!(numbers(&read), [1, 2, 3, 4, 7, 8, 9]);
    assert_eq!(read.gaps, [gap(5, 6, false)]);
    // The header.
    storage.damage(&names(&log)[1], 20);
    // The beginning of the last segment: its numbers are not used again.
    storage.damage(&names(&log)[2], header + 20);
    let mut log = Log::open(storage, Arc::from("a"), LIMITS, 10).unwrap();
    append(&mut log, [10]);
    let read = log.read(1, usize::MAX).unwrap();
    assert_eq!(numbers(&read), [1, 2, 3, 10]);
    assert_eq!(read.gaps, [gap(4, 9, false)]);
}

#[test]
fn the_oldest_segments_are_deleted_but_not_the_one_that_is_written() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, 1..=7);
    let mut log = open(&storage).unwrap();
    append(&mut log, [8]);
    let deleted = log.delete_oldest().unwrap().unwrap();
    let tally = deleted.tally.unwrap();
    assert_eq!((tally.records, tally.rows, tally.last), (3, 9, 3));
    assert_eq!(log.bytes(), storage.used());
    let read = log.read(2, usize::MAX).unwrap();
    assert_eq!(numbers(&read), [4, 5, 6, 7, 8]);
    assert_eq!(read.gaps, [gap(2, 3, true)]);
    // Deleted by another program.
    storage.delete(&names(&log)[0]).unwrap();
    assert!(log.delete_oldest().unwrap().is_some());
    assert!(log.delete_oldest().unwrap().is_some());
    assert!(log.delete_oldest().unwrap().is_none());
    assert_eq!(short(&log), ["8"]);
    append(&mut log, [9]);
    assert_eq!(numbers(&log.read(2, usize::MAX).unwrap()), [8, 9]);
}

#[test]
fn records_are_counted_exactly() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, 1..=8);
    let mut log = open(&storage).unwrap();
    for (numbers, records) in [
        (0..=u64::MAX, 8),
        (1..=8, 8),
        (2..=8, 7),
        (3..=4, 2),
        (4..=6, 3),
        (5..=5, 1),
        (8..=99, 1),
        (9..=99, 0),
    ] {
        let counted = log.count(&numbers).unwrap();
        assert_eq!(
            (counted.records, counted.rows),
            (records, 3 * records),
            "{numbers:?}"
        );
    }
    assert!(!log.survey().unwrap(), "all segments were read");
}

#[test]
fn a_survey_reads_the_sums_of_all_segments() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, 1..=8);
    let expected: Vec<_> = log.segments().to_vec();
    let mut log = open(&storage).unwrap();
    let known = |log: &Log<_>| {
        log.segments()
            .iter()
            .filter(|it| it.tally.is_some())
            .count()
    };
    assert_eq!(known(&log), 1);
    while log.survey().unwrap() {}
    assert_eq!(log.segments(), expected);
    let tally = log.segments()[0].tally;
    assert_eq!(tally.map(|it| it.last), Some(3));
    assert_ne!(tally, Some(Tally::default()));
}

#[test]
fn unsynced_records_become_durable_with_the_next_one_or_at_the_end() {
    for (is_synced, is_closed) in [(false, false), (true, false), (false, true)] {
        let mut kept = 0;
        for seed in 0..50 {
            let storage = Simulated::new(seed);
            let mut log = open(&storage).unwrap();
            append(&mut log, [1]);
            log.append(&sized(2), Unsynced, Duration::ZERO).unwrap();
            assert_eq!((log.durable(), log.next()), (2, 3));
            if is_synced {
                append(&mut log, [3]);
            }
            if is_closed {
                log.close();
            }
            let durable = log.durable();
            storage.start(Crash::Power);
            let next = open(&storage).unwrap().next();
            assert!(next >= durable);
            kept += usize::from(next >= 3);
        }
        let all = if is_synced || is_closed {
            50..=50
        } else {
            1..=49
        };
        assert!(all.contains(&kept), "{kept} {is_synced} {is_closed}");
    }
}

#[test]
fn segments_of_another_version_or_account_are_refused() {
    let put = |name: SegmentName, header: &[u8]| {
        let storage = Simulated::new(1);
        let mut file = storage.create(&name.to_string()).unwrap();
        storage.append(&mut file, header).unwrap();
        open(&storage).unwrap_err().to_string()
    };
    let name = SegmentName {
        first: 7,
        attempt: 0,
    };
    let mut version = encode_header(7, "a");
    version[8] = 2;
    for (header, expected) in [
        (
            version,
            "was written by another version (its format has version 2, not 1)",
        ),
        (
            encode_header(7, "b"),
            "belongs elsewhere: it is a segment of account b",
        ),
    ] {
        assert_eq!(put(name, &header), format!("{name} {expected}"));
    }
}

fn put(storage: &Simulated, first: u64, attempt: u32, content: &[u8]) -> SegmentName {
    let name = SegmentName { first, attempt };
    let mut file = storage.create(&name.to_string()).unwrap();
    storage.append(&mut file, content).unwrap();
    storage.sync(&mut file).unwrap();
    storage.sync_directory().unwrap();
    name
}

#[test]
fn files_whose_names_cannot_be_right_do_not_move_the_end() {
    let copy = encode_header(1, "a");
    for (first, attempt, content, is_beyond) in [
        (u64::MAX, 0, &b""[..], true),
        (u64::MAX - 1, 0, b"damaged", true),
        (1008, 0, b"", true),
        (9, 0, b"", true),
        (9, 0, b"damaged", true),
        (9, 0, &copy, true),
        (500_000, 0, &copy, true),
        (5, 0, b"", true),
        (4, 1, b"damaged", true),
        (8, 0, b"", false),
        (8, u32::MAX, b"", true),
    ] {
        let storage = Simulated::new(1);
        let mut log = open(&storage).unwrap();
        append(&mut log, 1..=7);
        drop(log);
        let name = put(&storage, first, attempt, content);
        let mut log = open(&storage).unwrap();
        assert_eq!(log.next(), 8, "{name}");
        let aside: Vec<_> = log.aside().iter().map(|it| it.name).collect();
        assert_eq!(aside, Vec::from_iter(is_beyond.then_some(name)));
        append(&mut log, 8..=20);
        for log in [&mut log, &mut open(&storage).unwrap()] {
            for from in 1..=20 {
                let read = log.read(from, usize::MAX).unwrap();
                assert_eq!(numbers(&read), Vec::from_iter(from..=20), "{name}");
                assert!(read.gaps.is_empty(), "{name}");
            }
            assert_eq!(log.next(), 21, "{name}");
        }
        assert_eq!(storage.read(&name.to_string(), 0, 99).unwrap(), content);
    }
}

#[test]
fn segments_whose_names_are_swapped_are_not_read_and_count_as_lost() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, 1..=9);
    let (first, second) = (names(&log).remove(0), names(&log).remove(1));
    drop(log);
    let content = |name: &str| storage.read(name, 0, usize::MAX).unwrap();
    let contents = [content(&second), content(&first)];
    for (name, content) in [first, second].iter().zip(&contents) {
        storage.replace(name, content).unwrap();
    }
    let mut log = open(&storage).unwrap();
    let reasons: Vec<_> = log.aside().iter().map(|it| it.reason).collect();
    assert_eq!(reasons, [AsideReason::Renamed(4), AsideReason::Renamed(1)]);
    append(&mut log, [10]);
    let read = log.read(1, usize::MAX).unwrap();
    assert_eq!(numbers(&read), [7, 8, 9, 10]);
    assert_eq!(read.gaps, [gap(1, 6, false)]);
}

#[test]
fn a_storage_that_cannot_be_read_is_an_error_and_not_an_end() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, 1..=4);
    storage.fail(1.0);
    assert!(log.read(1, usize::MAX).is_err());
    assert!(log.delete_oldest().is_err());
    assert!(matches!(open(&storage), Err(OpenError::Io(_))));
    storage.fail(0.0);
    assert_eq!(numbers(&log.read(1, usize::MAX).unwrap()), [1, 2, 3, 4]);
}

#[test]
fn a_segment_that_others_delete_is_a_gap_and_not_written_any_more() {
    let storage = Simulated::new(1);
    let mut log = open(&storage).unwrap();
    append(&mut log, 1..=8);
    assert_eq!(short(&log), ["1", "4", "7"]);
    for name in [4, 7].map(|first| SegmentName { first, attempt: 0 }) {
        storage.delete(&name.to_string()).unwrap();
    }
    assert_eq!(numbers(&log.read(1, usize::MAX).unwrap()), [1, 2, 3]);
    append(&mut log, [9]);
    let read = log.read(1, usize::MAX).unwrap();
    assert_eq!(numbers(&read), [1, 2, 3, 9]);
    assert_eq!(read.gaps, [gap(4, 8, false)]);
    assert_eq!(log.count(&(1..=9)).unwrap().records, 4);
}

#[test]
fn narrow_bounds_have_short_segments() {
    let mib = 1 << 20;
    for (bytes, hours, expected) in [
        (10 << 30, 24, (64 * mib, 900)),
        (mib, 24, (mib / 8, 900)),
        (512 * mib, 1, (64 * mib, 450)),
        (u64::MAX, 0, (64 * mib, 10)),
    ] {
        let age = Duration::from_secs(hours * 3600);
        let limits = SegmentLimits::within(Bounds { bytes, age });
        assert_eq!((limits.bytes, limits.age.as_secs()), expected);
    }
}

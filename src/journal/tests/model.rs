//! The model of the journal: over thousands of random crashes, none loses an acknowledged record, none yields a record twice in one pass,
//! and none stops the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::simulated::{Crash, Simulated};
use crate::journal::cursors::Loaded;
use crate::journal::log::{Log, SegmentLimits};
use crate::journal::record::tests::record;
use crate::journal::{Cursor, Cursors, Durability, Memory, MemoryBudget, Record};

/// The number of crashes of one run.
const CRASHES: usize = 10_000;

/// The number of crashes of one journal.
const GENERATIONS: usize = 20;

const LIMITS: SegmentLimits = SegmentLimits {
    bytes: 1500,
    age: Duration::from_secs(60),
};

/// What the model knows about the journal.
#[derive(Default)]
struct Model {
    /// Every record that was ever passed to the journal. A number has several if its first record was not acknowledged before a crash.
    written: BTreeMap<u64, Vec<Record>>,
    /// The record of each number that was acknowledged, unless it was deleted since.
    acknowledged: BTreeMap<u64, Record>,
    /// The last cursor that was saved.
    saved: u64,
    /// The cursors whose saving began after that: the file may have any of them.
    attempted: Vec<u64>,
}

/// One process: from its start to its crash.
struct Process<'a> {
    storage: Simulated,
    rng: &'a mut Rng,
    model: &'a mut Model,
    log: Log<Simulated>,
    cursors: Cursors,
    memory: Memory,
    next: u64,
    now: Duration,
}

impl Process<'_> {
    /// Runs until the storage crashes.
    fn run(&mut self) {
        while !self.storage.has_crashed() {
            self.now += Duration::from_secs(self.rng.u64(0..4));
            match self.rng.u8(0..20) {
                0..10 => self.append(),
                10 | 11 => self.advance(),
                12..=14 => self.delete(),
                15 => self.log.close_if_old(self.now),
                16 => drop(self.log.survey()),
                17 => self
                    .storage
                    .fail([0.0, 0.0, 0.3, 1.0][self.rng.usize(0..4)]),
                18 => {
                    let room = [u64::MAX, self.storage.used() + self.rng.u64(0..900)];
                    self.storage.limit(room[self.rng.usize(0..2)]);
                }
                _ => self.read(),
            }
        }
    }

    /// A new record, behind those that wait in memory.
    fn append(&mut self) {
        let length = self.rng.usize(0..400);
        let payload: Vec<_> = std::iter::repeat_with(|| self.rng.u8(..))
            .take(length)
            .collect();
        let record = record(self.next, &payload);
        self.next += 1;
        let written = self
            .model
            .written
            .entry(record.header.sequence)
            .or_default();
        written.push(record.clone());
        assert!(self.memory.add(Arc::new(record)).is_empty());
        while let Some(record) = self.memory.first() {
            let number = record.header.sequence;
            let is_tick = self.rng.u8(0..8) == 0;
            let durability = match is_tick {
                true => Durability::Unsynced,
                false => Durability::Synced,
            };
            if self.log.append(record, durability, self.now).is_err() {
                return;
            }
            if !is_tick {
                self.model.acknowledged.insert(number, (**record).clone());
            }
            self.memory.remove_below(number + 1);
        }
    }

    fn advance(&mut self) {
        let cursor = self.cursors.destinations.values_mut().next().unwrap();
        // Records that wait in memory are sent, too.
        let next = self.rng.u64(cursor.next..=self.next.max(cursor.next));
        cursor.next = next;
        self.cursors.end = self.log.durable();
        self.model.attempted.push(next);
        if self.cursors.save(&self.storage).is_ok() {
            self.model.saved = next;
            self.model.attempted.clear();
        }
    }

    /// Deletes a segment that the saved cursor is past.
    fn delete(&mut self) {
        let Some(oldest) = self.log.closed().first() else {
            return;
        };
        let end = self.log.segments().get(1).map(|next| next.name.first);
        let Some(end) = end.filter(|end| *end <= self.model.saved) else {
            return;
        };
        let name = oldest.name;
        // It may be deleted, even if an error is reported.
        if self.log.delete_oldest().is_ok() {
            assert_ne!(self.log.segments().first().map(|it| it.name), Some(name));
        }
        self.model.acknowledged.retain(|number, _| *number >= end);
    }

    /// Reads in portions from a random number on. Errors are tried again later, by the next process at the latest.
    fn read(&mut self) {
        let from = self.rng.u64(0..=self.next);
        let _ = pass(&mut self.log, from, self.rng.usize(0..2000), self.model);
    }
}

/// Reads all records from a number on, and checks them. `None` if the storage fails.
fn pass(log: &mut Log<Simulated>, from: u64, most: usize, model: &Model) -> Option<Vec<u64>> {
    let (mut numbers, mut next) = (Vec::new(), from);
    loop {
        let read = log.read(next, most).ok()?;
        let mut missing = Vec::new();
        for gap in &read.gaps {
            missing.extend(gap.numbers.clone());
        }
        for record in read.records {
            let number = record.header.sequence;
            assert!(
                numbers.last().is_none_or(|last| *last < number),
                "twice: {number}"
            );
            let written = &model.written[&number];
            assert!(written.contains(&record), "never written: {number}");
            if let Some(acknowledged) = model.acknowledged.get(&number) {
                assert_eq!(*acknowledged, record, "another record: {number}");
            }
            numbers.push(number);
        }
        assert!(read.next >= next);
        let covered = numbers.iter().filter(|it| **it >= next).count() + missing.len();
        assert_eq!(
            covered as u64,
            read.next - next,
            "each number is read or missing"
        );
        if read.is_end {
            let expected = model.acknowledged.range(from..).map(|(number, _)| number);
            for number in expected {
                assert!(numbers.binary_search(number).is_ok(), "lost: {number}");
            }
            return Some(numbers);
        }
        next = read.next;
    }
}

/// Starts a process after a crash, and checks what is left. After the crash of a process the file of cursors is not necessarily durable,
/// until it is saved again.
fn start<'a>(
    storage: &Simulated,
    crash: Option<Crash>,
    rng: &'a mut Rng,
    model: &'a mut Model,
) -> Process<'a> {
    if let Some(crash) = crash {
        storage.start(crash);
    }
    storage.fail(0.0);
    storage.limit(u64::MAX);
    let mut cursors = match Cursors::load(storage).unwrap() {
        Loaded::Cursors(cursors) => cursors,
        Loaded::Absent => Cursors::default(),
        Loaded::Damaged => panic!("the file of cursors is damaged"),
    };
    let first = Cursor {
        next: 0,
        gap: None,
        shards: 1,
    };
    let destination = cursors.destinations.entry("d".into()).or_insert(first);
    let next = destination.next;
    let is_known = next == model.saved || model.attempted.contains(&next);
    assert!(is_known, "a cursor that was not saved: {next}");
    if crash == Some(Crash::Power) {
        (model.saved, model.attempted) = (next, vec![]);
    }
    let account = Arc::from("a");
    let mut log = Log::open(storage.clone(), account, LIMITS, cursors.floor()).unwrap();
    let last = model.acknowledged.keys().last();
    assert!(
        last.is_none_or(|last| *last < log.next()),
        "a number is used again"
    );
    assert!(next <= log.next(), "the cursor would skip new records");
    pass(&mut log, 0, rng.usize(0..2000), model).unwrap();
    pass(&mut log, next, usize::MAX, model).unwrap();
    Process {
        storage: storage.clone(),
        next: log.next(),
        rng,
        model,
        log,
        cursors,
        memory: Memory::new(MemoryBudget::new(MemoryBudget::STANDARD)),
        now: Duration::ZERO,
    }
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the output of a failed test repeats the run"
)]
fn no_crash_loses_or_repeats_a_record_or_stops_the_start() {
    let seed = Rng::new().u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut acknowledged = 0;
    for _ in 0..CRASHES / GENERATIONS {
        let storage = Simulated::new(rng.u64(..));
        let mut model = Model::default();
        let mut crash = None;
        for _ in 0..GENERATIONS {
            let steps = rng.u64(0..400);
            let mut process = start(&storage, crash, &mut rng, &mut model);
            storage.crash_after(steps);
            process.run();
            acknowledged += model.acknowledged.len();
            crash = Some([Crash::Process, Crash::Power][rng.usize(0..2)]);
        }
        drop(start(&storage, crash, &mut rng, &mut model));
    }
    assert!(acknowledged > CRASHES, "the model writes: {acknowledged}");
}

/// A crash at each single step of a process, and not only at random ones.
#[test]
fn no_step_is_unsafe() {
    for (crash, steps) in [Crash::Process, Crash::Power]
        .into_iter()
        .flat_map(|crash| (0..300).map(move |steps| (crash, steps)))
    {
        let mut rng = Rng::with_seed(7);
        let storage = Simulated::new(steps);
        let mut model = Model::default();
        let mut process = start(&storage, None, &mut rng, &mut model);
        storage.crash_after(steps);
        process.run();
        drop(start(&storage, Some(crash), &mut rng, &mut model));
    }
}

/// A start that crashes changes nothing for the next one.
#[test]
fn a_crash_in_the_start_is_harmless() {
    let mut rng = Rng::with_seed(8);
    let storage = Simulated::new(9);
    let mut model = Model::default();
    let mut process = start(&storage, None, &mut rng, &mut model);
    storage.crash_after(200);
    process.run();
    for steps in 0..50 {
        storage.start(Crash::Process);
        storage.crash_after(steps);
        let opened = Log::open(storage.clone(), Arc::from("a"), LIMITS, 0);
        assert_eq!(opened.is_err(), storage.has_crashed());
        drop(start(&storage, Some(Crash::Power), &mut rng, &mut model));
    }
}

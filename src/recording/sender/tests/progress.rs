//! A model of a sender that reads a journal and is interrupted at any time.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::decoder::tests::decoder;
use super::super::progress::{Progress, Step};
use crate::journal::{Cursor, Gap, Header, Kind, Record, payload};
use crate::recording::messages::ReadReply;
use crate::remote_write::{Limits, Window};

/// A row: the hash of its device, and its time.
type Row = (u64, i64);

#[derive(Debug, Clone)]
enum Op {
    /// Appends a record with a row of each of these devices, or a tick.
    Append(BTreeSet<u8>),
    /// A number without a record.
    Lose,
    /// Reads on by one step.
    Read,
    /// Takes or finishes the request of a shard.
    Send(u16),
    LiveFirst,
    Resize(u16),
    /// Decoding panics, so the state is lost.
    LoseState,
    /// The disk cannot be read from now on: only later records, which are in memory.
    Hang,
    /// The disk can be read again.
    Recover,
    /// The process ends, and another one continues at the cursor.
    Restart,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::btree_set(0_u8..6, 0..5).prop_map(Op::Append),
        1 => Just(Op::Lose),
        8 => Just(Op::Read),
        6 => (0_u16..4).prop_map(Op::Send),
        1 => Just(Op::LiveFirst),
        1 => (1_u16..4).prop_map(Op::Resize),
        1 => Just(Op::LoseState),
        2 => Just(Op::Hang),
        1 => Just(Op::Recover),
        1 => Just(Op::Restart),
    ]
}

struct Model {
    journal: Vec<Arc<Record>>,
    end: u64,
    /// The number from which records can be read, while the disk hangs.
    readable: Option<u64>,
    progress: Progress,
    limits: Limits,
    cursor: Cursor,
    in_flight: Vec<Option<Vec<Row>>>,
    /// The rows of requests that were finished.
    sent: BTreeSet<Row>,
    done: u64,
    is_restarted: bool,
}

fn record(sequence: u64, devices: &BTreeSet<u8>) -> Record {
    let received = 1_700_000_000_000_000_000 + 15_000_000_000 * sequence as i64;
    let rows = devices.iter();
    let rows: Vec<_> = rows
        .map(|device| format!(r#"["u",{received},"ut{device}",1]"#))
        .collect();
    let body = format!(
        r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId","Speed"]}}}},"metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}},"AlertsByDeviceType":{{}}}}}}}}"#,
        rows.join(",")
    );
    let kind = match devices.is_empty() {
        true => Kind::Tick,
        false => Kind::Answer,
    };
    Record {
        header: Header {
            sequence,
            incarnation: 1,
            batch: sequence,
            received,
            covers: 1000,
            rows: devices.len() as u32,
            oldest: received,
            newest: received,
            kind,
        },
        enums: Bytes::new(),
        payload: payload::compress(&body).unwrap(),
    }
}

impl Model {
    fn new(window: Window) -> Self {
        let limits = Limits {
            max_samples: 6,
            window,
        };
        let cursor = Cursor {
            next: 0,
            gap: None,
            shards: 1,
        };
        Self {
            journal: Vec::new(),
            end: 0,
            readable: None,
            progress: Progress::new(limits, cursor.clone(), 0),
            limits,
            cursor,
            in_flight: Vec::new(),
            sent: BTreeSet::new(),
            done: 0,
            is_restarted: false,
        }
    }

    fn play(&mut self, op: &Op) {
        match op {
            Op::Append(devices) => {
                self.journal.push(Arc::new(record(self.end, devices)));
                self.end += 1;
            }
            Op::Lose => self.end += 1,
            Op::Read => drop(self.read(false)),
            Op::Send(shard) => drop(self.send(*shard)),
            Op::LiveFirst => self.progress.live_first(self.end),
            Op::Resize(count) => self.progress.shards.resize(*count),
            Op::LoseState => drop(self.read(true)),
            Op::Hang => drop(self.readable.get_or_insert(self.end)),
            Op::Recover => self.readable = None,
            Op::Restart => {
                self.readable = None;
                self.progress = Progress::new(self.limits, self.cursor.clone(), self.end);
                self.in_flight.clear();
                self.is_restarted = true;
            }
        }
        if let Some((cursor, done)) = self.progress.advance() {
            self.cursor = cursor;
            self.done += done;
        }
    }

    /// Reads on by one step. Returns whether there was one.
    fn read(&mut self, loses_state: bool) -> bool {
        match self.progress.step(self.end) {
            Step::Wait => return false,
            Step::Read {
                lane,
                from,
                may_overtake,
                ..
            } => match self.reply(from, may_overtake) {
                Some(reply) => return self.progress.was_read(lane, from, reply),
                None => return self.progress.give_up_rewind(lane),
            },
            Step::Decode { lane, record } => {
                let mut decoder = self.progress.take_decoder(lane, decoder);
                if loses_state {
                    return true;
                }
                let slice = decoder.read(&record).unwrap();
                let header = &record.header;
                self.progress
                    .decoded(lane, header, decoder, Some(slice), None);
            }
        }
        true
    }

    /// What the journal replies; `None` if it cannot be read now.
    fn reply(&self, from: u64, may_overtake: bool) -> Option<ReadReply> {
        let readable = self.readable.unwrap_or(0);
        let records = self.journal.iter();
        let records = records.filter(|record| record.header.sequence >= from.max(readable));
        let records: Vec<_> = records.take(2).cloned().collect();
        if from < readable && (!may_overtake || records.is_empty()) {
            return None;
        }
        let first = records.first().map(|record| record.header.sequence);
        let missing = first.filter(|first| from >= readable && *first > from);
        let last = records.last().map(|record| record.header.sequence + 1);
        Some(ReadReply {
            records,
            next: last.unwrap_or(self.end),
            gaps: Vec::from_iter(missing.map(|first| Gap {
                numbers: from..=first - 1,
                is_deleted: false,
            })),
            end: self.end,
        })
    }

    /// Takes or finishes the request of a shard. Returns whether there was one.
    fn send(&mut self, shard: u16) -> bool {
        let at = usize::from(shard);
        self.in_flight
            .resize(self.in_flight.len().max(at + 1), None);
        if let Some(rows) = self.in_flight[at].take() {
            self.sent.extend(rows);
            self.progress.shards.finish(shard);
            return true;
        }
        let Some(request) = self.progress.shards.take(shard, 0, 0) else {
            return false;
        };
        let rows = request.rows.iter().map(|selected| {
            let slice = self.progress.slice(selected.sequence).unwrap();
            let row = &slice.rows()[selected.index as usize];
            assert_eq!(
                (row.hash, row.time),
                (selected.row.device, selected.row.time)
            );
            (row.hash, row.time)
        });
        self.in_flight[at] = Some(rows.collect());
        true
    }

    fn finish(&mut self) {
        self.readable = None;
        self.send_all();
    }

    /// Sends all that can be read.
    fn send_all(&mut self) {
        for _ in 0..10_000 {
            let mut is_busy = self.read(false);
            for shard in 0..4 {
                is_busy |= self.send(shard);
            }
            if let Some((cursor, done)) = self.progress.advance() {
                self.cursor = cursor;
                self.done += done;
            }
            if !is_busy {
                return;
            }
        }
        panic!("it never ends: {:?}", self.progress);
    }
}

fn expected(journal: &[Arc<Record>]) -> BTreeSet<Row> {
    let mut decoder = decoder();
    let mut rows = BTreeSet::new();
    for record in journal {
        let slice = decoder.read(record).unwrap();
        rows.extend(slice.rows().iter().map(|row| (row.hash, row.time)));
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever happens, each row of the journal is sent, and in the end nothing is in memory.
    #[test]
    fn all_rows_are_sent(ops in prop::collection::vec(any_op(), 0..80), has_window: bool) {
        let window = match has_window {
            true => Window::Unlimited,
            false => Window::Limited(std::time::Duration::ZERO),
        };
        let mut model = Model::new(window);
        for op in &ops {
            model.play(op);
        }
        model.finish();
        for row in expected(&model.journal) {
            prop_assert!(model.sent.contains(&row), "{row:?} is missing");
        }
        prop_assert_eq!(model.cursor.next, model.end);
        prop_assert_eq!(&model.cursor.gap, &None);
        prop_assert!(model.progress.is_empty());
        prop_assert!(model.progress.is_done(model.end));
        let rows: u64 = model.journal.iter().map(|record| u64::from(record.header.rows)).sum();
        // Rows of records that were done before a restart are counted once.
        prop_assert_eq!(model.done, rows);
        prop_assert!(model.is_restarted || model.progress.shards.is_drained());
    }
}

#[test]
fn records_in_memory_that_overtake_others_leave_a_gap() {
    let mut model = Model::new(Window::Unlimited);
    for _ in 0..4 {
        model.play(&Op::Append([1, 2].into()));
    }
    // The first two cannot be read now.
    model.readable = Some(2);
    model.send_all();
    assert_eq!(model.sent, expected(&model.journal[2..]));
    assert_eq!(
        (model.cursor.gap.clone(), model.cursor.next),
        (Some(0..=1), 4)
    );
    model.finish();
    assert_eq!(model.sent, expected(&model.journal));
}

#[test]
fn a_gap_that_cannot_be_read_is_read_later() {
    let mut model = Model::new(Window::Unlimited);
    for _ in 0..4 {
        model.play(&Op::Append([1, 2].into()));
    }
    model.play(&Op::LiveFirst);
    model.play(&Op::Hang);
    model.play(&Op::Append([1].into()));
    model.send_all();
    assert_eq!(
        (model.cursor.gap.clone(), model.cursor.next),
        (Some(0..=3), 5)
    );
    assert_eq!(model.done, 1);
    model.finish();
    assert_eq!(model.sent, expected(&model.journal));
    assert_eq!(model.done, 9);
}

#[test]
fn the_oldest_row_is_known_while_nothing_can_be_read() {
    let mut model = Model::new(Window::Unlimited);
    for _ in 0..3 {
        model.play(&Op::Append([1, 2].into()));
    }
    // The second record has no valid time, the third one that of another unit.
    let at: Vec<_> = model
        .journal
        .iter()
        .map(|one| one.header.received)
        .collect();
    for (number, oldest) in [(1, 0), (2, 1_700_000_000)] {
        let mut changed = Record::clone(&model.journal[number]);
        changed.header.oldest = oldest;
        model.journal[number] = Arc::new(changed);
    }
    let progress = &mut model.progress;
    assert_eq!(progress.oldest(None, None), None);
    assert_eq!(progress.oldest(None, Some(7)), Some(7));
    assert_eq!(progress.oldest(Some(5), Some(7)), Some(5));
    // Each record is read, decoded, sent and done.
    for (number, expected) in at.iter().enumerate() {
        while model.progress.slice(number as u64).is_none() {
            assert!(model.read(false));
        }
        let known = [Some(5), Some(i64::MAX)];
        assert_eq!(
            known.map(|known| model.progress.oldest(known, None)),
            [Some(*expected); 2]
        );
        while model.send(0) {}
        model.play(&Op::Send(0));
    }
    assert!(model.progress.is_done(3));
    // The next process looks for the record before the cursor first.
    let mut next = Progress::new(model.limits, model.cursor.clone(), 4);
    assert_eq!(next.oldest(Some(5), Some(7)), Some(5));
    let Step::Read { lane, from: 2, .. } = next.step(4) else {
        panic!("{next:?}");
    };
    assert!(next.was_read(lane, 2, model.reply(2, false).unwrap()));
    assert_eq!(next.oldest(Some(5), Some(7)), Some(at[2]));
}

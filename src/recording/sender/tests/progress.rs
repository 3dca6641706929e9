//! A model of a sender that reads a journal and is interrupted at any time.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::decoder::Decoder;
use super::super::progress::{Progress, Step};
use crate::fleet::FleetOptions;
use crate::history::{DestinationLabels, NameFilter, Options};
use crate::journal::{Cursor, Header, Kind, Record, payload};
use crate::remote_write::{Lane, Limits, Window};
use crate::telemetry::SharedSchemas;

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
        1 => Just(Op::Restart),
    ]
}

struct Model {
    journal: Vec<Arc<Record>>,
    end: u64,
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

fn decoder() -> Decoder {
    let options = Options {
        include_routers: true,
        retention: FleetOptions::STANDARD.retention,
        limits: FleetOptions::STANDARD.limits,
        names: NameFilter::default(),
        labels: DestinationLabels::default(),
    };
    Decoder::new(SharedSchemas::default(), Arc::new(options))
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
            Op::Restart => {
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
            Step::Read { lane, from, .. } => {
                let records = self.journal.iter();
                let records = records.filter(|record| record.header.sequence >= from);
                let records: Vec<_> = records.take(2).cloned().collect();
                let last = records.last().map(|record| record.header.sequence + 1);
                self.progress.read(lane, records, last.unwrap_or(self.end));
            }
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
        let Some(request) = self.progress.shards.take(shard, 0) else {
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
        prop_assert_eq!(model.progress.oldest(), None);
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
    let memory: Vec<_> = model.journal[2..].to_vec();
    assert!(matches!(
        model.progress.step(model.end),
        Step::Read {
            lane: Lane::Live,
            from: 0,
            ..
        }
    ));
    model.progress.overtaken(2);
    model.progress.read(Lane::Live, memory, 4);
    model.finish();
    assert_eq!(model.sent, expected(&model.journal));
}

//! A model of a journal and a receiver, against which all steps of the shards are checked.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// The most shards.
const SHARDS: u16 = 4;

#[derive(Debug, Clone)]
enum Step {
    /// Read a record, if one is wanted: the devices and times of its rows.
    Read(Lane, Vec<(u64, i64)>),
    Take(u16),
    Finish(u16),
    LiveFirst,
    Resize(u16),
    /// The process ends, and a new one begins at the position.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let rows = proptest::collection::vec((0_u64..8, 0_i64..6), 0..12);
    let lane = prop_oneof![Just(Lane::Live), Just(Lane::Gap)];
    prop_oneof![
        6 => (lane, rows).prop_map(|(lane, rows)| Step::Read(lane, rows)),
        6 => (0..SHARDS).prop_map(Step::Take),
        6 => (0..SHARDS).prop_map(Step::Finish),
        1 => Just(Step::LiveFirst),
        1 => (1..SHARDS).prop_map(Step::Resize),
        1 => Just(Step::Restart),
    ]
}

/// Shards, the journal that they read, and what they have sent.
struct Model {
    limits: Limits,
    state: Shards,
    journal: BTreeMap<u64, Vec<Row>>,
    /// The number of the next record.
    end: u64,
    /// How often the rows were sent: record, and position in it.
    done: BTreeMap<(u64, u32), u32>,
    in_flight: BTreeMap<u16, Request>,
    /// The time and record of the newest row of each device that was put into a request.
    newest: BTreeMap<u64, (i64, u64)>,
    /// The first requests that begin with a row: number of shards, record and position.
    requests: BTreeMap<(u16, u64, u32), Request>,
    restarts: u32,
    dropped: u64,
}

impl Model {
    fn new(limits: Limits) -> Self {
        let first = Position {
            next: 0,
            gap: None,
            shards: 1,
        };
        Self {
            limits,
            state: Shards::new(limits, &first),
            journal: BTreeMap::new(),
            end: 0,
            done: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            newest: BTreeMap::new(),
            requests: BTreeMap::new(),
            restarts: 0,
            dropped: 0,
        }
    }

    fn play(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Read(lane, rows) => self.read(lane, &rows),
            Step::Take(shard) => self.take(shard)?,
            Step::Finish(shard) => self.finish(shard),
            Step::LiveFirst => self.state.live_first(self.end),
            Step::Resize(count) => self.state.resize(count),
            Step::Restart => self.restart(),
        }
        let dropped = self.state.take_dropped();
        self.dropped += dropped.iter().map(|(_, count)| count).sum::<u64>();
        self.check_position()
    }

    /// Reads the wanted record, which is a new one with these rows if the journal has none.
    fn read(&mut self, lane: Lane, rows: &[(u64, i64)]) {
        let Some(from) = self.state.wants(lane) else {
            return;
        };
        let rows: Vec<Row> = match self.journal.get(&from) {
            Some(known) => known.clone(),
            None if lane == Lane::Gap => Vec::new(),
            None => {
                let rows = rows.iter();
                rows.map(|(device, time)| Row {
                    device: *device,
                    time: 10 * from as i64 + time,
                    samples: 10,
                    is_marker: false,
                })
                .collect()
            }
        };
        self.state.add(lane, from, &rows);
        self.journal.insert(from, rows);
        self.end = self.end.max(from + 1);
    }

    fn take(&mut self, shard: u16) -> Result<(), TestCaseError> {
        // Half of the shards are told that another record waits.
        let end = self.end + u64::from(shard % 2);
        let Some(request) = self.state.take(shard, NOW, end) else {
            return Ok(());
        };
        check(&request, &self.limits, self.state.count())?;
        if !self.limits.window.is_open() {
            self.check_order(&request)?;
        }
        prop_assert!(self.in_flight.insert(shard, request).is_none());
        Ok(())
    }

    /// Without a window, requests after a restart are those before it, and rows of a device are sent in the order of their times.
    fn check_order(&mut self, request: &Request) -> Result<(), TestCaseError> {
        let first = request.rows[0];
        let key = (self.state.count(), first.sequence, first.index);
        let known = self.requests.entry(key).or_insert_with(|| request.clone());
        prop_assert_eq!(&*known, request, "not the request before the restart");
        for row in &request.rows {
            let this = (row.row.time, row.sequence);
            let last = self.newest.insert(row.row.device, this);
            let is_newer = last.is_none_or(|last| last.0 < this.0 || last == this);
            prop_assert!(self.restarts > 0 || is_newer);
        }
        Ok(())
    }

    fn finish(&mut self, shard: u16) {
        self.state.finish(shard);
        let request = self.in_flight.remove(&shard);
        for row in request.into_iter().flat_map(|request| request.rows) {
            *self.done.entry((row.sequence, row.index)).or_default() += 1;
        }
    }

    fn restart(&mut self) {
        self.restarts += 1;
        self.in_flight.clear();
        let position = self.state.position();
        self.state = Shards::new(self.limits, &position);
        for row in self
            .journal
            .range(..position.next)
            .flat_map(|(_, rows)| rows)
        {
            self.state.seen(row);
        }
    }

    /// With a window, the cursor passes no row that is not done.
    fn check_position(&self) -> Result<(), TestCaseError> {
        let position = self.state.position();
        if self.limits.window.is_open() {
            for (sequence, rows) in self.journal.range(..position.next) {
                let is_gap = position
                    .gap
                    .as_ref()
                    .is_some_and(|gap| gap.contains(sequence));
                let is_sent = self.is_sent(*sequence, rows);
                prop_assert!(is_gap || is_sent, "record {sequence} at {position:?}");
            }
        }
        Ok(())
    }

    /// Whether all rows of a record are done, or repeat those of an earlier one.
    fn is_sent(&self, sequence: u64, rows: &[Row]) -> bool {
        (0..).zip(rows).all(|(index, row)| {
            self.done.contains_key(&(sequence, index)) || self.is_repeated(sequence, row)
        })
    }

    /// Whether an earlier record has a row of the device at the same time.
    fn is_repeated(&self, sequence: u64, row: &Row) -> bool {
        let mut earlier = self.journal.range(..sequence).flat_map(|(_, rows)| rows);
        earlier.any(|known| (known.device, known.time) == (row.device, row.time))
    }

    /// Reads and sends everything that the journal has.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..800 {
            for shard in 0..SHARDS {
                self.play(Step::Finish(shard))?;
                self.play(Step::Take(shard))?;
            }
            let is_read = self.state.wants(Lane::Live) == Some(self.end);
            if self.state.is_drained() && is_read && self.state.wants(Lane::Gap).is_none() {
                return Ok(());
            }
            for lane in [Lane::Gap, Lane::Live] {
                if self.state.wants(lane).is_some_and(|from| from < self.end) {
                    self.play(Step::Read(lane, Vec::new()))?;
                }
            }
        }
        Err(TestCaseError::fail("it never ends"))
    }
}

/// Checks what holds for each request.
fn check(request: &Request, limits: &Limits, count: u16) -> Result<(), TestCaseError> {
    prop_assert!(!request.rows.is_empty());
    let rows = request.rows.iter();
    let samples: u64 = rows.map(|row| u64::from(row.row.samples)).sum();
    prop_assert_eq!(samples, request.samples);
    prop_assert!(request.rows.len() == 1 || samples <= u64::from(limits.max_samples));
    let mut devices: Vec<u64> = request.rows.iter().map(|row| row.row.device).collect();
    let shard = u64::from(request.shard);
    prop_assert!(
        devices
            .iter()
            .all(|device| device % u64::from(count) == shard)
    );
    devices.dedup();
    let different: BTreeSet<u64> = devices.iter().copied().collect();
    prop_assert_eq!(
        different.len(),
        devices.len(),
        "rows of a device are not adjacent"
    );
    let is_ascending = request.rows.windows(2).all(|pair| {
        pair[0].row.device != pair[1].row.device || pair[0].row.time <= pair[1].row.time
    });
    prop_assert!(is_ascending);
    if !limits.window.is_open() {
        prop_assert_eq!(different.len(), request.rows.len());
        let first = request.rows[0].sequence;
        prop_assert!(request.rows.iter().all(|row| row.sequence == first));
    }
    Ok(())
}

proptest! {
    /// Whatever happens, each row is sent at least once, and exactly once without a restart. Without a window, the rows of a device are sent
    /// in the order of their times, those that are left out are older than one that was sent, and requests after a restart are those before.
    #[test]
    fn every_row_is_sent(
        steps in proptest::collection::vec(step(), 1..120),
        is_open in any::<bool>(),
        max_samples in 10_u32..80,
    ) {
        let window = if is_open { Window::Unlimited } else { NONE };
        let mut model = Model::new(Limits { max_samples, window });
        for step in steps {
            model.play(step)?;
        }
        model.drain()?;
        prop_assert_eq!(model.state.position().gap, None);
        if is_open {
            for (sequence, rows) in &model.journal {
                prop_assert!(model.is_sent(*sequence, rows), "record {}", sequence);
            }
        }
        if model.restarts == 0 {
            let rows: usize = model.journal.values().map(Vec::len).sum();
            let sent: u64 = model.done.values().map(|count| u64::from(*count)).sum();
            prop_assert_eq!(sent + model.dropped, rows as u64);
        }
    }
}

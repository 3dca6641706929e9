//! A simple model: maps of series for each device, without any sharing.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::history::devices::stable_hash;
use crate::telemetry::location::centre;

const STALE_AFTER: i64 = 120;
const IP_STALE_AFTER: i64 = 900;
const CELLS: [u64; 2] = [599_686_042_433_355_775, 599_686_043_507_097_599];

/// A row of a terminal, or of its allocation.
#[derive(Debug, Clone)]
struct TestRow {
    terminal: u8,
    /// Milliseconds after [`START`], and nanoseconds after those.
    time: (i64, i64),
    cells: Cells,
}

#[derive(Debug, Clone)]
enum Cells {
    Device {
        speed: Option<u8>,
        load: Option<u8>,
        version: Option<u8>,
        cell: Option<usize>,
        alerts: BTreeSet<u8>,
    },
    Allocation {
        account: Option<u8>,
        addresses: BTreeSet<u8>,
    },
}

#[derive(Debug, Clone)]
enum Step {
    /// Seconds covered, and rows.
    Answer(u8, Vec<TestRow>),
    Tick(u8),
    Moved(u8),
}

impl TestRow {
    fn nanoseconds(&self) -> i64 {
        (START + self.time.0) * 1_000_000 + self.time.1
    }

    fn json(&self) -> String {
        let number = |value: &Option<u8>| value.map_or("null".into(), |value| value.to_string());
        let text =
            |value: &Option<u8>| value.map_or("null".into(), |value| format!("\"v{value}\""));
        let (time, terminal) = (self.nanoseconds(), self.terminal);
        match &self.cells {
            Cells::Device {
                speed,
                load,
                version,
                cell,
                alerts,
            } => {
                let cell = cell.map_or("null".into(), |cell| CELLS[cell].to_string());
                let alerts = alerts
                    .iter()
                    .map(u8::to_string)
                    .collect::<Vec<_>>()
                    .join(",");
                format!(
                    r#"["u",{time},"ut{terminal}",{},{},{},null,{cell},[{alerts}]]"#,
                    number(speed),
                    number(load),
                    text(version),
                )
            }
            Cells::Allocation { account, addresses } => {
                let addresses = addresses.iter().map(|last| format!("\"0.0.0.{last}\""));
                let addresses = addresses.collect::<Vec<_>>().join(",");
                format!(
                    r#"["i",{time},"ip-ut{terminal}",{},null,[{addresses}],null,null]"#,
                    text(account),
                )
            }
        }
    }
}

/// Names and values of series without `starlink_info`.
type Values = BTreeMap<String, f64>;

#[derive(Debug, Clone, Default)]
struct ModelDevice {
    newest: Option<i64>,
    /// The series of the newest row.
    series: BTreeSet<String>,
    info: Option<String>,
    seen: i64,
    is_silent: bool,
    /// Nanoseconds, addresses and account.
    allocation: Option<(i64, BTreeSet<u8>, Option<u8>)>,
}

#[derive(Debug, Default)]
struct Model {
    devices: BTreeMap<u8, ModelDevice>,
    stream: i64,
    samples: Samples,
    duplicates: u64,
}

impl Model {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Answer(covers, rows) => {
                self.stream += i64::from(*covers);
                let terminals: BTreeSet<_> = rows.iter().map(|row| row.terminal).collect();
                for terminal in terminals {
                    let rows = rows.iter().filter(|row| row.terminal == terminal);
                    self.terminal(terminal, rows.collect());
                }
            }
            Step::Tick(covers) => self.stream += i64::from(*covers),
            Step::Moved(terminal) => drop(self.devices.remove(terminal)),
        }
        for (terminal, device) in &mut self.devices {
            let is_due = self.stream - device.seen >= STALE_AFTER;
            if let Some(newest) = device.newest.filter(|_| is_due && !device.is_silent) {
                device.is_silent = true;
                let is_reading = |name: &String| {
                    let others = ["Ipv4", "latitude", "longitude", "last_report"];
                    !others.iter().any(|other| name.contains(other))
                };
                for name in device.series.extract_if(.., |name| is_reading(name)) {
                    push(&mut self.samples, *terminal, &name, newest + 1, STALE);
                }
            }
        }
    }

    fn terminal(&mut self, terminal: u8, mut rows: Vec<&TestRow>) {
        rows.sort_by_key(|row| row.nanoseconds());
        let (devices, allocations): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|row| matches!(row.cells, Cells::Device { .. }));
        let mut by_time = BTreeMap::new();
        for row in devices {
            if by_time.insert(row.time.0, row).is_some() {
                self.duplicates += 1;
            }
        }
        let device = self.devices.entry(terminal).or_default();
        let mut allocations = allocations.into_iter().peekable();
        let last = by_time.keys().last().copied();
        for (time, row) in &by_time {
            let is_last = last == Some(*time);
            while let Some(row) = allocations.next_if(|row| is_last || row.time.0 <= *time) {
                device.allocate(row);
            }
            if device.newest == Some(START + *time) {
                self.duplicates += 1;
            } else {
                device.row(terminal, START + *time, row, self.stream, &mut self.samples);
            }
        }
        allocations.for_each(|row| device.allocate(row));
    }
}

impl ModelDevice {
    fn allocate(&mut self, row: &TestRow) {
        let Cells::Allocation { account, addresses } = &row.cells else {
            return;
        };
        let time = row.nanoseconds();
        if self
            .allocation
            .as_ref()
            .is_none_or(|(known, ..)| *known <= time)
        {
            self.allocation = Some((time, addresses.clone(), *account));
        }
    }

    fn row(&mut self, terminal: u8, time: i64, row: &TestRow, stream: i64, samples: &mut Samples) {
        let Cells::Device {
            speed,
            load,
            version,
            cell,
            alerts,
        } = &row.cells
        else {
            return;
        };
        let is_newest = self.newest.is_none_or(|newest| newest < time);
        self.seen = stream;
        let mut values = Values::new();
        let last_report = row.nanoseconds() as f64 / 1e9;
        values.insert("last_report_timestamp_seconds".into(), last_report);
        values.extend(speed.map(|value| ("Speed".into(), value.into())));
        values.extend(load.map(|value| ("Load".into(), value.into())));
        if let Some(cell) = cell {
            let centre = centre(CELLS[*cell]).unwrap();
            values.insert("H3CellId".into(), CELLS[*cell] as f64);
            values.insert("latitude".into(), centre.latitude);
            values.insert("longitude".into(), centre.longitude);
        }
        for alert in alerts {
            let name = match alert {
                82 => "pending".to_owned(),
                83 => "hot".to_owned(),
                other => other.to_string(),
            };
            values.insert(format!("alert_active_{name}"), 1.0);
        }
        let mut info = version.map(|version| format!(r#",version="v{version}""#));
        if let Some((reported, addresses, account)) = &self.allocation {
            let reported = reported / 1_000_000;
            let is_known = is_newest || reported <= time;
            if is_known && time < reported + IP_STALE_AFTER * 1000 {
                for (nth, last) in addresses.iter().enumerate() {
                    let name = match addresses.len() {
                        1 => "Ipv4_numeric".to_owned(),
                        _ => format!("Ipv4_numeric_{nth}"),
                    };
                    values.insert(name, (*last).into());
                }
            }
            if let Some(account) = account {
                let version = info.unwrap_or_default();
                info = Some(format!(r#"accountnumber="v{account}",@{version}"#));
            }
        }
        for (name, value) in &values {
            push(samples, terminal, name, time, *value);
        }
        let info = info.map(|info| {
            if info.contains('@') {
                info
            } else {
                format!("@{info}")
            }
        });
        if !is_newest {
            if let Some(info) = info {
                push_info(samples, terminal, &info, time, 1.0);
            }
            return;
        }
        for name in self
            .series
            .iter()
            .filter(|name| !values.contains_key(*name))
        {
            push(samples, terminal, name, time, STALE);
        }
        self.series = values.into_keys().collect();
        if let Some(before) = &self.info
            && self.info != info
        {
            push_info(samples, terminal, before, time, STALE);
        }
        // In the first row of each half minute, which begins for each device at another time.
        let hash = stable_hash(b"u", format!("ut{terminal}").as_bytes());
        let half_minute = |time: i64| (time + (hash % 30_000) as i64).div_euclid(30_000);
        let is_due = self.newest.map(half_minute) != Some(half_minute(time));
        if let Some(known) = &info
            && (is_due || self.info != info)
        {
            push_info(samples, terminal, known, time, 1.0);
        }
        self.info = info;
        self.newest = Some(time);
        self.is_silent = false;
    }
}

fn push(samples: &mut Samples, terminal: u8, name: &str, time: i64, value: f64) {
    let series =
        format!(r#"starlink_{name}{{deviceID="ut{terminal}",device_type="UserTerminal"}}"#);
    samples.insert((series, time), value.to_bits());
}

/// `info` has the labels, with `@` for those of the device.
fn push_info(samples: &mut Samples, terminal: u8, info: &str, time: i64, value: f64) {
    let device = format!(r#"deviceID="ut{terminal}",device_type="UserTerminal""#);
    let series = format!("starlink_info{{{}}}", info.replace('@', &device));
    samples.insert((series, time), value.to_bits());
}

fn row() -> impl Strategy<Value = TestRow> {
    let maybe = |most: u8| prop::option::weighted(0.8, 0..most);
    let alert = prop_oneof![Just(82_u8), Just(83), Just(84)];
    let device = (
        maybe(3),
        maybe(3),
        maybe(3),
        prop::option::of(0..2_usize),
        prop::collection::btree_set(alert, 0..3),
    );
    let device = device.prop_map(|(speed, load, version, cell, alerts)| Cells::Device {
        speed,
        load,
        version,
        cell,
        alerts,
    });
    let allocation = (maybe(2), prop::collection::btree_set(1..4_u8, 0..3));
    let allocation =
        allocation.prop_map(|(account, addresses)| Cells::Allocation { account, addresses });
    // Times 15 s apart, some milliseconds or nanoseconds later.
    let time = (0..100_i64, 0..2_i64, 0..2_i64);
    let time = time.prop_map(|(step, later, nanoseconds)| (step * 15_000 + later, nanoseconds));
    let cells = prop_oneof![4 => device, 1 => allocation];
    (0..3_u8, time, cells).prop_map(|(terminal, time, cells)| TestRow {
        terminal,
        time,
        cells,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let covers = || prop_oneof![Just(0_u8), 10..30_u8, 60..130_u8];
    prop_oneof![
        8 => (covers(), prop::collection::vec(row(), 0..12))
            .prop_map(|(covers, rows)| Step::Answer(covers, rows)),
        2 => covers().prop_map(Step::Tick),
        1 => (0..3_u8).prop_map(Step::Moved),
    ]
}

/// Answers whose rows are mostly in the order of their times, as the stream delivers them.
fn ordered(mut steps: Vec<Step>, shift: i64) -> Vec<Step> {
    for (number, step) in (0..).zip(&mut steps) {
        if let Step::Answer(_, rows) = step {
            for row in rows {
                let (time, later) = (row.time.0 / 15_000, row.time.0 % 15_000);
                row.time.0 = (time / shift + number * 3) * 15_000 + later;
            }
        }
    }
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn samples_equal_those_of_the_model(
        steps in prop::collection::vec(step(), 1..15),
        shift in prop_oneof![Just(1_i64), Just(20), Just(50)],
    ) {
        let mut world = World::new();
        world.now += 3_600_000;
        let mut model = Model::default();
        for step in ordered(steps, shift) {
            model.samples.clear();
            model.duplicates = 0;
            model.step(&step);
            let slice = match &step {
                Step::Answer(covers, rows) => {
                    let rows: Vec<_> = rows.iter().map(TestRow::json).collect();
                    let batch = world.batch(&rows.join(","));
                    world.slice(u32::from(*covers) * 1000, Content::Answer(&batch))
                }
                Step::Tick(covers) => world.slice(u32::from(*covers) * 1000, Content::Tick),
                Step::Moved(terminal) => {
                    let id = format!("ut{terminal}");
                    let key = DeviceKey { code: "u", id: &id };
                    world.slice(0, Content::Moved(&[key]))
                }
            };
            let samples = world.samples(&[&slice]);
            prop_assert_eq!(&samples, &model.samples, "{:?}", step);
            prop_assert_eq!(slice.counts.duplicate, model.duplicates);
        }
    }
}

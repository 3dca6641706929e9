//! What a receiver must have, and what it may have, of the rows that a simulator handed out: from the answers in its journal, by the
//! specification alone.
//!
//! - The gauges, alerts, place and last report of each row are required, at the time of the row. So are addresses, where the allocations
//!   of a terminal were the same all the time.
//! - `starlink_info` with the labels of a row is required within the minute before the row.
//! - Stale markers are allowed at the time of a row that lacks the series, and a millisecond after a row.
//! - Rows of an answer that a process may have lost when it ended are allowed, and not required.

use std::collections::{BTreeMap, BTreeSet};

use starlink_telemetry::simulator::{Outcome, Simulator};

use crate::model::answer::Answer;
use crate::model::oracle::{Oracle, SentAllocation, SentRow, Settings};
use crate::receiver::{STALE, Samples, is_own};

/// An answer that was handed out.
#[derive(Debug, Clone)]
pub struct Delivered {
    pub answer: Answer,
    /// Whether it must be in the journal of the service.
    pub is_certain: bool,
}

/// The answers with rows that a simulator handed out completely. The last one before each of `ends` of processes, which are numbers of polls,
/// may be lost.
pub fn delivered(simulator: &Simulator, ends: &[usize]) -> Vec<Delivered> {
    let journal = simulator.journal();
    let polls = journal.polls.iter().enumerate();
    let answered = polls.filter(|(_, poll)| {
        poll.outcome == Outcome::Answered && poll.status == Some(200) && poll.rows > 0
    });
    answered
        .map(|(number, poll)| {
            let body = poll.answer.as_ref().unwrap();
            Delivered {
                answer: Answer::parse(std::str::from_utf8(body).unwrap()),
                is_certain: !ends.contains(&(number + 1)),
            }
        })
        .collect()
}

/// The metric with the time of a row.
const LAST_REPORT: &str = "starlink_last_report_timestamp_seconds";

/// What the destination adds and can take.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'d> {
    /// The label `job`.
    pub job: &'d str,
    /// Whether the receiver takes rows that are older than the newest one of their device.
    pub has_window: bool,
    pub include_routers: bool,
}

impl Default for Destination<'_> {
    fn default() -> Self {
        Self {
            job: "starlink-telemetry",
            has_window: true,
            include_routers: false,
        }
    }
}

/// The settings of the model: everything is shown.
fn settings(include_routers: bool) -> Settings {
    Settings {
        include_routers,
        location: true,
        dropped: &[],
        stale_after: 120_000,
        ip_stale_after: 900_000,
        forget_after: 86_400_000,
        dated: true,
    }
}

/// A row at its time.
#[derive(Debug, Clone)]
struct Row {
    sent: SentRow,
    /// The number of its answer.
    number: usize,
    is_certain: bool,
}

/// A row of an allocation.
#[derive(Debug, Clone)]
struct Allocation {
    sent: SentAllocation,
    /// The number of its answer.
    number: usize,
    is_certain: bool,
}

/// A device: type and identifier.
type Device = (String, String);

/// The rows of all devices, in the order of their times.
#[derive(Debug, Default)]
pub struct Expected {
    job: String,
    /// By how much stored values may differ, as a part of the value: VictoriaMetrics stores decimal numbers.
    tolerance: f64,
    rows: BTreeMap<Device, BTreeMap<i64, Vec<Row>>>,
    allocations: BTreeMap<String, Vec<Allocation>>,
}

impl Expected {
    /// What is expected after these answers.
    pub fn of(answers: &[Delivered], destination: Destination<'_>) -> Self {
        let mut oracle = Oracle::new(settings(destination.include_routers));
        let mut expected = Self {
            job: destination.job.to_owned(),
            ..Self::default()
        };
        for (number, delivered) in answers.iter().enumerate() {
            let is_certain = delivered.is_certain;
            let (rows, allocations) = oracle.sent(&delivered.answer);
            for sent in allocations {
                let known = expected.allocations.entry(sent.id.clone());
                known.or_default().push(Allocation {
                    sent,
                    number,
                    is_certain,
                });
            }
            // Of two rows of a device at one time, the later one counts.
            let mut by_time = BTreeMap::new();
            for row in rows {
                let device = (row.device_type.clone(), row.id.clone());
                let time = row.timestamp.div_euclid(1_000_000);
                by_time.insert((device, time), row);
            }
            for ((device, time), sent) in by_time {
                let rows = expected.rows.entry(device).or_default();
                let newest = rows.last_key_value().map(|(newest, _)| *newest);
                let is_older = newest.is_some_and(|newest| time < newest);
                if is_older && !destination.has_window {
                    continue;
                }
                let known = rows.entry(time).or_default();
                // In a later answer, it is left out.
                if known.iter().all(|row| !row.is_certain) {
                    known.push(Row {
                        sent,
                        number,
                        is_certain,
                    });
                }
            }
        }
        expected
    }

    /// Accepts values that differ by this part.
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The series of gauges and alerts that end with a row, of rows that were delivered in the order of their times.
    pub fn markers(&self) -> Vec<Marker> {
        let mut markers = Vec::new();
        for (device, rows) in &self.rows {
            let labels = self.labels(device);
            for (before, row) in rows.iter().zip(rows.iter().skip(1)) {
                if !is_required(before.1) || !is_required(row.1) {
                    continue;
                }
                let (before, time, rows) = (*before.0, *row.0, [&before.1[0], &row.1[0]]);
                // Rows of one answer may be in any order.
                if rows[0].number >= rows[1].number || self.is_overtaken(device, rows[1]) {
                    continue;
                }
                let names = rows[0].sent.values.keys();
                let ended = names.filter(|name| !rows[1].sent.values.contains_key(*name));
                markers.extend(ended.map(|name| Marker {
                    series: format!("{name}{{{labels}}}"),
                    before,
                    time,
                }));
            }
        }
        markers
    }

    /// Whether an older answer has a newer row of the device.
    fn is_overtaken(&self, device: &Device, row: &Row) -> bool {
        let rows = self.rows[device].values().flatten();
        let newer = |other: &Row| other.sent.timestamp > row.sent.timestamp;
        let mut overtaking = rows.filter(|other| newer(other) && other.number <= row.number);
        overtaking.next().is_some()
    }

    /// What is missing of the certain rows from a time on, in milliseconds, wherever it should be: scraped samples have the times of scrapes.
    pub fn missing(&self, stored: &Samples, since: i64) -> Missing {
        let stored = by_name(stored);
        let mut missing = Missing::default();
        for (device, rows) in &self.rows {
            let named = stored.get(&(device.0.as_str(), device.1.as_str()));
            for (time, rows) in rows.range(since..).filter(|(_, rows)| is_required(rows)) {
                missing.add(&rows[0].sent, *time, named, self.tolerance);
            }
        }
        missing
    }

    /// The number of rows at different times.
    pub fn rows(&self) -> usize {
        self.rows.values().map(BTreeMap::len).sum()
    }

    /// The number of required samples.
    pub fn required(&self) -> usize {
        let rows = self.rows.values().flat_map(BTreeMap::values);
        rows.filter(|rows| is_required(rows))
            .map(|rows| rows[0].sent.values.len())
            .sum()
    }

    /// The differences between what is expected and the stored samples, the exporter's own series apart. None is the good result.
    pub fn problems(&self, stored: &Samples) -> Vec<String> {
        let mut problems = Vec::new();
        let mut explained: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        let by_device = self.by_device(stored);
        let (none, no_allocations, no_fields) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (device, rows) in &self.rows {
            let series = by_device.get(device).unwrap_or(&none);
            let allocations = self.allocations.get(&device.1).unwrap_or(&no_allocations);
            let history = OfDevice {
                labels: self.labels(device),
                tolerance: self.tolerance,
                rows,
                allocations,
                allocated: allocations
                    .iter()
                    .map(|known| &known.sent.infos)
                    .chain([&no_fields])
                    .collect(),
            };
            history.missing(stored, &mut problems);
            for &(text, samples) in series {
                for (&time, &bits) in samples {
                    match history.explains(text, time, bits) {
                        true => drop(explained.entry(text).or_default().insert(time)),
                        false => problems.push(format!(
                            "{text} has {} at {time}, which no row gives",
                            f64::from_bits(bits)
                        )),
                    }
                }
            }
        }
        for (text, samples) in stored.iter().filter(|(text, _)| !is_own(text)) {
            if !explained.contains_key(text.as_str()) && !by_device_has(&by_device, text) {
                let count = samples.len();
                problems.push(format!("{text} has {count} samples, and no device has it"));
            }
        }
        problems
    }

    /// The labels of a device in the order of their names, without braces.
    fn labels(&self, (device_type, id): &Device) -> String {
        let job = match self.job.as_str() {
            "" => String::new(),
            job => format!(r#",job="{job}""#),
        };
        format!(r#"deviceID="{id}",device_type="{device_type}"{job}"#)
    }

    /// The stored series of each device.
    fn by_device<'s>(&self, stored: &'s Samples) -> ByDevice<'s> {
        let mut by_device = ByDevice::new();
        let ids: BTreeMap<&str, Vec<&Device>> =
            self.rows.keys().fold(BTreeMap::new(), |mut ids, device| {
                ids.entry(device.1.as_str()).or_default().push(device);
                ids
            });
        for (text, samples) in stored.iter().filter(|(text, _)| !is_own(text)) {
            let id = text.split_once("deviceID=\"").map(|(_, rest)| rest);
            let id = id.and_then(|rest| rest.split('"').next()).unwrap_or("");
            let devices = ids.get(id).into_iter().flatten();
            let named = |device: &&&Device| text.contains(&format!("device_type=\"{}\"", device.0));
            if let Some(device) = devices.into_iter().find(named) {
                let series = by_device.entry((*device).clone()).or_default();
                series.push((text, samples));
            }
        }
        by_device
    }
}

/// Rows and samples that should be stored, and how many of them are not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    pub rows: usize,
    /// Rows whose last report is nowhere.
    pub missing_rows: usize,
    /// The gauges, alerts, place and last report of all rows.
    pub samples: usize,
    pub missing_samples: usize,
}

impl Missing {
    /// Counts a row, which is stored at its own time, or at the times of scrapes that have its last report.
    fn add(&mut self, row: &SentRow, time: i64, named: Option<&Named<'_>>, tolerance: f64) {
        let reports = named.and_then(|named| named.get(LAST_REPORT));
        let reported = row.timestamp as f64 / 1e9;
        let is_of_row = |bits: u64| (f64::from_bits(bits) - reported).abs() <= 0.001;
        let scraped = reports.into_iter().flatten();
        let times: BTreeSet<i64> = scraped
            .filter(|(_, bits)| is_of_row(*bits))
            .map(|(time, _)| *time)
            .collect();
        self.rows += 1;
        self.missing_rows += usize::from(times.is_empty());
        for (name, value) in &row.values {
            let points = named.and_then(|named| named.get(name.as_str()));
            let mut found = points.into_iter().flatten().filter(|(at, bits)| {
                let is_at = *at == time || times.contains(at);
                is_at && is_same(name, *bits, *value, tolerance)
            });
            self.samples += 1;
            self.missing_samples += usize::from(found.next().is_none());
        }
    }
}

/// The samples of a device, whatever else its series have as labels: the name of each metric with times and values.
type Named<'s> = BTreeMap<&'s str, Vec<(i64, u64)>>;

/// The stored samples of each type and identifier of devices.
fn by_name(stored: &Samples) -> BTreeMap<(&str, &str), Named<'_>> {
    let mut devices: BTreeMap<_, Named<'_>> = BTreeMap::new();
    for (series, samples) in stored {
        let label = |name: &str| {
            let value = series
                .split_once(&format!("{name}=\""))
                .map(|(_, rest)| rest);
            value.and_then(|rest| rest.split('"').next())
        };
        let (Some(device_type), Some(id)) = (label("device_type"), label("deviceID")) else {
            continue;
        };
        let name = series.split('{').next().unwrap_or_default();
        let named = devices.entry((device_type, id)).or_default();
        let points = samples.iter().map(|(time, bits)| (*time, *bits));
        named.entry(name).or_default().extend(points);
    }
    devices
}

/// Whether a stored value is the expected one. Seconds with nanoseconds may be rounded twice.
fn is_same(name: &str, bits: u64, value: f64, tolerance: f64) -> bool {
    let rounding = match name {
        LAST_REPORT => 1e-6,
        _ => 0.0,
    };
    let difference = (f64::from_bits(bits) - value).abs();
    bits == value.to_bits() || difference <= rounding + tolerance * value.abs()
}

/// The stored series of devices.
type ByDevice<'s> = BTreeMap<Device, Vec<(&'s str, &'s BTreeMap<i64, u64>)>>;

fn by_device_has(by_device: &ByDevice<'_>, text: &str) -> bool {
    let mut series = by_device.values().flatten();
    series.any(|(known, _)| *known == text)
}

/// The rows and allocations of one device.
struct OfDevice<'e> {
    labels: String,
    tolerance: f64,
    rows: &'e BTreeMap<i64, Vec<Row>>,
    allocations: &'e [Allocation],
    /// The different info fields of the allocations, and none.
    allocated: BTreeSet<&'e BTreeMap<String, String>>,
}

/// Whether a row is certain, or all that may be there are equal.
fn is_required(rows: &[Row]) -> bool {
    rows.len() == 1 && rows[0].is_certain
}

impl OfDevice<'_> {
    /// Looks for what is required.
    fn missing(&self, stored: &Samples, problems: &mut Vec<String>) {
        for (&time, rows) in self.rows.iter().filter(|(_, rows)| is_required(rows)) {
            let row = &rows[0].sent;
            let addresses = self.certain_addresses(&rows[0]);
            for (name, value) in row.values.iter().chain(addresses) {
                let text = format!("{name}{{{}}}", self.labels);
                let found = stored.get(&text).and_then(|samples| samples.get(&time));
                if found.is_none_or(|found| !is_same(name, *found, *value, self.tolerance)) {
                    let found = found.map(|bits| f64::from_bits(*bits));
                    let problem = format!("{text} has {found:?} at {time} instead of {value}");
                    problems.push(problem);
                }
            }
            let infos = self.infos_of(row);
            let is_told = |info: &String| {
                let samples = stored.get(info);
                let within = time - 60_000 + 1..=time;
                samples.is_some_and(|samples| {
                    let mut recent = samples.range(within);
                    recent.any(|(_, bits)| f64::from_bits(*bits) == 1.0)
                })
            };
            if !infos.is_empty() && !infos.iter().any(is_told) {
                problems.push(format!("no {infos:?} in the minute before {time}"));
            }
        }
    }

    /// Whether the rows give this sample, or allow it.
    fn explains(&self, text: &str, time: i64, bits: u64) -> bool {
        let Some(name) = text.split('{').next() else {
            return false;
        };
        if bits == STALE {
            // The fields of `starlink_info` change with the allocation, too.
            let lacks = |rows: &Vec<Row>| {
                let mut rows = rows.iter();
                rows.any(|row| !row.sent.values.contains_key(name))
            };
            let is_after_row = self.rows.contains_key(&(time - 1));
            return is_after_row || self.rows.get(&time).is_some_and(lacks);
        }
        let Some(rows) = self.rows.get(&time) else {
            return false;
        };
        rows.iter().any(|row| {
            if name == "starlink_info" {
                return f64::from_bits(bits) == 1.0 && self.has_info(&row.sent, text);
            }
            let given = row.sent.values.get(name);
            let addresses = self.allocations.iter();
            let mut addresses = addresses.filter_map(|known| known.sent.addresses.get(name));
            let is_given = |value: &f64| is_same(name, bits, *value, self.tolerance);
            given.is_some_and(is_given) || addresses.any(is_given)
        })
    }

    /// The addresses that a row must have: those of the allocation before it, if the terminal always had the same.
    fn certain_addresses(&self, row: &Row) -> impl Iterator<Item = (&String, &f64)> {
        let first = self.allocations.first();
        let is_equal = |known: &Allocation| {
            first.is_some_and(|first| first.sent.addresses == known.sent.addresses)
        };
        let is_known = |known: &Allocation| {
            let age = row.sent.timestamp - known.sent.timestamp;
            let is_before = known.is_certain && known.number <= row.number;
            is_before && (0..900_000_000_000).contains(&age)
        };
        let is_certain =
            self.allocations.iter().all(is_equal) && self.allocations.iter().any(is_known);
        let certain = first.filter(|_| is_certain);
        certain.into_iter().flat_map(|known| &known.sent.addresses)
    }

    /// The series of `starlink_info` that a row may have: with the fields of one of the allocations, or without.
    fn infos_of(&self, row: &SentRow) -> Vec<String> {
        let mut infos = BTreeSet::new();
        for allocation in &self.allocated {
            let mut fields = (*allocation).clone();
            fields.extend(row.infos.clone());
            if fields.is_empty() {
                return Vec::new();
            }
            let own = self.labels.split(',').map(str::to_owned);
            let fields = fields
                .iter()
                .map(|(key, value)| format!("{key}=\"{value}\""));
            // In the order of the names of the labels.
            let mut labels: Vec<String> = own.chain(fields).collect();
            labels.sort_by(|one, other| one.split('=').next().cmp(&other.split('=').next()));
            infos.insert(format!("starlink_info{{{}}}", labels.join(",")));
        }
        infos.into_iter().collect()
    }

    fn has_info(&self, row: &SentRow, text: &str) -> bool {
        self.infos_of(row).iter().any(|info| info == text)
    }
}

/// A series that ends.
#[derive(Debug, Clone)]
pub struct Marker {
    /// The series in the language of queries.
    pub series: String,
    /// The time of its last sample, in milliseconds.
    pub before: i64,
    /// The time of the marker.
    pub time: i64,
}

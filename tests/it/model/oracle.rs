//! A second implementation of the rules: simple, slow, and written from the specification, not from the service's code.
//!
//! Where the specification leaves a choice, the model does the following:
//! - A row that a later one of the same answer replaces counts only as received; its cells are not checked. Nor are those of
//!   ignored and rejected rows, and of alert columns of types without alerts.
//! - A cell that cannot be read is counted even if the metric names of its column are in use already.
//! - Names are taken column by column, gauges apart from info keys, whether or not a row fills them. `H3CellId` takes its key
//!   too; the address columns of an allocation take none.
//! - An integer is one of 64 bits with a sign. Any other number in an allocation's info field is written as an `f64` without
//!   an exponent, `true` as `true`; in a list every element is written as it is spelled.
//! - A list with a list, an object or an unreadable string in it cannot be read.
//! - An empty type code counts as absent, and so does an empty type name. A type has the name of the last answer in which a row of it
//!   counted, for all its devices. A name of the enum has precedence over an equal code without a name. Where a
//!   type has the name of an earlier answer with another enum, the code of the earlier type is appended to its name.
//! - An allocation is older than another of the same terminal, with or without `ip-`, within `STALE_AFTER`. It is forgotten
//!   when it is old enough and its terminal is not known. `ip-` alone is not an identifier.
//! - A CIDR whose prefix is too long is not an address.
//! - A single alert code is a list of one; every other element that is not a code counts as a cell. An empty string is
//!   absent, there as elsewhere.
//! - Where Starlink's clock is not known, the upper of two middle timestamps is the median; rows count for it even if something else
//!   is wrong with them.
//! - A list in `H3CellId` is not a cell.
//! - In a restart an info field of an allocation is lost if fields are left out by name and the name does not follow from its key.
//! - A field that a setting leaves out takes no name and is not checked. Alert columns are not fields.
//! - At exactly the limit a device is stale, silent or forgotten.
//! - A row of a device counts for its account's silence about it also where it is older, but only where another account has had the
//!   last row that counted. The account of an allocation without a known terminal is the first that had a row of it; after that
//!   it is the account of the terminal. A removed account exists again with its next answer, if that comes before its devices are removed.

#[path = "oracle/rows.rs"]
mod rows;
#[path = "oracle/sent.rs"]
mod sent;
#[path = "oracle/shown.rs"]
mod shown;
#[path = "oracle/values.rs"]
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use self::sent::{SentAllocation, SentRow};
pub use self::values::sanitised;
use self::values::*;
use super::answer::{Answer, Columns, Json, Names};

/// Starlink's clock at the start, in nanoseconds since 1970.
pub const START: i64 = 1_756_537_212_000_000_000;

/// The names of the accounts.
pub const ACCOUNTS: [&str; 3] = ["one", "two", "three"];

/// The settings that affect scrapes. Times are in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub include_routers: bool,
    pub location: bool,
    /// The names in `DROP_FIELDS`, without patterns.
    pub dropped: &'static [&'static str],
    pub stale_after: u64,
    pub ip_stale_after: u64,
    pub forget_after: u64,
    /// Whether answers have a `Date` header.
    pub dated: bool,
}

/// The counts of an answer's rows (received, ignored, rejected) and of its rejected cells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub rows: BTreeMap<&'static str, u64>,
    pub ignored: BTreeMap<&'static str, u64>,
    pub rejected: BTreeMap<&'static str, u64>,
    /// Rejected cells by type and device, only of the rows that are shown after the answer: the cells of a row that a later one of the
    /// same answer replaces are not checked.
    pub cells: BTreeMap<(String, String), u64>,
    /// Those of them in `H3CellId` that are readable but not the index of an H3 cell.
    pub non_cells: BTreeMap<(String, String), u64>,
}

/// Keys and values in order.
pub type Labels = Vec<(String, String)>;

/// A sample's name and its labels.
pub type Series = (String, Labels);

/// The expected content of a scrape.
#[derive(Debug, Default)]
pub struct Expected {
    /// All samples except `starlink_info`.
    pub samples: BTreeMap<Series, f64>,
    /// The devices with info fields.
    pub infos: Vec<Info>,
}

/// The info fields of a device.
#[derive(Debug)]
pub struct Info {
    pub device_type: String,
    pub device: String,
    pub fields: Vec<(String, String)>,
    /// The number of fields at the beginning whose order is not checked: the device's own fields, if its type has had another column list
    /// since its last row. Otherwise 0.
    pub unordered: usize,
}

/// The last accepted row of a device. Times are in milliseconds.
#[derive(Debug)]
struct Device {
    timestamp: i64,
    /// When it arrived, by the exporter's clock.
    seen: u64,
    /// When it arrived, in the stream time of its account.
    heard: u64,
    /// When its account last sent a row of the device.
    delivered: u64,
    gauges: Vec<(String, f64)>,
    place: Option<(f64, f64)>,
    alerts: BTreeSet<String>,
    infos: Vec<(String, String)>,
    /// Whether its type has had another column list since.
    outdated: bool,
}

/// The last accepted row of an IP allocation.
#[derive(Debug)]
struct Allocation {
    timestamp: i64,
    seen: u64,
    addresses: Vec<(String, f64)>,
    infos: Vec<(String, String)>,
}

/// The stream of an account.
#[derive(Debug, Default)]
struct Stream {
    time: u64,
    /// Whether at least ten devices were online when the last rows arrived.
    is_crowd: bool,
    /// The time since then that answers without rows have covered.
    empty: u64,
    /// Whether an answer has arrived since the devices of the account were removed.
    is_known: bool,
    /// When the account was removed.
    removed: Option<u64>,
}

/// The whole state.
#[derive(Debug)]
pub struct Oracle {
    settings: Settings,
    now: u64,
    streams: [Stream; ACCOUNTS.len()],
    /// The account of each device and each allocation, by table and identifier.
    owners: BTreeMap<(String, String), usize>,
    /// The account of the current answer.
    account: usize,
    /// The latest timestamp in the current answer that does not count as in the future.
    latest: Option<i64>,
    /// The names of the last enum seen.
    type_names: Names,
    /// The names of the types in the fleet: those of the last answer with an accepted row of the type.
    shown_names: Names,
    alert_names: BTreeMap<String, Names>,
    /// The last column list of each type.
    columns: Columns,
    /// By type code and identifier.
    devices: BTreeMap<(String, String), Device>,
    /// By the terminal's identifier.
    allocations: BTreeMap<String, Allocation>,
}

/// The content of a cell of an ordinary column.
enum Judged {
    Absent,
    Gauge(f64),
    Info(String),
    Rejected,
}

/// What a column may give.
struct Field {
    position: usize,
    name: String,
    /// The name of its gauge, unless that is taken.
    gauge: Option<String>,
    /// Its info key, unless that is taken.
    key: Option<String>,
}

const ALERT_COLUMNS: [&str; 4] = ["ActiveAlerts", "ActiveAlert", "Alerts", "ActiveAlertIds"];
const ADDRESS_COLUMNS: [&str; 3] = ["Ipv4", "Ipv6Ue", "Ipv6Cpe"];
const PLACES: [&str; 6] = [
    "latitude",
    "longitude",
    "altitude",
    "h3cell",
    "geohash",
    "location",
];

/// The earliest timestamp that a row may have: 2019-01-01 00:00:00 UTC.
const START_OF_2019: i64 = 1_546_300_800_000_000_000;

/// The timestamp of a row, if it has one that can be.
fn stamp(row: &Json, answer: &Answer) -> Option<i64> {
    let Json::List(cells) = row else {
        return None;
    };
    let Some(Json::Text(code)) = cells.first().filter(|code| **code != Json::text("")) else {
        return None;
    };
    let columns = answer.columns.get(code)?;
    let column = columns
        .iter()
        .position(|column| column.as_deref() == Some("UtcTimestampNs"))?;
    let Some(Json::Number(spelled)) = cells.get(column) else {
        return None;
    };
    spelled
        .parse()
        .ok()
        .filter(|timestamp| *timestamp >= START_OF_2019)
}

impl Oracle {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: 0,
            streams: Default::default(),
            owners: BTreeMap::new(),
            account: 0,
            latest: None,
            type_names: Names::new(),
            shown_names: Names::new(),
            alert_names: BTreeMap::new(),
            columns: Columns::new(),
            devices: BTreeMap::new(),
            allocations: BTreeMap::new(),
        }
    }

    /// Time advances to `now`: devices that were silent for too long are forgotten. Returns whether any were.
    pub fn wait(&mut self, now: u64) -> bool {
        self.now = now;
        let before = self.devices.len() + self.allocations.len();
        let forget_after = self.settings.forget_after;
        self.devices
            .retain(|_, device| now - device.seen < forget_after);
        let devices = &self.devices;
        self.allocations.retain(|terminal, allocation| {
            let known = devices.contains_key(&("u".to_owned(), terminal.clone()));
            known || now - allocation.seen < forget_after
        });
        let ended = self.end_accounts();
        let (devices, allocations) = (&self.devices, &self.allocations);
        self.owners.retain(|key, _| {
            let has_allocation = key.0 == "u" && allocations.contains_key(&key.1);
            devices.contains_key(key) || has_allocation
        });
        ended || self.devices.len() + self.allocations.len() < before
    }

    /// Removes the devices of accounts that were removed long enough ago.
    fn end_accounts(&mut self) -> bool {
        let mut ended = false;
        for (account, stream) in self.streams.iter_mut().enumerate() {
            let end = stream
                .removed
                .map(|removed| removed + self.settings.stale_after);
            if end.is_none_or(|end| self.now < end) {
                continue;
            }
            ended = true;
            *stream = Stream::default();
            let owners = &self.owners;
            let is_its = |code: &str, id: &str| {
                owners.get(&(code.to_owned(), id.to_owned())) == Some(&account)
            };
            self.devices.retain(|(code, id), _| !is_its(code, id));
            self.allocations.retain(|id, _| !is_its("u", id));
        }
        ended
    }

    /// An account is no longer configured.
    pub fn remove(&mut self, account: usize) {
        let now = self.now;
        let stream = &mut self.streams[account];
        if stream.is_known {
            stream.removed.get_or_insert(now);
        }
    }

    /// The account of a device after a row of the current answer. A device that is not known gets the account of the answer.
    fn owner(&self, key: &(String, String)) -> usize {
        let Some(&owner) = self.owners.get(key) else {
            return self.account;
        };
        let known = self.devices.get(key);
        let is_silent =
            known.is_none_or(|known| self.now - known.delivered >= self.settings.stale_after);
        let moves = is_silent || self.streams[owner].removed.is_some();
        match owner != self.account && moves {
            true => self.account,
            false => owner,
        }
    }

    /// A restart: a new process reads the state file.
    pub fn restart(&mut self) {
        for account in 0..self.streams.len() {
            self.streams[account].is_crowd = self.online_at_last(account) >= 10;
            self.streams[account].empty = 0;
            // An account of the state file counts as configured until it is removed again.
            self.streams[account].removed = None;
        }
        for device in self.devices.values_mut() {
            device.delivered = device.seen;
        }
        if self.settings.dropped.is_empty() {
            return;
        }
        let dropped = self.settings.dropped;
        let may_be_dropped = |key: &str| {
            key.contains('_') || dropped.iter().any(|name| name.eq_ignore_ascii_case(key))
        };
        for allocation in self.allocations.values_mut() {
            allocation.infos.retain(|(key, _)| !may_be_dropped(key));
        }
    }

    /// An answer that covers the time since `from` arrives at `now`.
    pub fn answer(&mut self, account: usize, answer: &Answer, from: u64, now: u64) -> Counts {
        self.wait(now);
        self.account = account;
        self.streams[account].removed = None;
        self.streams[account].is_known = true;
        self.advance_stream(answer, now - from);
        if let Some(names) = &answer.device_types {
            self.type_names = names.clone();
        }
        for (code, names) in &answer.alerts {
            self.alert_names.insert(code.clone(), names.clone());
        }
        for ((code, _), device) in &mut self.devices {
            let columns = answer.columns.get(code);
            device.outdated |=
                columns.is_some_and(|columns| Some(columns) != self.columns.get(code));
        }
        self.columns.extend(answer.columns.clone());
        self.latest = self.latest(answer);
        let mut counts = Counts::default();
        let mut named = BTreeSet::new();
        for row in &answer.rows {
            let code = match row {
                Json::List(cells) => cells.first(),
                _ => None,
            };
            let known = ["u", "r", "i", "d"].into_iter();
            let code = known
                .into_iter()
                .find(|known| code == Some(&Json::text(known)));
            *counts.rows.entry(code.unwrap_or("other")).or_default() += 1;
            if let Err(rejected) = self.row(row, answer, &mut counts, &mut named) {
                *counts.rejected.entry(rejected).or_default() += 1;
            }
        }
        self.name_types(answer, named);
        if !answer.rows.is_empty() {
            self.streams[account].is_crowd = self.online() >= 10;
        }
        counts
    }

    /// Advances the stream time of the account by the time that the answer covers. If ten or more devices were online, answers without
    /// rows advance it only after they have covered 45 minutes.
    fn advance_stream(&mut self, answer: &Answer, covered: u64) {
        let stream = &mut self.streams[self.account];
        if answer.rows.is_empty() && stream.is_crowd && stream.empty < 45 * 60_000 {
            stream.empty += covered;
            return;
        }
        if !answer.rows.is_empty() {
            stream.empty = 0;
        }
        stream.time += covered;
    }

    /// The number of devices of the answer's account that are online.
    fn online(&self) -> usize {
        let is_online = |(key, device): &(&(String, String), &Device)| {
            let is_its = self.owners.get(*key) == Some(&self.account);
            is_its && self.now - device.seen < self.settings.stale_after
        };
        self.devices.iter().filter(is_online).count()
    }

    /// The number of devices of an account that were online when its last row arrived.
    fn online_at_last(&self, account: usize) -> usize {
        let devices = self.devices.iter();
        let its = devices.filter(|(key, _)| self.owners.get(*key) == Some(&account));
        let seen: Vec<_> = its.map(|(_, device)| device.seen).collect();
        let last = seen.iter().max().copied().unwrap_or_default();
        let is_online = |seen: &&u64| last - **seen < self.settings.stale_after;
        seen.iter().filter(is_online).count()
    }

    /// The latest accepted timestamp: ten minutes after Starlink's clock, or after the median timestamp of the answer if that clock is
    /// not known.
    fn latest(&self, answer: &Answer) -> Option<i64> {
        let now = if self.settings.dated {
            START + i64::try_from(self.now).unwrap() * 1_000_000
        } else {
            let mut timestamps: Vec<_> = answer
                .rows
                .iter()
                .filter_map(|row| stamp(row, answer))
                .collect();
            timestamps.sort_unstable();
            *timestamps.get(timestamps.len() / 2)?
        };
        Some(now.saturating_add(600 * 1_000_000_000))
    }
}

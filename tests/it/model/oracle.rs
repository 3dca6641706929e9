//! A second implementation of the rules: simple, slow, and written from the specification, not from the service's code.
//!
//! Where the specification leaves a choice, the model does the following:
//! - A row that a later one of the same answer replaces counts only as received; its cells are not checked. Neither are those of
//!   ignored and rejected rows, and of alert columns of types without alerts.
//! - A cell that cannot be read is counted even if the metric names of its column are in use already.
//! - Names are taken column by column, gauges apart from info keys, whether or not a row fills them. `H3CellId` takes its key
//!   too; the address columns of an allocation take none.
//! - An integer is one of 64 bits with a sign. Any other number in an allocation's info field is written as an `f64` without
//!   an exponent, `true` as `true`; in a list every element stands as it is spelled.
//! - A list with a list, an object or an unreadable string in it cannot be read.
//! - An empty type code is none, and so is an empty type name. A type bears the name of the last answer in which a row of it
//!   counted, for all its devices. A code that the enum has no name for gives way to a name of the enum that is the same. Where a
//!   type has the name from an earlier answer with another enum, the earlier one gets its code behind its name.
//! - An allocation is older than another of the same terminal, with or without `ip-`, within `STALE_AFTER`. It is forgotten
//!   when it is old enough and its terminal is not known. `ip-` alone names nobody.
//! - A CIDR whose prefix is too long is no address.
//! - An alert code that stands alone is a list of one; every other element that is no code counts as a cell. An empty string is
//!   absent, there as elsewhere.
//! - Where Starlink's clock is not known, the upper of two middle timestamps is the median; rows count for it whatever else
//!   is wrong with them.
//! - A list in `H3CellId` is no cell, whatever is in it.
//! - Over a restart an info field of an allocation is lost where fields are left out by name and its key does not tell its name.
//! - A field that a setting leaves out takes no name and is not looked at. Alert columns are no fields.
//! - At exactly the limit a device is stale, silent or forgotten.
//! - A row of a device counts for its account's silence about it also where it is older, but only where another account has had the
//!   last row that counted. The account of an allocation that waits for its terminal is the first that had a row of it; after that
//!   it goes where its terminal goes. A removed account is there again with its next answer, if that comes before its devices go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::answer::{Answer, Columns, Json, Names};

/// What Starlink's clock shows at the start, in nanoseconds since 1970.
pub const START: i64 = 1_756_537_212_000_000_000;

/// The names of the accounts.
pub const ACCOUNTS: [&str; 3] = ["one", "two", "three"];

/// The settings that change what is shown. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub include_routers: bool,
    pub location: bool,
    /// The names of `DROP_FIELDS`: here each is one name.
    pub dropped: &'static [&'static str],
    pub stale_after: u64,
    pub ip_stale_after: u64,
    pub forget_after: u64,
    /// Whether answers say what time it is.
    pub dated: bool,
}

/// What became of the rows and cells of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub rows: BTreeMap<&'static str, u64>,
    pub ignored: BTreeMap<&'static str, u64>,
    pub rejected: BTreeMap<&'static str, u64>,
    /// Rejected cells of the rows that count after the answer, by type and device: a row that a later one of the same answer
    /// replaces is never shown, nor are its cells looked at.
    pub cells: BTreeMap<(String, String), u64>,
    /// Those of them that name no cell.
    pub places: BTreeMap<(String, String), u64>,
}

/// Keys and values in order.
pub type Labels = Vec<(String, String)>;

/// A sample's name and its labels.
pub type Series = (String, Labels);

/// What a scrape has to show.
#[derive(Debug, Default)]
pub struct Expected {
    /// Everything but `starlink_info`.
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
    /// How many of the fields, the first ones, are the device's own and may stand in any order: those of a row whose column
    /// list is no longer its type's last. Else 0.
    pub unordered: usize,
}

/// The last row of a device that counted.
#[derive(Debug)]
struct Device {
    timestamp: i64,
    /// When it came, by the exporter's clock.
    seen: u64,
    /// When it came, in the stream time of its account.
    heard: u64,
    /// When its account last had a row of it.
    delivered: u64,
    gauges: Vec<(String, f64)>,
    place: Option<(f64, f64)>,
    alerts: BTreeSet<String>,
    infos: Vec<(String, String)>,
    /// Whether its type has had another column list since.
    outdated: bool,
}

/// The last row of an IP allocation that counted.
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
    /// Whether at least ten devices were online when rows came last.
    is_crowd: bool,
    /// The time that answers without rows have covered since.
    empty: u64,
    /// Whether it has had an answer, since its devices went.
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
    /// Whose answer it is.
    account: usize,
    /// The latest timestamp of the answer's rows that is not in the future.
    latest: Option<i64>,
    /// The names of the last enum seen.
    type_names: Names,
    /// The names that the types bear: those of the last answer in which a row of the type counted.
    borne_names: Names,
    alert_names: BTreeMap<String, Names>,
    /// The last column list of each type.
    columns: Columns,
    /// By type code and identifier.
    devices: BTreeMap<(String, String), Device>,
    /// By the terminal's identifier.
    allocations: BTreeMap<String, Allocation>,
}

/// What a cell of an ordinary column is.
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
            borne_names: Names::new(),
            alert_names: BTreeMap::new(),
            columns: Columns::new(),
            devices: BTreeMap::new(),
            allocations: BTreeMap::new(),
        }
    }

    /// Time goes on to `now`: who has been silent for too long is forgotten. Says whether anybody was.
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

    /// The devices of accounts that were removed a while ago go.
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

    /// Whose device it is that a row of the answer is about: the account that has it from now on. A device that is
    /// not known goes to the account that has a row of it.
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

    /// Another process goes on with what is known.
    pub fn restart(&mut self) {
        for account in 0..self.streams.len() {
            self.streams[account].is_crowd = self.online_at_last(account) >= 10;
            self.streams[account].empty = 0;
            // All accounts of a state file are there, until they are removed.
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
        self.hear(answer, now - from);
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

    /// Stream time goes on, but for a stream without any rows where many devices were online: not for 45
    /// minutes.
    fn hear(&mut self, answer: &Answer, covered: u64) {
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

    /// The devices of the answer's account that are online.
    fn online(&self) -> usize {
        let is_online = |(key, device): &(&(String, String), &Device)| {
            let is_its = self.owners.get(*key) == Some(&self.account);
            is_its && self.now - device.seen < self.settings.stale_after
        };
        self.devices.iter().filter(is_online).count()
    }

    /// The devices of an account that were online when its last row came.
    fn online_at_last(&self, account: usize) -> usize {
        let devices = self.devices.iter();
        let its = devices.filter(|(key, _)| self.owners.get(*key) == Some(&account));
        let seen: Vec<_> = its.map(|(_, device)| device.seen).collect();
        let last = seen.iter().max().copied().unwrap_or_default();
        let is_online = |seen: &&u64| last - **seen < self.settings.stale_after;
        seen.iter().filter(is_online).count()
    }

    /// Ten minutes ahead of Starlink's clock, or of the answer's median timestamp where that clock is not known.
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

    fn row(
        &mut self,
        row: &Json,
        answer: &Answer,
        counts: &mut Counts,
        named: &mut BTreeSet<String>,
    ) -> Result<(), &'static str> {
        let Json::List(cells) = row else {
            return Err("shape");
        };
        let code = match cells.first() {
            Some(Json::Text(code)) if !code.is_empty() => code,
            _ => return Err("device_type"),
        };
        if code == "r" && !self.settings.include_routers {
            *counts.ignored.entry("router").or_default() += 1;
            return Ok(());
        }
        let columns = answer.columns.get(code).ok_or("no_columns")?;
        let cell = |name: &str| {
            let position = columns
                .iter()
                .position(|column| column.as_deref() == Some(name))?;
            cells.get(position)
        };
        let device = match cell("DeviceId") {
            Some(Json::Text(device)) if !device.is_empty() => device,
            _ => return Err("device_id"),
        };
        let timestamp = match cell("UtcTimestampNs") {
            Some(Json::Number(spelled)) => spelled.parse::<i64>().map_err(|_| "timestamp")?,
            _ => return Err("timestamp"),
        };
        if timestamp < START_OF_2019 {
            return Err("timestamp");
        }
        if self.latest.is_some_and(|latest| timestamp > latest) {
            *counts.ignored.entry("future").or_default() += 1;
            return Ok(());
        }
        if code == "i" {
            let terminal = device.strip_prefix("ip-").unwrap_or(device);
            if terminal.is_empty() {
                return Err("device_id");
            }
            let known = self.allocations.get(terminal);
            if known.is_some_and(|known| self.is_older(timestamp, known.timestamp, known.seen)) {
                *counts.ignored.entry("older").or_default() += 1;
                return Ok(());
            }
            let mut rejected = 0;
            let allocation = self.allocation(timestamp, columns, cells, &mut rejected);
            counts
                .cells
                .insert((code.clone(), terminal.to_owned()), rejected);
            self.allocations.insert(terminal.to_owned(), allocation);
            let key = ("u".to_owned(), terminal.to_owned());
            self.owners.entry(key).or_insert(self.account);
        } else {
            let key = (code.clone(), device.clone());
            let known = self.devices.get(&key);
            if known.is_some_and(|known| self.is_older(timestamp, known.timestamp, known.seen)) {
                *counts.ignored.entry("older").or_default() += 1;
                let is_its = self.owners.get(&key) == Some(&self.account);
                if let Some(known) = self.devices.get_mut(&key).filter(|_| is_its)
                    && known.delivered != known.seen
                {
                    known.delivered = self.now;
                }
                return Ok(());
            }
            let owner = self.owner(&key);
            let (mut rejected, mut places) = (0, 0);
            let mut device =
                self.device(code, timestamp, columns, cells, &mut rejected, &mut places);
            device.heard = self.streams[owner].time;
            if owner != self.account {
                device.delivered = self
                    .devices
                    .get(&key)
                    .map_or(self.now, |known| known.delivered);
            }
            self.owners.insert(key.clone(), owner);
            counts.cells.insert(key.clone(), rejected + places);
            counts.places.insert(key.clone(), places);
            named.insert(code.clone());
            self.devices.insert(key, device);
        }
        Ok(())
    }

    /// Whether a row loses against the one that is known; a stale device takes any.
    fn is_older(&self, timestamp: i64, known: i64, seen: u64) -> bool {
        timestamp < known && self.now - seen < self.settings.stale_after
    }

    fn device(
        &self,
        code: &str,
        timestamp: i64,
        columns: &[Option<String>],
        cells: &[Json],
        rejected: &mut u64,
        places: &mut u64,
    ) -> Device {
        let mut device = Device {
            timestamp,
            seen: self.now,
            heard: 0,
            delivered: self.now,
            gauges: Vec::new(),
            place: None,
            alerts: self.alerts(code, columns, cells, rejected),
            infos: Vec::new(),
            outdated: false,
        };
        for field in self.fields(columns, &[]) {
            let cell = cells.get(field.position).unwrap_or(&Json::Null);
            if field.name == "H3CellId" {
                if field.gauge.is_some() {
                    locate(cell, &mut device, rejected, places);
                }
                continue;
            }
            match (judge(cell), field.gauge, field.key) {
                (Judged::Gauge(value), Some(gauge), _) => device.gauges.push((gauge, value)),
                (Judged::Info(text), _, Some(key)) => device.infos.push((key, text)),
                (Judged::Rejected, _, _) => *rejected += 1,
                _ => {}
            }
        }
        device
    }

    fn alerts(
        &self,
        code: &str,
        columns: &[Option<String>],
        cells: &[Json],
        rejected: &mut u64,
    ) -> BTreeSet<String> {
        let mut alerts = BTreeSet::new();
        if !["u", "r"].contains(&code) {
            return alerts;
        }
        let none = Names::new();
        let names = self.alert_names.get(code).unwrap_or(&none);
        for (column, cell) in columns.iter().zip(cells) {
            if !column
                .as_deref()
                .is_some_and(|column| ALERT_COLUMNS.contains(&column))
            {
                continue;
            }
            for alert in entries(cell) {
                let code = match alert {
                    Json::Null => continue,
                    Json::Text(code) if code.is_empty() => continue,
                    Json::Text(code) => code,
                    Json::Number(code) if is_integer(code) => code,
                    _ => {
                        *rejected += 1;
                        continue;
                    }
                };
                let says_something =
                    |name: &&String| name.bytes().any(|byte| byte.is_ascii_alphanumeric());
                let name = names.get(code).filter(says_something);
                alerts.insert(sanitised(name.unwrap_or(code)));
            }
        }
        alerts
    }

    fn allocation(
        &self,
        timestamp: i64,
        columns: &[Option<String>],
        cells: &[Json],
        rejected: &mut u64,
    ) -> Allocation {
        let mut allocation = Allocation {
            timestamp,
            seen: self.now,
            addresses: Vec::new(),
            infos: Vec::new(),
        };
        for field in self.fields(columns, &ADDRESS_COLUMNS) {
            let cell = cells.get(field.position).unwrap_or(&Json::Null);
            if ADDRESS_COLUMNS.contains(&&*field.name) {
                if field.gauge.is_none() {
                    continue;
                }
                let addresses = addresses(cell, field.name == "Ipv4", rejected);
                let single = addresses.len() == 1;
                for (index, address) in addresses.into_iter().enumerate() {
                    let index = if single {
                        String::new()
                    } else {
                        format!("_{index}")
                    };
                    let name = format!("starlink_{}_numeric{index}", field.name);
                    allocation.addresses.push((name, address));
                }
            } else if field.name != "H3CellId" {
                match (told(cell), field.key) {
                    (Some(text), Some(key)) if !text.is_empty() => {
                        allocation.infos.push((key, text))
                    }
                    (None, _) => *rejected += 1,
                    _ => {}
                }
            }
        }
        allocation
    }

    /// The columns that are fields, in their order, with the names that they may use. One that may use none is ignored, but what
    /// cannot be read in it is counted all the same. The `textless` are those that never become info fields.
    fn fields(&self, columns: &[Option<String>], textless: &[&str]) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        let (mut gauges, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for (position, name) in columns.iter().enumerate() {
            let Some(name) = name else { continue };
            if ["DeviceType", "UtcTimestampNs", "DeviceId"].contains(&&**name)
                || ALERT_COLUMNS.contains(&&**name)
                || self.leaves_out(name)
            {
                continue;
            }
            let gauge = format!("starlink_{}", sanitised(name));
            let key = info_key(name);
            let gauge_is_free = !is_own_family(&gauge) && gauges.insert(gauge.clone());
            let key_is_free = !textless.contains(&&**name)
                && !["device_type", "deviceid"].contains(&&*key)
                && keys.insert(key.clone());
            fields.push(Field {
                position,
                name: name.clone(),
                gauge: gauge_is_free.then_some(gauge),
                key: key_is_free.then_some(key),
            });
        }
        fields
    }

    /// Whether the settings leave a field out.
    fn leaves_out(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        let is_place = PLACES.iter().any(|place| lower.contains(place));
        (is_place && !self.settings.location) || self.settings.dropped.contains(&name)
    }

    /// Types of which rows counted bear the names of the answer.
    fn name_types(&mut self, answer: &Answer, named: BTreeSet<String>) {
        let names = self.unique_names(answer);
        for code in named {
            let name = &names[&code];
            let same = self.borne_names.iter();
            let same = same.filter(|(other, known)| **other != code && *known == name);
            for other in same.map(|(other, _)| other.clone()).collect::<Vec<_>>() {
                let mut outdated = name.clone();
                while self.borne_names.values().any(|known| *known == outdated) {
                    outdated = format!("{outdated}_{other}");
                }
                self.borne_names.insert(other, outdated);
            }
            self.borne_names.insert(code, name.clone());
        }
    }

    /// The value of the label `device_type` for each type of an answer: the enum's names, each for the first code that has it, then
    /// the names of the other codes, then the codes that have no name.
    fn unique_names(&self, answer: &Answer) -> Names {
        let mut unique = Names::new();
        let named = || self.type_names.iter().filter(|(_, name)| !name.is_empty());
        for (code, name) in named() {
            if !unique.values().any(|known| known == name) {
                unique.insert(code.clone(), name.clone());
            }
        }
        let unnamed = answer.columns.keys().map(|code| (code, code));
        for (code, name) in named().chain(unnamed) {
            if unique.contains_key(code) {
                continue;
            }
            let mut name = name.clone();
            while unique.values().any(|known| *known == name) {
                name = format!("{name}_{code}");
            }
            unique.insert(code.clone(), name);
        }
        unique
    }

    /// What a scrape shows now.
    pub fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        for ((code, id), device) in &self.devices {
            let device_type = self.borne_names[code].clone();
            let labels = vec![
                ("device_type".to_owned(), device_type.clone()),
                ("deviceID".to_owned(), id.clone()),
            ];
            let owner = self.owners[&(code.clone(), id.clone())];
            let mut with_account = labels.clone();
            with_account.push(("account".to_owned(), ACCOUNTS[owner].to_owned()));
            let account = ("starlink_device_account".to_owned(), with_account);
            expected.samples.insert(account, 1.0);
            let mut add = |name: &str, value: f64| {
                let twice = expected
                    .samples
                    .insert((name.to_owned(), labels.clone()), value);
                assert!(twice.is_none(), "the model gives {name} of {id} twice");
            };
            let stale = self.now - device.seen >= self.settings.stale_after;
            if !stale {
                for (name, value) in &device.gauges {
                    add(name, *value);
                }
                for alert in &device.alerts {
                    add(&format!("starlink_alert_active_{alert}"), 1.0);
                }
            }
            if let Some((latitude, longitude)) = device.place {
                add("starlink_latitude", latitude);
                add("starlink_longitude", longitude);
            }
            add(
                "starlink_last_report_timestamp_seconds",
                seconds(device.timestamp),
            );
            let silent = self.streams[owner].time - device.heard >= self.settings.stale_after;
            if ["u", "r"].contains(&&**code) {
                match (stale, silent) {
                    (false, _) => add("starlink_online", 1.0),
                    (true, true) => add("starlink_online", 0.0),
                    (true, false) => {}
                }
            }
            let mut fields = device.infos.clone();
            if let Some(allocation) = self.allocations.get(id).filter(|_| code == "u") {
                if self.now - allocation.seen < self.settings.ip_stale_after {
                    for (name, value) in &allocation.addresses {
                        add(name, *value);
                    }
                }
                for (key, value) in &allocation.infos {
                    if !fields.iter().any(|(own, _)| own == key) {
                        fields.push((key.clone(), value.clone()));
                    }
                }
            }
            if !fields.is_empty() {
                expected.infos.push(Info {
                    device_type,
                    device: id.clone(),
                    fields,
                    unordered: if device.outdated {
                        device.infos.len()
                    } else {
                        0
                    },
                });
            }
        }
        expected
    }
}

impl Info {
    /// Takes over the order in which the fields are shown, where it is free.
    pub fn order_as(&mut self, shown: &[Series]) {
        let own = &self.series().1[..2];
        let shown = shown
            .iter()
            .find(|(name, labels)| name == "starlink_info" && labels.starts_with(own));
        let position = |field: &(String, String)| {
            shown.and_then(|(_, labels)| labels.iter().position(|label| label == field))
        };
        self.fields[..self.unordered].sort_by_key(position);
    }

    /// The sample of the formats that have one.
    pub fn series(&self) -> Series {
        let mut labels = vec![
            ("device_type".to_owned(), self.device_type.clone()),
            ("deviceID".to_owned(), self.device.clone()),
        ];
        labels.extend(self.fields.iter().cloned());
        ("starlink_info".to_owned(), labels)
    }

    /// The line in line protocol.
    pub fn line(&self) -> String {
        let mut line = "starlink_info".to_owned();
        for (key, value) in [
            ("device_type", &self.device_type),
            ("deviceID", &self.device),
        ] {
            if value.is_empty() {
                continue;
            }
            line.push_str(&format!(",{key}="));
            for char in value.chars() {
                match char {
                    ',' | '=' | ' ' => line.extend(['\\', char]),
                    '\\' => line.push('_'),
                    char if char.is_control() => line.push('_'),
                    char => line.push(char),
                }
            }
        }
        for (index, (key, value)) in self.fields.iter().enumerate() {
            line.push(if index == 0 { ' ' } else { ',' });
            line.push_str(&format!("{key}=\""));
            for char in value.chars() {
                match char {
                    '"' | '\\' => line.extend(['\\', char]),
                    char if char.is_control() => line.push(' '),
                    char => line.push(char),
                }
            }
            line.push('"');
        }
        line
    }
}

fn is_own_family(name: &str) -> bool {
    let name = name.strip_prefix("starlink_").unwrap();
    let named = [
        "info",
        "latitude",
        "longitude",
        "last_report_timestamp_seconds",
        "online",
        "up",
    ];
    let address = ADDRESS_COLUMNS.into_iter().any(|column| {
        let rest = name
            .strip_prefix(column)
            .and_then(|rest| rest.strip_prefix("_numeric"));
        rest.is_some_and(|rest| {
            let index = rest.strip_prefix('_').unwrap_or_default();
            let is_index = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
            rest.is_empty() || is_index
        })
    });
    named.contains(&name)
        || address
        || name.starts_with("exporter_")
        || name.starts_with("alert_active_")
}

pub fn sanitised(name: &str) -> String {
    let sane = |char: char| {
        if char.is_ascii_alphanumeric() {
            char
        } else {
            '_'
        }
    };
    name.chars().map(sane).collect()
}

fn info_key(name: &str) -> String {
    let key = sanitised(&name.to_lowercase());
    match key.chars().next() {
        None | Some('0'..='9' | '_') => format!("field_{key}"),
        Some(_) => key,
    }
}

fn judge(cell: &Json) -> Judged {
    match cell {
        Json::Null => Judged::Absent,
        Json::Bool(value) => Judged::Gauge(f64::from(u8::from(*value))),
        Json::Number(spelled) => match spelled.parse::<f64>().unwrap() {
            value if value.is_finite() => Judged::Gauge(value),
            _ => Judged::Rejected,
        },
        Json::Text(_) | Json::List(_) => match spelled(cell) {
            None => Judged::Rejected,
            Some(text) if text.is_empty() => Judged::Absent,
            Some(text) => match finite_decimal(&text) {
                Some(value) => Judged::Gauge(value),
                None => Judged::Info(text),
            },
        },
        Json::Object(_) | Json::Broken(_) => Judged::Rejected,
    }
}

/// A cell as a text, `None` when it cannot be read.
fn spelled(cell: &Json) -> Option<String> {
    match cell {
        Json::Null => Some(String::new()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Number(spelled) => {
            let finite = spelled.parse::<f64>().unwrap().is_finite();
            finite.then(|| spelled.clone())
        }
        Json::Text(text) => Some(text.clone()),
        Json::List(items) => {
            let items = items.iter().filter(|item| **item != Json::Null);
            let items = items.map(|item| match item {
                Json::List(_) => None,
                Json::Number(text) => Some(text.clone()),
                item => spelled(item),
            });
            Some(items.collect::<Option<Vec<_>>>()?.join(";"))
        }
        Json::Broken(_) | Json::Object(_) => None,
    }
}

/// A cell of an allocation as a text, `None` when it cannot be read. Outside a list, where numbers are joined as they are
/// spelled, an integer has all its digits and another number the fewest that tell it from others, without an exponent.
fn told(cell: &Json) -> Option<String> {
    match cell {
        Json::Number(spelled) => {
            let value = spelled.parse::<f64>().unwrap();
            match spelled.as_str() {
                "-0" => Some("0".to_owned()),
                spelled if is_integer(spelled) => Some(spelled.to_owned()),
                _ => value.is_finite().then(|| value.to_string()),
            }
        }
        cell => spelled(cell),
    }
}

/// `[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?`, and finite.
fn finite_decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    let well_formed = !whole.is_empty()
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    let value = text.parse::<f64>().ok().filter(|_| well_formed)?;
    value.is_finite().then_some(value)
}

/// Whether a number is one of 64 bits, without fraction and exponent.
fn is_integer(spelled: &str) -> bool {
    spelled.parse::<i64>().is_ok()
}

/// The elements of a list; anything else is a list of one, but what is absent has none.
fn entries(cell: &Json) -> &[Json] {
    match cell {
        Json::List(items) => items,
        Json::Text(text) if text.is_empty() => &[],
        cell => std::slice::from_ref(cell),
    }
}

fn locate(cell: &Json, device: &mut Device, rejected: &mut u64, places: &mut u64) {
    let index = match cell {
        Json::Null => return,
        Json::Text(text) if text.is_empty() => return,
        Json::List(items) if items.iter().all(|item| *item == Json::Null) => return,
        Json::Number(spelled) if is_integer(spelled) => {
            let value = spelled.parse::<f64>().unwrap();
            device.gauges.push(("starlink_H3CellId".to_owned(), value));
            spelled.parse::<u64>().ok()
        }
        Json::Number(spelled) if spelled.parse::<f64>().unwrap().is_infinite() => {
            *rejected += 1;
            return;
        }
        Json::Object(_) | Json::Broken(_) => {
            *rejected += 1;
            return;
        }
        Json::Text(text) => {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            let all = |text: &str, radix| text.chars().all(|char| char.is_digit(radix));
            if [15, 16].contains(&digits.len()) && all(digits, 16) {
                u64::from_str_radix(digits, 16).ok()
            } else if all(text, 10) {
                text.parse().ok()
            } else {
                None
            }
        }
        _ => None,
    };
    match index.and_then(|index| h3o::CellIndex::try_from(index).ok()) {
        Some(cell) => {
            let centre = h3o::LatLng::from(cell);
            device.place = Some((centre.lat(), centre.lng()));
        }
        None => *places += 1,
    }
}

/// The numbers of a cell's valid addresses of one family, in the order of the addresses, each once.
fn addresses(cell: &Json, ipv4: bool, rejected: &mut u64) -> Vec<f64> {
    let mut found = BTreeSet::new();
    for entry in entries(cell) {
        let address = match entry {
            Json::Null => continue,
            Json::Text(text) => address(text),
            _ => None,
        };
        match address {
            Some(IpAddr::V4(address)) if ipv4 => drop(found.insert(u128::from(u32::from(address)))),
            Some(IpAddr::V6(address)) if !ipv4 => drop(found.insert(u128::from(address))),
            _ => *rejected += 1,
        }
    }
    let number = |bits: u128| {
        let group = |shift: u32| (bits >> shift) & ((1 << 52) - 1);
        (group(0) ^ group(52) ^ group(104)) as f64
    };
    found.into_iter().map(number).collect()
}

/// An address, or the address of a CIDR; one that maps an IPv4 address is that.
fn address(text: &str) -> Option<IpAddr> {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let is_valid = length.parse::<u8>().ok()? <= most;
    let mapped = match address {
        IpAddr::V6(address) => match address.segments() {
            [0, 0, 0, 0, 0, 0xffff, ..] => {
                let [.., a, b, c, d] = address.octets();
                Some(IpAddr::from([a, b, c, d]))
            }
            _ => None,
        },
        IpAddr::V4(_) => None,
    };
    is_valid.then_some(mapped.unwrap_or(address))
}

/// Nanoseconds as seconds, rounded once.
fn seconds(nanoseconds: i64) -> f64 {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let (seconds, rest) = (
        nanoseconds.unsigned_abs() / 1_000_000_000,
        nanoseconds.unsigned_abs() % 1_000_000_000,
    );
    format!("{sign}{seconds}.{rest:09}").parse().unwrap()
}

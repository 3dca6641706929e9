//! The accounts of a run: their names over time, and what each account must and must not show.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use starlink_telemetry::simulator::Simulator;
use tempfile::TempDir;

use crate::ageing::Ages;
use crate::form::Body;
use crate::timeline::{Elapsed, Timeline};

/// The client secret of all simulators.
pub const SECRET: &str = "secret";

/// How an account's secret is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Inline,
    File,
    Wrong,
}

/// An account of the list.
#[derive(Debug)]
struct Entry {
    name: String,
    key: Key,
    /// Since when scrapes must show the account as up under this name.
    since: Option<Elapsed>,
}

/// A name that is no longer in the list.
#[derive(Debug)]
struct Retired {
    lane: usize,
    /// When a scrape no longer showed it.
    gone: Option<Elapsed>,
}

/// One account: a simulator, and its entry in the list while it has one.
#[derive(Debug)]
struct Lane {
    url: String,
    entry: Option<Entry>,
    /// The number of rows in all valid answers, including unreadable rows.
    sent: usize,
}

/// All accounts, and the file that lists them.
#[derive(Debug)]
pub struct Roll {
    time: Timeline,
    directory: TempDir,
    lanes: Vec<Lane>,
    retired: BTreeMap<String, Retired>,
    /// The accounts that scrapes have shown for devices.
    owners: BTreeMap<usize, String>,
    /// The number of names so far: no name is used twice, because the counters of a new account start from 0.
    names: usize,
}

pub fn client_id(lane: usize) -> String {
    format!("client-{lane}")
}

impl Roll {
    pub fn new(time: Timeline, simulators: &[Simulator]) -> Self {
        let lane = |simulator: &Simulator| Lane {
            url: simulator.api_url(),
            entry: None,
            sent: 0,
        };
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), SECRET).unwrap();
        Self {
            time,
            directory,
            lanes: simulators.iter().map(lane).collect(),
            retired: BTreeMap::new(),
            owners: BTreeMap::new(),
            names: 0,
        }
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("accounts.yml")
    }

    /// Replaces the file atomically, as an editor or an orchestrator does.
    pub fn write(&self) {
        let mut text = "accounts:\n".to_owned();
        for (number, lane) in self.lanes.iter().enumerate() {
            let Some(Entry { name, key, .. }) = &lane.entry else {
                continue;
            };
            let secret = match key {
                Key::Inline => format!("client_secret: {SECRET}"),
                Key::File => "client_secret_file: secret".to_owned(),
                Key::Wrong => "client_secret: wrong".to_owned(),
            };
            let (id, url) = (client_id(number), &lane.url);
            write!(
                text,
                "  - name: {name}\n    client_id: {id}\n    {secret}\n    api_url: {url}\n"
            )
            .unwrap();
        }
        self.write_text(&text);
    }

    /// Replaces the file with a text that is not a list.
    pub fn write_nonsense(&self) {
        self.write_text("accounts: nonsense\n");
    }

    fn write_text(&self, text: &str) {
        let new = self.directory.path().join("accounts.new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, self.file()).unwrap();
    }

    /// Adds an account to the list, under a new name.
    pub fn add(&mut self, lane: usize) {
        self.names += 1;
        self.lanes[lane].entry = Some(Entry {
            name: format!("account-{lane}-{}", self.names),
            key: Key::Inline,
            since: None,
        });
    }

    /// Removes an account from the list. Returns its name.
    pub fn remove(&mut self, lane: usize) -> String {
        let name = self.lanes[lane].entry.take().unwrap().name;
        let retired = Retired { lane, gone: None };
        self.retired.insert(name.clone(), retired);
        name
    }

    pub fn set_key(&mut self, lane: usize, key: Key) {
        if let Some(entry) = &mut self.lanes[lane].entry {
            entry.key = key;
        }
    }

    pub fn key(&self, lane: usize) -> Option<Key> {
        Some(self.lanes[lane].entry.as_ref()?.key)
    }

    /// The name of an account while it is in the list.
    pub fn name(&self, lane: usize) -> Option<&str> {
        Some(&self.lanes[lane].entry.as_ref()?.name)
    }

    /// The account that has or had a name.
    pub fn lane(&self, name: &str) -> Option<usize> {
        let named = |lane: &Lane| lane.entry.as_ref().is_some_and(|entry| entry.name == name);
        let current = self.lanes.iter().position(named);
        current.or_else(|| Some(self.retired.get(name)?.lane))
    }

    /// Records that a scrape shows the account.
    pub fn appeared(&mut self, lane: usize) {
        if let Some(entry) = &mut self.lanes[lane].entry {
            entry.since = Some(self.time.now());
        }
    }

    /// Records that a scrape no longer shows a name.
    pub fn vanished(&mut self, name: &str) {
        if let Some(retired) = self.retired.get_mut(name) {
            retired.gone = Some(self.time.now());
        }
    }

    /// Whether an account was removed since a moment, or may be going.
    pub fn is_removed_since(&self, moment: Elapsed) -> bool {
        let mut retired = self.retired.values();
        retired.any(|retired| retired.gone.is_none_or(|gone| gone >= moment))
    }

    /// Records rows that will be sent.
    pub fn sent(&mut self, lane: usize, rows: usize) {
        self.lanes[lane].sent += rows;
    }

    /// Checks that no batch is counted twice.
    pub fn check_rows(&self, body: &Body) {
        let mut counted = vec![0.0; self.lanes.len()];
        for (series, rows) in body.beginning("starlink_exporter_rows_total{") {
            let lane = account(series).and_then(|name| self.lane(name));
            counted[lane.unwrap()] += rows;
        }
        for (lane, counted) in self.lanes.iter().zip(counted) {
            let sent = lane.sent;
            assert!(
                counted <= sent as f64,
                "{counted} rows are counted of {sent} that were sent"
            );
        }
    }

    /// Checks the families about accounts of a scrape that was started at `from`: each that describes an account has its label, each
    /// account in the list is up, and no other account is shown.
    pub fn check_families(&self, body: &Body, from: Elapsed) {
        for family in &body.families {
            let of_account = OF_ACCOUNT
                .iter()
                .any(|beginning| family.name.starts_with(beginning));
            let base = family.name.trim_end_matches("_total");
            if !of_account || WITHOUT_ACCOUNT.contains(&base) {
                continue;
            }
            for (series, _) in &family.samples {
                let Some(name) = account(series) else {
                    let is_stores = series.contains(r#"{actor="metrics_store""#);
                    assert!(is_stores, "{series} has no account");
                    continue;
                };
                assert!(self.lane(name).is_some(), "{series}: unknown account");
                let gone = self.retired.get(name).and_then(|retired| retired.gone);
                let is_gone = gone.is_some_and(|gone| gone < from);
                // Devices of a removed account stay for some time.
                assert!(
                    !is_gone || family.name == "starlink_exporter_devices",
                    "{series}: the account was removed"
                );
            }
        }
        for entry in self.lanes.iter().filter_map(|lane| lane.entry.as_ref()) {
            if entry.since.is_some_and(|since| since < from) {
                let up = format!(
                    r#"starlink_exporter_account_up{{account="{}"}}"#,
                    entry.name
                );
                assert_eq!(body.value(&up), Some(1.0), "{up}");
            }
        }
    }

    /// Records which account a scrape shows for a device. An account that is still in the list keeps the device if no age is short.
    pub fn check_owner(&mut self, device: usize, name: &str, ages: Ages) {
        let before = self.owners.insert(device, name.to_owned());
        let is_listed = |name: &str| !self.retired.contains_key(name);
        if let Some(before) = before
            && ages == Ages::LONG
            && is_listed(&before)
            && is_listed(name)
        {
            assert_eq!(before, name, "device {device} has changed its account");
        }
    }

    /// Checks that the devices of a removed account are removed within `limit`.
    pub fn check_gone(&self, name: &str, from: Elapsed, limit: Duration) {
        let gone = self.retired.get(name).and_then(|retired| retired.gone);
        let is_late = gone.is_some_and(|gone| from.saturating_sub(gone) > limit);
        assert!(!is_late, "devices of {name} stay");
    }
}

/// The beginnings of the names of families about accounts; the first label of their series is `account`.
const OF_ACCOUNT: [&str; 5] = [
    "starlink_exporter_",
    "starlink_up",
    "starlink_account_",
    "starlink_service_line_",
    "starlink_data_pool_",
];

/// The families of the process, which have no label `account`; without `_total`.
const WITHOUT_ACCOUNT: [&str; 11] = [
    "starlink_exporter_build_info",
    "starlink_exporter_build",
    "starlink_exporter_scrapes",
    "starlink_exporter_scrape_duration_seconds",
    "starlink_exporter_log_lines_dropped",
    "starlink_exporter_clock_offset_seconds",
    "starlink_exporter_task_restarts",
    "starlink_exporter_scrapes_refused",
    "starlink_exporter_names_unmatched",
    "starlink_exporter_state_last_write_timestamp_seconds",
    "starlink_exporter_state_write_failures",
];

/// The label `account` of a series of the exporter's own, which is the first one.
fn account(series: &str) -> Option<&str> {
    let (_, rest) = series.split_once("{account=\"")?;
    rest.split('"').next()
}

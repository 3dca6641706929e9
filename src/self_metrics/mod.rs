//! The exporter's metrics of its process. Its parts write them and scrapes read them, without locks.
//!
//! The metrics of one account are [`AccountMetrics`](crate::account::AccountMetrics).

mod instruments;
mod process;

use std::sync::Arc;

use crate::exposition::{Format, Kind, OwnFamily};
use crate::fleet::Snapshot;
use crate::tasks::{Restarts, Task};
use crate::time::Clock;

pub use self::instruments::{Counter, Gauge, Histogram};
pub use self::process::process;

/// The bounds of the buckets of a scrape's duration, in seconds.
const SCRAPE_BOUNDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Why a scrape was refused with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeRefusal {
    /// Too many other scrapes are in progress.
    Busy,
    /// Too many other scrapes of the same client are in progress.
    Client,
    /// The store published no snapshot in time.
    Store,
}

impl ScrapeRefusal {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Busy, Self::Client, Self::Store];

    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Client => "client",
            Self::Store => "store",
        }
    }
}

/// The metrics of the process. Created once for an application and shared by its parts.
#[derive(Debug)]
pub struct ProcessMetrics {
    /// Failed writes of the state file.
    pub state_write_failures: Counter,
    /// When the state file was last written, in seconds since 1970.
    pub state_last_write: Gauge,
    /// Restarts of long-running tasks; the tasks count them.
    pub task_restarts: Restarts,
    /// Entries of the names file that have matched no device.
    pub names_unmatched: Gauge,
    scrapes: [Counter; Format::ALL.len()],
    scrapes_refused: [Counter; ScrapeRefusal::ALL.len()],
    /// The time from the request of a scrape to the last byte of its response.
    pub scrape_duration: Histogram<{ SCRAPE_BOUNDS.len() }>,
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        Self {
            state_write_failures: Counter::default(),
            state_last_write: Gauge::default(),
            task_restarts: Restarts::default(),
            names_unmatched: Gauge::default(),
            scrapes: Default::default(),
            scrapes_refused: Default::default(),
            scrape_duration: Histogram::new(SCRAPE_BOUNDS),
        }
    }
}

impl ProcessMetrics {
    /// Counts a scrape that is served.
    pub fn scraped(&self, format: Format) {
        self.scrapes[format as usize].increment();
    }

    /// Counts a scrape that is refused.
    pub fn scrape_refused(&self, why: ScrapeRefusal) {
        self.scrapes_refused[why as usize].increment();
    }

    #[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
    fn task_restarts(&self) -> OwnFamily {
        let family = OwnFamily::new(
            Kind::Counter,
            "starlink_exporter_task_restarts_total",
            "Restarts of long-running tasks that are not actors, by task.",
        );
        Task::ALL.iter().fold(family, |family, task| {
            let restarts = self.task_restarts.of(*task) as f64;
            family.labelled("task", task.name(), restarts)
        })
    }

    /// All families, in a fixed order.
    #[must_use]
    pub fn families(&self) -> Vec<OwnFamily> {
        vec![
            counter(
                "starlink_exporter_state_write_failures_total",
                "Failed writes of the state file.",
                &self.state_write_failures,
            ),
            gauge(
                "starlink_exporter_state_last_write_timestamp_seconds",
                "When the state file was last written, in seconds since 1970.",
                &self.state_last_write,
            ),
            self.task_restarts(),
            gauge(
                "starlink_exporter_names_unmatched",
                "Entries of NAMES_FILE that have matched no device so far.",
                &self.names_unmatched,
            ),
            counters(
                "starlink_exporter_scrapes_total",
                "Scrapes served, by format.",
                "format",
                Format::ALL.iter().map(|format| format.name()),
                &self.scrapes,
            ),
            counters(
                "starlink_exporter_scrapes_refused_total",
                "Scrapes refused with 503, by reason.",
                "reason",
                ScrapeRefusal::ALL.iter().map(|reason| reason.name()),
                &self.scrapes_refused,
            ),
            self.scrape_duration.family(
                "starlink_exporter_scrape_duration_seconds",
                "Time from the request of a scrape to the last byte of its response.",
            ),
        ]
    }
}

/// A family with the value of one counter.
pub(crate) fn counter(name: &'static str, help: &'static str, value: &Counter) -> OwnFamily {
    OwnFamily::new(Kind::Counter, name, help).value(value.value())
}

/// A family with the value of one gauge; without a sample while the value is unknown.
pub(crate) fn gauge(name: &'static str, help: &'static str, value: &Gauge) -> OwnFamily {
    let family = OwnFamily::new(Kind::Gauge, name, help);
    match value.value() {
        Some(value) => family.value(value),
        None => family,
    }
}

/// A family of gauges with one label; without the samples whose values are unknown.
pub(crate) fn gauges<'g>(
    name: &'static str,
    help: &'static str,
    key: &'static str,
    gauges: impl Iterator<Item = (&'static str, &'g Gauge)>,
) -> OwnFamily {
    let family = OwnFamily::new(Kind::Gauge, name, help);
    gauges.fold(family, |family, (of, gauge)| match gauge.value() {
        Some(value) => family.labelled(key, of, value),
        None => family,
    })
}

/// A family of counters with one label. All of them exist from the start, at 0.
pub(crate) fn counters<'c>(
    name: &'static str,
    help: &'static str,
    key: &'static str,
    values: impl Iterator<Item = &'static str>,
    counters: impl IntoIterator<Item = &'c Counter>,
) -> OwnFamily {
    values.zip(counters).fold(
        OwnFamily::new(Kind::Counter, name, help),
        |family, (value, counter)| family.labelled(key, value, counter.value()),
    )
}

/// The number of devices of a snapshot by account, type and state; with `only`, those of one account.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
pub fn devices(snapshot: &Snapshot, only: Option<&Arc<str>>) -> OwnFamily {
    let mut family = OwnFamily::new(
        Kind::Gauge,
        "starlink_exporter_devices",
        "Known devices by type and state: online; offline (no data although polls succeeded); unknown (no data, but polls fail or the whole stream is silent).",
    );
    let no_account: Arc<str> = "".into();
    let tables = snapshot.tables.iter();
    let all = tables.flat_map(|table| table.by_account.iter().map(move |own| (table, own)));
    for (table, (account, counts)) in all {
        let name = account.and_then(|account| snapshot.account_name(account));
        let name = name.unwrap_or(&no_account);
        if only.is_some_and(|only| only != name) {
            continue;
        }
        for (state, count) in [
            ("online", counts.online),
            ("offline", counts.offline),
            ("unknown", counts.unknown),
        ] {
            let labels = vec![
                ("device_type", table.name.to_string().into()),
                ("state", state.into()),
            ];
            family = family.sample("", labels, count as f64);
            if let Some(sample) = family.samples.last_mut() {
                sample.account = Some(Arc::clone(name));
            }
        }
    }
    family
}

/// The number of dropped log lines.
#[must_use]
pub fn dropped_lines(count: &Counter) -> OwnFamily {
    OwnFamily::new(
        Kind::Counter,
        "starlink_exporter_log_lines_dropped_total",
        "Log lines that were dropped because stderr was blocked or failed.",
    )
    .value(count.value())
}

/// The offset between Starlink's clock and the system's; without a sample while it is unknown.
#[must_use]
pub fn clock_offset(clock: &Clock) -> OwnFamily {
    let family = OwnFamily::new(
        Kind::Gauge,
        "starlink_exporter_clock_offset_seconds",
        "Starlink's clock minus the system clock, from the Date headers of the last five answers.",
    );
    match clock.offset() {
        Some(offset) => family.value(offset),
        None => family,
    }
}

/// The version of the program.
#[must_use]
pub fn build_info() -> OwnFamily {
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("revision", env!("BUILD_REVISION").into()),
        ("rustversion", env!("BUILD_RUST_VERSION").into()),
    ];
    OwnFamily::new(
        Kind::Info,
        "starlink_exporter_build_info",
        "Version, revision and compiler of the exporter.",
    )
    .sample("", labels, 1.0)
}

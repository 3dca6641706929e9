//! What the exporter counts about itself: written by the actors, read by scrapes, without a lock between them.

mod failure_report;
mod instruments;
mod process;
mod unstored;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use crate::exposition::{Format, Kind, OwnFamily};
use crate::fleet::{Counts, RowCode, RowFault, RowIgnored, Snapshot, Tally};
use crate::starlink::{PollFailure, TokenFailure};
use crate::tasks::Task;
use crate::telemetry::CellFault;
use crate::time::Clock;

pub use self::failure_report::FailureReport;
pub use self::instruments::{Counter, Gauge, Histogram};
pub use self::process::process;
pub use self::unstored::Unstored;

/// Seconds of a poll: it lingers, up to 65 s.
const POLL_BOUNDS: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 90.0, 120.0,
];

/// Seconds of a scrape.
const SCRAPE_BOUNDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Why a scrape was answered with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeRefusal {
    /// Too many others are being answered.
    Busy,
    /// Too many others of the same client are being answered.
    Client,
    /// The store did not answer.
    Store,
}

impl ScrapeRefusal {
    /// All of them, in the order of their numbers.
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

/// The exporter's own numbers. Created once for an application and shared by its parts.
#[derive(Debug)]
pub struct SelfMetrics {
    /// 1 when the last attempt succeeded, else 0.
    pub up: Gauge,
    /// Attempts that have ended.
    pub polls: Counter,
    /// Attempts that failed, by reason.
    poll_failures: [Counter; PollFailure::ALL.len()],
    /// One more than the reason of the last failed attempt; 0 before the first.
    last_failure: AtomicUsize,
    /// The same for requests for a token.
    last_token_failure: AtomicUsize,
    /// The last failed attempt in words; `None` before the first.
    told: ArcSwapOption<FailureReport>,
    /// The same for requests for a token.
    token_told: ArcSwapOption<FailureReport>,
    /// From the request to the whole answer.
    pub poll_duration: Histogram<{ POLL_BOUNDS.len() }>,
    /// Seconds since 1970.
    pub last_poll_success: Gauge,
    rows: [Counter; RowCode::ALL.len()],
    rows_ignored: [Counter; RowIgnored::ALL.len()],
    rows_rejected: [Counter; RowFault::ALL.len()],
    cells_rejected: [Counter; CellFault::ALL.len()],
    /// Seconds.
    pub telemetry_lag: Gauge,
    /// When the rows came that the lag is of, in seconds since 1970. In no scrape.
    pub last_rows: Gauge,
    /// When the next attempt starts after a failed one, in seconds since 1970; unknown while none waits. In no scrape.
    pub next_attempt: Gauge,
    /// 1 or 0.
    pub catching_up: Gauge,
    /// 1 or 0.
    pub stream_silent: Gauge,
    /// Seconds for which answers have contained no rows, where many devices were online before; else unknown. In no scrape.
    pub no_rows_for: Gauge,
    /// Rows that were left out since a row was last stored. In no scrape.
    unstored: ArcSwapOption<Unstored>,
    /// Column lists that differed from the last of their type.
    pub schema_changes: Counter,
    /// Requests for a token.
    pub token_requests: Counter,
    token_request_failures: [Counter; TokenFailure::ALL.len()],
    /// Seconds since 1970.
    pub token_expiry: Gauge,
    /// Times that the state file could not be written.
    pub state_write_failures: Counter,
    /// Seconds since 1970.
    pub state_last_write: Gauge,
    task_restarts: [Counter; Task::ALL.len()],
    /// Entries of the names file that have met no device.
    pub names_unmatched: Gauge,
    scrapes: [Counter; Format::ALL.len()],
    scrapes_refused: [Counter; ScrapeRefusal::ALL.len()],
    /// From the request to the last byte.
    pub scrape_duration: Histogram<{ SCRAPE_BOUNDS.len() }>,
}

impl Default for SelfMetrics {
    fn default() -> Self {
        let metrics = Self {
            up: Gauge::default(),
            polls: Counter::default(),
            poll_failures: Default::default(),
            last_failure: AtomicUsize::new(0),
            last_token_failure: AtomicUsize::new(0),
            told: ArcSwapOption::default(),
            token_told: ArcSwapOption::default(),
            poll_duration: Histogram::new(POLL_BOUNDS),
            last_poll_success: Gauge::default(),
            rows: Default::default(),
            rows_ignored: Default::default(),
            rows_rejected: Default::default(),
            cells_rejected: Default::default(),
            telemetry_lag: Gauge::default(),
            last_rows: Gauge::default(),
            next_attempt: Gauge::default(),
            catching_up: Gauge::default(),
            stream_silent: Gauge::default(),
            no_rows_for: Gauge::default(),
            unstored: ArcSwapOption::default(),
            schema_changes: Counter::default(),
            token_requests: Counter::default(),
            token_request_failures: Default::default(),
            token_expiry: Gauge::default(),
            state_write_failures: Counter::default(),
            state_last_write: Gauge::default(),
            task_restarts: Default::default(),
            names_unmatched: Gauge::default(),
            scrapes: Default::default(),
            scrapes_refused: Default::default(),
            scrape_duration: Histogram::new(SCRAPE_BOUNDS),
        };
        metrics.up.set(0.0);
        metrics.catching_up.set(0.0);
        metrics.stream_silent.set(0.0);
        metrics
    }
}

impl SelfMetrics {
    /// Counts a failed attempt, and keeps it in words.
    pub fn poll_failed(&self, reason: PollFailure, told: FailureReport) {
        self.told.store(Some(Arc::new(told)));
        self.poll_failures[reason as usize].increment();
        self.last_failure
            .store(reason as usize + 1, Ordering::Relaxed);
        self.up.set(0.0);
    }

    /// Why the last failed attempt failed, if any did: its reason, and for want of a token the reason of that too.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        let last = self.last_failure.load(Ordering::Relaxed);
        let reason = PollFailure::ALL.get(last.checked_sub(1)?)?;
        Some(match (reason, self.last_token_failure()) {
            (PollFailure::Token, Some(token)) => format!("{}: {token}", reason.name()),
            _ => reason.name().to_owned(),
        })
    }

    /// Why the last request for a token that failed did, if any did.
    #[must_use]
    pub fn last_token_failure(&self) -> Option<&'static str> {
        let last = self.last_token_failure.load(Ordering::Relaxed);
        let reason = TokenFailure::ALL.get(last.checked_sub(1)?)?;
        Some(reason.name())
    }

    /// The last failed attempt in words, if any failed.
    #[must_use]
    pub fn told(&self) -> Option<Arc<FailureReport>> {
        self.told.load_full()
    }

    /// The last failed request for a token in words, if any failed.
    #[must_use]
    pub fn token_told(&self) -> Option<Arc<FailureReport>> {
        self.token_told.load_full()
    }

    /// How many attempts have failed.
    #[must_use]
    pub fn failed_polls(&self) -> u64 {
        self.poll_failures.iter().map(Counter::count).sum()
    }

    /// How many requests for a token have failed.
    #[must_use]
    pub fn failed_token_requests(&self) -> u64 {
        let failures = self.token_request_failures.iter();
        failures.map(Counter::count).sum()
    }

    /// Counts a failed request for a token, and keeps it in words.
    pub fn token_request_failed(&self, reason: TokenFailure, told: FailureReport) {
        self.token_told.store(Some(Arc::new(told)));
        self.token_request_failures[reason as usize].increment();
        self.last_token_failure
            .store(reason as usize + 1, Ordering::Relaxed);
    }

    /// Counts the restart of a long-running task.
    pub fn task_restarted(&self, task: Task) {
        self.task_restarts[task as usize].increment();
    }

    /// Counts an answered scrape.
    pub fn scraped(&self, format: Format) {
        self.scrapes[format as usize].increment();
    }

    /// Counts a scrape that could not be answered.
    pub fn scrape_refused(&self, why: ScrapeRefusal) {
        self.scrapes_refused[why as usize].increment();
    }

    /// Counts the rows and cells of a batch.
    pub fn count(&self, tally: &Tally) {
        let add = |counters: &[Counter], counts: &[u64]| {
            for (counter, count) in counters.iter().zip(counts) {
                counter.add(*count);
            }
        };
        add(&self.rows, &tally.rows);
        add(&self.rows_ignored, &tally.ignored);
        add(&self.rows_rejected, &tally.rejected);
        add(&self.cells_rejected, tally.cells.counts());
    }

    /// Notes the rows that were left out since a row was last stored, or that there are none.
    pub fn rows_unstored(&self, unstored: Option<Unstored>) {
        self.unstored.store(unstored.map(Arc::new));
    }

    /// The rows that were left out since a row was last stored.
    #[must_use]
    pub fn unstored(&self) -> Option<Arc<Unstored>> {
        self.unstored.load_full()
    }

    /// Counts rows that were given up because the store failed on them twice.
    pub fn rows_lost(&self, rows: u64) {
        self.rows_rejected[RowFault::StoreFailed as usize].add(rows);
    }

    /// All families about polls, rows, tokens and scrapes.
    #[must_use]
    pub fn families(&self) -> Vec<OwnFamily> {
        let counter = |name, help, value: &Counter| {
            OwnFamily::new(Kind::Counter, name, help).value(value.value())
        };
        let gauge = |name, help, value: &Gauge| {
            let family = OwnFamily::new(Kind::Gauge, name, help);
            match value.value() {
                Some(value) => family.value(value),
                None => family,
            }
        };
        vec![
            gauge(
                "starlink_up",
                "Whether the last attempt to poll succeeded: token, request, answer, decoding and storing.",
                &self.up,
            ),
            counter(
                "starlink_exporter_polls_total",
                "Attempts to poll the stream that have ended.",
                &self.polls,
            ),
            by_label(
                "starlink_exporter_poll_failures_total",
                "Attempts to poll that failed, by reason.",
                "reason",
                PollFailure::ALL.iter().map(|reason| reason.name()),
                &self.poll_failures,
            ),
            self.poll_duration.family(
                "starlink_exporter_poll_duration_seconds",
                "Time from the request of a poll to its complete answer, including the linger.",
            ),
            gauge(
                "starlink_exporter_last_poll_success_timestamp_seconds",
                "When the last successful poll ended, in seconds since 1970.",
                &self.last_poll_success,
            ),
            by_label(
                "starlink_exporter_rows_total",
                "Rows received, by device type code.",
                "code",
                RowCode::ALL.iter().map(|code| code.name()),
                &self.rows,
            ),
            by_label(
                "starlink_exporter_rows_ignored_total",
                "Valid rows that were not stored, by reason.",
                "reason",
                RowIgnored::ALL.iter().map(|reason| reason.name()),
                &self.rows_ignored,
            ),
            by_label(
                "starlink_exporter_rows_rejected_total",
                "Rows that could not be read or stored, by reason.",
                "reason",
                RowFault::ALL.iter().map(|reason| reason.name()),
                &self.rows_rejected,
            ),
            by_label(
                "starlink_exporter_cells_rejected_total",
                "Cells that could not be read, by reason.",
                "reason",
                CellFault::ALL.iter().map(|reason| reason.name()),
                &self.cells_rejected,
            ),
            gauge(
                "starlink_exporter_telemetry_lag_seconds",
                "Age of the last batch with rows on arrival: time between the median row timestamp and its arrival.",
                &self.telemetry_lag,
            ),
            gauge(
                "starlink_exporter_catching_up",
                "Whether the exporter is working through a backlog: batches are full, and their lag is above STALE_AFTER.",
                &self.catching_up,
            ),
            gauge(
                "starlink_exporter_stream_silent",
                "Whether answers contain no rows although at least 10 devices were online when rows last arrived.",
                &self.stream_silent,
            ),
            counter(
                "starlink_exporter_schema_changes_total",
                "Changes of the stream's columns.",
                &self.schema_changes,
            ),
            counter(
                "starlink_exporter_token_requests_total",
                "Requests for an access token. An attempt may make two: see TOKEN_URL.",
                &self.token_requests,
            ),
            by_label(
                "starlink_exporter_token_request_failures_total",
                "Attempts to get an access token that failed at every token URL, by reason.",
                "reason",
                TokenFailure::ALL.iter().map(|reason| reason.name()),
                &self.token_request_failures,
            ),
            gauge(
                "starlink_exporter_token_expiry_timestamp_seconds",
                "When the access token expires, in seconds since 1970.",
                &self.token_expiry,
            ),
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
            by_label(
                "starlink_exporter_task_restarts_total",
                "Restarts of long-running tasks that are not actors, by task.",
                "task",
                Task::ALL.iter().map(|task| task.name()),
                &self.task_restarts,
            ),
            gauge(
                "starlink_exporter_names_unmatched",
                "Entries of NAMES_FILE that have matched no device so far.",
                &self.names_unmatched,
            ),
            by_label(
                "starlink_exporter_scrapes_total",
                "Scrapes answered, by format.",
                "format",
                Format::ALL.iter().map(|format| format.name()),
                &self.scrapes,
            ),
            by_label(
                "starlink_exporter_scrapes_refused_total",
                "Scrapes answered with 503, by reason.",
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

/// A family of counters with one label. All of them are there from the start, at 0.
fn by_label(
    name: &'static str,
    help: &'static str,
    key: &'static str,
    values: impl Iterator<Item = &'static str>,
    counters: &[Counter],
) -> OwnFamily {
    values.zip(counters).fold(
        OwnFamily::new(Kind::Counter, name, help),
        |family, (value, counter)| family.labelled(key, value, counter.value()),
    )
}

/// How many devices a snapshot has.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
pub fn devices(snapshot: &Snapshot) -> OwnFamily {
    let mut family = OwnFamily::new(
        Kind::Gauge,
        "starlink_exporter_devices",
        "Known devices by type and state: online; offline (no data although polls succeeded); unknown (no data, but polls fail or the whole stream is silent).",
    );
    for table in &snapshot.tables {
        let Counts {
            online,
            offline,
            unknown,
        } = table.counts;
        for (state, count) in [
            ("online", online),
            ("offline", offline),
            ("unknown", unknown),
        ] {
            let labels = vec![
                ("device_type", table.name.to_string()),
                ("state", state.to_owned()),
            ];
            family = family.sample("", labels, count as f64);
        }
    }
    family
}

/// How many lines of the log were lost.
#[must_use]
pub fn dropped_lines(count: &Counter) -> OwnFamily {
    OwnFamily::new(
        Kind::Counter,
        "starlink_exporter_log_lines_dropped_total",
        "Log lines that were dropped because stderr was blocked or failed.",
    )
    .value(count.value())
}

/// How far the system's clock is from Starlink's.
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

/// Which build this is.
#[must_use]
pub fn build_info() -> OwnFamily {
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("revision", env!("BUILD_REVISION").to_owned()),
        ("rustversion", env!("BUILD_RUST_VERSION").to_owned()),
    ];
    OwnFamily::new(
        Kind::Info,
        "starlink_exporter_build_info",
        "Version, revision and compiler of the exporter.",
    )
    .sample("", labels, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_gauges_are_left_out_and_counters_start_at_zero() {
        let families = SelfMetrics::default().families();
        let samples = |name: &str| {
            let family = families
                .iter()
                .find(|family| family.family.name == name)
                .unwrap();
            family
                .samples
                .iter()
                .map(|sample| sample.value)
                .collect::<Vec<_>>()
        };
        assert_eq!(samples("starlink_up"), [0.0]);
        assert!(samples("starlink_exporter_telemetry_lag_seconds").is_empty());
        assert_eq!(samples("starlink_exporter_rows_total"), [0.0; 5]);
        let failures = samples("starlink_exporter_poll_failures_total");
        assert_eq!(failures, vec![0.0; PollFailure::ALL.len()]);
    }
}

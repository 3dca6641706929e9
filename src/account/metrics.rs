//! The exporter's own metrics of one account. Its actors and the store write them, scrapes read them, without locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use super::failure_report::FailureReport;
use super::unstored::Unstored;
use crate::exposition::OwnFamily;
use crate::fleet::{RowCode, RowFault, RowIgnored, Tally};
use crate::inventory::Part;
use crate::self_metrics::{Counter, Gauge, Histogram, counter, counters, gauge, gauges};
use crate::starlink::{PollFailure, TokenFailure};
use crate::telemetry::CellFault;

/// The bounds of the histogram of poll durations, in seconds. A poll may linger for 65 s.
const POLL_BOUNDS: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 90.0, 120.0,
];

/// The metrics of one account. They continue when its actors are started again.
#[derive(Debug)]
pub struct AccountMetrics {
    /// 1 when the last attempt succeeded, else 0.
    pub up: Gauge,
    /// Attempts to poll that have ended.
    pub polls: Counter,
    /// Attempts that failed, by reason.
    poll_failures: [Counter; PollFailure::ALL.len()],
    /// The index of the reason of the last failed attempt, plus 1; 0 before the first failure.
    last_failure: AtomicUsize,
    /// The same for requests for a token.
    last_token_failure: AtomicUsize,
    /// The report of the last failed attempt; `None` before the first failure.
    failure_report: ArcSwapOption<FailureReport>,
    /// The same for requests for a token.
    token_failure_report: ArcSwapOption<FailureReport>,
    /// The time from a request to its complete answer, in seconds.
    pub poll_duration: Histogram<{ POLL_BOUNDS.len() }>,
    /// When the last successful poll ended, in seconds since 1970.
    pub last_poll_success: Gauge,
    rows: [Counter; RowCode::ALL.len()],
    rows_ignored: [Counter; RowIgnored::ALL.len()],
    rows_rejected: [Counter; RowFault::ALL.len()],
    cells_rejected: [Counter; CellFault::ALL.len()],
    /// The lag of the last batch with rows, in seconds.
    pub telemetry_lag: Gauge,
    /// The arrival of that batch, in seconds since 1970. Not in scrapes.
    pub last_rows: Gauge,
    /// The start of the next attempt after a failed one, in seconds since 1970; unknown while none is planned. Not in scrapes.
    pub next_attempt: Gauge,
    /// 1 while rows of a backlog are received, else 0.
    pub catching_up: Gauge,
    /// 1 while answers contain no rows although many devices were online before, else 0.
    pub stream_silent: Gauge,
    /// The share of skipped reports, 0 to 1; unknown while no device has reported twice in the last 10 minutes.
    pub reports_skipped: Gauge,
    /// The seconds since answers last contained rows, if many devices were online before; else unknown. Not in scrapes.
    pub no_rows_for: Gauge,
    /// The rows that were left out since a row was last stored. Not in scrapes.
    unstored: ArcSwapOption<Unstored>,
    /// Column lists that differed from the previous one of their device type.
    pub schema_changes: Counter,
    /// Requests for a token.
    pub token_requests: Counter,
    token_request_failures: [Counter; TokenFailure::ALL.len()],
    /// When the token expires, in seconds since 1970.
    pub token_expiry: Gauge,
    inventory: [InventoryMetrics; Part::ALL.len()],
}

/// The metrics of one part of an account's inventory. Unknown until it is read.
#[derive(Debug, Default)]
pub struct InventoryMetrics {
    /// 1 after it was read, 0 after a failure; unknown while the permission is missing.
    pub up: Gauge,
    /// 1 after Starlink has answered, 0 while the permission is missing.
    pub permitted: Gauge,
    /// When it was last read, in seconds since 1970.
    pub last_success: Gauge,
}

impl Default for AccountMetrics {
    fn default() -> Self {
        let metrics = Self {
            up: Gauge::default(),
            polls: Counter::default(),
            poll_failures: Default::default(),
            last_failure: AtomicUsize::new(0),
            last_token_failure: AtomicUsize::new(0),
            failure_report: ArcSwapOption::default(),
            token_failure_report: ArcSwapOption::default(),
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
            reports_skipped: Gauge::default(),
            no_rows_for: Gauge::default(),
            unstored: ArcSwapOption::default(),
            schema_changes: Counter::default(),
            token_requests: Counter::default(),
            token_request_failures: Default::default(),
            token_expiry: Gauge::default(),
            inventory: Default::default(),
        };
        metrics.up.set(0.0);
        metrics.catching_up.set(0.0);
        metrics.stream_silent.set(0.0);
        metrics
    }
}

impl AccountMetrics {
    /// Counts a failed attempt, and keeps its report.
    pub fn poll_failed(&self, reason: PollFailure, report: FailureReport) {
        self.failure_report.store(Some(Arc::new(report)));
        self.poll_failures[reason as usize].increment();
        self.last_failure
            .store(reason as usize + 1, Ordering::Relaxed);
        self.up.set(0.0);
    }

    /// The reason of the last failed attempt, if any failed. If there was no token, also the reason of that.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        let last = self.last_failure.load(Ordering::Relaxed);
        let reason = PollFailure::ALL.get(last.checked_sub(1)?)?;
        Some(match (reason, self.last_token_failure()) {
            (PollFailure::Token, Some(token)) => format!("{}: {token}", reason.name()),
            _ => reason.name().to_owned(),
        })
    }

    /// The reason of the last failed token request, if any failed.
    #[must_use]
    pub fn last_token_failure(&self) -> Option<&'static str> {
        let last = self.last_token_failure.load(Ordering::Relaxed);
        let reason = TokenFailure::ALL.get(last.checked_sub(1)?)?;
        Some(reason.name())
    }

    /// The report of the last failed attempt, if any failed.
    #[must_use]
    pub fn failure_report(&self) -> Option<Arc<FailureReport>> {
        self.failure_report.load_full()
    }

    /// The report of the last failed request for a token, if any failed.
    #[must_use]
    pub fn token_failure_report(&self) -> Option<Arc<FailureReport>> {
        self.token_failure_report.load_full()
    }

    /// The number of failed attempts.
    #[must_use]
    pub fn failed_polls(&self) -> u64 {
        self.poll_failures.iter().map(Counter::count).sum()
    }

    /// The number of failed token requests.
    #[must_use]
    pub fn failed_token_requests(&self) -> u64 {
        let failures = self.token_request_failures.iter();
        failures.map(Counter::count).sum()
    }

    /// Counts a failed request for a token, and keeps its report.
    pub fn token_request_failed(&self, reason: TokenFailure, report: FailureReport) {
        self.token_failure_report.store(Some(Arc::new(report)));
        self.token_request_failures[reason as usize].increment();
        self.last_token_failure
            .store(reason as usize + 1, Ordering::Relaxed);
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

    /// Sets the rows that were left out since a row was last stored, if any.
    pub fn rows_unstored(&self, unstored: Option<Unstored>) {
        self.unstored.store(unstored.map(Arc::new));
    }

    /// The rows that were left out since a row was last stored.
    #[must_use]
    pub fn unstored(&self) -> Option<Arc<Unstored>> {
        self.unstored.load_full()
    }

    /// Counts rows that were lost because the store failed twice to take them.
    pub fn rows_lost(&self, rows: u64) {
        self.rows_rejected[RowFault::StoreFailed as usize].add(rows);
    }

    /// The metrics of a part of the inventory.
    #[must_use]
    pub fn inventory(&self, part: Part) -> &InventoryMetrics {
        &self.inventory[part as usize]
    }

    /// Makes the metrics of the inventory unknown.
    pub(super) fn forget_inventory(&self) {
        for part in &self.inventory {
            let InventoryMetrics {
                up,
                permitted,
                last_success,
            } = part;
            for gauge in [up, permitted, last_success] {
                gauge.clear();
            }
        }
    }

    fn inventory_gauges(
        &self,
        name: &'static str,
        help: &'static str,
        gauge: fn(&InventoryMetrics) -> &Gauge,
    ) -> OwnFamily {
        let parts = Part::ALL.into_iter();
        let values = parts.map(|part| (part.name(), gauge(self.inventory(part))));
        gauges(name, help, "part", values)
    }

    /// All families about polls, rows, tokens and the inventory, in a fixed order and without the label `account`.
    #[must_use]
    pub fn families(&self) -> Vec<OwnFamily> {
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
            counters(
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
            counters(
                "starlink_exporter_rows_total",
                "Rows received, by device type code.",
                "code",
                RowCode::ALL.iter().map(|code| code.name()),
                &self.rows,
            ),
            counters(
                "starlink_exporter_rows_ignored_total",
                "Valid rows that were not stored, by reason.",
                "reason",
                RowIgnored::ALL.iter().map(|reason| reason.name()),
                &self.rows_ignored,
            ),
            counters(
                "starlink_exporter_rows_rejected_total",
                "Rows that could not be read or stored, by reason.",
                "reason",
                RowFault::ALL.iter().map(|reason| reason.name()),
                &self.rows_rejected,
            ),
            counters(
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
            gauge(
                "starlink_exporter_reports_skipped_ratio",
                "Of the gaps between two reports of a device in the last 10 minutes, the share of those over 22 s.",
                &self.reports_skipped,
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
            counters(
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
            self.inventory_gauges(
                "starlink_exporter_inventory_up",
                "Whether the last reading of this part of the inventory succeeded. Absent while the permission is missing.",
                |part| &part.up,
            ),
            self.inventory_gauges(
                "starlink_exporter_inventory_permitted",
                "Whether the service account has the permission for this part of the inventory.",
                |part| &part.permitted,
            ),
            self.inventory_gauges(
                "starlink_exporter_inventory_last_success_timestamp_seconds",
                "When this part of the inventory was last read completely, in seconds since 1970.",
                |part| &part.last_success,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_gauges_are_left_out_and_counters_start_at_zero() {
        let families = AccountMetrics::default().families();
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

//! Records what the poll loop reports, in the exporter's own metrics and in the log.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::attempt::AttemptError;
use super::failure_report::FailureReport;
use super::failure_text;
use super::metrics::AccountMetrics;
use super::offer::Takes;
use super::poll_log::PollLog;
use super::poll_loop::{Lag, Outcome};
use crate::config::Origin;
use crate::starlink::PollFailure;
use crate::time::{Clock, unix_seconds};

/// Counts and logs the outcomes of polls.
#[derive(Debug)]
pub(super) struct PollRecord {
    account: Arc<str>,
    log: PollLog,
    origin: Origin,
    clock: Clock,
    metrics: Arc<AccountMetrics>,
}

impl PollRecord {
    /// A record of polls that linger for so long.
    pub(super) fn new(
        account: Arc<str>,
        origin: Origin,
        max_linger: Duration,
        clock: Clock,
        metrics: Arc<AccountMetrics>,
    ) -> Self {
        Self {
            log: PollLog::new(Arc::clone(&account), origin.clone(), max_linger),
            origin,
            account,
            clock,
            metrics,
        }
    }

    /// An attempt starts.
    pub(super) fn attempt_started(&self) {
        self.metrics.next_attempt.clear();
    }

    /// Counts and logs an outcome. `takes` says what the consumer takes that it names.
    pub(super) fn record(&mut self, outcome: Outcome, takes: impl Fn(usize) -> Option<Takes>) {
        match outcome {
            Outcome::Answered(took) => {
                self.metrics.poll_duration.observe(took);
                self.log.answered(took);
            }
            Outcome::Failed { error, took, wait } => self.failed(&error, took, wait),
            Outcome::Panicked { wait } => {
                let message = "The attempt panicked while reading an answer: see the log";
                self.count_failure(PollFailure::Decode, FailureReport::new(message, None));
                self.next_attempt_in(wait);
            }
            Outcome::Lost { consumer, rows } => self.lost(takes(consumer), rows),
            Outcome::Stored { rows, lag } => self.stored(rows, lag),
        }
    }

    fn failed(&mut self, error: &AttemptError, took: Option<Duration>, wait: Duration) {
        if let Some(took) = took {
            self.metrics.poll_duration.observe(took);
        }
        let cut = self.log.cut(error, took);
        let report = failure_text::attempt(error, &self.origin);
        let report = match &cut {
            Some(advice) => report.and(advice),
            None => report,
        };
        self.count_failure(error.reason(), report);
        let now = self.clock.elapsed();
        self.log.failed(error, cut.as_deref(), wait, now);
        self.next_attempt_in(wait);
    }

    fn count_failure(&self, reason: PollFailure, report: FailureReport) {
        self.metrics.polls.increment();
        self.metrics.poll_failed(reason, report);
    }

    fn lost(&self, takes: Option<Takes>, rows: usize) {
        let account = &*self.account;
        match takes {
            // The failed attempt is logged.
            Some(Takes::Batches) => self.metrics.rows_lost(rows as u64),
            Some(Takes::Answers) => warn!(account, rows, "an answer is lost to its consumer"),
            None => {}
        }
    }

    fn stored(&mut self, rows: usize, lag: Option<Lag>) {
        self.measure(lag);
        self.metrics.polls.increment();
        let is_first = self.metrics.last_poll_success.value().is_none();
        let now = unix_seconds(self.clock.corrected());
        self.metrics.last_poll_success.set(now);
        self.metrics.up.set(1.0);
        let account = Arc::clone(&self.account);
        let account = &*account;
        debug!(account, rows, "batch stored");
        if !self.log.recovered(self.clock.elapsed()) && is_first {
            info!(account, rows, "first poll succeeded");
        }
        self.next_attempt_in(Duration::ZERO);
    }

    fn measure(&self, lag: Option<Lag>) {
        let is_catching_up = lag.is_some_and(|lag| lag.is_catching_up);
        let catching_up = f64::from(u8::from(is_catching_up));
        self.metrics.catching_up.set(catching_up);
        if let Some(lag) = lag {
            self.metrics.telemetry_lag.set(lag.seconds);
            self.metrics.last_rows.set(unix_seconds(lag.arrived));
        }
    }

    fn next_attempt_in(&self, wait: Duration) {
        let next = unix_seconds(self.clock.corrected() + wait);
        self.metrics.next_attempt.set(next);
    }
}

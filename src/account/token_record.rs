//! Records the results of token requests, in the exporter's own metrics and in the log.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::failure_text;
use super::metrics::AccountMetrics;
use super::token_state::Outcome;
use crate::starlink::{TokenError, TokenFailure};
use crate::text::with_sources;
use crate::time::{Clock, FailureLog, Moment, Report, unix_seconds};

/// Counts and logs the outcomes of token requests.
#[derive(Debug)]
pub(super) struct TokenRecord {
    account: Arc<str>,
    /// By reason and status.
    failures: FailureLog<(TokenFailure, Option<u16>)>,
    clock: Clock,
    metrics: Arc<AccountMetrics>,
}

impl TokenRecord {
    pub(super) fn new(account: Arc<str>, clock: Clock, metrics: Arc<AccountMetrics>) -> Self {
        Self {
            account,
            failures: FailureLog::new(),
            clock,
            metrics,
        }
    }

    /// Counts and logs an outcome.
    pub(super) fn record(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Issued(lifetime) => {
                self.log_recovery();
                let account = &*self.account;
                debug!(account, ?lifetime, "token issued");
                let expiry = unix_seconds(self.clock.corrected() + lifetime);
                self.metrics.token_expiry.set(expiry);
            }
            Outcome::Discarded => self.metrics.token_expiry.clear(),
            Outcome::Failed { error, retry_in } => {
                let report = failure_text::token(&error);
                self.metrics.token_request_failed(error.reason(), report);
                self.log(&error, retry_in);
            }
        }
    }

    /// When [`TokenRecord::log_recovery`] has something to log if no request fails before: the next request may be many minutes away.
    pub(super) fn outage_over_at(&self) -> Option<Moment> {
        let over_at = self.failures.over_at()?;
        // Moments are whole milliseconds: not before it is over.
        Some(Moment::at(over_at).after(Duration::from_millis(1)))
    }

    /// Logs the end of an outage, if this is one.
    pub(super) fn log_recovery(&mut self) {
        if let Some(recovered) = self.failures.recovered(self.clock.elapsed()) {
            let account = &*self.account;
            info!(
                account,
                failures = recovered.failures,
                for_seconds = recovered.lasted.as_secs(),
                "token requests succeed again"
            );
        }
    }

    /// Logs a failed request; the next one comes in `retry_in`.
    fn log(&mut self, error: &TokenError, retry_in: Duration) {
        let account = &*self.account;
        let status = error.answer().map(|answer| answer.status);
        // Not the message: one that differs each time (a request's number) would flood the log.
        let key = (error.reason(), status);
        let error_is_refusal = error.reason() == TokenFailure::Refused;
        let reason = error.reason().name();
        let error = with_sources(error);
        let retry_in_seconds = retry_in.as_secs_f64();
        match self.failures.failed(key, self.clock.elapsed()) {
            Report::Silent => debug!(
                account,
                reason, status, error, retry_in_seconds, "token request failed again"
            ),
            Report::First if error_is_refusal => error!(
                account,
                reason,
                status,
                error,
                retry_in_seconds,
                "token refused: check CLIENT_ID and CLIENT_SECRET"
            ),
            Report::First => warn!(
                account,
                reason, status, error, retry_in_seconds, "token request failed: retrying"
            ),
            Report::Repeated { count, since } => warn!(
                account,
                reason,
                status,
                error,
                count,
                for_seconds = since.as_secs(),
                retry_in_seconds,
                "token requests still fail"
            ),
        }
    }
}

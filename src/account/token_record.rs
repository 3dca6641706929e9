//! Records the results of token requests, in the exporter's own metrics and in the log.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::failure_text;
use super::metrics::AccountMetrics;
use super::token_state::Outcome;
use crate::config::Origin;
use crate::starlink::{TokenError, TokenFailure};
use crate::text::with_sources;
use crate::time::{Clock, FailureLog, Moment, Report, unix_seconds};

/// Counts and logs the outcomes of token requests.
#[derive(Debug)]
pub(super) struct TokenRecord {
    account: Arc<str>,
    origin: Origin,
    /// By reason and status.
    failures: FailureLog<(TokenFailure, Option<u16>)>,
    clock: Clock,
    metrics: Arc<AccountMetrics>,
}

impl TokenRecord {
    /// A record of the requests for an account.
    pub(super) fn new(
        account: Arc<str>,
        origin: Origin,
        clock: Clock,
        metrics: Arc<AccountMetrics>,
    ) -> Self {
        Self {
            account,
            origin,
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
                let report = failure_text::token(&error, &self.origin);
                self.log(&error, report.remedy.as_deref(), retry_in);
                self.metrics.token_request_failed(error.reason(), report);
            }
        }
    }

    /// When the outage ends, if no request fails before: [`TokenRecord::log_recovery`] is due then, because the next request may be
    /// many minutes away.
    pub(super) fn outage_over_at(&self) -> Option<Moment> {
        let over_at = self.failures.over_at()?;
        // Moments are whole milliseconds, rounded down.
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

    /// Logs a failed request, with what an operator can do about it. The next request is made after `retry_in`.
    fn log(&mut self, error: &TokenError, advice: Option<&str>, retry_in: Duration) {
        let account = &*self.account;
        let status = error.answer().map(|answer| answer.status);
        // Without the message: if it differed each time, for example by a request's number, each failure would be logged.
        let key = (error.reason(), status);
        let is_refusal = error.reason() == TokenFailure::Refused;
        let reason = error.reason().name();
        let error = with_sources(error);
        let retry_in_seconds = retry_in.as_secs_f64();
        match self.failures.failed(key, self.clock.elapsed()) {
            Report::Silent => debug!(
                account,
                reason, status, error, retry_in_seconds, "token request failed again"
            ),
            Report::First if is_refusal => error!(
                account,
                reason,
                status,
                error,
                advice,
                retry_in_seconds,
                "token refused: check the credentials"
            ),
            Report::First => warn!(
                account,
                reason, status, error, advice, retry_in_seconds, "token request failed: retrying"
            ),
            Report::Repeated { count, since } => warn!(
                account,
                reason,
                status,
                error,
                advice,
                count,
                for_seconds = since.as_secs(),
                retry_in_seconds,
                "token requests still fail"
            ),
        }
    }
}

//! Logs the outages of polls: the beginning, a line a minute, and the end.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::attempt::AttemptError;
use super::cuts::Cuts;
use crate::config::Origin;
use crate::starlink::PollFailure;
use crate::text::with_sources;
use crate::time::{FailureLog, Report};

/// Logs how attempts to poll end.
#[derive(Debug)]
pub(super) struct PollLog {
    account: Arc<str>,
    origin: Origin,
    /// By reason, status, and whether something cuts polls.
    failures: FailureLog<(PollFailure, Option<u16>, bool)>,
    cuts: Cuts,
    max_linger: Duration,
    has_succeeded: bool,
    /// Whether the log names, in this outage, what to do about something that cuts polls.
    has_named_cut: bool,
}

impl PollLog {
    /// A log of polls that linger for so long.
    pub(super) fn new(account: Arc<str>, origin: Origin, max_linger: Duration) -> Self {
        Self {
            account,
            origin,
            failures: FailureLog::new(),
            cuts: Cuts::default(),
            max_linger,
            has_succeeded: false,
            has_named_cut: false,
        }
    }

    /// A poll was answered after this time.
    pub(super) fn answered(&mut self, took: Duration) {
        self.cuts.answered(took);
    }

    /// Notes a success. Whether it has ended an outage.
    pub(super) fn recovered(&mut self, now: Duration) -> bool {
        self.has_succeeded = true;
        let Some(recovered) = self.failures.recovered(now) else {
            return false;
        };
        self.has_named_cut = false;
        let account = &*self.account;
        info!(
            account,
            failures = recovered.failures,
            for_seconds = recovered.lasted.as_secs(),
            "polls succeed again"
        );
        true
    }

    /// What to do about a failed attempt, whose request took this time, if something cuts polls. To be called once for each.
    pub(super) fn cut(&mut self, error: &AttemptError, took: Option<Duration>) -> Option<String> {
        let took = took.filter(|_| error.is_cut())?;
        let cut_after = self.cuts.lost(took, self.max_linger)?;
        Some(format!(
            "Polls are cut after about {} s: set {} (now {} ms) below that.",
            cut_after.as_secs(),
            self.origin.max_linger(),
            self.max_linger.as_millis()
        ))
    }

    /// Counts a failed attempt, with what [`PollLog::cut`] gave for it. The next one comes in `wait`.
    pub(super) fn failed(
        &mut self,
        error: &AttemptError,
        cut: Option<&str>,
        wait: Duration,
        now: Duration,
    ) {
        let account = &*self.account;
        let status = error.status();
        // Not the message: one that differs each time (a request's number) would flood the log.
        let key = (error.reason(), status, cut.is_some());
        let is_forbidden = error.reason() == PollFailure::Forbidden;
        // The token actor has logged this failure already: one fault, one line.
        let is_logged = matches!(error, AttemptError::Token(_));
        let reason = error.reason().name();
        let is_elsewhere = matches!(
            error.reason(),
            PollFailure::NotFound | PollFailure::Redirect
        );
        let is_wrong_url = is_elsewhere && !self.has_succeeded;
        let check_url = is_wrong_url.then(|| format!("Check {}.", self.origin.api_url()));
        let advice = cut.or(check_url.as_deref());
        let error = with_sources(error);
        let retry_in_seconds = wait.as_secs_f64();
        if is_logged {
            debug!(account, reason, error, retry_in_seconds, "poll failed");
            return self.failures.failed_elsewhere(now);
        }
        let report = self.failures.failed(key, now);
        let is_new_cut = cut.is_some() && !self.has_named_cut;
        self.has_named_cut |= cut.is_some();
        match report {
            // Once more in this minute: what it says was not known before.
            Report::Silent if is_new_cut => warn!(
                account,
                reason, status, error, advice, retry_in_seconds, "polls are cut after a fixed time"
            ),
            Report::Silent => {
                debug!(
                    account,
                    reason, status, error, retry_in_seconds, "poll failed again"
                );
            }
            Report::First if is_forbidden => error!(
                account,
                reason,
                status,
                error,
                retry_in_seconds,
                "poll forbidden: the service account needs the permission \"Device telemetry, View\""
            ),
            Report::First => warn!(
                account,
                reason, status, error, advice, retry_in_seconds, "poll failed: retrying"
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
                "polls still fail"
            ),
        }
    }
}

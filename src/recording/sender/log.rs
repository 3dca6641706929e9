//! What a sender logs, and how often.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::remote_write::{Hold, Retry};
use crate::time::{FailureLog, Report, Throttle};

/// A held sender is logged again after this time.
const MINUTE: Duration = Duration::from_secs(60);

/// The log of a sender. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct SenderLog {
    account: Arc<str>,
    destination: Arc<str>,
    failures: FailureLog<String>,
    holds: HoldLog,
    refused: Throttle,
    unreadable: Throttle,
    journal: Throttle,
    is_not_stored: bool,
}

impl SenderLog {
    pub(super) fn new(account: Arc<str>, destination: Arc<str>) -> Self {
        Self {
            account,
            destination,
            failures: FailureLog::new(),
            holds: HoldLog::default(),
            refused: Throttle::default(),
            unreadable: Throttle::default(),
            journal: Throttle::default(),
            is_not_stored: false,
        }
    }

    /// A request failed, and is sent again.
    pub(super) fn retried(&mut self, code: String, error: &str, retry: &Retry, now: Duration) {
        let (account, destination) = (&*self.account, &*self.destination);
        let wait_seconds = retry.after.as_secs_f64();
        match self.failures.failed(code, now) {
            Report::First => warn!(
                account,
                destination, error, wait_seconds, "remote write failed: sending again"
            ),
            Report::Repeated { count, since } => warn!(
                account,
                destination,
                error,
                wait_seconds,
                count,
                since_seconds = since.as_secs(),
                "remote write still fails: sending again"
            ),
            Report::Silent => {}
        }
    }

    /// Requests are held until a person changes something.
    pub(super) fn held(&mut self, hold: Hold, error: &str, now: Duration) {
        let (account, destination) = (Some(&*self.account), &*self.destination);
        self.holds.held(account, destination, hold, error, now);
    }

    /// A request was answered otherwise.
    pub(super) fn answered(&mut self, now: Duration) {
        let (account, destination) = (&*self.account, &*self.destination);
        self.holds.ended(Some(account), destination);
        if let Some(recovered) = self.failures.recovered(now) {
            info!(
                account,
                destination,
                failures = recovered.failures,
                lasted_seconds = recovered.lasted.as_secs(),
                "remote write succeeds again"
            );
        }
    }

    /// Samples were refused for good.
    pub(super) fn refused(&mut self, reason: &str, samples: u64, error: &str, now: Duration) {
        if let Some(not_logged) = self.refused.admit(now) {
            let (account, destination) = (&*self.account, &*self.destination);
            warn!(
                account,
                destination, reason, samples, error, not_logged, "the receiver refused samples"
            );
        }
    }

    /// The receiver took samples and dropped them.
    pub(super) fn not_stored(&mut self, error: &str) {
        if !std::mem::replace(&mut self.is_not_stored, true) {
            let (account, destination) = (&*self.account, &*self.destination);
            error!(
                account,
                destination,
                error,
                "the receiver accepts samples and drops them: its HA tracker expects another replica. Correct the labels or its HA settings"
            );
        }
    }

    /// A record gives no samples.
    pub(super) fn unreadable(&mut self, sequence: u64, rows: u64, error: &str, now: Duration) {
        if let Some(not_logged) = self.unreadable.admit(now) {
            let (account, destination) = (&*self.account, &*self.destination);
            warn!(
                account,
                destination,
                sequence,
                rows,
                error,
                not_logged,
                "a record is skipped: it cannot be read"
            );
        }
    }

    /// The journal does not give records.
    pub(super) fn no_records(&mut self, error: &str, now: Duration) {
        if let Some(not_logged) = self.journal.admit(now) {
            let (account, destination) = (&*self.account, &*self.destination);
            warn!(
                account,
                destination, error, not_logged, "cannot read the journal: trying again"
            );
        }
    }

    /// The receiver does not support 2.0.
    pub(super) fn fell_back(&self) {
        let destination = &*self.destination;
        info!(
            destination,
            "the receiver does not support remote write 2.0: using 1.0"
        );
    }
}

/// Logs that requests are held until a person changes something, and the end of that.
#[derive(Debug, Default)]
pub(in crate::recording) struct HoldLog(Option<(Hold, Duration)>);

impl HoldLog {
    /// Requests are held: logged once, and then once a minute. `account` is `None` for own series, `now` a time of the monotonic clock.
    pub(in crate::recording) fn held(
        &mut self,
        account: Option<&str>,
        destination: &str,
        hold: Hold,
        error: &str,
        now: Duration,
    ) {
        let is_recent =
            |(known, at): (Hold, Duration)| known == hold && now.saturating_sub(at) < MINUTE;
        if self.0.is_some_and(is_recent) {
            return;
        }
        self.0 = Some((hold, now));
        let advice = hold.advice();
        error!(
            account,
            destination,
            error,
            advice,
            "remote write is held: nothing is sent until this is changed"
        );
    }

    /// A request was answered otherwise.
    pub(in crate::recording) fn ended(&mut self, account: Option<&str>, destination: &str) {
        if self.0.take().is_some() {
            info!(account, destination, "remote write is not held any more");
        }
    }
}

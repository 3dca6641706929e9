//! Records the outcomes of the requests for an inventory, in the exporter's own metrics and in the log.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::pages::Skipped;
use super::request::RequestError;
use super::schedule::Outcome;
use crate::account::metrics::AccountMetrics;
use crate::inventory::{Inventory, Part, Rejected};
use crate::starlink::PollFailure;
use crate::text::with_sources;
use crate::time::{Clock, FailureLog, Moment, Report};

/// The permission for last values, as it is called on Starlink's settings page.
const TELEMETRY_PERMISSION: &str = "Device telemetry, View";

/// Counts and logs the outcomes of an account.
#[derive(Debug)]
pub(super) struct InventoryRecord {
    account: Arc<str>,
    parts: [PartRecord; Part::ALL.len()],
    clock: Clock,
    metrics: Arc<AccountMetrics>,
}

/// What was logged about a part.
#[derive(Debug, Default)]
struct PartRecord {
    /// By reason and status.
    failures: FailureLog<(PollFailure, Option<u16>)>,
    /// More pages than can be read.
    cut: Condition,
    /// Invalid entries.
    rejected: Condition,
    /// More entries than `MAX_DEVICES`.
    left_out: Condition,
}

/// A condition of complete readings that is logged when a reading has it and the one before had not.
#[derive(Debug, Default)]
struct Condition {
    occurs: bool,
    occurred_before: bool,
}

impl Condition {
    /// The reading in progress has the condition. Returns whether the one before had not.
    fn occurs(&mut self) -> bool {
        self.occurs = true;
        !self.occurred_before
    }

    /// The reading is complete.
    fn complete(&mut self) {
        self.occurred_before = std::mem::take(&mut self.occurs);
    }
}

impl InventoryRecord {
    /// A record of the requests for an account, whose inventory so far is given.
    pub(super) fn new(
        account: Arc<str>,
        known: &Inventory,
        clock: Clock,
        metrics: Arc<AccountMetrics>,
    ) -> Self {
        for part in Part::ALL {
            if let Some(at) = known.read_at(part) {
                metrics.inventory(part).last_success.set(at);
            }
        }
        Self {
            account,
            parts: Default::default(),
            clock,
            metrics,
        }
    }

    /// Counts and logs an outcome.
    pub(super) fn record(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Permitted(part) => self.permitted(part),
            Outcome::Read { part, skipped } => self.read(part, &skipped),
            Outcome::Cut { part, pages } => self.cut(part, pages),
            Outcome::Forbidden(part) => self.forbidden(part),
            Outcome::Failed { part, error, wait } => self.failed(part, &error, wait),
            Outcome::LastValuesFailed { error, wait } => self.last_values_failed(&error, wait),
            Outcome::LastValuesMissing { error, terminals } => {
                self.last_values_missing(&error, terminals);
            }
            Outcome::LastValuesEnded {
                terminals,
                missing,
                rejected,
            } => self.last_values_ended(terminals, missing, &rejected),
        }
    }

    fn permitted(&self, part: Part) {
        let permitted = &self.metrics.inventory(part).permitted;
        if permitted.value() == Some(0.0) {
            info!(
                account = &*self.account,
                part = part.name(),
                "the permission for a part of the inventory was granted"
            );
        }
        permitted.set(1.0);
    }

    fn read(&mut self, part: Part, skipped: &Skipped) {
        let metrics = self.metrics.inventory(part);
        metrics.up.set(1.0);
        metrics.last_success.set(skipped.at);
        let account = &*self.account;
        let record = &mut self.parts[part as usize];
        let Skipped {
            rejected, left_out, ..
        } = skipped;
        let (part_name, entries, left_out) = (part.name(), rejected.entries, *left_out);
        debug!(
            account,
            part = part_name,
            rejected = entries,
            left_out,
            "inventory read"
        );
        if entries > 0 && record.rejected.occurs() {
            warn!(
                account,
                part = part_name,
                entries,
                error = rejected.example.as_deref(),
                "entries of the inventory are ignored: they are invalid"
            );
        }
        if left_out > 0 && record.left_out.occurs() {
            warn!(
                account,
                part = part_name,
                entries = left_out,
                "entries of the inventory are ignored: there are more than MAX_DEVICES allows"
            );
        }
        for condition in [&mut record.cut, &mut record.rejected, &mut record.left_out] {
            condition.complete();
        }
        self.log_recoveries([part]);
    }

    fn cut(&mut self, part: Part, pages: u32) {
        let record = &mut self.parts[part as usize];
        if record.cut.occurs() {
            warn!(
                account = &*self.account,
                part = part.name(),
                pages,
                "further pages of the inventory are ignored: there are more than MAX_DEVICES allows"
            );
        }
    }

    fn forbidden(&mut self, part: Part) {
        let metrics = self.metrics.inventory(part);
        let was_forbidden = metrics.permitted.value() == Some(0.0);
        metrics.permitted.set(0.0);
        metrics.up.clear();
        metrics.last_success.clear();
        self.parts[part as usize] = PartRecord::default();
        let (account, part, permission) = (&*self.account, part.name(), part.permission());
        if was_forbidden {
            debug!(
                account,
                part, permission, "a permission for the inventory is still missing"
            );
        } else {
            info!(
                account,
                part,
                permission,
                "a part of the inventory is left out: the service account lacks the permission"
            );
        }
    }

    fn failed(&mut self, part: Part, error: &RequestError, wait: Duration) {
        self.metrics.inventory(part).up.set(0.0);
        let now = self.clock.elapsed();
        let failures = &mut self.parts[part as usize].failures;
        let (account, part) = (&*self.account, part.name());
        // Without the message, which may differ each time.
        let key = (error.reason(), error.status());
        let reason = error.reason().name();
        let status = error.status();
        let retry_in_seconds = wait.as_secs_f64();
        let is_logged_by_token_actor = matches!(error, RequestError::Token(_));
        let error = with_sources(error);
        if is_logged_by_token_actor {
            debug!(
                account,
                part, reason, error, retry_in_seconds, "inventory request failed"
            );
            return failures.failed_elsewhere(now);
        }
        match failures.failed(key, now) {
            Report::Silent => debug!(
                account,
                part, reason, status, error, retry_in_seconds, "inventory request failed again"
            ),
            Report::First => warn!(
                account,
                part, reason, status, error, retry_in_seconds, "inventory request failed: retrying"
            ),
            Report::Repeated { count, since } => warn!(
                account,
                part,
                reason,
                status,
                error,
                count,
                for_seconds = since.as_secs(),
                retry_in_seconds,
                "inventory requests still fail"
            ),
        }
    }

    fn last_values_failed(&self, error: &RequestError, wait: Duration) {
        debug!(
            account = &*self.account,
            reason = error.reason().name(),
            status = error.status(),
            error = with_sources(error),
            retry_in_seconds = wait.as_secs_f64(),
            "the request for last values of terminals failed"
        );
    }

    fn last_values_missing(&self, error: &RequestError, terminals: usize) {
        let permission = error.is_permission().then_some(TELEMETRY_PERMISSION);
        warn!(
            account = &*self.account,
            terminals,
            reason = error.reason().name(),
            status = error.status(),
            error = with_sources(error),
            permission,
            "the last values of terminals cannot be read: they appear with the next rows of the stream"
        );
    }

    fn last_values_ended(&self, terminals: usize, missing: usize, rejected: &Rejected) {
        let account = &*self.account;
        if missing < terminals {
            info!(account, terminals, missing, "last values of terminals read");
        }
        if rejected.entries > 0 {
            warn!(
                account,
                terminals = rejected.entries,
                error = rejected.example.as_deref(),
                "last values of terminals are ignored: they are invalid"
            );
        }
    }

    /// When the next outage ends, if no request fails before: [`InventoryRecord::log_recovery`] is due then.
    pub(super) fn outage_over_at(&self) -> Option<Moment> {
        let ends = self.parts.iter();
        let over_at = ends.filter_map(|part| part.failures.over_at()).min()?;
        // Moments are whole milliseconds, rounded down.
        Some(Moment::at(over_at).after(Duration::from_millis(1)))
    }

    /// Logs the ends of outages, if there are any.
    pub(super) fn log_recovery(&mut self) {
        let has_recovered = |part: &Part| self.parts[*part as usize].failures.over_at().is_some();
        let recovered: Vec<_> = Part::ALL.into_iter().filter(has_recovered).collect();
        self.log_recoveries(recovered);
    }

    fn log_recoveries(&mut self, parts: impl IntoIterator<Item = Part>) {
        for part in parts {
            let failures = &mut self.parts[part as usize].failures;
            if let Some(recovered) = failures.recovered(self.clock.elapsed()) {
                info!(
                    account = &*self.account,
                    part = part.name(),
                    failures = recovered.failures,
                    for_seconds = recovered.lasted.as_secs(),
                    "inventory requests succeed again"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_logged_when_a_complete_reading_has_it_and_the_one_before_had_not() {
        let mut condition = Condition::default();
        let logged = [true, true, false, true, false].map(|has_it| {
            let is_logged = has_it && condition.occurs();
            condition.complete();
            is_logged
        });
        assert_eq!(logged, [true, false, false, true, false]);
    }
}

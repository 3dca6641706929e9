//! When sets are due, and whose series they have.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select};
use tracing::{info, warn};

use super::sending::{NotSent, PartlySent, Sending};
use crate::exposition::Collect;
use crate::history::OwnSeries;
use crate::recording::bounds::clock_is_known;
use crate::time::{Moment, unix_nanos};

/// The first set waits this long at most for Starlink's first response, which corrects a wrong clock.
const CLOCK_LIMIT: Duration = Duration::from_secs(30);

/// If the clock is behind the last set by more than this, in milliseconds, the last set's time was wrong.
const AHEAD: i64 = 60_000;

/// Sets that are sent regularly.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The families.
    pub collect: Collect,
    /// The time from a set to the next.
    pub interval: Duration,
}

/// The exporter's own metrics, and which devices are online.
pub const STATES: Kind = Kind {
    collect: Collect::STATES,
    interval: Duration::from_secs(15),
};

/// The names of devices, their accounts, and the inventory.
pub const LISTS: Kind = Kind {
    collect: Collect::LISTS,
    interval: Duration::from_secs(60),
};

/// Whose series a request holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// `None` for all accounts and the process.
    pub account: Option<Arc<str>>,
    /// The tenant of the account; empty for `None`.
    pub tenant: Arc<str>,
}

/// The sets of one kind for a destination.
#[derive(Debug)]
pub struct Rounds<'s> {
    kind: Kind,
    sending: &'s Sending,
    /// The series that the receiver has, or may have.
    series: BTreeMap<Scope, OwnSeries>,
    /// The time of the last set, in milliseconds since 1970.
    last: i64,
    is_failing: bool,
}

impl<'s> Rounds<'s> {
    /// No set was sent yet.
    #[must_use]
    pub fn new(kind: Kind, sending: &'s Sending) -> Self {
        Self {
            kind,
            sending,
            series: BTreeMap::new(),
            last: i64::MIN,
            is_failing: false,
        }
    }

    /// Sends sets until this future ends. The set that is being sent then is given up.
    pub async fn until(mut self, end: impl Future<Output = ()>) -> Self {
        select(pin!(self.send_all()), pin!(end)).await;
        self
    }

    async fn send_all(&mut self) {
        // A set with a wrong time would be newer than all after it.
        let clock = self.sending.clock();
        clock.timeout(CLOCK_LIMIT, clock_is_known(clock)).await;
        loop {
            let due = self.sending.clock().now().after(self.kind.interval);
            self.send(due).await;
            self.sending.clock().sleep_until(due).await;
        }
    }

    /// Sends a set. What is not sent when the next one is due is given up, and the set is counted as dropped.
    async fn send(&mut self, due: Moment) {
        let time = self.time();
        let scopes = self.sending.scopes();
        let gone = self
            .series
            .extract_if(.., |scope, _| !scopes.contains(scope));
        let gone: Vec<_> = gone.collect();
        let ended = gone
            .into_iter()
            .map(|(scope, series)| self.ended(scope, series, time, due));
        let sent = scopes.into_iter().map(|scope| self.sent(scope, time, due));
        let (sent, _) = futures_util::future::join(join_all(sent), join_all(ended)).await;
        let mut failure = None;
        for (scope, series, error) in sent {
            self.series.insert(scope, series);
            failure = error.or(failure);
        }
        self.report(failure);
    }

    /// Sends a set of a scope. Returns the series that the receiver has then, or may have, and why not all of the set are sent.
    async fn sent(
        &self,
        scope: Scope,
        time: i64,
        due: Moment,
    ) -> (Scope, OwnSeries, Option<NotSent>) {
        let sending = self.sending;
        let before = self.series.get(&scope).cloned();
        let before = before.unwrap_or_else(|| sending.no_series());
        let partly = PartlySent::default();
        let sent = sending.scrape(&scope, self.kind.collect, before.clone(), time, &partly);
        let error = match self.in_time(due, sent).await {
            Ok((series, refused)) => return (scope, series, refused),
            Err(error) => error,
        };
        let series = match partly.into_inner() {
            Some(partly) => sending.both(before, partly).await,
            None => before,
        };
        (scope, series, Some(error))
    }

    /// Ends the series of a scope that is no more.
    async fn ended(&self, scope: Scope, series: OwnSeries, time: i64, due: Moment) {
        // The receiver ends series without new samples itself after some minutes.
        let _ = self
            .in_time(due, self.sending.end(&scope, series, time))
            .await;
    }

    async fn in_time<T>(
        &self,
        due: Moment,
        sent: impl Future<Output = Result<T, NotSent>>,
    ) -> Result<T, NotSent> {
        let clock = self.sending.clock();
        let sent = clock.timeout(due.since(clock.now()), sent).await;
        sent.unwrap_or(Err(NotSent::Late))
    }

    /// Ends all series.
    pub async fn end(mut self) {
        let time = self.time();
        let series = std::mem::take(&mut self.series);
        let ended = series
            .into_iter()
            .map(|(scope, series)| async move { self.sending.end(&scope, series, time).await });
        join_all(ended).await;
    }

    /// The time of a set: that of the clock, but later than the set before.
    fn time(&mut self) -> i64 {
        let now = unix_nanos(self.sending.clock().corrected()) / 1_000_000;
        self.last = next_time(self.last, now);
        self.last
    }

    fn report(&mut self, failure: Option<NotSent>) {
        let destination = self.sending.destination();
        match failure {
            // It was logged, with what to change.
            Some(NotSent::Held) => self.sending.count_dropped(),
            Some(error) => {
                self.sending.count_dropped();
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!(destination, %error, "own metrics are not sent");
                }
            }
            None => {
                if std::mem::take(&mut self.is_failing) {
                    info!(destination, "own metrics are sent again");
                }
            }
        }
    }
}

/// The time of the set after one at the time `last`, in milliseconds since 1970.
fn next_time(last: i64, now: i64) -> i64 {
    match last.saturating_sub(now) > AHEAD {
        true => now,
        false => now.max(last.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_increase_unless_the_clock_was_ahead() {
        for (last, now, expected) in [
            (i64::MIN, 5, 5),
            (100_000, 115_000, 115_000),
            (100_000, 100_000, 100_001),
            (100_000, 40_000, 100_001),
            (100_000, 39_999, 39_999),
            (144_000_000, 15_000, 15_000),
        ] {
            assert_eq!(next_time(last, now), expected, "{last} {now}");
        }
    }
}

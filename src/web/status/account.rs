//! The state of one account: its polls, its token, its devices.

use std::time::Duration;

use serde::Serialize;

use super::Actor;
use super::inventory::Inventory;
use crate::account::{AccountMetrics, AccountStatus, Unstored};
use crate::fleet::Counts;
use crate::http::{PollState, restart_timestamp};
use crate::time::Clock;

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The state.
    pub state: PollState,
    /// When it is started again, in seconds since 1970, while it is paused.
    pub restart_timestamp_seconds: Option<f64>,
    /// Its devices.
    pub devices: Counts,
    /// The polls.
    pub stream: Stream,
    /// The access token.
    pub token: Token,
    /// What Starlink's management API says about it.
    pub inventory: Inventory,
    /// The actors, in the order in which they were started.
    pub actors: Vec<Actor>,
}

/// The polls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stream {
    /// Whether the last attempt succeeded.
    pub up: bool,
    /// Attempts that have ended.
    pub polls: u64,
    /// Attempts that failed.
    pub failed_polls: u64,
    /// The reason of the last failed attempt, as a code.
    pub last_failure: Option<String>,
    /// The last failed attempt in words: what Starlink said, or why it could not be reached.
    pub last_failure_message: Option<String>,
    /// What an operator can do about it.
    pub last_failure_remedy: Option<String>,
    /// When the last successful attempt ended, in seconds since 1970.
    pub last_success_timestamp_seconds: Option<f64>,
    /// When the next attempt starts after a failed one, in seconds since 1970; unknown while none waits.
    pub next_attempt_timestamp_seconds: Option<f64>,
    /// When rows with plausible timestamps last arrived, in seconds since 1970.
    pub last_rows_timestamp_seconds: Option<f64>,
    /// The age that the rows of the last batch with rows had on arrival, in seconds.
    pub lag_seconds: Option<f64>,
    /// Whether that is more than `STALE_AFTER`.
    pub late: bool,
    /// Whether the exporter is working through a backlog.
    pub catching_up: bool,
    /// Whether answers contain no rows although many devices were online.
    pub silent: bool,
    /// For how many seconds answers have contained no rows, if at least 10 devices were online before.
    pub no_rows_seconds: Option<f64>,
    /// The rows that were left out since a row was last stored, if that was more than a minute ago or never.
    pub left_out: Option<LeftOut>,
}

/// Rows that arrived and were all left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// How many arrived.
    pub rows: u64,
    /// The reason of most of them, as `rows_ignored_total` and `rows_rejected_total` name it.
    pub reason: &'static str,
    /// The same in words.
    pub because: &'static str,
    /// How many were left out for this reason.
    pub rows_with_reason: u64,
}

/// Rows that are left out for less than this are not reported: a row is normally stored every few seconds.
const BETWEEN_ROWS: Duration = Duration::from_secs(60);

impl LeftOut {
    fn of(unstored: &Unstored, ran: Duration) -> Option<Self> {
        let rows = &unstored.rows;
        let lasts = ran.saturating_sub(unstored.since) > BETWEEN_ROWS;
        (unstored.is_first || lasts).then_some(Self {
            rows: rows.rows,
            reason: rows.reason,
            because: rows.because,
            rows_with_reason: rows.with_reason,
        })
    }
}

/// The access token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Token {
    /// When it expires, in seconds since 1970.
    pub expiry_timestamp_seconds: Option<f64>,
    /// Requests for a token.
    pub requests: u64,
    /// Requests that failed.
    pub failed_requests: u64,
    /// The reason of the last failed request, as a code.
    pub last_failure: Option<&'static str>,
    /// The last failed request in words.
    pub last_failure_message: Option<String>,
    /// What an operator can do about it.
    pub last_failure_remedy: Option<String>,
}

/// The sources of the state of an account.
pub(super) struct AccountInput<'a> {
    pub status: &'a AccountStatus,
    pub actors: Vec<Actor>,
    pub devices: Counts,
    pub inventory: Inventory,
    pub clock: &'a Clock,
    pub stale_after: Duration,
}

impl Account {
    pub(super) fn of(input: AccountInput<'_>) -> Self {
        let metrics = &*input.status.metrics;
        let stream = Stream::of(metrics, input.clock.ran(), input.stale_after);
        Self {
            name: input.status.name.to_string(),
            state: PollState::of(input.status),
            restart_timestamp_seconds: restart_timestamp(input.status.state(), input.clock),
            devices: input.devices,
            stream,
            token: Token::of(metrics),
            inventory: input.inventory,
            actors: input.actors,
        }
    }
}

impl Stream {
    fn of(metrics: &AccountMetrics, ran: Duration, stale_after: Duration) -> Self {
        let is_set = |value: Option<f64>| value.is_some_and(|value| value > 0.0);
        let lag = metrics.telemetry_lag.value();
        let failure = metrics.failure_report();
        let failure = failure.as_deref();
        Self {
            up: is_set(metrics.up.value()),
            polls: metrics.polls.count(),
            failed_polls: metrics.failed_polls(),
            last_failure: metrics.last_failure(),
            last_failure_message: failure.map(|failure| failure.message.clone()),
            last_failure_remedy: failure.and_then(|failure| failure.remedy.clone()),
            last_success_timestamp_seconds: metrics.last_poll_success.value(),
            next_attempt_timestamp_seconds: metrics.next_attempt.value(),
            last_rows_timestamp_seconds: metrics.last_rows.value(),
            lag_seconds: lag,
            late: lag.is_some_and(|lag| lag > stale_after.as_secs_f64()),
            catching_up: is_set(metrics.catching_up.value()),
            silent: is_set(metrics.stream_silent.value()),
            no_rows_seconds: metrics.no_rows_for.value(),
            left_out: metrics
                .unstored()
                .and_then(|unstored| LeftOut::of(&unstored, ran)),
        }
    }
}

impl Token {
    fn of(metrics: &AccountMetrics) -> Self {
        let failure = metrics.token_failure_report();
        let failure = failure.as_deref();
        Self {
            expiry_timestamp_seconds: metrics.token_expiry.value(),
            requests: metrics.token_requests.count(),
            failed_requests: metrics.failed_token_requests(),
            last_failure: metrics.last_token_failure(),
            last_failure_message: failure.map(|failure| failure.message.clone()),
            last_failure_remedy: failure.and_then(|failure| failure.remedy.clone()),
        }
    }
}

//! The state of the exporter and the fleet as plain values: what `/api/v1/status` returns and the page shows first.

use std::time::Duration;

use serde::Serialize;

use super::state::WebState;
use crate::self_metrics::Unstored;
use crate::supervise::{ActorStatus, Cause};
use crate::time::Moment;
use crate::time::unix_seconds;
use crate::view::Overview;

/// The state of the exporter and the fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The time of this status, in seconds since 1970.
    pub timestamp_seconds: f64,
    /// The system's clock.
    pub clock: Clock,
    /// The process.
    pub exporter: Exporter,
    /// The polls.
    pub stream: Stream,
    /// The access token.
    pub token: Token,
    /// The actors, in the order in which they were started.
    pub actors: Vec<Actor>,
    /// The names file.
    pub names: Names,
    /// The devices.
    pub fleet: Overview,
}

/// The names of devices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Names {
    /// How many the file has; none where there is no file.
    pub known: usize,
    /// Those that have matched no device so far; unknown where there is no file, or devices were not looked at yet.
    pub unmatched: Option<f64>,
}

/// The system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Clock {
    /// Starlink's clock less ours in seconds, by its last answers.
    pub offset_seconds: Option<f64>,
    /// Whether that is so much that all times are corrected by it: 30 s or more.
    pub wrong: bool,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exporter {
    /// The release.
    pub version: &'static str,
    /// The revision of the source.
    pub revision: &'static str,
    /// Whether this is the demo: its terminals are simulated.
    pub demo: bool,
    /// The setting `STALE_AFTER`.
    pub stale_after_seconds: f64,
    /// What `/readyz` says.
    pub ready: bool,
    /// Why it is not ready.
    pub not_ready_because: Option<String>,
    /// Whether it is shutting down.
    pub draining: bool,
    /// What `/livez` says.
    pub live: bool,
    /// Why it is not live.
    pub not_live_because: Vec<String>,
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
    pub last_failure_remedy: Option<&'static str>,
    /// When the last successful attempt ended, in seconds since 1970.
    pub last_success_timestamp_seconds: Option<f64>,
    /// When the next attempt starts after a failed one, in seconds since 1970; unknown while none waits.
    pub next_attempt_timestamp_seconds: Option<f64>,
    /// When rows arrived last whose timestamps can be right, in seconds since 1970.
    pub last_rows_timestamp_seconds: Option<f64>,
    /// Age of the last batch with rows on arrival.
    pub lag_seconds: Option<f64>,
    /// Whether that is more than `STALE_AFTER`.
    pub late: bool,
    /// Whether the exporter is working through a backlog.
    pub catching_up: bool,
    /// Whether answers bring no rows although many devices were online: the stream as a whole is silent.
    pub silent: bool,
    /// For how long answers have contained no rows, where at least 10 devices were online before.
    pub no_rows_seconds: Option<f64>,
    /// Rows that were left out since a row was last stored: the latter is a minute ago, or never happened.
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
    /// How many were left out for it.
    pub rows_with_reason: u64,
}

/// A row is stored every few seconds. Rows that are left out for less than this may be between two of them.
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
    pub last_failure_remedy: Option<&'static str>,
}

/// What an actor is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorState {
    /// It answers.
    Up,
    /// It died, and is restarted when its backoff is over.
    Restarting,
    /// It has not answered for too long.
    Hangs,
    /// It died too often.
    Gone,
}

impl ActorState {
    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Restarting => "restarting",
            Self::Hangs => "hangs",
            Self::Gone => "gone",
        }
    }
}

/// An actor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Actor {
    /// The value of the label `actor`.
    pub name: &'static str,
    /// What it is doing.
    pub state: ActorState,
    /// Restarts after panics.
    pub panics: u64,
    /// Restarts after stops.
    pub stops: u64,
    /// How it died last.
    pub last_error: Option<LastError>,
}

/// How an actor died.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastError {
    /// `panic` or `stop`.
    pub cause: &'static str,
    /// What the panic said.
    pub message: Option<String>,
    /// How long ago that was.
    pub seconds_ago: f64,
}

impl Actor {
    fn of(status: &ActorStatus, trouble: Option<&str>, now: Moment) -> Self {
        let last_error = status.last_death().map(|death| LastError {
            cause: death.cause.name(),
            message: death.message,
            seconds_ago: now.since(death.at).as_secs_f64(),
        });
        Self {
            name: status.role().name(),
            state: match (status.is_up(), trouble.is_some()) {
                (true, false) => ActorState::Up,
                (true, true) => ActorState::Hangs,
                (false, true) => ActorState::Gone,
                (false, false) => ActorState::Restarting,
            },
            panics: status.restarts(Cause::Panic),
            stops: status.restarts(Cause::Stop),
            last_error,
        }
    }
}

impl Status {
    /// The status now, with this fleet.
    #[must_use]
    pub fn of(state: &WebState, fleet: Overview) -> Self {
        let now = state.clock.now();
        let metrics = &state.metrics;
        let health = &state.health;
        let not_ready_because = health.not_ready_because();
        let not_live_because = health.not_live_because();
        let is_set = |value: Option<f64>| value.is_some_and(|value| value > 0.0);
        let lag = metrics.telemetry_lag.value();
        let (told, token_told) = (metrics.told(), metrics.token_told());
        let told = told.as_deref();
        let token_told = token_told.as_deref();
        Self {
            timestamp_seconds: unix_seconds(state.clock.corrected()),
            clock: Clock {
                offset_seconds: state.clock.offset(),
                wrong: state.clock.is_wrong(),
            },
            exporter: Exporter {
                version: env!("CARGO_PKG_VERSION"),
                revision: env!("BUILD_REVISION"),
                demo: state.is_demo,
                stale_after_seconds: state.stale_after.as_secs_f64(),
                ready: not_ready_because.is_none(),
                not_ready_because,
                draining: health.is_draining(),
                live: not_live_because.is_empty(),
                not_live_because,
            },
            stream: Stream {
                up: is_set(metrics.up.value()),
                polls: metrics.polls.count(),
                failed_polls: metrics.failed_polls(),
                last_failure: metrics.last_failure(),
                last_failure_message: told.map(|told| told.message.clone()),
                last_failure_remedy: told.and_then(|told| told.remedy),
                last_success_timestamp_seconds: metrics.last_poll_success.value(),
                next_attempt_timestamp_seconds: metrics.next_attempt.value(),
                last_rows_timestamp_seconds: metrics.last_rows.value(),
                lag_seconds: lag,
                late: lag.is_some_and(|lag| lag > state.stale_after.as_secs_f64()),
                catching_up: is_set(metrics.catching_up.value()),
                silent: is_set(metrics.stream_silent.value()),
                no_rows_seconds: metrics.no_rows_for.value(),
                left_out: metrics
                    .unstored()
                    .and_then(|unstored| LeftOut::of(&unstored, state.clock.ran())),
            },
            token: Token {
                expiry_timestamp_seconds: metrics.token_expiry.value(),
                requests: metrics.token_requests.count(),
                failed_requests: metrics.failed_token_requests(),
                last_failure: metrics.last_token_failure(),
                last_failure_message: token_told.map(|told| told.message.clone()),
                last_failure_remedy: token_told.and_then(|told| told.remedy),
            },
            actors: health
                .actor_troubles()
                .map(|(actor, trouble)| Actor::of(actor, trouble, now))
                .collect(),
            names: Names {
                known: state.names.load().len(),
                unmatched: metrics.names_unmatched.value(),
            },
            fleet,
        }
    }
}

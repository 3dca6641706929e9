//! How the exporter and the fleet are, as plain values: what `/api/v1/status` says and the page shows first.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde::Serialize;

use super::State;
use crate::actors::{ActorStatus, Cause};
use crate::time::Moment;
use crate::time::unix_seconds;
use crate::view::Overview;

/// How all of it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// When this was so, in seconds since 1970.
    pub timestamp_seconds: f64,
    /// The process.
    pub exporter: Exporter,
    /// The polls.
    pub stream: Stream,
    /// The access token.
    pub token: Token,
    /// The actors, in the order in which they were started.
    pub actors: Vec<Actor>,
    /// The devices.
    pub fleet: Overview,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exporter {
    /// Which release it is.
    pub version: &'static str,
    /// Which revision of the source.
    pub revision: &'static str,
    /// What `/readyz` says.
    pub ready: bool,
    /// Why it is not ready.
    pub not_ready_because: Option<String>,
    /// Whether it is about to end.
    pub draining: bool,
    /// What `/livez` says.
    pub live: bool,
    /// Why it is not.
    pub not_live_because: Vec<String>,
}

/// The polls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stream {
    /// Whether the last attempt succeeded.
    pub up: bool,
    /// Attempts that have ended.
    pub polls: f64,
    /// Those that failed.
    pub failed_polls: f64,
    /// Why the last one that failed did.
    pub last_failure: Option<String>,
    /// When the last success was, in seconds since 1970.
    pub last_success_timestamp_seconds: Option<f64>,
    /// Age of the last batch when it came.
    pub lag_seconds: Option<f64>,
    /// Whether a backlog is being worked through.
    pub catching_up: bool,
}

/// The access token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Token {
    /// When it expires, in seconds since 1970.
    pub expiry_timestamp_seconds: Option<f64>,
    /// Requests for one.
    pub requests: f64,
    /// Those that failed.
    pub failed_requests: f64,
    /// Why the last one that failed did.
    pub last_failure: Option<&'static str>,
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
    fn of(status: &ActorStatus, now: Moment, state: &State) -> Self {
        let trouble = status.trouble(now, state.hang_limit);
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
    /// How it is now, with a fleet that looks like this.
    #[must_use]
    pub fn of(state: &State, fleet: Overview) -> Self {
        let now = state.clock.now();
        let metrics = &state.metrics;
        let not_ready_because = state.unready();
        let not_live_because = state.trouble();
        let actors = state.actors.iter();
        let is_set = |value: Option<f64>| value.is_some_and(|value| value > 0.0);
        Self {
            timestamp_seconds: unix_seconds(SystemTime::now()),
            exporter: Exporter {
                version: env!("CARGO_PKG_VERSION"),
                revision: env!("BUILD_REVISION"),
                ready: not_ready_because.is_none(),
                not_ready_because,
                draining: state.is_draining.load(Ordering::Relaxed),
                live: not_live_because.is_empty(),
                not_live_because,
            },
            stream: Stream {
                up: is_set(metrics.up.value()),
                polls: metrics.polls.value(),
                failed_polls: metrics.failed_polls(),
                last_failure: metrics.last_failure(),
                last_success_timestamp_seconds: metrics.last_poll_success.value(),
                lag_seconds: metrics.telemetry_lag.value(),
                catching_up: is_set(metrics.catching_up.value()),
            },
            token: Token {
                expiry_timestamp_seconds: metrics.token_expiry.value(),
                requests: metrics.token_requests.value(),
                failed_requests: metrics.failed_token_requests(),
                last_failure: metrics.last_token_failure(),
            },
            actors: actors.map(|actor| Actor::of(actor, now, state)).collect(),
            fleet,
        }
    }
}

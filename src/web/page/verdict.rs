//! The exporter's state in words: one verdict, the facts behind it, and the components.

use super::format::{age, count, minutes, printable};
use crate::web::status::{Actor, ActorState, LeftOut, Status, Token};

/// How good or bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// It is temporary, or may become a problem.
    Notice,
    /// An operator should look.
    Bad,
}

impl Level {
    /// Its class in the style sheet.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Notice => "notice",
            Self::Bad => "bad",
        }
    }

    /// A sign that shows it without a colour.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Notice => "▲",
            Self::Bad => "✕",
        }
    }
}

/// Whether the exporter is healthy. Screen readers read it aloud when it changes, so its times are in minutes at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The level.
    pub level: Level,
    /// The summary.
    pub word: &'static str,
    /// The reason.
    pub because: String,
}

impl Verdict {
    /// The worst comes first.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        let new = |level, word, because: &str| Self {
            level,
            word,
            because: because.to_owned(),
        };
        let Status {
            exporter,
            stream,
            token,
            ..
        } = status;
        let told = told(
            stream.last_failure_message.as_deref(),
            stream.last_failure_remedy,
        );
        if !exporter.live {
            return new(Level::Bad, "Broken", &exporter.not_live_because.join("; "));
        }
        if exporter.draining {
            return new(
                Level::Notice,
                "Shutting down",
                "The exporter is shutting down.",
            );
        }
        if !exporter.ready {
            return match told {
                Some(told) => new(Level::Bad, "Failing", &told),
                None => new(
                    Level::Notice,
                    "Starting",
                    "Waiting for Starlink's first answer.",
                ),
            };
        }
        if !stream.up {
            let told = told.unwrap_or_else(|| "The last poll failed.".to_owned());
            let because = format!("{told} {}", what_is_shown(status));
            return new(Level::Bad, "Failing", &because);
        }
        let down = status
            .actors
            .iter()
            .filter(|actor| actor.state != ActorState::Up);
        let down: Vec<_> = down.map(|actor| actor.name).collect();
        if !down.is_empty() {
            let because = format!("Restarting: {}.", down.join(", "));
            return new(Level::Notice, "Recovering", &because);
        }
        let is_expired = |expiry| expiry < status.timestamp_seconds;
        if token.expiry_timestamp_seconds.is_some_and(is_expired) {
            let because = token_told(token).unwrap_or_else(|| "It was not renewed.".to_owned());
            return new(Level::Notice, "Token expired", &because);
        }
        if let Some(left_out) = &stream.left_out {
            return new(Level::Notice, "Rows left out", &left_out_told(left_out));
        }
        if let Some(silent) = stream.no_rows_seconds.filter(|silent| *silent >= SILENT) {
            let because = format!(
                "Starlink answers, but has sent no rows for {}: the stream is silent, or all terminals are.",
                minutes(silent)
            );
            return new(Level::Notice, "No rows", &because);
        }
        if status.clock.wrong {
            let because = "The clock of this host is wrong. Ages below are corrected by Starlink's clock. Synchronise this host's clock (NTP).";
            return new(Level::Notice, "Clock wrong", because);
        }
        if stream.catching_up {
            let because = "Working through a backlog: data below is old, but complete.";
            return new(Level::Notice, "Catching up", because);
        }
        if stream.late {
            let because = "Rows are older than STALE_AFTER when they arrive: data below is old.";
            return new(Level::Notice, "Delayed", because);
        }
        let because = match (stream.last_rows_timestamp_seconds, are_rows_old(status)) {
            (Some(_), false) => "Receiving telemetry. All components are running.",
            (Some(_), true) => {
                "Polls succeed, but no row has arrived for longer than STALE_AFTER. All components are running."
            }
            (None, _) => "Polls succeed, but no row has arrived yet. All components are running.",
        };
        new(Level::Good, "Healthy", because)
    }
}

/// A stream that has been silent for less is not worth a notice: pauses between rows are common.
const SILENT: f64 = 60.0;

/// Whether the last rows arrived so long ago that the readings of their devices are no longer shown.
fn are_rows_old(status: &Status) -> bool {
    let at = status.stream.last_rows_timestamp_seconds;
    at.is_some_and(|at| status.timestamp_seconds - at > status.exporter.stale_after_seconds)
}

/// What the page shows of the devices while polls fail.
fn what_is_shown(status: &Status) -> String {
    let success = status.stream.last_success_timestamp_seconds;
    let age = success.map(|at| status.timestamp_seconds - at);
    match age.filter(|age| *age > status.exporter.stale_after_seconds) {
        Some(age) => format!(
            "Readings are no longer shown: the last successful poll was {} ago.",
            minutes(age)
        ),
        None => "Data below is from the last successful poll.".to_owned(),
    }
}

/// Rows that arrived and were all left out, in words.
fn left_out_told(left_out: &LeftOut) -> String {
    let arrived = match left_out.rows {
        1 => "1 row has arrived, and was left out".to_owned(),
        rows => format!("{} rows have arrived, and all were left out", whole(rows)),
    };
    let because = left_out.because;
    if left_out.rows_with_reason == left_out.rows {
        return format!("{arrived}: {because}.");
    }
    format!(
        "{arrived}. The reason for {} of them: {because}.",
        whole(left_out.rows_with_reason)
    )
}

/// A failure in words, with its remedy.
fn told(message: Option<&str>, remedy: Option<&str>) -> Option<String> {
    let message = printable(message?);
    Some(match remedy {
        Some(remedy) => format!("{message} {remedy}"),
        None => message,
    })
}

/// The last failed request for a token in words.
fn token_told(token: &Token) -> Option<String> {
    told(
        token.last_failure_message.as_deref(),
        token.last_failure_remedy,
    )
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: String,
    /// The level.
    pub level: Level,
}

/// The facts behind the verdict.
#[must_use]
pub fn facts(status: &Status) -> Vec<Fact> {
    let Status { stream, token, .. } = status;
    let now = status.timestamp_seconds;
    let fact = |name, level, value| Fact { name, value, level };
    let success = stream
        .last_success_timestamp_seconds
        .map(|at| age(now - at));
    let next = stream.next_attempt_timestamp_seconds;
    let next = next.map_or(String::new(), |at| {
        format!("; next attempt in {}", age(at - now))
    });
    let poll = match (stream.up, &success, &stream.last_failure) {
        (true, Some(ago), _) => (Level::Good, format!("succeeded {ago} ago")),
        (_, Some(ago), Some(_)) => (
            Level::Bad,
            format!("failed; the last success was {ago} ago{next}"),
        ),
        (_, None, Some(_)) => (Level::Bad, format!("failed; none has succeeded yet{next}")),
        _ => (Level::Notice, "none yet".to_owned()),
    };
    let polls = match stream.failed_polls {
        0 => whole(stream.polls),
        failed => format!("{} ({} failed)", whole(stream.polls), whole(failed)),
    };
    let lag = lag(status);
    let why = token.last_failure_message.as_deref().map(printable);
    let why = why.unwrap_or_else(|| "none yet".to_owned());
    let life = match token.expiry_timestamp_seconds.map(|expiry| expiry - now) {
        Some(life) if life > 0.0 => (Level::Good, format!("valid for {}", age(life))),
        Some(life) => (Level::Bad, format!("expired {} ago", age(-life))),
        None => (Level::Notice, why),
    };
    let clock = status.clock.offset_seconds.map(|offset| {
        let side = if offset < 0.0 { "ahead of" } else { "behind" };
        format!("{} {side} Starlink's", age(offset.abs()))
    });
    let clock = clock.filter(|_| status.clock.wrong);
    let clock = clock.map(|value| fact("Host clock", Level::Notice, value));
    let facts = [
        fact("Last poll", poll.0, poll.1),
        fact("Polls", Level::Good, polls),
        fact("Lag", lag.0, lag.1),
        fact("Token", life.0, life.1),
    ];
    facts.into_iter().chain(clock).collect()
}

/// The lag, and how old the rows are that it is of, where they are not the last poll's.
fn lag(status: &Status) -> (Level, String) {
    let stream = &status.stream;
    let (Some(lag), Some(at)) = (
        stream.lag_seconds.map(age),
        stream.last_rows_timestamp_seconds,
    ) else {
        let told = match &stream.left_out {
            Some(_) => (Level::Notice, "unknown: all rows were left out"),
            None => (Level::Good, "unknown: no row has arrived yet"),
        };
        return (told.0, told.1.to_owned());
    };
    let is_old = are_rows_old(status);
    let level = match stream.late || stream.catching_up || is_old {
        true => Level::Notice,
        false => Level::Good,
    };
    let what = if is_old || !stream.up {
        let ago = age(status.timestamp_seconds - at);
        format!(" (of the last rows, {ago} ago)")
    } else if stream.catching_up {
        ", catching up".to_owned()
    } else if stream.late {
        ", above STALE_AFTER".to_owned()
    } else {
        String::new()
    };
    (level, format!("{lag}{what}"))
}

/// A counter's value.
fn whole(value: u64) -> String {
    count(usize::try_from(value).unwrap_or(usize::MAX))
}

/// A row of the table of components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRow {
    /// The actor's name.
    pub name: &'static str,
    /// What it is doing.
    pub state: &'static str,
    /// The level.
    pub level: Level,
    /// Its restarts.
    pub restarts: String,
    /// How it died last.
    pub last_error: Option<String>,
}

/// The actors under their supervisor.
#[must_use]
pub fn components(actors: &[Actor]) -> Vec<ComponentRow> {
    let component = |actor: &Actor| ComponentRow {
        name: actor.name,
        state: match actor.state {
            ActorState::Up => "running",
            other => other.name(),
        },
        level: match actor.state {
            ActorState::Up => Level::Good,
            ActorState::Restarting => Level::Notice,
            ActorState::Hangs | ActorState::Gone => Level::Bad,
        },
        restarts: (actor.panics + actor.stops).to_string(),
        last_error: actor.last_error.as_ref().map(|error| {
            let message = error.message.as_deref();
            let message = message.map(|text| format!(": {}", printable(text)));
            format!(
                "{} {} ago{}",
                error.cause,
                age(error.seconds_ago),
                message.unwrap_or_default()
            )
        }),
    };
    actors.iter().map(component).collect()
}

#[cfg(test)]
mod tests;

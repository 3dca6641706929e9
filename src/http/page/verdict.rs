//! How the exporter is, in words: one verdict, the facts that it rests on, and the actors.

use super::format::{age, count};
use crate::http::status::{Actor, ActorState, Status};

/// How good or bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// It passes, or may turn into trouble.
    Notice,
    /// Somebody should look.
    Bad,
}

impl Level {
    /// What the style calls it.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Notice => "notice",
            Self::Bad => "bad",
        }
    }

    /// A sign that tells it without a colour.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Notice => "▲",
            Self::Bad => "✕",
        }
    }
}

/// Whether the exporter is healthy. It is read aloud when it changes, so that no number that always changes is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How good or bad it is.
    pub level: Level,
    /// In a word.
    pub word: &'static str,
    /// Why.
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
        if !exporter.live {
            return new(Level::Bad, "Broken", &exporter.not_live_because.join("; "));
        }
        if let Some(reason) = &exporter.not_ready_because {
            return if exporter.draining {
                new(Level::Notice, "Ending", reason)
            } else if stream.last_failure.is_some() {
                new(Level::Bad, "Failing", reason)
            } else {
                new(Level::Notice, "Starting", reason)
            };
        }
        if !stream.up {
            let why = stream.last_failure.as_deref().unwrap_or("unknown");
            let because =
                format!("the last poll failed ({why}): the fleet is shown as it was last heard");
            return new(Level::Bad, "Failing", &because);
        }
        let down = status
            .actors
            .iter()
            .filter(|actor| actor.state != ActorState::Up);
        let down: Vec<_> = down.map(|actor| actor.name).collect();
        if !down.is_empty() {
            let because = format!("{} is started again", down.join(", "));
            return new(Level::Notice, "Recovering", &because);
        }
        let is_expired = |expiry| expiry < status.timestamp_seconds;
        if token.expiry_timestamp_seconds.is_some_and(is_expired) {
            let why = token.last_failure.unwrap_or("it has not been renewed");
            let because = format!("the access token has expired: {why}");
            return new(Level::Notice, "At risk", &because);
        }
        if stream.catching_up {
            let because =
                "a backlog is being worked through: the fleet is shown as it was a while ago";
            return new(Level::Notice, "Catching up", because);
        }
        new(
            Level::Good,
            "Healthy",
            "polls succeed, and all actors are up",
        )
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// How it is.
    pub value: String,
    /// Whether that is good.
    pub level: Level,
}

/// What the verdict rests on.
#[must_use]
pub fn facts(status: &Status) -> Vec<Fact> {
    let Status { stream, token, .. } = status;
    let now = status.timestamp_seconds;
    let fact = |name, level, value| Fact { name, value, level };
    let success = stream
        .last_success_timestamp_seconds
        .map(|at| age(now - at));
    let poll = match (stream.up, success, &stream.last_failure) {
        (true, Some(ago), _) => (Level::Good, format!("succeeded {ago} ago")),
        (_, Some(ago), Some(why)) => (
            Level::Bad,
            format!("failed ({why}); the last success was {ago} ago"),
        ),
        (_, None, Some(why)) => (
            Level::Bad,
            format!("failed ({why}); none has succeeded yet"),
        ),
        _ => (Level::Notice, "none yet".to_owned()),
    };
    let polls = match stream.failed_polls {
        0.0 => whole(stream.polls),
        failed => format!("{}, {} failed", whole(stream.polls), whole(failed)),
    };
    let lag = match (stream.lag_seconds.map(age), stream.catching_up) {
        (None, _) => (Level::Good, "not known yet".to_owned()),
        (Some(lag), true) => (Level::Notice, format!("{lag}, catching up")),
        (Some(lag), false) => (Level::Good, lag),
    };
    let why = token.last_failure.unwrap_or("none was issued yet");
    let life = match token.expiry_timestamp_seconds.map(|expiry| expiry - now) {
        Some(life) if life > 0.0 => (Level::Good, format!("valid for {}", age(life))),
        Some(life) => (Level::Bad, format!("expired {} ago", age(-life))),
        None => (Level::Notice, format!("none: {why}")),
    };
    vec![
        fact("Last poll", poll.0, poll.1),
        fact("Polls", Level::Good, polls),
        fact("Lag", lag.0, lag.1),
        fact("Token", life.0, life.1),
    ]
}

/// A counter's value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer that there is"
)]
fn whole(value: f64) -> String {
    count(value as usize)
}

/// A row of the actor tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The actor's name.
    pub name: &'static str,
    /// What it is doing.
    pub state: &'static str,
    /// Whether that is good.
    pub level: Level,
    /// Its restarts.
    pub restarts: String,
    /// How it died last.
    pub last_error: Option<String>,
}

/// The actors under their supervisor.
#[must_use]
pub fn branches(actors: &[Actor]) -> Vec<Branch> {
    let branch = |actor: &Actor| Branch {
        name: actor.name,
        state: actor.state.name(),
        level: match actor.state {
            ActorState::Up => Level::Good,
            ActorState::Restarting => Level::Notice,
            ActorState::Hangs | ActorState::Gone => Level::Bad,
        },
        restarts: (actor.panics + actor.stops).to_string(),
        last_error: actor.last_error.as_ref().map(|error| {
            let message = error.message.as_deref();
            let message = message.map(|text| format!(": {}", super::format::tame(text)));
            format!(
                "{} {} ago{}",
                error.cause,
                age(error.seconds_ago),
                message.unwrap_or_default()
            )
        }),
    };
    actors.iter().map(branch).collect()
}

#[cfg(test)]
mod tests;

//! The rows of the table of components.

use super::format::{age, printable};
use super::level::Level;
use crate::web::status::{Actor, ActorState, Status};

/// A row of the table of components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRow {
    /// The actor's name.
    pub name: &'static str,
    /// The state.
    pub state: &'static str,
    /// The level.
    pub level: Level,
    /// Its restarts.
    pub restarts: String,
    /// Its last failure.
    pub last_error: Option<String>,
}

/// The actors of the process, and those of the account if there is just one. The table of accounts has the others.
#[must_use]
pub fn shown_actors(status: &Status) -> Vec<&Actor> {
    let of_account = match status.accounts.as_slice() {
        [only] => only.actors.as_slice(),
        _ => &[],
    };
    status.actors.iter().chain(of_account).collect()
}

/// The rows of these actors.
#[must_use]
pub fn components(actors: &[&Actor]) -> Vec<ComponentRow> {
    let row = |actor: &&Actor| ComponentRow {
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
    actors.iter().map(row).collect()
}

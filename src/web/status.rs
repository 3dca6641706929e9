//! The state of the exporter and the fleet as plain values: what `/api/v1/status` returns and the page shows first.

mod account;
mod history;
mod inventory;

use std::sync::Arc;

use serde::Serialize;

use self::account::AccountInput;
#[cfg(test)]
pub use self::account::Token;
pub use self::account::{Account, LeftOut, Stream};
pub use self::history::{Destination, History, SendState, Sender};
#[cfg(test)]
pub use self::history::{Journal, SendError};
#[cfg(test)]
pub use self::inventory::Inventory;
pub use self::inventory::{AccountInventory, PartState};

use super::state::WebState;
use crate::fleet::Snapshot;
use crate::http::Sources;
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
    /// The accounts, sorted by name.
    pub accounts: Vec<Account>,
    /// The actors that belong to no account, in the order in which they were started.
    pub actors: Vec<Actor>,
    /// The journals and the destinations of remote write.
    pub history: History,
    /// The names file.
    pub names: Names,
    /// The devices.
    pub fleet: Overview,
}

/// The names of devices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Names {
    /// How many the file has; 0 without a file.
    pub known: usize,
    /// How many have matched no device so far. Unknown without a file, and before the first comparison.
    pub unmatched: Option<f64>,
    /// One of them, in lower case.
    pub unmatched_example: Option<String>,
}

impl Names {
    fn of(names: &crate::names::Names, unmatched: Option<f64>) -> Self {
        let is_any = unmatched.is_some_and(|unmatched| unmatched > 0.0);
        let example = || names.match_ids(std::iter::empty::<&str>()).example;
        Self {
            known: names.len(),
            unmatched,
            unmatched_example: is_any.then(example).flatten(),
        }
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Clock {
    /// Starlink's clock minus the host's in seconds, from Starlink's last answers.
    pub offset_seconds: Option<f64>,
    /// Whether all times are corrected by the offset, because it is 30 s or more.
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

/// The state of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorState {
    /// It runs and answers.
    Up,
    /// It has panicked or stopped, and waits for its restart.
    Restarting,
    /// It has not answered for too long.
    Hangs,
    /// It has failed too often, and is not restarted.
    Gone,
}

impl ActorState {
    /// The name.
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
    /// The state.
    pub state: ActorState,
    /// Restarts after panics.
    pub panics: u64,
    /// Restarts after stops.
    pub stops: u64,
    /// Its last failure.
    pub last_error: Option<LastError>,
}

/// The failure of an actor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastError {
    /// `panic` or `stop`.
    pub cause: &'static str,
    /// The message of the panic.
    pub message: Option<String>,
    /// How long ago that was.
    pub seconds_ago: f64,
}

impl Actor {
    fn of(status: &ActorStatus, trouble: Option<&str>, now: Moment) -> Self {
        let last_error = status.last_failure().map(|failure| LastError {
            cause: failure.cause.name(),
            message: failure.message,
            seconds_ago: now.since(failure.at).as_secs_f64(),
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
    pub fn of(state: &WebState, snapshot: &Snapshot) -> Self {
        let Sources {
            clock,
            metrics,
            accounts,
            recording,
            health,
            names,
            ..
        } = &state.sources;
        let options = &state.options;
        let now = clock.now();
        let not_ready_because = health.not_ready_because();
        let not_live_because = health.not_live_because();
        let actor = |status: &Arc<ActorStatus>| Actor::of(status, health.trouble(status), now);
        let accounts = accounts.all();
        let accounts = accounts.iter().map(|account| {
            let id = snapshot.account(&account.name);
            let devices = id.map(|id| snapshot.counts_of(id));
            Account::of(AccountInput {
                status: account,
                actors: account.actors().map(actor).collect(),
                devices: devices.unwrap_or_default(),
                inventory: AccountInventory::of(account, snapshot).inventory,
                clock,
                stale_after: options.stale_after,
            })
        });
        let timestamp_seconds = unix_seconds(clock.corrected());
        Self {
            timestamp_seconds,
            clock: Clock {
                offset_seconds: clock.offset(),
                wrong: clock.is_wrong(),
            },
            exporter: Exporter {
                version: env!("CARGO_PKG_VERSION"),
                revision: env!("BUILD_REVISION"),
                demo: options.is_demo,
                stale_after_seconds: options.stale_after.as_secs_f64(),
                ready: not_ready_because.is_none(),
                not_ready_because,
                draining: health.is_draining(),
                live: not_live_because.is_empty(),
                not_live_because,
            },
            accounts: accounts.collect(),
            actors: vec![actor(health.store())],
            history: History::of(&recording.all(), timestamp_seconds, &actor),
            names: Names::of(&names.load(), metrics.names_unmatched.value()),
            fleet: Overview::of(snapshot),
        }
    }

    /// The inventories of all accounts.
    #[must_use]
    pub fn inventories(&self) -> Vec<AccountInventory> {
        let accounts = self.accounts.iter().map(|account| AccountInventory {
            name: account.name.clone(),
            inventory: account.inventory.clone(),
        });
        accounts.collect()
    }

    /// Whether there are several accounts. With one account, nothing is shown by account.
    #[must_use]
    pub fn has_several_accounts(&self) -> bool {
        self.accounts.len() > 1
    }
}

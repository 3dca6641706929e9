//! The journals, and the destinations of remote write.

use std::sync::Arc;

use serde::Serialize;

use super::Actor;
use crate::recording::{JournalStatus, SenderState, SenderStatus, Statuses};
use crate::supervise::ActorStatus;

/// What is recorded and sent. Empty without destinations.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct History {
    /// The journals, by account.
    pub journals: Vec<Journal>,
    /// The destinations, in the order of the configuration.
    pub destinations: Vec<Destination>,
}

/// The journal of an account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Journal {
    /// The name of the account.
    pub account: String,
    /// Whether acknowledged answers are on disk.
    pub durable: bool,
    /// Its size.
    pub bytes: Option<f64>,
    /// The number of its records.
    pub records: Option<f64>,
    /// When its oldest record was received, in seconds since 1970.
    pub oldest_record_timestamp_seconds: Option<f64>,
    /// Its actor.
    pub actor: Actor,
}

/// A destination.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Destination {
    /// The name.
    pub name: String,
    /// What it gets of each account.
    pub accounts: Vec<Sender>,
}

/// The sender of an account to a destination.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sender {
    /// The name of the account.
    pub account: String,
    /// What it does now.
    pub state: SendState,
    /// What to change while it is held or rejecting.
    pub remedy: Option<&'static str>,
    /// The rows that wait.
    pub pending_rows: u64,
    /// The age of the oldest row that waits; 0 if none waits.
    pub delay_seconds: f64,
    /// The time that the oldest record waits; 0 if none waits.
    pub waiting_seconds: f64,
    /// The highest number of requests in flight.
    pub shards: Option<f64>,
    /// The version of the protocol, 1 or 2; unknown before the first response.
    pub protocol_version: Option<f64>,
    /// The last failed request.
    pub last_error: Option<SendError>,
    /// Its actor.
    pub actor: Actor,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SendError {
    /// When it failed, in seconds since 1970.
    pub timestamp_seconds: f64,
    /// What happened.
    pub message: String,
}

/// What a sender does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SendState {
    /// It has not finished a request yet.
    Starting,
    /// Its last request was stored, or no row waits.
    Sending,
    /// The last request failed and is repeated.
    Retrying,
    /// The destination refused all samples of the last request for good: they are lost.
    Rejecting,
    /// The destination refuses all requests until its settings are corrected.
    Held,
    /// It failed too often, and is started again later.
    Paused,
}

/// What to change while samples are refused for good.
const REJECTED: &str = "the receiver answers, but stores none of the samples: see its message, and correct url (its path), the labels or the settings of the receiver";

impl SendState {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Rejecting => "rejecting",
            Self::Held => "held",
            Self::Paused => "paused",
        }
    }
}

impl History {
    /// The state at a time in seconds since 1970.
    pub(super) fn of(
        statuses: &Statuses,
        now: f64,
        actor: &dyn Fn(&Arc<ActorStatus>) -> Actor,
    ) -> Self {
        let destinations = statuses.destinations.iter().map(|status| {
            let name = &status.destination.name;
            let senders = statuses.senders.iter();
            let senders = senders.filter(|sender| sender.destination == *name);
            Destination {
                name: name.to_string(),
                accounts: senders
                    .map(|sender| Sender::of(sender, now, actor(&sender.actor)))
                    .collect(),
            }
        });
        let journals = statuses.journals.iter();
        Self {
            journals: journals
                .map(|journal| Journal::of(journal, actor(&journal.actor)))
                .collect(),
            destinations: destinations.collect(),
        }
    }
}

impl Journal {
    fn of(status: &JournalStatus, actor: Actor) -> Self {
        Self {
            account: status.account.to_string(),
            durable: status.durable.value() != Some(0.0),
            bytes: status.bytes.value(),
            records: status.records.value(),
            oldest_record_timestamp_seconds: status.oldest_record.value(),
            actor,
        }
    }
}

impl Sender {
    fn of(status: &SenderStatus, now: f64, actor: Actor) -> Self {
        let (state, remedy) = match status.state() {
            SenderState::Starting => (SendState::Starting, None),
            SenderState::Sending => (SendState::Sending, None),
            SenderState::Retrying => (SendState::Retrying, None),
            SenderState::Rejecting => (SendState::Rejecting, Some(REJECTED)),
            SenderState::Held(hold) => (SendState::Held, Some(hold.advice())),
            SenderState::Paused => (SendState::Paused, None),
        };
        let age = |of: Option<f64>| of.map_or(0.0, |at| (now - at).max(0.0));
        Self {
            account: status.account.to_string(),
            state,
            remedy,
            pending_rows: status.pending_rows(),
            delay_seconds: age(status.oldest_pending.value()),
            waiting_seconds: age(status.waiting_since.value()),
            shards: status.shards.value(),
            protocol_version: status.protocol_version.value(),
            last_error: status.last_error().map(|error| SendError {
                timestamp_seconds: error.at,
                message: error.text,
            }),
            actor,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::recording::DestinationStatus;
    use crate::recording::status::LastError;
    use crate::remote_write::{Hold, parse};

    /// Two destinations; the first one refuses the requests of the account north, the second one its samples.
    fn statuses() -> Statuses {
        let file = "remote_write: [{name: one, url: 'http://127.0.0.1/a'}, {name: two, url: 'http://127.0.0.1/b'}]";
        let destinations = parse(file.as_bytes(), Path::new("/")).unwrap();
        let senders = ["one", "two"].map(|destination| {
            Arc::new(SenderStatus::new(
                "north".into(),
                destination.into(),
                Duration::ZERO,
            ))
        });
        senders[0].set_state(SenderState::Held(Hold::Unauthorized));
        senders[0].set_pending_rows(12);
        senders[0].oldest_pending.set(900.0);
        senders[0].waiting_since.set(940.0);
        senders[0].set_last_error(LastError {
            at: 990.0,
            text: "401".to_owned(),
        });
        senders[1].set_state(SenderState::Rejecting);
        let journal = JournalStatus::new("north".into(), Duration::ZERO);
        journal.bytes.set(2048.0);
        journal.durable.set(0.0);
        Statuses {
            journals: vec![Arc::new(journal)],
            destinations: destinations
                .into_iter()
                .map(|one| Arc::new(DestinationStatus::new(Arc::new(one))))
                .collect(),
            senders: senders.into(),
        }
    }

    fn history(statuses: &Statuses) -> Value {
        let (clock, _) = crate::time::Clock::manual(std::time::UNIX_EPOCH);
        let actor = |status: &Arc<ActorStatus>| Actor::of(status, None, clock.now());
        serde_json::to_value(History::of(statuses, 1000.0, &actor)).unwrap()
    }

    #[test]
    fn destinations_have_the_senders_of_each_account() {
        let history = history(&statuses());
        let journal = &history["journals"][0];
        assert_eq!(
            (&journal["durable"], &journal["bytes"]),
            (&json!(false), &json!(2048.0))
        );
        let [one, two] = [0, 1].map(|at| &history["destinations"][at]);
        assert_eq!((&one["name"], &two["name"]), (&json!("one"), &json!("two")));
        let held = &one["accounts"][0];
        assert_eq!(held["state"], "held");
        assert_eq!(held["remedy"], Hold::Unauthorized.advice());
        assert_eq!(
            (&held["pending_rows"], &held["delay_seconds"]),
            (&json!(12), &json!(100.0))
        );
        assert_eq!(held["waiting_seconds"], 60.0);
        assert_eq!(held["last_error"]["message"], "401");
        let rejecting = &two["accounts"][0];
        assert_eq!(rejecting["state"], "rejecting");
        assert_eq!(rejecting["remedy"], REJECTED);
        assert_eq!(rejecting["delay_seconds"], 0.0);
    }

    #[test]
    fn the_form_is_that_of_the_description() {
        let description = include_str!("../api.openapi.json");
        let mut schema: Value = serde_json::from_str(description).unwrap();
        schema["$ref"] = "#/components/schemas/History".into();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for statuses in [Statuses::default(), statuses()] {
            let history = history(&statuses);
            let faults: Vec<_> = validator
                .iter_errors(&history)
                .map(|fault| fault.to_string())
                .collect();
            assert!(faults.is_empty(), "{faults:?} in {history:#}");
        }
        assert!(!validator.is_valid(&json!({"journals": [], "destinations": [{}]})));
    }
}

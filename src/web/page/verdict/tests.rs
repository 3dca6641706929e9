//! Tests of the texts of verdicts, facts, accounts and actors.

mod accounts;

use super::super::components::components;
use super::super::facts::facts;
use super::*;
use crate::fleet::Counts;
use crate::view::Overview;
use crate::web::status::{
    Actor, Clock, Exporter, History, Inventory, LastError, LeftOut, Names, Stream, Token,
};

pub(crate) fn actor(name: &'static str) -> Actor {
    Actor {
        name,
        state: ActorState::Up,
        panics: 0,
        stops: 0,
        last_error: None,
    }
}

fn account(name: &str) -> Account {
    Account {
        name: name.to_owned(),
        state: PollState::Up,
        restart_timestamp_seconds: None,
        devices: Counts {
            online: 5,
            offline: 1,
            unknown: 0,
        },
        stream: Stream {
            up: true,
            polls: 1234,
            failed_polls: 0,
            last_failure: None,
            last_failure_message: None,
            last_failure_remedy: None,
            last_success_timestamp_seconds: Some(997.0),
            next_attempt_timestamp_seconds: None,
            last_rows_timestamp_seconds: Some(996.0),
            lag_seconds: Some(12.3),
            late: false,
            catching_up: false,
            silent: false,
            no_rows_seconds: None,
            left_out: None,
        },
        inventory: Inventory::default(),
        token: Token {
            expiry_timestamp_seconds: Some(1720.0),
            requests: 1,
            failed_requests: 0,
            last_failure: None,
            last_failure_message: None,
            last_failure_remedy: None,
        },
        actors: vec![actor("token"), actor("stream")],
    }
}

fn healthy() -> Status {
    Status {
        timestamp_seconds: 1000.0,
        clock: Clock {
            offset_seconds: Some(0.0),
            wrong: false,
        },
        exporter: Exporter {
            version: "1",
            revision: "r",
            demo: false,
            stale_after_seconds: 120.0,
            ready: true,
            not_ready_because: None,
            draining: false,
            live: true,
            not_live_because: Vec::new(),
        },
        accounts: vec![account("default")],
        actors: vec![actor("metrics_store")],
        history: History::default(),
        names: Names {
            known: 0,
            unmatched: None,
            unmatched_example: None,
        },
        fleet: Overview::default(),
    }
}

/// Accounts with these names.
pub fn with_accounts(names: &[&str]) -> Status {
    Status {
        accounts: names.iter().map(|name| account(name)).collect(),
        ..healthy()
    }
}

/// Makes the polls of an account fail as with a wrong secret.
pub fn fail(account: &mut Account) {
    account.state = PollState::Failing;
    account.stream.up = false;
    account.stream.last_failure = Some("token".to_owned());
    account.stream.last_failure_message = Some("Starlink rejected the credentials.".to_owned());
    let name = &account.name;
    account.stream.last_failure_remedy = Some(format!(
        "Check client_id and client_secret of account {name} in ACCOUNTS_FILE."
    ));
}

#[test]
fn the_worst_is_the_verdict() {
    type Change = fn(&mut Status);
    let failed: Change = |status| {
        status.accounts[0].state = PollState::Failing;
        status.accounts[0].stream.up = false;
        status.accounts[0].stream.last_failure_message = Some("No way\u{7} there.".to_owned());
        status.accounts[0].stream.last_failure_remedy = Some("Build one.".to_owned());
    };
    let unready: Change = |status| status.accounts[0].stream.last_success_timestamp_seconds = None;
    // From good to bad. The conditions add up, and each is worse than those before it.
    let cases: [(Change, Level, &str, &str); 17] = [
        (
            |_| {},
            Level::Good,
            "Healthy",
            "Receiving telemetry. All components are running.",
        ),
        (
            |status| status.accounts[0].stream.last_rows_timestamp_seconds = Some(879.0),
            Level::Good,
            "Healthy",
            "Polls succeed, but no row has arrived for longer than STALE_AFTER. All components are running.",
        ),
        (
            |status| status.accounts[0].stream.last_rows_timestamp_seconds = None,
            Level::Good,
            "Healthy",
            "Polls succeed, but no row has arrived yet. All components are running.",
        ),
        (
            |status| status.accounts[0].stream.late = true,
            Level::Notice,
            "Delayed",
            "Rows are older than STALE_AFTER when they arrive: data below is old.",
        ),
        (
            |status| status.accounts[0].stream.catching_up = true,
            Level::Notice,
            "Catching up",
            "Working through a backlog: data below is old, but complete.",
        ),
        (
            |status| status.clock.wrong = true,
            Level::Notice,
            "Clock wrong",
            "The clock of this host is wrong. Ages below are corrected by Starlink's clock. Synchronise this host's clock (NTP).",
        ),
        (
            |status| {
                status.accounts[0].stream.silent = true;
                status.accounts[0].stream.no_rows_seconds = Some(60.0);
            },
            Level::Notice,
            "No rows",
            "Starlink answers, but has sent no rows for 1 min: the stream is silent, or all terminals are.",
        ),
        (
            |status| status.accounts[0].stream.no_rows_seconds = Some(359.0),
            Level::Notice,
            "No rows",
            "Starlink answers, but has sent no rows for 6 min: the stream is silent, or all terminals are.",
        ),
        (
            |status| {
                status.accounts[0].stream.left_out = Some(LeftOut {
                    rows: 1234,
                    reason: "future",
                    because: "they are early",
                    rows_with_reason: 1000,
                });
            },
            Level::Notice,
            "Rows left out",
            "1,234 rows have arrived, and all were left out. The reason for 1,000 of them: they are early.",
        ),
        (
            |status| {
                status.accounts[0].token.expiry_timestamp_seconds = Some(999.0);
                status.accounts[0].token.last_failure_message =
                    Some("Starlink is away.".to_owned());
            },
            Level::Notice,
            "Token expired",
            "Starlink is away.",
        ),
        (
            |status| status.accounts[0].actors[1].state = ActorState::Restarting,
            Level::Notice,
            "Recovering",
            "Restarting: stream.",
        ),
        (
            failed,
            Level::Bad,
            "Failing",
            "No way␇ there. Build one. Data below is from the last successful poll.",
        ),
        (
            |status| {
                status.accounts[0].stream.last_success_timestamp_seconds = Some(1000.0 - 251.0)
            },
            Level::Bad,
            "Failing",
            "No way␇ there. Build one. Readings are no longer shown: the last successful poll was 4 min ago.",
        ),
        (unready, Level::Bad, "Failing", "No way␇ there. Build one."),
        (
            |status| status.accounts[0].state = PollState::Starting,
            Level::Notice,
            "Starting",
            "Waiting for Starlink's first answer.",
        ),
        (
            |status| status.exporter.draining = true,
            Level::Notice,
            "Shutting down",
            "The exporter is shutting down.",
        ),
        (
            |status| {
                status.exporter.live = false;
                status.exporter.not_live_because = vec!["a".to_owned(), "b".to_owned()];
            },
            Level::Bad,
            "Broken",
            "a; b",
        ),
    ];
    let mut status = healthy();
    for (change, level, word, because) in cases {
        change(&mut status);
        let because = because.to_owned();
        let expected = Verdict {
            level,
            word,
            because,
        };
        assert_eq!(Verdict::of(&status), expected);
    }
}

#[test]
fn facts_are_texts_with_levels() {
    let mut status = healthy();
    let texts = |status: &Status| -> Vec<String> {
        let facts = facts(status).into_iter();
        facts
            .map(|fact| format!("{} {}: {}", fact.level.sign(), fact.name, fact.value))
            .collect()
    };
    assert_eq!(
        texts(&status),
        [
            "✓ Last poll: succeeded 3 s ago",
            "✓ Polls: 1,234",
            "✓ Lag: 12 s",
            "✓ Token: valid for 12 min",
        ]
    );
    for (offset, expected) in [
        (7200.0, "▲ Host clock: 2 h behind Starlink's"),
        (-40.0, "▲ Host clock: 40 s ahead of Starlink's"),
    ] {
        status.clock.offset_seconds = Some(offset);
        status.clock.wrong = true;
        assert_eq!(texts(&status)[4], expected);
    }
    status.clock.wrong = false;
    assert_eq!(texts(&status).len(), 4);
    status.accounts[0].stream.last_rows_timestamp_seconds = Some(640.0);
    assert_eq!(
        texts(&status)[2],
        "▲ Lag: 12 s (of the last rows, 6 min ago)"
    );
    status.accounts[0].stream.last_rows_timestamp_seconds = Some(996.0);
    status.accounts[0].stream.late = true;
    assert_eq!(texts(&status)[2], "▲ Lag: 12 s, above STALE_AFTER");
    status.accounts[0].stream.catching_up = true;
    assert_eq!(texts(&status)[2], "▲ Lag: 12 s, catching up");
    status.accounts[0].stream.up = false;
    status.accounts[0].stream.last_failure = Some("token".to_owned());
    status.accounts[0].stream.failed_polls = 3;
    status.accounts[0].token.expiry_timestamp_seconds = Some(800.0);
    assert_eq!(
        texts(&status),
        [
            "✕ Last poll: failed; the last success was 3 s ago",
            "✓ Polls: 1,234 (3 failed)",
            "▲ Lag: 12 s (of the last rows, 4 s ago)",
            "✕ Token: expired 3 min ago",
        ]
    );
    status.accounts[0].stream.last_rows_timestamp_seconds = Some(600.0);
    status.accounts[0].stream.next_attempt_timestamp_seconds = Some(1240.0);
    assert_eq!(
        texts(&status)[0],
        "✕ Last poll: failed; the last success was 3 s ago; next attempt in 4 min"
    );
    assert_eq!(
        texts(&status)[2],
        "▲ Lag: 12 s (of the last rows, 7 min ago)"
    );
    status.accounts[0].stream.next_attempt_timestamp_seconds = None;
    status.accounts[0].stream.last_success_timestamp_seconds = None;
    status.accounts[0].stream.lag_seconds = None;
    status.accounts[0].token.expiry_timestamp_seconds = None;
    status.accounts[0].token.last_failure_message = Some("Refused.".to_owned());
    status.accounts[0].token.last_failure_remedy = Some("Check it.".to_owned());
    assert_eq!(
        texts(&status),
        [
            "✕ Last poll: failed; none has succeeded yet",
            "✓ Polls: 1,234 (3 failed)",
            "✓ Lag: unknown: no row has arrived yet",
            "▲ Token: Refused.",
        ]
    );
    status.accounts[0].stream.last_failure = None;
    assert_eq!(texts(&status)[0], "▲ Last poll: none yet");
}

#[test]
fn components_have_a_state_and_their_last_failure() {
    let mut actors = healthy().accounts.remove(0).actors;
    actors[1].state = ActorState::Gone;
    actors[1].panics = 2;
    actors[1].stops = 1;
    actors[1].last_error = Some(LastError {
        cause: "panic",
        message: Some("odd\n".to_owned()),
        seconds_ago: 5.0,
    });
    let components = components(&actors.iter().collect::<Vec<_>>());
    assert_eq!(
        (components[0].state, components[0].level),
        ("running", Level::Good)
    );
    assert_eq!(components[0].last_error, None);
    assert_eq!(
        (components[1].state, components[1].level),
        ("gone", Level::Bad)
    );
    assert_eq!(components[1].restarts, "3");
    assert_eq!(
        components[1].last_error.as_deref(),
        Some("panic 5 s ago: odd␊")
    );
}

//! Verdicts, facts and actors, in words.

use super::*;
use crate::http::status::{Exporter, LastError, Stream, Token};
use crate::view::Overview;

fn healthy() -> Status {
    let actor = |name| Actor {
        name,
        state: ActorState::Up,
        panics: 0,
        stops: 0,
        last_error: None,
    };
    Status {
        timestamp_seconds: 1000.0,
        exporter: Exporter {
            version: "1",
            revision: "r",
            ready: true,
            not_ready_because: None,
            draining: false,
            live: true,
            not_live_because: Vec::new(),
        },
        stream: Stream {
            up: true,
            polls: 1234.0,
            failed_polls: 0.0,
            last_failure: None,
            last_success_timestamp_seconds: Some(997.0),
            lag_seconds: Some(12.3),
            catching_up: false,
        },
        token: Token {
            expiry_timestamp_seconds: Some(1720.0),
            requests: 1.0,
            failed_requests: 0.0,
            last_failure: None,
        },
        actors: vec![actor("token"), actor("stream")],
        fleet: Overview::default(),
    }
}

#[test]
fn the_worst_is_the_verdict() {
    type Change = fn(&mut Status);
    let failed: Change = |status| {
        status.stream.up = false;
        status.stream.last_failure = Some("connect".to_owned());
    };
    let unready: Change = |status| {
        status.exporter.not_ready_because = Some("why".to_owned());
        status.exporter.draining = false;
        status.stream.last_success_timestamp_seconds = None;
    };
    // From good to bad: each stands though all before it hold.
    let cases: [(Change, Level, &str, &str); 9] = [
        (
            |_| {},
            Level::Good,
            "Healthy",
            "polls succeed, and all actors are up",
        ),
        (
            |status| status.stream.catching_up = true,
            Level::Notice,
            "Catching up",
            "a backlog is being worked through: the fleet is shown as it was a while ago",
        ),
        (
            |status| {
                status.token.expiry_timestamp_seconds = Some(999.0);
                status.token.last_failure = Some("refused");
            },
            Level::Notice,
            "At risk",
            "the access token has expired: refused",
        ),
        (
            |status| status.actors[1].state = ActorState::Restarting,
            Level::Notice,
            "Recovering",
            "stream is started again",
        ),
        (
            failed,
            Level::Bad,
            "Failing",
            "the last poll failed (connect): the fleet is shown as it was last heard",
        ),
        (
            |status| {
                status.exporter.not_ready_because = Some("it ends".to_owned());
                status.exporter.draining = true;
            },
            Level::Notice,
            "Ending",
            "it ends",
        ),
        (unready, Level::Bad, "Failing", "why"),
        (
            |status| status.stream.last_failure = None,
            Level::Notice,
            "Starting",
            "why",
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
fn facts_are_told_in_words() {
    let mut status = healthy();
    let told = |status: &Status| -> Vec<String> {
        let facts = facts(status).into_iter();
        facts
            .map(|fact| format!("{} {}: {}", fact.level.sign(), fact.name, fact.value))
            .collect()
    };
    assert_eq!(
        told(&status),
        [
            "✓ Last poll: succeeded 3 s ago",
            "✓ Polls: 1\u{a0}234",
            "✓ Lag: 12 s",
            "✓ Token: valid for 12 min",
        ]
    );
    status.stream.up = false;
    status.stream.last_failure = Some("token".to_owned());
    status.stream.failed_polls = 3.0;
    status.stream.catching_up = true;
    status.token.expiry_timestamp_seconds = Some(800.0);
    assert_eq!(
        told(&status),
        [
            "✕ Last poll: failed (token); the last success was 3 s ago",
            "✓ Polls: 1\u{a0}234, 3 failed",
            "▲ Lag: 12 s, catching up",
            "✕ Token: expired 3 min ago",
        ]
    );
    status.stream.last_success_timestamp_seconds = None;
    status.stream.lag_seconds = None;
    status.token.expiry_timestamp_seconds = None;
    status.token.last_failure = Some("refused");
    assert_eq!(
        told(&status)[..1],
        ["✕ Last poll: failed (token); none has succeeded yet"]
    );
    assert_eq!(told(&status)[3..], ["▲ Token: none: refused"]);
    status.stream.last_failure = None;
    assert_eq!(told(&status)[0], "▲ Last poll: none yet");
}

#[test]
fn actors_tell_how_they_died() {
    let mut actors = healthy().actors;
    actors[1].state = ActorState::Gone;
    actors[1].panics = 2;
    actors[1].stops = 1;
    actors[1].last_error = Some(LastError {
        cause: "panic",
        message: Some("odd\n".to_owned()),
        seconds_ago: 5.0,
    });
    let branches = branches(&actors);
    assert_eq!((branches[0].state, branches[0].level), ("up", Level::Good));
    assert_eq!(branches[0].last_error, None);
    assert_eq!((branches[1].state, branches[1].level), ("gone", Level::Bad));
    assert_eq!(branches[1].restarts, "3");
    assert_eq!(
        branches[1].last_error.as_deref(),
        Some("panic 5 s ago: odd␊")
    );
}

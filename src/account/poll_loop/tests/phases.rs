//! Each event in each phase, and the wait after each failure.

use super::*;

#[test]
fn every_event_in_every_phase() {
    let waiting = [Start(false)];
    let polling = [Start(false), WaitIsOver];
    let explaining = [Start(false), WaitIsOver, Answered(2)];
    let offering = [
        Start(false),
        WaitIsOver,
        Answered(2),
        Explained,
        Taken(JOURNAL),
    ];
    let drained = [Start(false), Drain(false)];
    let phases: [(&str, &[Happens]); 5] = [
        ("waiting", &waiting),
        ("polling", &polling),
        ("explaining", &explaining),
        ("offering", &offering),
        ("drained", &drained),
    ];
    let none = "";
    let panicked = "panicked, wait 1000";
    let explain = "offer answer 1 covering 10000 to 1, explain";
    let offer = "offer batch 1 covering 10000 to 0";
    let stored = "stored 2 lag 30, wait 0";
    let cases: [(Happens, [&str; 5]); 14] = [
        (
            Start(false),
            ["wait 0", panicked, explain, offer, "drained"],
        ),
        (Start(true), ["wait 0", "await", explain, offer, "drained"]),
        (WaitIsOver, ["attempt", none, none, none, none]),
        (
            Answered(1),
            [
                none,
                "answered, offer answer 1 covering 10000 to 1, explain",
                none,
                none,
                none,
            ],
        ),
        (
            Fail(Status(500, None)),
            [none, "failed server_error, wait 1000", none, none, none],
        ),
        (Panic, [none, panicked, none, none, none]),
        (Explained, [none, none, offer, none, none]),
        (NotExplained, [none, none, "explain", none, none]),
        (Taken(STORE), [none, none, none, stored, none]),
        (Taken(JOURNAL), [none, none, none, none, none]),
        (NotTaken(STORE), [none, none, none, offer, none]),
        (
            NotTaken(JOURNAL),
            [none, none, "offer answer 1 covering 10000 to 1", none, none],
        ),
        (
            Drain(false),
            ["drained", "abort, drained", none, none, "drained"],
        ),
        (Drain(true), ["drained", none, none, none, "drained"]),
    ];
    for (event, expected) in cases {
        for ((name, phase), expected) in phases.iter().zip(expected) {
            let effects = Bench::after(phase).happens(event);
            assert_eq!(effects, expected, "{event:?} while {name}");
        }
    }
}

#[test]
fn every_failure_has_its_wait_and_asks_for_a_new_token_where_that_helps() {
    let again = "attempt";
    let renewed = "attempt with a new token if possible";
    let cases = [
        (
            Status(401, None),
            "failed unauthorized, wait 0",
            "attempt with a new token",
        ),
        (Status(403, None), "failed forbidden, wait 1000", renewed),
        (Status(404, None), "failed not_found, wait 1000", renewed),
        (
            Status(422, None),
            "failed unprocessable, wait 1000",
            renewed,
        ),
        (Status(429, None), "failed rate_limited, wait 1000", renewed),
        (
            Status(429, Some(7)),
            "failed rate_limited, wait 7000",
            renewed,
        ),
        (Status(418, None), "failed client_error, wait 1000", renewed),
        (Status(302, None), "failed redirect, wait 1000", renewed),
        (
            Status(503, Some(3)),
            "failed server_error, wait 3000",
            renewed,
        ),
        (Connect, "failed connect, wait 1000", again),
        (Disconnected, "failed disconnected, wait 1000", again),
        (TimedOut, "failed timeout, wait 1000", again),
        (Garbage, "failed decode, wait 1000", again),
        (DecodingPanicked, "failed decode, wait 1000", again),
        (NoToken(2500), "failed token, wait 2500", again),
        (NoReply, "failed token, wait 1000", again),
    ];
    for (failure, expected, next) in cases {
        let mut bench = Bench::after(&[Start(false), WaitIsOver]);
        assert_eq!(bench.happens(Fail(failure)), expected, "{failure:?}");
        assert_eq!(bench.happens(WaitIsOver), next, "{failure:?}");
    }
}

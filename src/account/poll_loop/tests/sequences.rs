//! Sequences of events: failures and recovery, deliveries to several consumers, restarts, and the end.

use super::*;

#[test]
fn what_follows_upon_what() {
    let unauthorized = Fail(Status(401, None));
    let down = Fail(Status(500, None));
    check(
        "a 401 is retried at once, and only once before a success",
        &[Takes::Batches],
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (unauthorized, "failed unauthorized, wait 0"),
            (WaitIsOver, "attempt with a new token"),
            (unauthorized, "failed unauthorized, wait 1000"),
            (WaitIsOver, "attempt with a new token"),
            (Answered(0), "answered, explain"),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (Taken(STORE), "stored 0, wait 0"),
            (WaitIsOver, "attempt"),
            (unauthorized, "failed unauthorized, wait 0"),
        ],
    );
    check(
        "the backoff doubles to a minute, Retry-After is a lower bound, and a success resets it",
        &[Takes::Batches],
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (down, "failed server_error, wait 1000"),
            (WaitIsOver, "attempt with a new token if possible"),
            (Fail(Connect), "failed connect, wait 2000"),
            (WaitIsOver, "attempt with a new token if possible"),
            (Fail(Status(429, Some(3))), "failed rate_limited, wait 4000"),
            (WaitIsOver, "attempt with a new token if possible"),
            (Fail(Status(429, Some(9))), "failed rate_limited, wait 9000"),
            // The pace is slower since the first 429, and the clock of this table does not move.
            (WaitIsOver, "attempt in 666 with a new token if possible"),
            (Answered(1), "answered, explain"),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (Taken(STORE), "stored 1 lag 30, wait 0"),
            (WaitIsOver, "attempt in 2000"),
            (down, "failed server_error, wait 1000"),
        ],
    );
    check(
        "an answer covers the time since the answer before it, a full one none",
        &[Takes::Batches],
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (Answered(1), "answered, explain"),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (Taken(STORE), "stored 1 lag 30, wait 0"),
            (WaitIsOver, "attempt"),
            (Pass(12_000), ""),
            (Answered(2), "answered, explain"),
            (Explained, "offer batch 2 covering 12000 to 0"),
            (Taken(STORE), "stored 2 lag 30, wait 0"),
            (WaitIsOver, "attempt"),
            (Pass(5000), ""),
            (Answered(3), "answered, explain"),
            (Explained, "offer batch 3 covering 0 to 0"),
            (Taken(STORE), "stored 3 lag 30, wait 0"),
            (WaitIsOver, "attempt"),
            (Panic, "panicked, wait 1000"),
            (Pass(60_000), ""),
            (WaitIsOver, "attempt"),
            (Answered(1), "answered, explain"),
            (Explained, "offer batch 4 covering 10000 to 0"),
        ],
    );
}

#[test]
fn each_consumer_is_offered_again_and_loses_alone() {
    check(
        "the answer is offered before it is explained, and the next poll waits for both",
        &CONSUMERS,
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (
                Answered(2),
                "answered, offer answer 1 covering 10000 to 1, explain",
            ),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (Taken(STORE), ""),
            (NotTaken(JOURNAL), "offer answer 1 covering 10000 to 1"),
            (Taken(JOURNAL), "stored 2 lag 30, wait 0"),
        ],
    );
    check(
        "the journal loses the answer: the poll has succeeded all the same",
        &CONSUMERS,
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (
                Answered(2),
                "answered, offer answer 1 covering 10000 to 1, explain",
            ),
            (NotTaken(JOURNAL), "offer answer 1 covering 10000 to 1"),
            (NotTaken(JOURNAL), "lost 2 to 1"),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (Taken(STORE), "stored 2 lag 30, wait 0"),
        ],
    );
    check(
        "the store loses the batch: the journal keeps the answer, and the attempt has failed",
        &CONSUMERS,
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (
                Answered(2),
                "answered, offer answer 1 covering 10000 to 1, explain",
            ),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (NotTaken(STORE), "offer batch 1 covering 10000 to 0"),
            (NotTaken(STORE), "lost 2 to 0"),
            (Taken(JOURNAL), "failed store_failed, wait 1000"),
        ],
    );
    check(
        "the columns are not explained: only the store loses",
        &CONSUMERS,
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (
                Answered(2),
                "answered, offer answer 1 covering 10000 to 1, explain",
            ),
            (Taken(JOURNAL), ""),
            (NotExplained, "explain"),
            (NotExplained, "lost 2 to 0, failed store_failed, wait 1000"),
            (NotExplained, ""),
        ],
    );
    check(
        "the store has written the batch, and dies before it acknowledges it",
        &[Takes::Batches],
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (Answered(2), "answered, explain"),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (Writes(STORE), ""),
            (NotTaken(STORE), "offer batch 1 covering 10000 to 0"),
            (NotTaken(STORE), "stored 2 lag 30, wait 0"),
        ],
    );
}

#[test]
fn a_restart_asks_again_for_what_was_under_way() {
    check(
        "an offer that was retried once stays retried",
        &CONSUMERS,
        &[
            (Start(false), "wait 0"),
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (Start(true), "await"),
            (
                Answered(2),
                "answered, offer answer 1 covering 10000 to 1, explain",
            ),
            (Start(false), "offer answer 1 covering 10000 to 1, explain"),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (NotTaken(STORE), "offer batch 1 covering 10000 to 0"),
            (
                Start(false),
                "offer batch 1 covering 10000 to 0, offer answer 1 covering 10000 to 1",
            ),
            (Taken(JOURNAL), ""),
            (
                NotTaken(STORE),
                "lost 2 to 0, failed store_failed, wait 1000",
            ),
        ],
    );
}

#[test]
fn a_drain_stores_what_arrives_and_starts_nothing() {
    check(
        "an answer that arrives is stored",
        &[Takes::Batches],
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (Drain(true), ""),
            (Answered(2), "answered, explain"),
            (Drain(false), ""),
            (Start(false), "explain"),
            (Explained, "offer batch 1 covering 10000 to 0"),
            (Taken(STORE), "stored 2 lag 30, drained"),
            (WaitIsOver, ""),
            (Start(false), "drained"),
        ],
    );
    check(
        "an answer that arrives and is no answer",
        &[Takes::Batches],
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (Drain(true), ""),
            (Fail(Garbage), "failed decode, drained"),
        ],
    );
    check(
        "an attempt that panics meanwhile",
        &[Takes::Batches],
        &[
            (Start(false), "wait 0"),
            (WaitIsOver, "attempt"),
            (Drain(true), ""),
            (Panic, "panicked, drained"),
        ],
    );
}

#[test]
fn a_backlog_is_a_full_late_batch() {
    let mut bench = Bench::after(&[Start(false), WaitIsOver]);
    bench.poll_loop.options.stale_after = Duration::from_secs(29);
    bench.happens(Answered(3));
    bench.happens(Taken(JOURNAL));
    bench.happens(Explained);
    assert_eq!(bench.happens(Taken(STORE)), "stored 3 lag 30 late, wait 0");
}

#[test]
fn the_pace_bounds_attempts() {
    let mut bench = Bench::new(&[Takes::Batches]);
    bench.happens(Start(false));
    let mut attempts = Vec::new();
    for _ in 0..22 {
        attempts.push(bench.happens(WaitIsOver));
        for event in [Answered(1), Explained, Taken(STORE)] {
            bench.happens(event);
        }
    }
    assert!(attempts[..20].iter().all(|attempt| attempt == "attempt"));
    assert_eq!(attempts[20..], ["attempt in 333", "attempt in 666"]);
}

#[test]
fn an_attempt_that_was_not_sent_leaves_the_pace_as_it_was() {
    let mut bench = Bench::new(&[Takes::Batches]);
    bench.happens(Start(false));
    let before = format!("{:?}", bench.poll_loop.pacer());
    bench.happens(WaitIsOver);
    assert_ne!(format!("{:?}", bench.poll_loop.pacer()), before);
    bench.poll_loop.attempt_was_not_sent();
    assert_eq!(format!("{:?}", bench.poll_loop.pacer()), before);
}

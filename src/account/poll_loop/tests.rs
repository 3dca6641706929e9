//! The poll loop event by event: each case is a list of events with the effects that each of them has.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::account::messages::TokenRefused;
use crate::starlink::{CallError, ErrorResponse, PollError, Stage, TokenError};
use crate::telemetry::{FieldFilter, SchemaCache, decode};

const BATCH_SIZE: u32 = 3;

/// The consumers of most cases: the store, and one that takes answers.
const CONSUMERS: [Takes; 2] = [Takes::Batches, Takes::Answers];
const STORE: usize = 0;
const JOURNAL: usize = 1;

fn poll_loop(consumers: &[Takes]) -> PollLoop {
    PollLoop::new(PollOptions {
        stream: StreamId {
            account: "ship".into(),
            incarnation: 7,
        },
        batch_size: BATCH_SIZE,
        polls_per_minute: 200,
        stale_after: Duration::from_secs(120),
        consumers: consumers.to_vec(),
    })
}

/// A loop, the time, and the last metadata and handovers that came out of it.
struct Bench {
    poll_loop: PollLoop,
    now: Now,
    schemas: SchemaCache,
    metadata: Option<Arc<Metadata>>,
    handovers: Vec<(usize, crate::account::Handover)>,
}

/// What happens in a case.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// The actor is started, or restarted: with or without an attempt in flight.
    Start(bool),
    WaitIsOver,
    /// An answer with so many rows.
    Answer(usize),
    /// An attempt fails.
    Fail(Failure),
    Panic,
    Explained,
    NotExplained,
    Taken(usize),
    NotTaken(usize),
    /// The consumer has written what it was offered last; its acknowledgement is still to come.
    Writes(usize),
    /// Whether the attempt in flight is still awaited.
    Drain(bool),
    /// So many milliseconds pass.
    Pass(u64),
}
use Happens::{
    Answer as Answered, Drain, Explained, Fail, NotExplained, NotTaken, Panic, Pass, Start, Taken,
    WaitIsOver, Writes,
};

#[derive(Debug, Clone, Copy)]
enum Failure {
    /// Starlink answers with this status, and this `Retry-After` in seconds.
    Status(u16, Option<u64>),
    Connect,
    Disconnected,
    TimedOut,
    /// An answer that cannot be decoded.
    Garbage,
    /// Decoding panicked.
    DecodingPanicked,
    /// No token; the token actor asks again in so many milliseconds.
    NoToken(u64),
    /// The token actor does not reply.
    NoReply,
}
use Failure::{
    Connect, DecodingPanicked, Disconnected, Garbage, NoReply, NoToken, Status, TimedOut,
};

impl Failure {
    fn error(self) -> AttemptError {
        let call = |error: CallError| AttemptError::Poll(PollError::Call(error));
        match self {
            Status(status, retry_after) => call(CallError::Status(ErrorResponse {
                status,
                message: String::new(),
                is_oauth: false,
                retry_after: retry_after.map(Duration::from_secs),
            })),
            Connect => call(CallError::Connect("no route".into())),
            Disconnected => call(CallError::Disconnected("reset".into())),
            TimedOut => call(CallError::Timeout(Stage::Head)),
            Garbage => AttemptError::Decode(decode("oops".into()).unwrap_err()),
            DecodingPanicked => AttemptError::Panicked(super::super::attempt::WorkPanicked),
            NoToken(millis) => AttemptError::Token(TokenRefused {
                error: Arc::new(TokenError::Malformed("it is empty")),
                retry_in: Duration::from_millis(millis),
            }),
            NoReply => AttemptError::TokenActor(actix::MailboxError::Timeout),
        }
    }
}

impl Bench {
    fn new(consumers: &[Takes]) -> Self {
        Self {
            poll_loop: poll_loop(consumers),
            now: Now {
                elapsed: Duration::from_secs(1000),
                // The longest wait of the backoff: 1, 2, 4 … 60 s.
                jitter: 1.0,
            },
            schemas: SchemaCache::new(FieldFilter::default()),
            metadata: None,
            handovers: Vec::new(),
        }
    }

    /// A loop in which these things have happened.
    fn after(events: &[Happens]) -> Self {
        let mut bench = Self::new(&CONSUMERS);
        for event in events {
            bench.happens(*event);
        }
        bench
    }

    /// The effects of something, in short.
    fn happens(&mut self, what: Happens) -> String {
        let event = match what {
            Pass(millis) => {
                self.now.elapsed += Duration::from_millis(millis);
                return String::new();
            }
            Writes(wanted) => {
                let offers = self.handovers.iter().rev();
                let mut offers = offers.filter(|(consumer, _)| *consumer == wanted);
                assert!(offers.next().unwrap().1.take());
                return String::new();
            }
            Start(in_flight) => Event::Started { in_flight },
            WaitIsOver => Event::WaitIsOver,
            Answered(rows) => Event::Attempted(Box::new(self.answer(rows))),
            Fail(failure) => Event::Attempted(Box::new(Polled {
                result: Err(failure.error()),
                token_serial: Some(5),
                took: Some(Duration::from_secs(1)),
            })),
            Panic => Event::AttemptPanicked,
            Explained => {
                let metadata = self.metadata.clone().unwrap_or_default();
                Event::Explained(self.schemas.resolve(&metadata).schema)
            }
            NotExplained => Event::NotExplained,
            Taken(consumer) => Event::Taken(consumer),
            NotTaken(consumer) => Event::NotTaken(consumer),
            Drain(keeps_attempt) => Event::Drain { keeps_attempt },
        };
        let effects = self.poll_loop.on(event, self.now);
        let effects: Vec<_> = effects.iter().map(|it| self.describe(it)).collect();
        effects.join(", ")
    }

    /// An answer to a poll that was sent ten seconds ago.
    fn answer(&self, rows: usize) -> Polled {
        let now = self.now.elapsed;
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + now;
        let reported = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_nanos()
            - 30 * 1_000_000_000;
        let rows: Vec<_> = (0..rows)
            .map(|row| format!(r#"["u",{reported},"{row}"]"#))
            .collect();
        let body = format!(
            r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId"]}}}}}}"#,
            rows.join(",")
        );
        let (rows, metadata) = decode(body.into()).unwrap();
        let took = Duration::from_secs(10);
        Polled {
            result: Ok(Answer {
                rows,
                metadata,
                receipt: Receipt {
                    sent: now - took,
                    answered: now,
                    at: Moment::at(now),
                    corrected: wall,
                    is_corrected: true,
                },
            }),
            token_serial: Some(5),
            took: Some(took),
        }
    }

    fn describe(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::Wait(until) => {
                let now = self.now.moment();
                format!("wait {}", until.since(now).as_millis())
            }
            Effect::Attempt(AttemptPlan { pace, instead_of }) => {
                let pace = match pace.as_millis() {
                    0 => String::new(),
                    millis => format!(" in {millis}"),
                };
                let renewal = instead_of.map_or("", |renewal| match renewal.discard {
                    true => " with a new token",
                    false => " with a new token if possible",
                });
                format!("attempt{pace}{renewal}")
            }
            Effect::AwaitAttempt => "await".to_owned(),
            Effect::AbortAttempt => "abort".to_owned(),
            Effect::Explain(metadata) => {
                self.metadata = Some(Arc::clone(metadata));
                "explain".to_owned()
            }
            Effect::Offer(consumer, offer) => {
                let (what, id, coverage, handover) = match offer {
                    Offer::Answer(it) => ("answer", &it.id, it.coverage, &it.handover),
                    Offer::Batch(it) => ("batch", &it.id, it.coverage, &it.handover),
                };
                assert_eq!((&*id.stream.account, id.stream.incarnation), ("ship", 7));
                self.handovers.push((*consumer, handover.clone()));
                let covers = coverage.covers.as_millis();
                format!("offer {what} {} covering {covers} to {consumer}", id.number)
            }
            Effect::Record(outcome) => match outcome {
                Outcome::Answered(_) => "answered".to_owned(),
                Outcome::Failed { error, .. } => format!("failed {}", error.reason().name()),
                Outcome::Panicked { .. } => "panicked".to_owned(),
                Outcome::Lost { consumer, rows } => format!("lost {rows} to {consumer}"),
                Outcome::Stored { rows, lag } => {
                    let lag = lag.map_or(String::new(), |lag| {
                        let late = if lag.is_catching_up { " late" } else { "" };
                        format!(" lag {}{late}", lag.seconds)
                    });
                    format!("stored {rows}{lag}")
                }
            },
            Effect::Drained => "drained".to_owned(),
        }
    }
}

fn check(name: &str, consumers: &[Takes], steps: &[(Happens, &str)]) {
    let mut bench = Bench::new(consumers);
    for (index, (event, expected)) in steps.iter().enumerate() {
        let effects = bench.happens(*event);
        assert_eq!(effects, *expected, "{name}, step {index}: {event:?}");
    }
}

/// Each event in each phase.
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

//! The poll loop event by event: each case is a list of events with the effects that each of them has.

mod phases;
mod sequences;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::account::messages::TokenRefused;
use crate::fleet::RowSpan;
use crate::starlink::{CallError, ErrorResponse, PollError, Stage, TokenError};
use crate::telemetry::{FieldFilter, SchemaCache, decode};

const BATCH_SIZE: u32 = 3;

/// The consumers of most cases: the store, and one that takes answers.
const CONSUMERS: [Takes; 2] = [Takes::Batches, Takes::Answers];
const STORE: usize = 0;
const JOURNAL: usize = 1;

fn poll_loop(consumers: &[Takes]) -> PollLoop {
    let options = PollOptions {
        stream: StreamId {
            account: "ship".into(),
            incarnation: 7,
        },
        batch_size: BATCH_SIZE,
        stale_after: Duration::from_secs(120),
        consumers: consumers.to_vec(),
    };
    PollLoop::new(options, Pacer::new(200))
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
                span: RowSpan::of(&rows, &metadata),
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

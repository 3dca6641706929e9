//! The poll loop of one account as a state machine: `(state, event, now) → effects`, without actors, sockets and clocks.
//!
//! One attempt is in flight at a time, and the next one starts only when each consumer has taken or lost the answer of the last one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::attempt::{Answer, AttemptError, Polled, Receipt, renewal};
use super::delivery::{Delivered, Delivery, Step};
use super::heard::Heard;
use super::messages::Renewal;
use super::now::Now;
use super::offer::{BatchId, Offer, StreamId, Takes};
use crate::fleet::{Coverage, Limits};
use crate::starlink::PollFailure;
use crate::telemetry::{Batch, Metadata, Schema};
use crate::time::{Backoff, Moment, Pacer, unix_seconds};

/// What decides how an account is polled.
#[derive(Debug)]
pub(super) struct PollOptions {
    /// The stream that batches are named after.
    pub(super) stream: StreamId,
    /// Most rows of an answer: one that has so many has more behind it.
    pub(super) batch_size: u32,
    /// Most polls in any minute.
    pub(super) polls_per_minute: u32,
    /// A greater lag of full batches means that the account is catching up.
    pub(super) stale_after: Duration,
    /// What each consumer takes.
    pub(super) consumers: Vec<Takes>,
}

/// What happens to the poll loop. An event that does not belong to the present phase has no effect.
#[derive(Debug)]
pub(super) enum Event {
    /// The loop is to run, for the first time or after a restart. Requests of the time before are lost, except for the attempt in
    /// flight, if there is one.
    Started {
        /// Whether an attempt is in flight.
        in_flight: bool,
    },
    /// The moment of [`Effect::Wait`] has come.
    WaitIsOver,
    /// The attempt in flight has ended.
    Attempted(Box<Polled>),
    /// The attempt in flight has panicked.
    AttemptPanicked,
    /// The columns of the answer are explained.
    Explained(Arc<Schema>),
    /// The request to explain them failed.
    NotExplained,
    /// The consumer with this index has acknowledged its offer.
    Taken(usize),
    /// The consumer with this index failed, or did not acknowledge its offer in time.
    NotTaken(usize),
    /// Polling is to end.
    Drain {
        /// Whether the attempt in flight is still awaited.
        keeps_attempt: bool,
    },
}

/// What is to be done, in the order in which it stands.
#[derive(Debug)]
pub(super) enum Effect {
    /// Report [`Event::WaitIsOver`] then.
    Wait(Moment),
    /// Start an attempt, and report how it ends.
    Attempt(AttemptPlan),
    /// Report how the attempt in flight ends.
    AwaitAttempt,
    /// Abort the attempt in flight.
    AbortAttempt,
    /// Have the columns explained.
    Explain(Arc<Metadata>),
    /// Make an offer to the consumer with this index.
    Offer(usize, Offer),
    /// Log and count this.
    Record(Outcome),
    /// Nothing is polled any more, and nothing is under way: acknowledge the drain.
    Drained,
}

/// How to make an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AttemptPlan {
    /// How long to wait before anything is sent.
    pub(super) pace: Duration,
    /// The token that must not be used again.
    pub(super) instead_of: Option<Renewal>,
}

/// What is logged and counted.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An attempt brought an answer after this time. Whether it is stored is yet to come.
    Answered(Duration),
    /// An attempt failed.
    Failed {
        /// Why.
        error: AttemptError,
        /// The time from the request to the failure; `None` when none was sent or the request did not fail.
        took: Option<Duration>,
        /// The next attempt starts after this time.
        wait: Duration,
    },
    /// An attempt panicked.
    Panicked {
        /// The next attempt starts after this time.
        wait: Duration,
    },
    /// The consumer with this index has lost an answer.
    Lost {
        /// Its index.
        consumer: usize,
        /// How many rows the answer had.
        rows: usize,
    },
    /// An attempt succeeded: each consumer of batches has its batch.
    Stored {
        /// How many rows it had.
        rows: usize,
        /// How late they are; `None` without rows that can tell.
        lag: Option<Lag>,
    },
}

/// How late the rows of a batch are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lag {
    /// The arrival less the median timestamp of the rows.
    pub(super) seconds: f64,
    /// Whether a backlog is being worked through.
    pub(super) is_catching_up: bool,
    /// The arrival by the corrected clock.
    pub(super) arrived: SystemTime,
}

/// The poll loop of one account.
#[derive(Debug)]
pub(super) struct PollLoop {
    options: PollOptions,
    phase: Phase,
    pacer: Pacer,
    backoff: Backoff,
    /// The token that the next attempt must not use.
    renewal: Option<Renewal>,
    /// Whether the one retry after a 401 was made.
    has_retried: bool,
    heard: Heard,
    /// How many answers have come.
    batches: u64,
    is_draining: bool,
}

#[derive(Debug)]
enum Phase {
    /// The next attempt starts then.
    Waiting(Moment),
    /// An attempt is in flight.
    Polling,
    /// An answer is being explained, and offered to the consumers.
    Delivering(Box<Delivery>),
    /// No attempt will start any more.
    Drained,
}

impl PollLoop {
    /// A loop that has polled nothing yet.
    pub(super) fn new(options: PollOptions) -> Self {
        Self {
            pacer: Pacer::new(options.polls_per_minute),
            options,
            phase: Phase::Waiting(Moment::default()),
            backoff: Backoff::REQUESTS,
            renewal: None,
            has_retried: false,
            heard: Heard::default(),
            batches: 0,
            is_draining: false,
        }
    }

    /// Takes an event, and gives what is to be done about it.
    pub(super) fn on(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match event {
            Event::Started { in_flight } => self.started(in_flight, now),
            Event::WaitIsOver => self.wait_is_over(now),
            Event::Attempted(polled) if self.is_polling() => self.attempted(*polled, now),
            Event::AttemptPanicked if self.is_polling() => self.panicked(now),
            Event::Attempted(_) | Event::AttemptPanicked => Vec::new(),
            Event::Explained(schema) => self.deliver(now, |delivery| delivery.explained(schema)),
            Event::NotExplained => self.deliver(now, Delivery::not_explained),
            Event::Taken(consumer) => self.deliver(now, |delivery| {
                delivery.taken(consumer);
                Vec::new()
            }),
            Event::NotTaken(consumer) => self.deliver(now, |delivery| {
                delivery.not_taken(consumer).into_iter().collect()
            }),
            Event::Drain { keeps_attempt } => self.drain(keeps_attempt),
        }
    }

    fn is_polling(&self) -> bool {
        matches!(self.phase, Phase::Polling)
    }

    /// Goes on from the phase in which the loop is.
    fn started(&mut self, in_flight: bool, now: Now) -> Vec<Effect> {
        match &self.phase {
            Phase::Waiting(until) => self.wait_until(*until),
            Phase::Polling if in_flight => vec![Effect::AwaitAttempt],
            // What the attempt brought is lost with the life before this one.
            Phase::Polling => self.panicked(now),
            Phase::Delivering(_) => self.deliver(now, |delivery| delivery.resume()),
            Phase::Drained => vec![Effect::Drained],
        }
    }

    fn wait_is_over(&mut self, now: Now) -> Vec<Effect> {
        if !matches!(self.phase, Phase::Waiting(_)) {
            return Vec::new();
        }
        self.phase = Phase::Polling;
        vec![Effect::Attempt(AttemptPlan {
            pace: self.pacer.reserve(now.elapsed),
            instead_of: self.renewal,
        })]
    }

    fn attempted(&mut self, polled: Polled, now: Now) -> Vec<Effect> {
        let Polled {
            result,
            token_serial,
            took,
        } = polled;
        match result {
            Ok(answer) => {
                self.renewal = None;
                let answered = Outcome::Answered(took.unwrap_or_default());
                let mut effects = vec![Effect::Record(answered)];
                effects.extend(self.received(answer, now));
                effects
            }
            Err(error) => {
                self.renewal = renewal(&error, token_serial).or(self.renewal);
                self.failed(error, took, now)
            }
        }
    }

    /// Begins the delivery of an answer.
    fn received(&mut self, answer: Answer, now: Now) -> Vec<Effect> {
        let Answer {
            rows,
            metadata,
            receipt,
        } = answer;
        self.batches += 1;
        let id = BatchId {
            stream: self.options.stream.clone(),
            number: self.batches,
        };
        let is_full = self.is_full(rows.received());
        let coverage = Coverage {
            to: receipt.at,
            covers: self.heard.covered(receipt.sent, receipt.answered, is_full),
        };
        let consumers = &self.options.consumers;
        let delivery = Delivery::new(id, rows, metadata, receipt, coverage, consumers);
        self.phase = Phase::Delivering(Box::new(delivery));
        self.deliver(now, |delivery| delivery.resume())
    }

    /// Takes a step of the delivery, and ends it when each consumer has taken or lost the answer.
    fn deliver(&mut self, now: Now, step: impl FnOnce(&mut Delivery) -> Vec<Step>) -> Vec<Effect> {
        let Phase::Delivering(delivery) = &mut self.phase else {
            return Vec::new();
        };
        let steps = step(delivery);
        let rows = delivery.rows();
        let mut effects: Vec<_> = steps
            .into_iter()
            .map(|step| match step {
                Step::Explain(metadata) => Effect::Explain(metadata),
                Step::Offer(consumer, offer) => Effect::Offer(consumer, offer),
                Step::Lost(consumer) => Effect::Record(Outcome::Lost { consumer, rows }),
            })
            .collect();
        effects.extend(match delivery.ended() {
            None => Vec::new(),
            Some(Delivered::Yes) => self.stored(),
            Some(Delivered::NotExplained) => self.failed(AttemptError::Metadata, None, now),
            Some(Delivered::Lost) => self.failed(AttemptError::Store, None, now),
        });
        effects
    }

    /// The attempt has succeeded: the next one follows at once.
    fn stored(&mut self) -> Vec<Effect> {
        let Phase::Delivering(delivery) = &self.phase else {
            return Vec::new();
        };
        let lag = delivery.batch();
        let lag = lag.and_then(|(batch, receipt)| self.lag(batch, receipt));
        let stored = Outcome::Stored {
            rows: delivery.rows(),
            lag,
        };
        self.heard.stored(delivery.answered());
        self.has_retried = false;
        self.backoff.reset();
        let mut effects = vec![Effect::Record(stored)];
        effects.extend(self.wait_until(Moment::default()));
        effects
    }

    #[expect(clippy::cast_precision_loss, reason = "a lag is measured in seconds")]
    fn lag(&self, batch: &Batch, receipt: &Receipt) -> Option<Lag> {
        let range = Limits::STANDARD.earliest..=receipt.latest(batch);
        let median = batch.median_timestamp(range)?;
        let seconds = unix_seconds(receipt.corrected) - median as f64 / 1e9;
        let is_late = seconds > self.options.stale_after.as_secs_f64();
        Some(Lag {
            seconds,
            is_catching_up: is_late && self.is_full(batch.rows.received()),
            arrived: receipt.corrected,
        })
    }

    /// Whether more rows are waiting at Starlink.
    fn is_full(&self, rows: usize) -> bool {
        rows >= self.options.batch_size as usize
    }

    /// The attempt has failed: the next one follows after a while, or at once after the first 401.
    fn failed(&mut self, error: AttemptError, took: Option<Duration>, now: Now) -> Vec<Effect> {
        self.heard.failed();
        if error.reason() == PollFailure::RateLimited {
            self.pacer.slow_down(now.elapsed);
        }
        let retries_now = error.reason() == PollFailure::Unauthorized
            && !std::mem::replace(&mut self.has_retried, true);
        let wait = if retries_now {
            Duration::ZERO
        } else if let Some(wait) = error.retry_in() {
            wait
        } else {
            // The backoff is never below a second.
            let backoff = self.backoff.next(now.jitter);
            let after = error.retry_after().unwrap_or_default();
            after.max(backoff)
        };
        let mut effects = vec![Effect::Record(Outcome::Failed { error, took, wait })];
        effects.extend(self.wait_until(now.moment().after(wait)));
        effects
    }

    /// The attempt has panicked, or what it brought is lost.
    fn panicked(&mut self, now: Now) -> Vec<Effect> {
        self.heard.failed();
        let wait = self.backoff.next(now.jitter);
        let mut effects = vec![Effect::Record(Outcome::Panicked { wait })];
        effects.extend(self.wait_until(now.moment().after(wait)));
        effects
    }

    /// The next attempt starts at `until`, unless none is to start any more.
    fn wait_until(&mut self, until: Moment) -> Vec<Effect> {
        if self.is_draining {
            self.phase = Phase::Drained;
            return vec![Effect::Drained];
        }
        self.phase = Phase::Waiting(until);
        vec![Effect::Wait(until)]
    }

    fn drain(&mut self, keeps_attempt: bool) -> Vec<Effect> {
        self.is_draining = true;
        match self.phase {
            Phase::Waiting(_) | Phase::Drained => self.wait_until(Moment::default()),
            Phase::Polling if !keeps_attempt => {
                let mut effects = vec![Effect::AbortAttempt];
                effects.extend(self.wait_until(Moment::default()));
                effects
            }
            // Their answer is stored first.
            Phase::Polling | Phase::Delivering(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;

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
    /// Part of the identity of each batch.
    pub(super) stream: StreamId,
    /// The maximum number of rows in an answer. Behind a full answer more rows are waiting.
    pub(super) batch_size: u32,
    /// If full batches have a greater lag, the account is catching up.
    pub(super) stale_after: Duration,
    /// What each consumer takes.
    pub(super) consumers: Vec<Takes>,
}

/// An event for the poll loop. It has no effect in a phase to which it does not belong.
#[derive(Debug)]
pub(super) enum Event {
    /// The actor has started or restarted. Requests that were in progress are lost, except for the attempt in flight, if there is
    /// one.
    Started {
        /// Whether an attempt is in flight.
        in_flight: bool,
    },
    /// The moment of [`Effect::Wait`] is reached.
    WaitIsOver,
    /// The attempt in flight has ended.
    Attempted(Box<Polled>),
    /// The attempt in flight has panicked.
    AttemptPanicked,
    /// The MetadataActor has explained the columns of the answer.
    Explained(Arc<Schema>),
    /// The MetadataActor failed, or did not reply in time.
    NotExplained,
    /// The consumer with this index has acknowledged its offer.
    Taken(usize),
    /// The consumer with this index failed, or did not acknowledge its offer in time.
    NotTaken(usize),
    /// Polling has to end.
    Drain {
        /// Whether the attempt in flight is still awaited.
        keeps_attempt: bool,
    },
}

/// An action for the actor. Actions are carried out in their order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Report [`Event::WaitIsOver`] at this moment.
    Wait(Moment),
    /// Start an attempt, and report its end.
    Attempt(AttemptPlan),
    /// Report the end of the attempt in flight.
    AwaitAttempt,
    /// Abort the attempt in flight.
    AbortAttempt,
    /// Request an explanation of the columns, and report the result.
    Explain(Arc<Metadata>),
    /// Make an offer to the consumer with this index, and report the result.
    Offer(usize, Offer),
    /// Log and count an outcome.
    Record(Outcome),
    /// Polling has ended, and nothing is in progress: acknowledge the drain.
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

/// An outcome that is logged and counted.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Starlink has answered an attempt after this time. Whether the answer is stored is a separate outcome.
    Answered(Duration),
    /// An attempt failed.
    Failed {
        /// The reason.
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
        /// The number of rows of the answer.
        rows: usize,
    },
    /// An attempt succeeded: each consumer of batches has its batch.
    Stored {
        /// The number of its rows.
        rows: usize,
        /// How late they are; `None` if no row has a usable timestamp.
        lag: Option<Lag>,
    },
}

/// How late the rows of a batch are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lag {
    /// The arrival minus the median timestamp of the rows.
    pub(super) seconds: f64,
    /// Whether rows of a backlog are being received.
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
    /// The pace before the last attempt.
    pacer_before: Pacer,
    backoff: Backoff,
    /// The token that the next attempt must not use.
    renewal: Option<Renewal>,
    /// Whether the one retry after a 401 was made.
    has_retried: bool,
    heard: Heard,
    /// The number of answers so far.
    batches: u64,
    is_draining: bool,
}

#[derive(Debug)]
enum Phase {
    /// The next attempt starts at this moment.
    Waiting(Moment),
    /// An attempt is in flight.
    Polling,
    /// An answer is being explained, and offered to the consumers.
    Delivering(Box<Delivery>),
    /// Polling has ended.
    Drained,
}

impl PollLoop {
    /// A loop before its first poll, which polls at the given pace.
    pub(super) fn new(options: PollOptions, pacer: Pacer) -> Self {
        Self {
            pacer_before: pacer.clone(),
            pacer,
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

    /// The last attempt was aborted before its poll was sent, so the poll does not count.
    pub(super) fn attempt_was_not_sent(&mut self) {
        self.pacer = self.pacer_before.clone();
    }

    /// Reserves a request other than a poll. Returns the wait until it may be sent.
    pub(super) fn reserve(&mut self, now: Duration) -> Duration {
        let wait = self.pacer.reserve(now);
        // The request also counts if the poll in progress does not.
        self.pacer_before.reserve(now.saturating_add(wait));
        wait
    }

    /// Halves the pace after a 429 to a request other than a poll.
    pub(super) fn slow_down(&mut self, now: Duration) {
        self.pacer.slow_down(now);
        self.pacer_before.slow_down(now);
    }

    /// The pace of the polls.
    pub(super) fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    /// Handles an event. Returns the resulting actions.
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

    /// Continues in the current phase.
    fn started(&mut self, in_flight: bool, now: Now) -> Vec<Effect> {
        match &self.phase {
            Phase::Waiting(until) => self.wait_until(*until),
            Phase::Polling if in_flight => vec![Effect::AwaitAttempt],
            // The actor ended between the end of the attempt and this event, so its result is lost.
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
        self.pacer_before = self.pacer.clone();
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
            span,
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
        let delivery = Delivery::new(id, rows, span, metadata, receipt, coverage, consumers);
        self.phase = Phase::Delivering(Box::new(delivery));
        self.deliver(now, |delivery| delivery.resume())
    }

    /// Advances the delivery, and ends it when each consumer has taken or lost the answer.
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

    /// The attempt has succeeded. The next one follows immediately.
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

    /// The attempt has failed. The next one follows after a wait, or immediately after the first 401.
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

    /// The attempt has panicked, or its result is lost.
    fn panicked(&mut self, now: Now) -> Vec<Effect> {
        self.heard.failed();
        let wait = self.backoff.next(now.jitter);
        let mut effects = vec![Effect::Record(Outcome::Panicked { wait })];
        effects.extend(self.wait_until(now.moment().after(wait)));
        effects
    }

    /// Schedules the next attempt at `until`, or ends polling during a drain.
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
            // The drain ends when the answer is stored.
            Phase::Polling | Phase::Delivering(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;

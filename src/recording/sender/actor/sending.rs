//! The part of the RemoteWriteActor that sends requests, one for each shard.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::super::attempt::{Attempt, Attempted, Content, Made};
use super::super::client::{Client, Outcome};
use super::super::flight::{Flight, Next, Settings, Tally};
use super::{OUTAGE, RemoteWriteActor};
use crate::history::Protocol;
use crate::recording::bounds::clock_is_known;
use crate::recording::status::{LastError, SenderState};
use crate::remote_write::{Answer, Hold, Moments, RowReason, SampleReason, Window, excerpt};
use crate::time::unix_seconds;

/// How long requests wait for Starlink's first response, which corrects the clock.
const CLOCK_LIMIT: Duration = Duration::from_secs(3);

/// Files of a destination that cannot be used are tried again after this time.
const ACCESS_AGAIN: Duration = Duration::from_secs(10);

impl RemoteWriteActor {
    /// Begins a request for each shard that has none.
    pub(super) fn take_requests(&mut self, context: &mut Context<Self>) {
        let (now, end) = (self.clock.now(), self.end());
        let Some(unix) = self.age_clock(context) else {
            return;
        };
        let Some(progress) = &mut self.progress else {
            return;
        };
        let settings = Settings {
            choice: self.options.destination.destination.protocol,
            protocol: self.options.destination.link.protocol(),
            is_pair: self.options.destination.destination.pair,
            most: self.options.destination.destination.max_samples_per_send,
        };
        self.quarantine.release(now);
        let mut started = Vec::new();
        let mut tally = Tally::default();
        let shards = progress.shards.count();
        self.flights.resize_with(usize::from(shards), || None);
        if self.finishing.is_none() {
            for (shard, place) in (0..shards).zip(&mut self.flights) {
                while place.is_none()
                    && let Some(request) = progress.shards.take(shard, unix, end)
                {
                    let mut sequences = request.rows.iter().map(|row| row.sequence);
                    let may_be_repeated = sequences.any(|one| progress.may_be_repeated(one));
                    *place = Flight::new(
                        &request,
                        |sequence| progress.slice(sequence),
                        &self.quarantine,
                        settings,
                        may_be_repeated,
                        now,
                        &mut tally,
                    );
                    match place {
                        Some(_) => started.push(shard),
                        None => progress.shards.finish(shard),
                    }
                }
            }
        }
        self.count(&tally);
        for shard in started {
            self.send(shard, context);
        }
    }

    /// The time in Unix milliseconds that decides which rows are older than the window; the earliest one, at which no row is, while the clock
    /// cannot be trusted. `None` for a while after the start, until Starlink's first response: then requests are made later.
    fn age_clock(&mut self, context: &mut Context<Self>) -> Option<i64> {
        if let Some(unix) = self.steady.read(&self.clock) {
            return Some(unix / 1_000_000);
        }
        let window = self.destination().out_of_order_window;
        let has_limit = matches!(window, Window::Limited(_)) && window.is_open();
        let now = self.clock.now();
        let passed = now.since(*self.began.get_or_insert(now));
        let left = CLOCK_LIMIT.saturating_sub(passed);
        if !has_limit || left.is_zero() || self.clock.offset().is_some() {
            return Some(i64::MIN);
        }
        if !std::mem::replace(&mut self.awaits_clock, true) {
            let clock = self.clock.clone();
            let known = async move { clock.timeout(left, clock_is_known(&clock)).await };
            context.spawn(known.into_actor(self).map(|_, actor, context| {
                actor.awaits_clock = false;
                actor.pump(context);
            }));
        }
        None
    }

    /// Makes the next attempt of the request of a shard, when it is due.
    pub(super) fn send(&mut self, shard: u16, context: &mut Context<Self>) {
        let status = &self.options.destination;
        let client = self.client.get_or_insert_with(|| {
            Rc::new(Client::new(
                Arc::clone(status),
                (&self.options.context).into(),
            ))
        });
        let Some(Some(flight)) = self.flights.get_mut(usize::from(shard)) else {
            return;
        };
        if status.link.protocol() == Protocol::V1 {
            flight.fall_back();
        }
        let attempt = Attempt {
            client: Rc::clone(client),
            clock: self.clock.clone(),
            pool: self.options.context.pool.clone(),
            destination: Arc::clone(status),
            tenant: Arc::clone(&self.options.tenant),
            not_before: flight.not_before,
            protocol: flight.protocol(),
            attempt: flight.attempt(),
            samples: flight.samples(),
            content: match flight.body() {
                Some(body) => Content::Encoded(body),
                None => Content::Rows(flight.part()),
            },
        };
        flight.is_sending = true;
        let now = self.clock.now();
        self.load.began(now);
        context.spawn(
            attempt
                .make()
                .into_actor(self)
                .map(move |made, actor, context| actor.attempted(shard, made, context)),
        );
    }

    fn attempted(&mut self, shard: u16, made: Made, context: &mut Context<Self>) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_answer(context);
        let now = self.clock.now();
        self.load.ended(now);
        if made.is_limited {
            self.load.limited();
        }
        let Some(Some(flight)) = self.flights.get_mut(usize::from(shard)) else {
            return;
        };
        flight.is_sending = false;
        if let Some(body) = made.body {
            flight.set_body(body);
        }
        let is_finished = match made.attempted {
            Attempted::Ended(outcome) => self.answered(shard, &outcome),
            Attempted::TooLarge => self.too_large(shard),
            Attempted::NoAccess(error) => {
                flight.not_before = now.after(ACCESS_AGAIN);
                let error = error.to_string();
                let error = excerpt(&self.options.context.redactor.redact(&error));
                self.hold(Hold::Files, &error);
                false
            }
            Attempted::Panicked => {
                flight.panics += 1;
                flight.not_before = now.after(Duration::from_secs(1));
                let (is_lost, rows) = (flight.panics >= 2, flight.rows());
                if is_lost {
                    self.options
                        .status
                        .count_dropped(RowReason::Unreadable, rows);
                    let elapsed = self.clock.elapsed();
                    self.log
                        .unreadable(0, rows, "encoding failed twice", elapsed);
                }
                is_lost
            }
        };
        match is_finished {
            true => {
                if let Some(flight) = self.flights.get_mut(usize::from(shard)) {
                    *flight = None;
                }
                if let Some(progress) = &mut self.progress {
                    progress.shards.finish(shard);
                }
            }
            false if self.finishing.is_none() => self.send(shard, context),
            false => {}
        }
        self.pump(context);
    }

    /// Handles an answer. Returns whether the request is finished.
    fn answered(&mut self, shard: u16, outcome: &Outcome) -> bool {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let status = Arc::clone(&self.options.status);
        let link = &self.options.destination.link;
        let Some(Some(flight)) = self.flights.get_mut(usize::from(shard)) else {
            return false;
        };
        status.count_request(&outcome.code());
        if let Some(body) = flight.body() {
            status.bytes.add(body.bytes.len() as u64);
        }
        if flight.attempt() > 0 {
            status.retries.increment();
        }
        let moments = Moments {
            now,
            others_succeeded: link.succeeded(),
            fraction: fastrand::f64(),
        };
        let protocol = flight.protocol();
        let mut tally = Tally::default();
        let answer = outcome.answer();
        let (streak, quarantine) = (&mut self.streak, &mut self.quarantine);
        let next = flight.answered(&answer, streak, quarantine, &moments, &mut tally);
        let is_stored = flight.is_stored;
        match next {
            Next::FallBack => {
                if link.fall_back() {
                    self.log.fell_back();
                }
                return false;
            }
            Next::Retry(retry) => {
                if retry.is_throttled {
                    link.lower_pace(now);
                }
                self.failing_since.get_or_insert(now);
                self.set_error(SenderState::Retrying, &outcome.text);
                self.log
                    .retried(outcome.code(), &outcome.text, &retry, elapsed);
                return false;
            }
            Next::Hold(hold) => {
                if hold == Hold::NoVersion {
                    link.begin_again();
                }
                self.hold(hold, &outcome.text);
                return false;
            }
            Next::Finished | Next::Continue => {}
        }
        if tally.stored > 0 {
            link.succeed(now);
        }
        let version = match protocol {
            Protocol::V1 => 1.0,
            Protocol::V2 => 2.0,
        };
        status.protocol_version.set(version);
        match is_stored {
            true => status.set_state(SenderState::Sending),
            false if next == Next::Finished => status.set_state(SenderState::Rejecting),
            // Other parts of the request can be stored.
            false => {}
        }
        if let Some(since) = self.failing_since.take() {
            self.wants_live_first |= now.since(since) > OUTAGE;
        }
        self.log.answered(elapsed);
        for (reason, samples) in &tally.failed {
            match reason {
                SampleReason::NotStored => self.log.not_stored(&outcome.text),
                reason => self
                    .log
                    .refused(reason.label(), *samples, &outcome.text, elapsed),
            }
        }
        if !tally.failed.is_empty() {
            self.set_error(status.state(), &outcome.text);
        }
        self.count(&tally);
        next == Next::Finished
    }

    /// Divides a request that cannot be encoded. Returns whether it is finished.
    fn too_large(&mut self, shard: u16) -> bool {
        let moments = Moments {
            now: self.clock.now(),
            others_succeeded: None,
            fraction: 0.0,
        };
        let answer = Answer::Response {
            status: 413,
            retry_after: None,
            written: None,
            body: "",
        };
        let mut tally = Tally::default();
        let Some(Some(flight)) = self.flights.get_mut(usize::from(shard)) else {
            return false;
        };
        let (streak, quarantine) = (&mut self.streak, &mut self.quarantine);
        let next = flight.answered(&answer, streak, quarantine, &moments, &mut tally);
        self.count(&tally);
        next == Next::Finished
    }

    fn hold(&mut self, hold: Hold, error: &str) {
        let now = self.clock.now();
        self.failing_since.get_or_insert(now);
        self.set_error(SenderState::Held(hold), error);
        self.log.held(hold, error, self.clock.elapsed());
    }

    fn set_error(&self, state: SenderState, error: &str) {
        let status = &self.options.status;
        status.set_state(state);
        status.set_last_error(LastError {
            at: unix_seconds(self.clock.corrected()),
            text: error.to_owned(),
        });
    }

    fn count(&self, tally: &Tally) {
        let status = &self.options.status;
        status.samples.add(tally.stored);
        for (reason, samples) in &tally.failed {
            status.count_failed(*reason, *samples);
        }
    }
}

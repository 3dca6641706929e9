//! The state of an account's polls, which exists as long as the account runs: when its StreamActor is given up, the answer that it held
//! is still delivered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

use super::attempt::{Polled, Progress};
use super::metrics::AccountMetrics;
use super::now::Now;
use super::offer::Consumer;
use super::paces::Pace;
use super::peers::Peers;
use super::poll_loop::{Effect, Event, PollLoop, PollOptions};
use super::poll_record::PollRecord;
use super::stream::StreamOptions;
use crate::time::{Clock, Pacer};

/// An attempt in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) progress: Arc<Progress>,
    pub(super) task: JoinHandle<Polled>,
}

/// What is known about the polls of an account. Without connections and timers, which end with the actor.
#[derive(Debug)]
pub(super) struct PollingState {
    /// It also has the pace of all requests.
    poll_loop: PollLoop,
    record: PollRecord,
    /// The pace of requests for the inventory.
    inventory_pacer: Pacer,
    /// Whether [`Polling::end_requests`] was called.
    has_ended: bool,
    pub(super) in_flight: Option<InFlight>,
}

impl PollingState {
    /// Whether the poll of the attempt in flight is sent. Before, the attempt waits for its pace and a token, and can be aborted without
    /// loss.
    pub(super) fn is_sent(&self) -> bool {
        let in_flight = self.in_flight.as_ref();
        in_flight.is_some_and(|in_flight| in_flight.progress.is_sent())
    }

    /// Whether Starlink has begun to answer the attempt in flight.
    pub(super) fn is_arriving(&self) -> bool {
        let in_flight = self.in_flight.as_ref();
        in_flight.is_some_and(|in_flight| in_flight.progress.is_arriving())
    }

    /// An attempt has started.
    pub(super) fn attempt_started(&mut self, in_flight: InFlight) {
        self.record.attempt_started();
        self.in_flight = Some(in_flight);
    }

    /// Aborts the attempt in flight.
    pub(super) fn abort(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.task.abort();
            if !in_flight.progress.is_sent() {
                self.poll_loop.attempt_was_not_sent();
            }
        }
    }
}

/// The polls of one start of an account. Clones share the state.
#[derive(Debug, Clone)]
pub(super) struct Polling {
    state: Arc<Mutex<PollingState>>,
    peers: Peers,
    clock: Clock,
    /// Whether [`Polling::finish`] has begun, or must not begin any more. Locked while it runs.
    is_finished: Arc<AsyncMutex<bool>>,
}

impl Polling {
    /// Nothing was polled yet. Requests have the given paces.
    pub(super) fn new(
        options: &StreamOptions,
        pace: Pace,
        peers: Peers,
        clock: Clock,
        metrics: Arc<AccountMetrics>,
    ) -> Self {
        let poll_options = PollOptions {
            stream: options.stream.clone(),
            batch_size: options.batch_size,
            stale_after: options.stale_after,
            consumers: peers.consumers.iter().map(Consumer::takes).collect(),
        };
        let record = PollRecord::new(
            Arc::clone(&options.stream.account),
            options.origin.clone(),
            options.max_linger,
            clock.clone(),
            metrics,
        );
        let state = PollingState {
            poll_loop: PollLoop::new(poll_options, pace.requests),
            record,
            inventory_pacer: pace.inventory,
            has_ended: false,
            in_flight: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            peers,
            clock,
            is_finished: Arc::default(),
        }
    }

    /// The state, for the StreamActor. Never locked during a wait.
    pub(super) fn state(&self) -> MutexGuard<'_, PollingState> {
        // Also after a panic of the actor, whose restart continues with this state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The other actors of the account.
    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The account's clock.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How long the next request for the inventory has to wait at least.
    pub(super) fn inventory_wait(&self, now: Duration) -> Duration {
        self.state().inventory_pacer.clone().reserve(now)
    }

    /// Reserves a request for the inventory, which has waited for [`Polling::inventory_wait`]. Returns the wait until it may be sent; `None`
    /// if it must not be sent, because the account has ended.
    pub(super) fn reserve_inventory_request(&self, now: Duration) -> Option<Duration> {
        let mut state = self.state();
        if state.has_ended {
            return None;
        }
        let wait = state.poll_loop.reserve(now);
        // At the time at which it is sent.
        state.inventory_pacer.reserve(now + wait);
        Some(wait)
    }

    /// Halves both paces after a 429 to a request for the inventory.
    pub(super) fn slow_down(&self, now: Duration) {
        let mut state = self.state();
        state.poll_loop.slow_down(now);
        state.inventory_pacer.slow_down(now);
    }

    /// Ends the requests for the inventory, after polling has ended. Returns the paces, for the next start of the account.
    pub(super) fn end_requests(&self) -> Pace {
        let mut state = self.state();
        state.has_ended = true;
        Pace {
            requests: state.poll_loop.pacer().clone(),
            inventory: state.inventory_pacer.clone(),
        }
    }

    /// Takes an event. Gives the effects that are left to carry out: outcomes are recorded here.
    pub(super) fn on(&self, event: Event) -> Vec<Effect> {
        let mut state = self.state();
        let effects = state.poll_loop.on(event, Now::read(&self.clock));
        let mut remaining = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Record(outcome) => {
                    let takes = |index| self.peers.takes(index);
                    state.record.record(outcome, takes);
                }
                effect => remaining.push(effect),
            }
        }
        remaining
    }

    /// Delivers the answer that a StreamActor held when it was given up, or that is arriving, and ends polling. Only once; a second call
    /// waits for the first.
    pub(super) async fn finish(&self) {
        let mut is_finished = self.is_finished.lock().await;
        if std::mem::replace(&mut *is_finished, true) {
            return;
        }
        let keeps_attempt = self.state().is_arriving();
        let mut effects = self.on(Event::Drain { keeps_attempt });
        let in_flight = self.state().in_flight.is_some();
        effects.extend(self.on(Event::Started { in_flight }));
        let mut replies = FuturesUnordered::new();
        loop {
            replies.extend(
                effects
                    .into_iter()
                    .filter_map(|effect| self.request(effect)),
            );
            let Some(event) = replies.next().await else {
                return;
            };
            effects = self.on(event);
        }
    }

    /// Ends a [`Polling::finish`] that has not begun: the account's thread ends, and what it holds is too old later.
    pub(super) async fn close(&self) {
        *self.is_finished.lock().await = true;
    }

    /// Carries out an effect without the actor, with the event that it leads to.
    fn request(&self, effect: Effect) -> Option<LocalBoxFuture<'static, Event>> {
        match effect {
            Effect::AwaitAttempt => {
                let in_flight = self.state().in_flight.take()?;
                Some(Box::pin(async move {
                    match in_flight.task.await {
                        Ok(polled) => Event::Attempted(Box::new(polled)),
                        Err(_) => Event::AttemptPanicked,
                    }
                }))
            }
            Effect::AbortAttempt => {
                self.state().abort();
                None
            }
            Effect::Explain(metadata) => Some(Box::pin(self.peers.explain(metadata, &self.clock))),
            Effect::Offer(index, offer) => {
                Some(Box::pin(self.peers.offer(index, offer, &self.clock)))
            }
            // Nothing is polled any more, and no actor waits.
            Effect::Wait(_) | Effect::Attempt(_) | Effect::Record(_) | Effect::Drained => None,
        }
    }
}

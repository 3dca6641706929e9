//! The StreamActor: polls the stream of one account. It carries out what the [poll loop](super::poll_loop) decides.
//!
//! A panic of this actor loses no answer: an attempt runs in a separate task, whose handle is in [`Polling`], and its rows stay in the
//! poll loop until each consumer has acknowledged them. After a restart, `started` continues in the phase of the loop. If the actor is
//! given up, [`Polling::finish`] delivers the answer. Only an attempt that panics itself is lost; it counts as failed.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::{
    Actor, ActorFuture, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, Supervised,
    WrapFuture,
};
use tokio::sync::oneshot;
use tokio::task::JoinError;
use url::Url;

use super::attempt::{Attempt, Polled, Progress};
use super::messages::Drain;
use super::offer::StreamId;
use super::poll_loop::{AttemptPlan, Effect, Event};
use super::polling::{InFlight, Polling};
use crate::config::Origin;
use crate::starlink::{Client, ClientOptions};
use crate::supervise::{Heartbeat, act_at};

/// The settings of a StreamActor.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Part of the identity of each batch.
    pub stream: StreamId,
    /// The URL of the stream.
    pub url: Url,
    /// The maximum number of rows in an answer.
    pub batch_size: u32,
    /// How long Starlink may wait for a full answer.
    pub max_linger: Duration,
    /// Which settings the values come from.
    pub origin: Origin,
    /// If full batches have a greater lag, the account is catching up.
    pub stale_after: Duration,
    /// The options of the client.
    pub client: ClientOptions,
}

/// Polls the stream of one account, one poll at a time.
pub struct StreamActor {
    options: StreamOptions,
    polling: Polling,
    client: Option<Rc<Client>>,
    drained: Vec<oneshot::Sender<()>>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

impl StreamActor {
    /// An actor that continues with this state.
    #[must_use]
    pub(super) fn new(options: StreamOptions, polling: Polling) -> Self {
        Self {
            options,
            polling,
            client: None,
            drained: Vec::new(),
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// Hands an event to the poll loop and carries out its effects.
    fn handle_event(&mut self, event: Event, context: &mut Context<Self>) {
        for effect in self.polling.on(event) {
            self.carry_out(effect, context);
        }
    }

    fn carry_out(&mut self, effect: Effect, context: &mut Context<Self>) {
        let clock = self.polling.clock();
        match effect {
            Effect::Wait(until) => {
                act_at(clock, until, context, |actor, context| {
                    actor.handle_event(Event::WaitIsOver, context);
                });
            }
            Effect::Attempt(plan) => self.attempt(plan, context),
            Effect::AwaitAttempt => Self::await_attempt(context),
            Effect::AbortAttempt => self.polling.state().abort(),
            Effect::Explain(metadata) => {
                let reply = self.polling.peers().explain(metadata, clock);
                self.await_event(reply, context);
            }
            Effect::Offer(index, offer) => {
                let reply = self.polling.peers().offer(index, offer, clock);
                self.await_event(reply, context);
            }
            // [`Polling::on`] has recorded the outcomes.
            Effect::Record(_) => {}
            Effect::Drained => {
                for waiter in self.drained.drain(..) {
                    // The sender of the message may be gone.
                    let _ = waiter.send(());
                }
            }
        }
    }

    fn attempt(&mut self, plan: AttemptPlan, context: &mut Context<Self>) {
        let options = &self.options.client;
        let make = || Rc::new(Client::new(options.clone()));
        let client = Rc::clone(self.client.get_or_insert_with(make));
        let progress = Arc::new(Progress::default());
        let peers = self.polling.peers();
        let attempt = Attempt {
            pace: plan.pace,
            client,
            token: peers.token.clone(),
            instead_of: plan.instead_of,
            url: self.options.url.clone(),
            batch_size: self.options.batch_size,
            max_linger: self.options.max_linger,
            progress: Arc::clone(&progress),
            clock: self.polling.clock().clone(),
            decoder: peers.decoder.clone(),
            #[cfg(feature = "fault-injection")]
            fault: self.faults.take_message(),
        };
        self.polling.state().attempt_started(InFlight {
            progress,
            task: actix_rt::spawn(attempt.make()),
        });
        Self::await_attempt(context);
    }

    fn await_attempt(context: &mut Context<Self>) {
        context.spawn(AttemptEnd.map(|end, actor: &mut Self, context| actor.ended(end, context)));
    }

    /// The attempt in flight has ended.
    fn ended(&mut self, end: Result<Polled, JoinError>, context: &mut Context<Self>) {
        match end {
            Ok(polled) => {
                #[cfg(feature = "fault-injection")]
                self.faults.on_answer(context);
                self.handle_event(Event::Attempted(Box::new(polled)), context);
            }
            Err(error) => {
                self.handle_event(Event::AttemptPanicked, context);
                // The supervisor counts the panic and restarts the actor.
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }

    fn await_event(
        &self,
        event: impl Future<Output = Event> + 'static,
        context: &mut Context<Self>,
    ) {
        context.spawn(event.into_actor(self).map(|event, actor, context| {
            actor.handle_event(event, context);
        }));
    }
}

/// Waits for the end of the attempt in flight. The attempt is a separate task, so that a restart of the actor does not lose the answer.
struct AttemptEnd;

impl ActorFuture<StreamActor> for AttemptEnd {
    type Output = Result<Polled, JoinError>;

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut StreamActor,
        _: &mut Context<StreamActor>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Self::Output> {
        let mut state = actor.polling.state();
        // A drain has aborted the attempt, and no event follows.
        let Some(in_flight) = &mut state.in_flight else {
            return Poll::Pending;
        };
        let end = ready!(Pin::new(&mut in_flight.task).poll(task));
        // A task that has ended must not be polled again.
        state.in_flight = None;
        Poll::Ready(end)
    }
}

#[cfg(feature = "fault-injection")]
crate::supervise::faults::injectable!(StreamActor);

impl Supervised for StreamActor {}

impl Actor for StreamActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_start(context);
        // A connection may be the reason why the actor failed.
        self.client = None;
        let in_flight = self.polling.state().in_flight.is_some();
        self.handle_event(Event::Started { in_flight }, context);
    }
}

impl Handler<Heartbeat> for StreamActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<Drain> for StreamActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Drain { cuts }: Drain, context: &mut Self::Context) -> Self::Result {
        let (sender, receiver) = oneshot::channel();
        self.drained.push(sender);
        let keeps_attempt = match cuts {
            true => self.polling.state().is_arriving(),
            false => self.polling.state().is_sent(),
        };
        self.handle_event(Event::Drain { keeps_attempt }, context);
        Box::pin(async move {
            // An error means that the supervisor gave the actor up. `Polling::finish`, which the caller runs next, delivers its answer.
            let _ = receiver.await;
        })
    }
}

//! The StreamActor: polls the stream of one account. It carries out what the [poll loop](super::poll_loop) decides.
//!
//! A panic of this actor loses no answer: an attempt runs in a separate task, whose handle stays in the struct, and its rows stay in
//! the poll loop until each consumer has acknowledged them. After a restart, `started` continues in the phase of the loop. Only an
//! attempt that panics itself is lost; it counts as failed.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::{
    Actor, ActorFuture, ActorFutureExt, Addr, AsyncContext, Context, Handler, MailboxError,
    ResponseFuture, Supervised, WrapFuture,
};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use url::Url;

use super::attempt::{Attempt, Polled};
use super::messages::{Drain, Resolve};
use super::metrics::AccountMetrics;
use super::now::Now;
use super::offer::{Consumer, StreamId};
use super::poll_loop::{AttemptPlan, Effect, Event, PollLoop, PollOptions};
use super::poll_record::PollRecord;
use super::{MetadataActor, TokenActor};
use crate::config::Origin;
use crate::starlink::{Client, ClientOptions};
use crate::supervise::{Heartbeat, act_at};
use crate::tasks::Pool;
use crate::time::Clock;

/// How long an actor may take to reply: it may be in restart backoff.
const REPLY_LIMIT: Duration = Duration::from_secs(30);

/// What a StreamActor needs to know.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// What its batches are named after.
    pub stream: StreamId,
    /// Where to poll.
    pub url: Url,
    /// Most rows of an answer.
    pub batch_size: u32,
    /// Most polls in any minute, 1 to 240.
    pub polls_per_minute: u32,
    /// How long Starlink may wait for them.
    pub max_linger: Duration,
    /// Which settings the values come from.
    pub origin: Origin,
    /// Beyond this lag full batches mean that the account is catching up.
    pub stale_after: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

/// The actors and threads that a StreamActor uses.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Gives tokens.
    pub token: Addr<TokenActor>,
    /// Explains columns.
    pub metadata: Addr<MetadataActor>,
    /// Take what is polled.
    pub consumers: Vec<Consumer>,
    /// Decodes answers.
    pub decoder: Pool,
}

/// An attempt in flight.
struct InFlight {
    /// Whether Starlink has begun to answer.
    is_arriving: Arc<AtomicBool>,
    task: JoinHandle<Polled>,
}

/// Polls the stream of one account, one poll at a time.
pub struct StreamActor {
    options: StreamOptions,
    peers: Peers,
    client: Option<Rc<Client>>,
    clock: Clock,
    poll_loop: PollLoop,
    record: PollRecord,
    in_flight: Option<InFlight>,
    drained: Vec<oneshot::Sender<()>>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

impl StreamActor {
    /// An actor that has polled nothing yet.
    #[must_use]
    pub fn new(
        options: StreamOptions,
        peers: Peers,
        clock: Clock,
        metrics: Arc<AccountMetrics>,
    ) -> Self {
        let poll_loop = PollLoop::new(PollOptions {
            stream: options.stream.clone(),
            batch_size: options.batch_size,
            polls_per_minute: options.polls_per_minute,
            stale_after: options.stale_after,
            consumers: peers.consumers.iter().map(Consumer::takes).collect(),
        });
        Self {
            record: PollRecord::new(
                Arc::clone(&options.stream.account),
                options.origin.clone(),
                options.max_linger,
                clock.clone(),
                metrics,
            ),
            options,
            peers,
            client: None,
            clock,
            poll_loop,
            in_flight: None,
            drained: Vec::new(),
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// Hands an event to the poll loop and carries out its effects.
    fn handle_event(&mut self, event: Event, context: &mut Context<Self>) {
        for effect in self.poll_loop.on(event, Now::read(&self.clock)) {
            self.carry_out(effect, context);
        }
    }

    fn carry_out(&mut self, effect: Effect, context: &mut Context<Self>) {
        match effect {
            Effect::Wait(until) => {
                act_at(&self.clock, until, context, |actor, context| {
                    actor.handle_event(Event::WaitIsOver, context);
                });
            }
            Effect::Attempt(plan) => self.attempt(plan, context),
            Effect::AwaitAttempt => Self::await_attempt(context),
            Effect::AbortAttempt => {
                if let Some(in_flight) = self.in_flight.take() {
                    in_flight.task.abort();
                }
            }
            Effect::Explain(metadata) => {
                let request = self.peers.metadata.send(Resolve(metadata));
                self.await_reply(request, context, |reply| match reply {
                    Ok(schema) => Event::Explained(schema),
                    Err(_) => Event::NotExplained,
                });
            }
            Effect::Offer(index, offer) => {
                // The loop offers to the consumers that it was told of.
                let Some(consumer) = self.peers.consumers.get(index).cloned() else {
                    return;
                };
                self.await_reply(consumer.offer(offer), context, move |reply| match reply {
                    Ok(()) => Event::Taken(index),
                    Err(_) => Event::NotTaken(index),
                });
            }
            Effect::Record(outcome) => {
                let consumers = &self.peers.consumers;
                let takes = |index: usize| consumers.get(index).map(Consumer::takes);
                self.record.record(outcome, takes);
            }
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
        self.record.attempt_started();
        let is_arriving = Arc::new(AtomicBool::new(false));
        let attempt = Attempt {
            pace: plan.pace,
            client,
            token: self.peers.token.clone(),
            instead_of: plan.instead_of,
            url: self.options.url.clone(),
            batch_size: self.options.batch_size,
            max_linger: self.options.max_linger,
            is_arriving: Arc::clone(&is_arriving),
            clock: self.clock.clone(),
            decoder: self.peers.decoder.clone(),
            #[cfg(feature = "fault-injection")]
            fault: self.faults.take_message(),
        };
        self.in_flight = Some(InFlight {
            is_arriving,
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

    /// Waits for the reply of an actor that may be in restart backoff.
    fn await_reply<R: 'static>(
        &self,
        request: impl Future<Output = Result<R, MailboxError>> + 'static,
        context: &mut Context<Self>,
        event: impl FnOnce(Result<R, MailboxError>) -> Event + 'static,
    ) {
        let clock = self.clock.clone();
        let reply = async move {
            let reply = clock.timeout(REPLY_LIMIT, request).await;
            reply.unwrap_or(Err(MailboxError::Timeout))
        };
        context.spawn(reply.into_actor(self).map(|reply, actor, context| {
            actor.handle_event(event(reply), context);
        }));
    }
}

/// Waits for the end of the attempt in flight. Its task is not the actor's, so that a restart of the actor does not lose the answer.
struct AttemptEnd;

impl ActorFuture<StreamActor> for AttemptEnd {
    type Output = Result<Polled, JoinError>;

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut StreamActor,
        _: &mut Context<StreamActor>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Self::Output> {
        // A drain has aborted it, and nothing comes after that.
        let Some(in_flight) = &mut actor.in_flight else {
            return Poll::Pending;
        };
        let end = ready!(Pin::new(&mut in_flight.task).poll(task));
        // A task that has ended must not be polled again.
        actor.in_flight = None;
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
        // Connections of the life before this one are not used again.
        self.client = None;
        let in_flight = self.in_flight.is_some();
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
        let in_flight = self.in_flight.as_ref();
        let is_arriving =
            in_flight.is_some_and(|in_flight| in_flight.is_arriving.load(Ordering::Relaxed));
        let keeps_attempt = is_arriving || !cuts;
        self.handle_event(Event::Drain { keeps_attempt }, context);
        Box::pin(async move {
            // An error means that the actor is gone: then nothing is arriving either.
            let _ = receiver.await;
        })
    }
}

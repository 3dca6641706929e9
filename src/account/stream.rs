//! The StreamActor: owner of the poll loop and of our place in the stream.
//!
//! A death of this actor loses no answer: an attempt runs in a task of its own, whose handle stays in the struct, and its rows
//! stay there until the store has acknowledged them. `started` goes on from wherever the loop was. Only an attempt that panics
//! itself is lost; it counts as failed.

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
use tokio::task::JoinHandle;
use tracing::{debug, info};
use url::Url;

use super::attempt::{Attempt, AttemptError, Polled, Receipt, renewal};
use super::heard::Heard;
use super::messages::{Drain, Renewal, Resolve};
use super::poll_log::PollLog;
use super::{MetadataActor, TokenActor, told};
use crate::fleet::{Coverage, Limits};
use crate::self_metrics::{SelfMetrics, Told};
use crate::starlink::{Client, ClientOptions, PollFailure};
use crate::store::Handover;
use crate::store::MetricsStoreActor;
use crate::store::messages::{Apply, BatchId};
use crate::supervise::Heartbeat;
use crate::tasks::Pool;
use crate::telemetry::{Batch, Metadata, Rows, Schema};
use crate::time::Backoff;
use crate::time::Moment;
use crate::time::Pacer;
use crate::time::{Clock, unix_seconds};

/// How long an actor may take to answer: it may be in restart backoff.
const ACTOR_PATIENCE: Duration = Duration::from_secs(30);

/// How often a batch is handed over before its rows are given up.
const HAND_OVERS: u8 = 2;

/// What a StreamActor needs to know.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Which account's stream it is.
    pub account: usize,
    /// Where to poll.
    pub url: Url,
    /// Most rows of an answer.
    pub batch_size: u32,
    /// How long Starlink may wait for them.
    pub max_linger: Duration,
    /// Beyond this lag full batches mean that we are catching up.
    pub stale_after: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

/// Whom a StreamActor talks to.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Gives tokens.
    pub token: Addr<TokenActor>,
    /// Explains columns.
    pub metadata: Addr<MetadataActor>,
    /// Takes batches.
    pub store: Addr<MetricsStoreActor>,
}

/// Where the poll loop is.
enum Phase {
    /// The next poll starts then.
    Waiting(Moment),
    /// A poll is in flight.
    Polling(InFlight),
    /// An answer's rows wait to be explained and stored.
    Storing(Box<Received>),
    /// No poll will start any more.
    Drained,
}

/// A poll in flight.
struct InFlight {
    /// Whether Starlink has begun to answer.
    is_arriving: Arc<AtomicBool>,
    task: JoinHandle<Polled>,
}

/// The rows of an answer, and what has become of them.
struct Received {
    receipt: Receipt,
    /// Shared with the store: the batch is stored or given up, and never both.
    handover: Handover,
    /// How often they were handed over in vain.
    failures: u8,
    content: Content,
}

enum Content {
    /// Rows whose columns are not explained yet.
    Rows(Rows, Arc<Metadata>),
    /// A batch.
    Batch(Arc<Batch>),
}

/// Polls the stream of one account, one poll at a time.
pub struct StreamActor {
    options: StreamOptions,
    neighbours: Neighbours,
    client: Option<Rc<Client>>,
    clock: Clock,
    /// Decodes answers.
    decoder: Pool,
    metrics: Arc<SelfMetrics>,
    phase: Phase,
    pacer: Pacer,
    backoff: Backoff,
    log: PollLog,
    /// The token that the next poll must not use.
    renewal: Option<Renewal>,
    /// Whether the one retry after a 401 was made.
    has_retried: bool,
    heard: Heard,
    batches: u64,
    is_draining: bool,
    drained: Vec<oneshot::Sender<()>>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

impl StreamActor {
    /// An actor that has polled nothing yet.
    #[must_use]
    pub fn new(
        options: StreamOptions,
        neighbours: Neighbours,
        decoder: Pool,
        clock: Clock,
        metrics: Arc<SelfMetrics>,
    ) -> Self {
        let log = PollLog::new(options.max_linger);
        Self {
            options,
            neighbours,
            client: None,
            metrics,
            phase: Phase::Waiting(clock.now()),
            clock,
            decoder,
            pacer: Pacer::default(),
            backoff: Backoff::REQUESTS,
            log,
            renewal: None,
            has_retried: false,
            heard: Heard::default(),
            batches: 0,
            is_draining: false,
            drained: Vec::new(),
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// Goes on from wherever the loop is.
    fn go_on(&mut self, context: &mut Context<Self>) {
        if self.is_draining && matches!(self.phase, Phase::Waiting(_)) {
            self.phase = Phase::Drained;
        }
        match &self.phase {
            Phase::Waiting(until) => {
                let (clock, until) = (self.clock.clone(), *until);
                let wait = async move { clock.sleep_until(until).await };
                context.spawn(
                    wait.into_actor(self)
                        .map(|(), actor, context| actor.poll(context)),
                );
            }
            Phase::Polling(_) => {
                context.spawn(
                    Arrival.map(|polled, actor: &mut Self, context| actor.polled(polled, context)),
                );
            }
            Phase::Storing(_) => self.hand_over(context),
            Phase::Drained => {
                for waiter in self.drained.drain(..) {
                    // Whoever asked may have gone.
                    let _ = waiter.send(());
                }
            }
        }
    }

    /// Starts a poll, or lets it wait until the pace allows it.
    fn poll(&mut self, context: &mut Context<Self>) {
        let (Phase::Waiting(_), Some(client)) = (&self.phase, self.client.clone()) else {
            return;
        };
        if self.is_draining {
            return self.go_on(context);
        }
        self.metrics.next_attempt.clear();
        let pace = self.pacer.reserve(self.clock.elapsed());
        let is_arriving = Arc::new(AtomicBool::new(false));
        let attempt = Attempt {
            pace,
            client,
            token: self.neighbours.token.clone(),
            instead_of: self.renewal,
            url: self.options.url.clone(),
            batch_size: self.options.batch_size,
            max_linger: self.options.max_linger,
            is_arriving: Arc::clone(&is_arriving),
            clock: self.clock.clone(),
            decoder: self.decoder.clone(),
            #[cfg(feature = "fault-injection")]
            fault: self.faults.take_message(),
        };
        self.phase = Phase::Polling(InFlight {
            is_arriving,
            task: actix_rt::spawn(attempt.make()),
        });
        self.go_on(context);
    }

    /// Takes what an attempt has brought.
    fn polled(&mut self, polled: Polled, context: &mut Context<Self>) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_answer(context);
        if let Some(took) = polled.took {
            self.metrics.poll_duration.observe(took);
        }
        match polled.result {
            Ok(answer) => {
                self.log.answered(polled.took.unwrap_or_default());
                self.renewal = None;
                self.batches += 1;
                self.phase = Phase::Storing(Box::new(Received {
                    receipt: answer.receipt,
                    handover: Handover::default(),
                    failures: 0,
                    content: Content::Rows(answer.rows, Arc::new(answer.metadata)),
                }));
                self.go_on(context);
            }
            Err(error) => {
                self.renewal = renewal(&error, polled.token_serial).or(self.renewal);
                self.failed(&error, polled.took, context);
            }
        }
    }

    /// An attempt has panicked. What it did last was to read an answer, and so it counts.
    fn panicked(&mut self) {
        let told = Told::new(
            "The attempt panicked while reading an answer: see the log",
            None,
        );
        self.count_failure(PollFailure::Decode, told);
        let wait = self.backoff.next(fastrand::f64());
        self.wait_for(wait);
    }

    /// Has the rows explained, then hands them to the store and waits for its acknowledgement.
    fn hand_over(&mut self, context: &mut Context<Self>) {
        let Phase::Storing(received) = &self.phase else {
            return;
        };
        if received.failures == HAND_OVERS {
            return self.give_up(context);
        }
        match &received.content {
            Content::Rows(_, metadata) => {
                let request = self.neighbours.metadata.send(Resolve(Arc::clone(metadata)));
                let answer = patiently(self.clock.clone(), request).into_actor(self);
                context.spawn(answer.map(|answer, actor, context| match answer {
                    Ok(schema) => actor.explained(schema, context),
                    Err(_) => actor.handed_over_in_vain(context),
                }));
            }
            Content::Batch(batch) => {
                let apply = Apply {
                    batch: Arc::clone(batch),
                    id: BatchId {
                        account: self.options.account,
                        number: self.batches,
                    },
                    heard: self.coverage(&received.receipt, batch),
                    handover: received.handover.clone(),
                    latest: received.receipt.latest(batch),
                };
                let request = self.neighbours.store.send(apply);
                let answer = patiently(self.clock.clone(), request).into_actor(self);
                context.spawn(answer.map(|answer, actor, context| match answer {
                    Ok(()) => actor.stored(context),
                    Err(_) => actor.handed_over_in_vain(context),
                }));
            }
        }
    }

    /// The time that a batch speaks for.
    fn coverage(&self, receipt: &Receipt, batch: &Batch) -> Coverage {
        let covers = self
            .heard
            .covered(receipt.sent, receipt.answered, self.is_full(batch));
        Coverage {
            to: receipt.at,
            covers,
        }
    }

    /// Whether more rows are waiting at Starlink.
    fn is_full(&self, batch: &Batch) -> bool {
        batch.rows.received() >= self.options.batch_size as usize
    }

    /// The rows are lost: polling goes on without them. Unless the store has written them, and only its acknowledgement is
    /// lost.
    fn give_up(&mut self, context: &mut Context<Self>) {
        let Phase::Storing(received) = &self.phase else {
            return;
        };
        if !received.handover.withdraw() {
            return self.stored(context);
        }
        let (rows, error) = match &received.content {
            Content::Rows(rows, _) => (rows.received(), AttemptError::Metadata),
            Content::Batch(batch) => (batch.rows.received(), AttemptError::Store),
        };
        self.metrics.rows_lost(rows as u64);
        self.failed(&error, None, context);
    }

    /// The columns are known: the rows are a batch.
    fn explained(&mut self, schema: Arc<Schema>, context: &mut Context<Self>) {
        if let Phase::Storing(received) = &mut self.phase {
            received.explain(schema);
        }
        self.go_on(context);
    }

    /// The other side died or hangs: once more.
    fn handed_over_in_vain(&mut self, context: &mut Context<Self>) {
        if let Phase::Storing(received) = &mut self.phase {
            received.failures += 1;
        }
        self.go_on(context);
    }

    /// The attempt has succeeded.
    fn stored(&mut self, context: &mut Context<Self>) {
        let Phase::Storing(received) = &self.phase else {
            return;
        };
        let rows = match &received.content {
            Content::Rows(rows, _) => rows.received(),
            Content::Batch(batch) => {
                self.measure_lag(batch, received);
                batch.rows.received()
            }
        };
        self.heard.stored(received.receipt.answered);
        self.has_retried = false;
        self.backoff.reset();
        self.metrics.polls.increment();
        let is_first = self.metrics.last_poll_success.value().is_none();
        let now = unix_seconds(self.clock.corrected());
        self.metrics.last_poll_success.set(now);
        self.metrics.up.set(1.0);
        debug!(rows, "batch stored");
        if !self.log.recovered(self.clock.elapsed()) && is_first {
            info!(rows, "first poll succeeded");
        }
        self.wait(Duration::ZERO, context);
    }

    #[expect(clippy::cast_precision_loss, reason = "a lag is measured in seconds")]
    fn measure_lag(&self, batch: &Batch, received: &Received) {
        let range = Limits::STANDARD.earliest..=received.receipt.latest(batch);
        let Some(median) = batch.median_timestamp(range) else {
            self.metrics.catching_up.set(0.0);
            return;
        };
        let lag = unix_seconds(received.receipt.corrected) - median as f64 / 1e9;
        let is_full = self.is_full(batch);
        let is_late = lag > self.options.stale_after.as_secs_f64();
        self.metrics.telemetry_lag.set(lag);
        self.metrics
            .last_rows
            .set(unix_seconds(received.receipt.corrected));
        self.metrics
            .catching_up
            .set(f64::from(u8::from(is_full && is_late)));
    }

    /// The attempt has failed: the next one follows after a while, or at once after the first 401.
    fn failed(
        &mut self,
        error: &AttemptError,
        took: Option<Duration>,
        context: &mut Context<Self>,
    ) {
        let reason = error.reason();
        let cut = self.log.cut(error, took);
        let told = told::attempt(error);
        let told = match &cut {
            Some(advice) => told.and(advice),
            None => told,
        };
        self.count_failure(reason, told);
        let retries_now =
            reason == PollFailure::Unauthorized && !std::mem::replace(&mut self.has_retried, true);
        let wait = if retries_now {
            Duration::ZERO
        } else if let Some(wait) = error.retry_in() {
            wait
        } else {
            // The backoff is never below a second.
            let backoff = self.backoff.next(fastrand::f64());
            error
                .retry_after()
                .map_or(backoff, |after| after.max(backoff))
        };
        self.log
            .failed(error, cut.as_deref(), wait, self.clock.elapsed());
        self.wait(wait, context);
    }

    fn count_failure(&mut self, reason: PollFailure, told: Told) {
        self.metrics.polls.increment();
        self.metrics.poll_failed(reason, told);
        self.heard.failed();
    }

    /// Lets the next poll start after a while.
    fn wait(&mut self, wait: Duration, context: &mut Context<Self>) {
        self.wait_for(wait);
        self.go_on(context);
    }

    /// The next poll starts after a while, which the page shows.
    fn wait_for(&mut self, wait: Duration) {
        let next = unix_seconds(self.clock.corrected() + wait);
        self.metrics.next_attempt.set(next);
        self.phase = Phase::Waiting(self.clock.now().after(wait));
    }
}

/// Waits for the reply of an actor that may be in restart backoff.
async fn patiently<R>(
    clock: Clock,
    request: impl Future<Output = Result<R, MailboxError>>,
) -> Result<R, MailboxError> {
    let reply = clock.timeout(ACTOR_PATIENCE, request).await;
    reply.unwrap_or(Err(MailboxError::Timeout))
}

impl Received {
    /// The columns are known: rows become a batch, which is handed over from the beginning.
    fn explain(&mut self, schema: Arc<Schema>) {
        if let Content::Rows(rows, _) = &mut self.content {
            let rows = std::mem::take(rows);
            self.content = Content::Batch(Arc::new(Batch { rows, schema }));
            self.failures = 0;
        }
    }
}

/// Waits for the poll in flight. Its task lives on its own, so that a restart of the actor does not lose the answer.
struct Arrival;

impl ActorFuture<StreamActor> for Arrival {
    type Output = Polled;

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut StreamActor,
        _: &mut Context<StreamActor>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Polled> {
        let Phase::Polling(in_flight) = &mut actor.phase else {
            return Poll::Pending;
        };
        let result = ready!(Pin::new(&mut in_flight.task).poll(task));
        // A task that has ended must not be polled again: should the actor panic over the answer, it goes on with another poll.
        actor.phase = Phase::Waiting(actor.clock.now());
        match result {
            Ok(polled) => Poll::Ready(polled),
            Err(error) => {
                // A drain has aborted it, and has gone on by itself; or it panicked, and so does the actor.
                if let Ok(panic) = error.try_into_panic() {
                    actor.panicked();
                    std::panic::resume_unwind(panic);
                }
                Poll::Pending
            }
        }
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
        self.client = Some(Rc::new(Client::new(self.options.client.clone())));
        self.go_on(context);
    }
}

impl Handler<Heartbeat> for StreamActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<Drain> for StreamActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, context: &mut Self::Context) -> Self::Result {
        self.is_draining = true;
        let (sender, receiver) = oneshot::channel();
        self.drained.push(sender);
        if let Phase::Polling(in_flight) = &self.phase
            && !in_flight.is_arriving.load(Ordering::Relaxed)
        {
            in_flight.task.abort();
            self.phase = Phase::Waiting(self.clock.now());
        }
        if matches!(self.phase, Phase::Waiting(_) | Phase::Drained) {
            self.go_on(context);
        }
        Box::pin(async move {
            // An error means that the actor is gone: then nothing is arriving either.
            let _ = receiver.await;
        })
    }
}

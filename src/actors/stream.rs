//! The StreamActor: owner of the poll loop and of our place in the stream.
//!
//! What has been received is never lost to a death of this actor: a poll runs in a task of its own, whose handle stays in the
//! struct, and a batch stays there until the store has acknowledged it. `started` goes on from wherever the loop was.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, SystemTime};

use actix::{
    Actor, ActorFuture, ActorFutureExt, Addr, AsyncContext, Context, Handler, ResponseFuture,
    Supervised, WrapFuture,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};
use url::Url;

use super::attempt::{Attempt, AttemptError, Polled, renewal};
use super::messages::{Apply, BatchId, Drain, Heartbeat, Renewal, Resolve};
use super::{MetadataActor, MetricsStoreActor, TokenActor};
use crate::backoff::Backoff;
use crate::clock::{Clock, unix_seconds};
use crate::failure_log::{FailureLog, Report, with_sources};
use crate::fleet::Moment;
use crate::pacing::Pacer;
use crate::self_metrics::SelfMetrics;
use crate::starlink::{Client, ClientOptions, PollFailure};
use crate::telemetry::{Batch, Metadata, Rows, Schema, decode};

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
    started: Moment,
    /// Whether Starlink has begun to answer.
    is_arriving: Arc<AtomicBool>,
    task: JoinHandle<Polled>,
}

/// An answer that was decoded, and what has become of it.
struct Received {
    started: Moment,
    answered: Moment,
    received: SystemTime,
    /// How often it was handed over in vain.
    failures: u8,
    content: Content,
}

enum Content {
    /// Rows whose columns are not explained yet.
    Rows { rows: Rows, metadata: Metadata },
    /// A batch.
    Batch(Arc<Batch>),
    /// Between the two.
    Taken,
}

/// Polls the stream of one account, one poll at a time.
pub struct StreamActor {
    options: StreamOptions,
    neighbours: Neighbours,
    client: Option<Rc<Client>>,
    clock: Clock,
    metrics: Arc<SelfMetrics>,
    phase: Phase,
    pacer: Pacer,
    backoff: Backoff,
    failures: FailureLog<(PollFailure, Option<u16>)>,
    /// The token that the next poll must not use.
    renewal: Option<Renewal>,
    /// Whether the one retry after a 401 was made.
    has_retried: bool,
    /// The end of the last answer, if no attempt has failed since.
    heard_until: Option<Moment>,
    batches: u64,
    is_draining: bool,
    drained: Vec<oneshot::Sender<()>>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: super::faults::Armed,
}

impl StreamActor {
    /// An actor that has polled nothing yet.
    #[must_use]
    pub fn new(
        options: StreamOptions,
        neighbours: Neighbours,
        clock: Clock,
        metrics: Arc<SelfMetrics>,
    ) -> Self {
        Self {
            options,
            neighbours,
            client: None,
            clock,
            metrics,
            phase: Phase::Waiting(clock.now()),
            pacer: Pacer::default(),
            backoff: Backoff::REQUESTS,
            failures: FailureLog::new(),
            renewal: None,
            has_retried: false,
            heard_until: None,
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
                let wait = actix_rt::time::sleep(until.since(self.clock.now()));
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
            clock: self.clock,
        };
        self.phase = Phase::Polling(InFlight {
            started: self.clock.now().after(pace),
            is_arriving,
            task: actix_rt::spawn(attempt.make()),
        });
        self.go_on(context);
    }

    /// Takes what a poll has brought.
    fn polled(&mut self, polled: Polled, context: &mut Context<Self>) {
        let Phase::Polling(in_flight) = &self.phase else {
            return;
        };
        let started = in_flight.started;
        self.phase = Phase::Waiting(self.clock.now());
        if let Some(took) = polled.took {
            self.metrics.poll_duration.observe(took);
        }
        match polled.result.and_then(|body| Ok(decode(body.into())?)) {
            Ok((rows, metadata)) => {
                self.renewal = None;
                self.batches += 1;
                self.phase = Phase::Storing(Box::new(Received {
                    started,
                    answered: self.clock.now(),
                    received: SystemTime::now(),
                    failures: 0,
                    content: Content::Rows { rows, metadata },
                }));
                self.go_on(context);
            }
            Err(error) => {
                self.renewal = renewal(&error, polled.token_serial).or(self.renewal);
                self.failed(&error, context);
            }
        }
    }

    /// Has the rows explained, then hands them to the store and waits for its acknowledgement.
    fn hand_over(&mut self, context: &mut Context<Self>) {
        let Phase::Storing(received) = &mut self.phase else {
            return;
        };
        if received.failures == HAND_OVERS {
            let rows = match &received.content {
                Content::Rows { rows, .. } => rows.received(),
                Content::Batch(batch) => batch.rows.received(),
                Content::Taken => 0,
            };
            self.metrics.rows_lost(rows as u64);
            return self.failed(&AttemptError::Store, context);
        }
        match &received.content {
            Content::Rows { metadata, .. } => {
                let request = self.neighbours.metadata.send(Resolve(metadata.clone()));
                let answer = request.timeout(ACTOR_PATIENCE).into_actor(self);
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
                    heard_since: self.heard_until.unwrap_or(received.started),
                };
                let request = self.neighbours.store.send(apply);
                let answer = request.timeout(ACTOR_PATIENCE).into_actor(self);
                context.spawn(answer.map(|answer, actor, context| match answer {
                    Ok(()) => actor.stored(context),
                    Err(_) => actor.handed_over_in_vain(context),
                }));
            }
            Content::Taken => self.failed(&AttemptError::Store, context),
        }
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
            Content::Batch(batch) => {
                self.measure_lag(batch, received.received);
                batch.rows.received()
            }
            _ => 0,
        };
        self.heard_until = Some(received.answered);
        self.has_retried = false;
        self.backoff.reset();
        self.metrics.polls.increment();
        self.metrics
            .last_poll_success
            .set(unix_seconds(SystemTime::now()));
        self.metrics.up.set(1.0);
        debug!(rows, "batch stored");
        if let Some(recovered) = self.failures.recovered(self.clock.elapsed()) {
            info!(failures = recovered.failures, lasted = ?recovered.lasted, "polls succeed again");
        }
        self.wait(Duration::ZERO, context);
    }

    fn measure_lag(&self, batch: &Batch, received: SystemTime) {
        let Some(median) = batch.median_timestamp() else {
            self.metrics.catching_up.set(0.0);
            return;
        };
        let lag = unix_seconds(received) - median;
        let is_full = batch.rows.received() >= self.options.batch_size as usize;
        let is_late = lag > self.options.stale_after.as_secs_f64();
        self.metrics.telemetry_lag.set(lag);
        self.metrics
            .catching_up
            .set(f64::from(u8::from(is_full && is_late)));
    }

    /// The attempt has failed: the next one follows after a while, or at once after the first 401.
    fn failed(&mut self, error: &AttemptError, context: &mut Context<Self>) {
        let reason = error.reason();
        self.metrics.polls.increment();
        self.metrics.poll_failed(reason);
        self.log(error);
        self.heard_until = None;
        if reason == PollFailure::Unauthorized && !std::mem::replace(&mut self.has_retried, true) {
            return self.wait(Duration::ZERO, context);
        }
        // The backoff is never below a second.
        let backoff = self.backoff.next(fastrand::f64());
        let wait = error
            .retry_after()
            .map_or(backoff, |after| after.max(backoff));
        self.wait(wait, context);
    }

    /// Lets the next poll start after a while.
    fn wait(&mut self, wait: Duration, context: &mut Context<Self>) {
        self.phase = Phase::Waiting(self.clock.now().after(wait));
        self.go_on(context);
    }

    fn log(&mut self, error: &AttemptError) {
        let reason = error.reason();
        let (status, api_message) = match error.answer() {
            Some((status, api_message)) => (Some(status), api_message),
            None => (None, ""),
        };
        // Not the message: one that differs each time (a request's number) would flood the log.
        let key = (reason, status);
        let error = with_sources(error);
        let reason_name = reason.name();
        match self.failures.failed(key, self.clock.elapsed()) {
            Report::Silent => {}
            Report::First if reason == PollFailure::Forbidden => error!(
                reason = reason_name,
                status,
                api_message,
                error,
                "poll forbidden: the service account needs the permission \"Device telemetry, View\""
            ),
            Report::First => warn!(
                reason = reason_name,
                status, api_message, error, "poll failed: retrying"
            ),
            Report::Repeated { count, since } => warn!(
                reason = reason_name,
                status,
                api_message,
                count,
                ?since,
                "polls still fail"
            ),
        }
    }
}

impl Received {
    /// The columns are known: rows become a batch, which is handed over from the beginning.
    fn explain(&mut self, schema: Arc<Schema>) {
        let content = std::mem::replace(&mut self.content, Content::Taken);
        self.content = match content {
            Content::Rows { rows, .. } => Content::Batch(Arc::new(Batch { rows, schema })),
            other => other,
        };
        self.failures = 0;
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
        match ready!(Pin::new(&mut in_flight.task).poll(task)) {
            Ok(polled) => Poll::Ready(polled),
            Err(error) => {
                // It panicked, or a drain aborted it: either way there is nothing to wait for.
                actor.phase = Phase::Waiting(actor.clock.now());
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
                Poll::Pending
            }
        }
    }
}

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

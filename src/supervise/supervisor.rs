//! Restarts an actor that panics or stops, and reports when it fails too often.
//!
//! actix's own supervisor does not survive a panic: the panic unwinds through the actor's future, and the mailbox with its messages
//! is lost. Here every poll of that future runs inside `catch_unwind`; afterwards the same future is restarted.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::dev::{ContextFut, ToEnvelope, channel};
use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Message, Recipient, Supervised};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tracing::warn;

use crate::redaction::Redactor;
use crate::time::Backoff;
use crate::time::Clock;
use crate::time::Moment;

/// The size of a mailbox. Senders wait while it is full.
const MAILBOX: usize = 1024;

/// The heartbeat, to which every actor replies.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Heartbeat;

/// The role of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Holds the token.
    Token,
    /// Polls the stream.
    Stream,
    /// Resolves the columns of answers to schemas.
    Metadata,
    /// Reads the inventory.
    Inventory,
    /// Writes the journal of an account.
    Journal,
    /// Sends the rows of an account to a destination.
    RemoteWrite,
    /// Owns the fleet.
    MetricsStore,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::Token,
        Self::Stream,
        Self::Metadata,
        Self::Inventory,
        Self::Journal,
        Self::RemoteWrite,
        Self::MetricsStore,
    ];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Stream => "stream",
            Self::Metadata => "metadata",
            Self::Inventory => "inventory",
            Self::Journal => "journal",
            Self::RemoteWrite => "remote_write",
            Self::MetricsStore => "metrics_store",
        }
    }
}

/// How an actor failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It panicked.
    Panic,
    /// It stopped.
    Stop,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::Panic, Self::Stop];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stop => "stop",
        }
    }
}

/// The state of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Life {
    Up,
    /// Ended, to be restarted after the backoff.
    Backoff,
    /// Given up.
    Gone,
}

/// The longest message of a panic, in characters; longer ones are cut.
const LONGEST_MESSAGE: usize = 200;

/// A failure of an actor: a panic, or a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When it happened.
    pub at: Moment,
    /// How the actor failed.
    pub cause: Cause,
    /// The message of the panic, without secrets and control characters, cut after 200 characters.
    pub message: Option<String>,
}

/// The status of an actor. Shared by the supervisor, `/livez` and `/metrics`.
#[derive(Debug)]
pub struct ActorStatus {
    role: Role,
    life: AtomicU8,
    /// The time of the last reply to a heartbeat, in milliseconds that the process ran.
    answered: AtomicU64,
    restarts: [AtomicU64; Cause::ALL.len()],
    last_failure: Mutex<Option<Failure>>,
}

impl ActorStatus {
    /// The status of an actor that is about to be started.
    #[must_use]
    pub fn new(role: Role, ran: Duration) -> Self {
        let status = Self {
            role,
            life: AtomicU8::new(Life::Up as u8),
            answered: AtomicU64::default(),
            restarts: Default::default(),
            last_failure: Mutex::default(),
        };
        status.beat(ran);
        status
    }

    /// The role of the actor.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the actor is running.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.life.load(Ordering::Relaxed) == Life::Up as u8
    }

    /// Whether the actor failed too often and is not restarted any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.life.load(Ordering::Relaxed) == Life::Gone as u8
    }

    /// The number of restarts.
    #[must_use]
    pub fn restarts(&self, cause: Cause) -> u64 {
        self.restarts[cause as usize].load(Ordering::Relaxed)
    }

    /// The problem of the actor, if it has one: `gone` if it is given up, `hangs` if it has not replied to a heartbeat for `limit`. `ran` is the
    /// time that the process ran, so that stops and suspensions do not count. An actor in restart backoff has no problem.
    #[must_use]
    pub fn trouble(&self, ran: Duration, limit: Duration) -> Option<&'static str> {
        if self.is_gone() {
            return Some("gone");
        }
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed));
        (self.is_up() && ran.saturating_sub(answered) > limit).then_some("hangs")
    }

    /// The last failure of the actor, if there was one.
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        let last = self.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks that the actor is started, at first or under a new address.
    fn mark_started(&self, ran: Duration) {
        self.beat(ran);
        self.set(Life::Up);
    }

    /// Marks that the actor is stopped and not restarted by its supervisor.
    pub fn mark_gone(&self) {
        self.set(Life::Gone);
    }

    fn set(&self, life: Life) {
        self.life.store(life as u8, Ordering::Relaxed);
    }

    fn set_last_failure(&self, failure: Failure) {
        let last = self.last_failure.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    fn beat(&self, ran: Duration) {
        let millis = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
        self.answered.store(millis, Ordering::Relaxed);
    }
}

/// The policy of restarts.
#[derive(Debug, Clone)]
pub struct SupervisionPolicy {
    /// The waits before restarts.
    pub backoff: Backoff,
    /// The most restarts within `within`.
    pub restarts: usize,
    /// The window of the restart intensity.
    pub within: Duration,
    /// The interval of heartbeats.
    pub heartbeat: Duration,
}

impl Default for SupervisionPolicy {
    fn default() -> Self {
        Self {
            backoff: Backoff::RESTARTS,
            restarts: 5,
            within: Duration::from_secs(60),
            heartbeat: Duration::from_secs(5),
        }
    }
}

/// The account that actors belong to, and the start that created them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The account's name.
    pub account: Arc<str>,
    /// The number of the start, never used again in a process.
    pub incarnation: u64,
}

/// An actor that failed too often, and is not restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its account; `None` for the store.
    pub owner: Option<Owner>,
    /// Which actor.
    pub role: Role,
    /// How it failed the last time.
    pub cause: Cause,
}

/// Starts actors and restarts them.
#[derive(Debug, Clone)]
pub struct Supervisor {
    policy: SupervisionPolicy,
    clock: Clock,
    redactor: Redactor,
    given_up: mpsc::UnboundedSender<GivenUp>,
    owner: Option<Owner>,
}

impl Supervisor {
    /// A supervisor without actors, and the receiver of actors that are given up. The redactor removes secrets from the messages of
    /// panics.
    #[must_use]
    pub fn new(
        policy: SupervisionPolicy,
        clock: Clock,
        redactor: Redactor,
    ) -> (Self, mpsc::UnboundedReceiver<GivenUp>) {
        let (given_up, receiver) = mpsc::unbounded_channel();
        let supervisor = Self {
            policy,
            clock,
            redactor,
            given_up,
            owner: None,
        };
        (supervisor, receiver)
    }

    /// The same supervisor, for the actors of an account.
    #[must_use]
    pub fn of(&self, owner: Owner) -> Self {
        Self {
            owner: Some(owner),
            ..self.clone()
        }
    }

    /// Starts an actor on an arbiter. Its address is valid for as long as the arbiter runs.
    ///
    /// Call it inside an actix system, on which the heartbeats then run.
    pub fn start<A, F>(
        &self,
        status: &Arc<ActorStatus>,
        arbiter: &ArbiterHandle,
        make: F,
    ) -> Addr<A>
    where
        A: Supervised + Actor<Context = Context<A>> + Handler<Heartbeat>,
        A::Context: ToEnvelope<A, Heartbeat>,
        F: FnOnce() -> A + Send + 'static,
    {
        self.start_until(status, arbiter, std::future::pending(), make)
    }

    /// The same for an actor that ends, with its mailbox, when `end` is ready.
    pub fn start_until<A, F>(
        &self,
        status: &Arc<ActorStatus>,
        arbiter: &ArbiterHandle,
        end: impl Future<Output = ()> + Send + 'static,
        make: F,
    ) -> Addr<A>
    where
        A: Supervised + Actor<Context = Context<A>> + Handler<Heartbeat>,
        A::Context: ToEnvelope<A, Heartbeat>,
        F: FnOnce() -> A + Send + 'static,
    {
        let (sender, receiver) = channel::channel(MAILBOX);
        let address = Addr::new(sender);
        status.mark_started(self.clock.ran());
        let supervision = Supervision {
            status: Arc::clone(status),
            owner: self.owner.clone(),
            policy: self.policy.clone(),
            clock: self.clock.clone(),
            redactor: self.redactor.clone(),
            given_up: self.given_up.clone(),
            failures: VecDeque::new(),
        };
        let spawned = arbiter.spawn_fn(move || {
            let context = Context::with_receiver(receiver);
            let actor = context.into_future(make());
            actix_rt::spawn(async move {
                tokio::select! {
                    biased;
                    () = end => {}
                    () = supervision.run(actor) => {}
                }
            });
        });
        if !spawned {
            // The arbiter has ended, so no reply will come.
            status.set(Life::Gone);
        }
        let beats = heartbeats(
            address.clone().recipient(),
            Arc::clone(status),
            self.clock.clone(),
            self.policy.heartbeat,
        );
        actix_rt::spawn(beats);
        address
    }
}

/// Sends heartbeats to an actor, and records the times of its replies.
async fn heartbeats(
    actor: Recipient<Heartbeat>,
    status: Arc<ActorStatus>,
    clock: Clock,
    every: Duration,
) {
    while actor.connected() {
        // Without a time-out: the missing reply to the first heartbeat already shows that the actor hangs.
        if actor.send(Heartbeat).await.is_ok() {
            status.beat(clock.ran());
        }
        clock.sleep(every).await;
    }
}

/// Runs one actor, and restarts it after each failure until there are too many in the window.
struct Supervision {
    status: Arc<ActorStatus>,
    owner: Option<Owner>,
    policy: SupervisionPolicy,
    clock: Clock,
    redactor: Redactor,
    given_up: mpsc::UnboundedSender<GivenUp>,
    /// The times of the failures within the window.
    failures: VecDeque<Moment>,
}

impl Supervision {
    async fn run<A>(mut self, mut actor: ContextFut<A, Context<A>>)
    where
        A: Supervised + Actor<Context = Context<A>>,
    {
        loop {
            let ended = AssertUnwindSafe(&mut actor).catch_unwind().await;
            let mut panic = ended.err();
            if !actor.ctx().connected() {
                return;
            }
            loop {
                let (cause, wait) = self.record_failure(panic.as_deref());
                let Some(wait) = wait else {
                    return;
                };
                self.clock.sleep(wait).await;
                let restart = AssertUnwindSafe(|| actor.restart());
                match std::panic::catch_unwind(restart) {
                    Ok(true) => {
                        self.status.restarts[cause as usize].fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    Ok(false) => return,
                    Err(another) => panic = Some(another),
                }
            }
            self.status.beat(self.clock.ran());
            self.status.set(Life::Up);
        }
    }

    /// Records a failure, with the panic if there was one. Returns the wait before the restart, or `None` if the actor is given up.
    fn record_failure(&mut self, panic: Option<&(dyn Any + Send)>) -> (Cause, Option<Duration>) {
        let now = self.clock.now();
        let cause = match panic {
            Some(_) => Cause::Panic,
            None => Cause::Stop,
        };
        self.status.set_last_failure(Failure {
            at: now,
            cause,
            message: panic.and_then(|panic| message(panic, &self.redactor)),
        });
        (cause, self.backoff(cause, now))
    }

    /// The wait before the restart; `None`, and the actor is given up, after too many failures in the window.
    fn backoff(&mut self, cause: Cause, now: Moment) -> Option<Duration> {
        while let Some(&first) = self.failures.front()
            && now.since(first) >= self.policy.within
        {
            self.failures.pop_front();
        }
        if self.failures.is_empty() {
            self.policy.backoff.reset();
        }
        self.failures.push_back(now);
        let component = self.status.role.name();
        if self.failures.len() > self.policy.restarts {
            self.status.set(Life::Gone);
            // An error means that the application is ending anyway.
            let _ = self.given_up.send(GivenUp {
                owner: self.owner.clone(),
                role: self.status.role,
                cause,
            });
            return None;
        }
        self.status.set(Life::Backoff);
        let wait = self.policy.backoff.next(0.0);
        let account = self.owner.as_ref().map(|owner| &*owner.account);
        warn!(
            account,
            component,
            reason = cause.name(),
            restart_in_seconds = wait.as_secs_f64(),
            "component failed: restarting it"
        );
        Some(wait)
    }
}

/// The message of a panic, if it is a text.
fn message(panic: &(dyn Any + Send), redactor: &Redactor) -> Option<String> {
    let text = match panic.downcast_ref::<String>() {
        Some(text) => text.as_str(),
        None => panic.downcast_ref::<&str>()?,
    };
    // Redacted before it is cut, because a cut secret would not be found.
    let text = redactor.redact(text);
    let printable = text.chars().filter(|character| !character.is_control());
    Some(printable.take(LONGEST_MESSAGE).collect())
}

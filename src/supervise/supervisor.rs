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
use tracing::{error, warn};

use crate::redaction::Redactor;
use crate::time::Backoff;
use crate::time::Clock;
use crate::time::Moment;

/// How many messages wait in a mailbox before a sender does. Polls are acknowledged one by one, scrapes are bounded.
const MAILBOX: usize = 1024;

/// Are you there? Every actor answers.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Heartbeat;

/// What an actor is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Holds the token.
    Token,
    /// Polls the stream.
    Stream,
    /// Knows what columns mean.
    Metadata,
    /// Owns the fleet.
    MetricsStore,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [
        Self::Token,
        Self::Stream,
        Self::Metadata,
        Self::MetricsStore,
    ];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Stream => "stream",
            Self::Metadata => "metadata",
            Self::MetricsStore => "metrics_store",
        }
    }
}

/// How an actor died.
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

/// What an actor is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Life {
    Up,
    /// Dead, to be restarted when the backoff is over.
    Backoff,
    /// Given up.
    Gone,
}

/// The most characters of a panic's message that are kept.
const MOST_OF_A_MESSAGE: usize = 200;

/// What is known of an actor's death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// When it died.
    pub at: Moment,
    /// How.
    pub cause: Cause,
    /// What the panic said, without secrets and control characters, and at most 200 characters of it.
    pub message: Option<String>,
}

/// What is known of one actor from outside. Shared by the supervisor, `/livez` and `/metrics`.
#[derive(Debug)]
pub struct ActorStatus {
    role: Role,
    life: AtomicU8,
    /// Milliseconds that the process had run when the actor last showed that it lives.
    answered: AtomicU64,
    restarts: [AtomicU64; Cause::ALL.len()],
    last_death: Mutex<Option<Death>>,
}

impl ActorStatus {
    fn new(role: Role, ran: Duration) -> Self {
        let status = Self {
            role,
            life: AtomicU8::new(Life::Up as u8),
            answered: AtomicU64::default(),
            restarts: Default::default(),
            last_death: Mutex::default(),
        };
        status.beat(ran);
        status
    }

    /// What the actor is there for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the actor is running.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.life.load(Ordering::Relaxed) == Life::Up as u8
    }

    /// Whether the actor died too often and is not restarted any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.life.load(Ordering::Relaxed) == Life::Gone as u8
    }

    /// How often the actor was restarted.
    #[must_use]
    pub fn restarts(&self, cause: Cause) -> u64 {
        self.restarts[cause as usize].load(Ordering::Relaxed)
    }

    /// Why the actor cannot be relied on, if so: it is gone, or it has not answered for `limit` of the time that the process
    /// `ran`: one that was stopped or suspended is no reason to worry. Nor is an actor in restart backoff.
    #[must_use]
    pub fn trouble(&self, ran: Duration, limit: Duration) -> Option<&'static str> {
        if self.is_gone() {
            return Some("gone");
        }
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed));
        (self.is_up() && ran.saturating_sub(answered) > limit).then_some("hangs")
    }

    /// How the actor died last, if it ever did.
    #[must_use]
    pub fn last_death(&self) -> Option<Death> {
        let last = self.last_death.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, life: Life) {
        self.life.store(life as u8, Ordering::Relaxed);
    }

    fn note(&self, death: Death) {
        let last = self.last_death.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(death);
    }

    fn beat(&self, ran: Duration) {
        let millis = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
        self.answered.store(millis, Ordering::Relaxed);
    }
}

/// When to restart and when to give up.
#[derive(Debug, Clone)]
pub struct SupervisionPolicy {
    /// How long to wait before a restart.
    pub backoff: Backoff,
    /// How many restarts within `within` are still an accident.
    pub restarts: usize,
    /// The window of the restart intensity.
    pub within: Duration,
    /// How often each actor is asked for a heartbeat.
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

/// An actor died too often: the process must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp(pub Role);

/// Starts actors and keeps them alive.
#[derive(Debug)]
pub struct Supervisor {
    policy: SupervisionPolicy,
    clock: Clock,
    redactor: Redactor,
    given_up: mpsc::UnboundedSender<GivenUp>,
    statuses: Vec<Arc<ActorStatus>>,
}

impl Supervisor {
    /// A supervisor without actors, and where it says that it has given one up. The redactor removes secrets from the messages of
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
            statuses: Vec::new(),
        };
        (supervisor, receiver)
    }

    /// Starts an actor on an arbiter. Its address is valid for as long as the arbiter runs.
    ///
    /// Must be called inside an actix system, which then asks the actor for heartbeats.
    pub fn start<A, F>(&mut self, role: Role, arbiter: &ArbiterHandle, make: F) -> Addr<A>
    where
        A: Supervised + Actor<Context = Context<A>> + Handler<Heartbeat>,
        A::Context: ToEnvelope<A, Heartbeat>,
        F: FnOnce() -> A + Send + 'static,
    {
        let (sender, receiver) = channel::channel(MAILBOX);
        let address = Addr::new(sender);
        let status = Arc::new(ActorStatus::new(role, self.clock.ran()));
        let supervision = Supervision {
            status: Arc::clone(&status),
            policy: self.policy.clone(),
            clock: self.clock.clone(),
            redactor: self.redactor.clone(),
            given_up: self.given_up.clone(),
            deaths: VecDeque::new(),
        };
        let spawned = arbiter.spawn_fn(move || {
            let context = Context::with_receiver(receiver);
            let actor = context.into_future(make());
            actix_rt::spawn(supervision.run(actor));
        });
        if !spawned {
            // The arbiter is gone: nobody will ever answer.
            status.set(Life::Gone);
        }
        let beats = heartbeats(
            address.clone().recipient(),
            Arc::clone(&status),
            self.clock.clone(),
            self.policy.heartbeat,
        );
        actix_rt::spawn(beats);
        self.statuses.push(status);
        address
    }

    /// All actors are started: what is known of each.
    #[must_use]
    pub fn finish(self) -> Vec<Arc<ActorStatus>> {
        self.statuses
    }
}

/// Asks an actor again and again whether it is there, and notes when it answered.
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

/// Runs one actor, and restarts it after each death until there are too many.
struct Supervision {
    status: Arc<ActorStatus>,
    policy: SupervisionPolicy,
    clock: Clock,
    redactor: Redactor,
    given_up: mpsc::UnboundedSender<GivenUp>,
    /// When the actor died, within the window.
    deaths: VecDeque<Moment>,
}

impl Supervision {
    async fn run<A>(mut self, mut actor: ContextFut<A, Context<A>>)
    where
        A: Supervised + Actor<Context = Context<A>>,
    {
        loop {
            let life = AssertUnwindSafe(&mut actor).catch_unwind().await;
            let mut panic = life.err();
            if !actor.ctx().connected() {
                return;
            }
            loop {
                let (cause, wait) = self.died(panic.as_deref());
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

    /// Counts a death, by what it panicked with if it did. How long to wait before the restart; `None` when there is to be none.
    fn died(&mut self, panic: Option<&(dyn Any + Send)>) -> (Cause, Option<Duration>) {
        let now = self.clock.now();
        let cause = match panic {
            Some(_) => Cause::Panic,
            None => Cause::Stop,
        };
        self.status.note(Death {
            at: now,
            cause,
            message: panic.and_then(|panic| message(panic, &self.redactor)),
        });
        (cause, self.backoff(cause, now))
    }

    fn backoff(&mut self, cause: Cause, now: Moment) -> Option<Duration> {
        while let Some(&first) = self.deaths.front()
            && now.since(first) >= self.policy.within
        {
            self.deaths.pop_front();
        }
        if self.deaths.is_empty() {
            self.policy.backoff.reset();
        }
        self.deaths.push_back(now);
        let component = self.status.role.name();
        if self.deaths.len() > self.policy.restarts {
            self.status.set(Life::Gone);
            error!(
                component,
                reason = cause.name(),
                "component keeps failing: exiting"
            );
            // Nobody listens only when the application is ending anyway.
            let _ = self.given_up.send(GivenUp(self.status.role));
            return None;
        }
        self.status.set(Life::Backoff);
        let wait = self.policy.backoff.next(0.0);
        warn!(
            component,
            reason = cause.name(),
            restart_in_seconds = wait.as_secs_f64(),
            "component failed: restarting it"
        );
        Some(wait)
    }
}

/// What a panic says, where that is a text.
fn message(panic: &(dyn Any + Send), redactor: &Redactor) -> Option<String> {
    let text = match panic.downcast_ref::<String>() {
        Some(text) => text.as_str(),
        None => panic.downcast_ref::<&str>()?,
    };
    // Before it is cut: half a secret would not be found.
    let text = redactor.redact(text);
    let printable = text.chars().filter(|character| !character.is_control());
    Some(printable.take(MOST_OF_A_MESSAGE).collect())
}

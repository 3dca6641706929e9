//! The JournalActor: writes the answers of one account to its journal. It carries out what [`Intake`] and [`Flow`] decide.
//!
//! All access to files is on the journal's own [thread]. Its results arrive as messages, so that a restart of the actor does not lose
//! them; what was being done is requested again after a restart, and repeating it changes nothing.

mod acknowledgements;
mod cursor_replies;
mod deferred;
mod handlers;
mod portion;
mod results;
mod subscribers;
#[cfg(test)]
pub(super) mod tests;
mod thread;
mod worker;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, SpawnHandle, Supervised, WrapFuture};
use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::{error, info};

use self::acknowledgements::{Acknowledgements, Waiter, acknowledge};
use self::cursor_replies::CursorReplies;
use self::results::Requested;
use self::subscribers::Subscribers;
use self::thread::JournalThread;
use self::worker::{OpenStorage, Worker};
use super::messages::{LIMIT, Subscription};
use super::status::{JournalStatus, Operation};
use crate::account::OfferAnswer;
use crate::journal::{
    Answer, Disk, Effect, Flow, Intake, JournalDirectory, Memory, MemoryBudget, Numbers, Record,
    SegmentLimits, Storage, payload,
};
use crate::store::Published;
use crate::supervise::act_at;
use crate::tasks::Pool;
use crate::time::{Backoff, Clock, unix_nanos};

/// The interval of what is not caused by messages.
const TICK: Duration = Duration::from_secs(1);

/// The interval at which a segment is closed that has no new records.
const CLOSE: Duration = Duration::from_secs(10);

/// The options of a JournalActor.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The account.
    pub account: Arc<str>,
    /// Its tenant, which is saved. `None` leaves the saved one as it is.
    pub tenant: Option<Arc<str>>,
    /// Where the journals are.
    pub directory: Arc<JournalDirectory>,
    /// The destinations at the start.
    pub subscriptions: Vec<Subscription>,
    /// The memory for records while the storage fails, of all accounts together.
    pub memory: MemoryBudget,
    /// Compresses answers.
    pub pool: Pool,
    /// Says how many devices of the account are online.
    pub published: Arc<Published>,
    /// What it reports.
    pub status: Arc<JournalStatus>,
    /// When segments are closed.
    pub segments: SegmentLimits,
    /// The clock.
    pub clock: Clock,
}

/// Writes the answers of one account to its journal. Without destinations answers are acknowledged and not recorded.
#[derive(Debug)]
pub struct JournalActor<S: Storage = Disk> {
    account: Arc<str>,
    path: PathBuf,
    pool: Pool,
    published: Arc<Published>,
    status: Arc<JournalStatus>,
    clock: Clock,
    thread: JournalThread<S>,
    state: State,
    /// Whether records have their final numbers: the journal was opened.
    is_numbered: bool,
    opening: Backoff,
    intake: Intake,
    flow: Flow,
    acknowledgements: Acknowledgements,
    subscribers: Subscribers,
    /// The answers that are not recorded yet, in order. The first is being compressed.
    answers: VecDeque<Waiting>,
    /// The devices of the account that were online when this was last known.
    online: usize,
    requested: Requested,
    cursor_replies: CursorReplies,
    /// Numbers without records that no destination lacks, or that are counted as lost.
    known_gaps: Numbers,
    /// The replies for when the journal is closed.
    finishing: Vec<oneshot::Sender<()>>,
    /// Calls [`Flow::elapsed`].
    timer: Option<SpawnHandle>,
    /// Why the storage fails.
    error: Option<String>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

/// Whether the journal can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is being opened, for the first time or again.
    Opening,
    /// It is open.
    Open,
    /// It must not be used: its files are of another version or account.
    Refused,
}

/// An answer that is not recorded yet.
#[derive(Debug)]
struct Waiting {
    offer: OfferAnswer,
    /// When it arrived, by the corrected clock, in nanoseconds since 1970.
    received: i64,
    /// The devices that were online then.
    online: usize,
    waiters: Vec<Waiter>,
}

impl JournalActor {
    /// A journal that is opened when the actor starts.
    #[must_use]
    pub fn new(options: JournalOptions) -> Self {
        let (directory, account) = (Arc::clone(&options.directory), Arc::clone(&options.account));
        let path = directory.path().join(&*account);
        let open_storage = Box::new(move || directory.account(&account));
        Self::on(open_storage, path, options)
    }
}

impl<S: Storage + Unpin + 'static> JournalActor<S> {
    /// A journal on a storage, which is opened when the actor starts. The path is for messages.
    fn on(open_storage: OpenStorage<S>, path: PathBuf, options: JournalOptions) -> Self {
        let JournalOptions {
            account,
            tenant,
            directory: _,
            subscriptions,
            memory,
            pool,
            published,
            status,
            segments,
            clock,
        } = options;
        let now = clock.elapsed();
        let worker = Worker::new(open_storage, segments, Arc::clone(&status), clock.clone());
        let mut subscribers = Subscribers::default();
        subscribers.set(subscriptions, now);
        if let Some(tenant) = tenant {
            subscribers.set_tenant(tenant);
        }
        Self {
            account,
            path,
            pool,
            published,
            status,
            thread: JournalThread::new(worker, clock.clone()),
            state: State::Opening,
            is_numbered: false,
            opening: Backoff::REQUESTS,
            // Numbers are provisional until the journal is open.
            intake: Intake::new(1, now),
            flow: Flow::new(Memory::new(memory)),
            acknowledgements: Acknowledgements::default(),
            subscribers,
            answers: VecDeque::new(),
            online: 0,
            requested: Requested::new(now),
            cursor_replies: CursorReplies::default(),
            known_gaps: Numbers::default(),
            finishing: Vec::new(),
            timer: None,
            error: None,
            clock,
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// Takes an answer, and compresses it if none is being compressed.
    fn offered(&mut self, offer: OfferAnswer, waiter: Waiter, context: &mut Context<Self>) {
        if self.subscribers.is_empty() {
            acknowledge(vec![waiter]);
            return;
        }
        let same = self.answers.iter_mut().find(|it| it.offer.id == offer.id);
        if let Some(same) = same {
            same.waiters.push(waiter);
            return;
        }
        let batch = (offer.id.stream.incarnation, offer.id.number);
        let Err(waiter) = self.acknowledgements.repeated(batch, waiter) else {
            return;
        };
        // Before its rows are applied. Unknown while the store writes.
        if let Some(snapshot) = self.published.snapshot() {
            let account = snapshot.account(&self.account);
            self.online = account.map_or(0, |account| snapshot.counts_of(account).online);
        }
        // What the account has given up is not needed. The first is being compressed.
        let mut index = 0;
        self.answers.retain(|waiting| {
            index += 1;
            index == 1 || waiting.waiters.iter().any(|waiter| !waiter.is_closed())
        });
        self.answers.push_back(Waiting {
            offer,
            received: unix_nanos(self.clock.corrected()),
            online: self.online,
            waiters: vec![waiter],
        });
        if self.answers.len() == 1 {
            self.compress(context);
        }
    }

    /// Compresses the first answer on a thread of the pool.
    fn compress(&mut self, context: &mut Context<Self>) {
        let Some(first) = self.answers.front() else {
            return;
        };
        let body = Arc::clone(&first.offer.body);
        let payload = self.pool.run(move || payload::compress(&body));
        context.spawn(payload.into_actor(self).map(|payload, actor, context| {
            let payload = match payload {
                Ok(Ok(payload)) => Ok(payload),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("it panicked".to_owned()),
            };
            actor.compressed(payload, context);
        }));
    }

    /// Records the first answer, whose compressed body this is.
    fn compressed(&mut self, payload: Result<Bytes, String>, context: &mut Context<Self>) {
        let Some(first) = self.answers.pop_front() else {
            return;
        };
        match payload {
            // Without a reply, the account counts the answer as lost.
            Err(error) => {
                let account = &self.account;
                error!(%account, error, "an answer cannot be recorded: its rows are lost for all destinations");
            }
            Ok(payload) if first.offer.handover.take() => self.take(first, payload, context),
            // It was withdrawn: it is lost already.
            Ok(_) => {}
        }
        self.compress(context);
    }

    fn take(&mut self, answer: Waiting, payload: Bytes, context: &mut Context<Self>) {
        let Waiting {
            offer,
            received,
            online,
            waiters,
        } = answer;
        if self.state == State::Refused {
            self.subscribers.not_recorded(offer.span.rows);
            acknowledge(waiters);
            return;
        }
        let (incarnation, batch) = (offer.id.stream.incarnation, offer.id.number);
        let answer = Answer {
            incarnation,
            batch,
            metadata: &offer.metadata,
            covers: offer.coverage.covers,
            received,
            span: offer.span,
        };
        let now = self.clock.elapsed();
        let batch = (incarnation, batch);
        match self.intake.answer(&answer, payload, online, now) {
            Some(record) => {
                let number = record.header.sequence;
                self.acknowledgements.taken(batch, Some(number), waiters);
                self.record(record, context);
            }
            None => self.acknowledgements.taken(batch, None, waiters),
        }
    }

    /// Hands a new record to the flow, and announces it.
    fn record(&mut self, record: Record, context: &mut Context<Self>) {
        self.subscribers.recorded(record.header.rows);
        let effects = self.flow.record(record, self.clock.ran());
        self.carry_out(effects, context);
        self.announce();
    }

    /// Says that there are more records to read. They can be read before they are durable.
    fn announce(&self) {
        if self.state == State::Open {
            let end = self.intake.next();
            self.status.end.send_if_modified(|known| {
                let is_new = *known != end;
                *known = end;
                is_new
            });
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>, context: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Append(records) => self.append(records, context),
                Effect::Acknowledge(last) => self.acknowledgements.up_to(last),
                Effect::Lost(records) => {
                    self.subscribers.lost(&records);
                    for record in &records {
                        let number = record.header.sequence;
                        self.known_gaps.add(number..=number);
                    }
                    self.error = Some("the memory for answers is full".to_owned());
                }
                Effect::Failing => self.failing(),
                Effect::Recovered => {
                    self.status.durable.set(1.0);
                    self.error = None;
                    let account = &self.account;
                    info!(%account, "the journal is durable again");
                }
            }
        }
        self.set_timer(context);
    }

    fn failing(&mut self) {
        self.status.durable.set(0.0);
        if self.state == State::Refused {
            // That is logged.
            return;
        }
        let (account, directory) = (&self.account, self.path.display());
        let error = self.error.take().unwrap_or_else(|| {
            self.status.failed(Operation::Append);
            format!("no result within {} s", LIMIT.as_secs())
        });
        error!(
            %account,
            %directory,
            error,
            "the journal is not durable: answers are kept in memory until it can be written"
        );
    }

    /// Calls [`Flow::elapsed`] when it is due.
    fn set_timer(&mut self, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        if let Some(due) = self.flow.due() {
            let wait = due.saturating_sub(self.clock.ran());
            // Moments have milliseconds; not too early.
            let until = self.clock.now().after(wait + Duration::from_millis(1));
            let timer = act_at(&self.clock, until, context, |actor: &mut Self, context| {
                actor.timer = None;
                let effects = actor.flow.elapsed(actor.clock.ran());
                actor.carry_out(effects, context);
            });
            self.timer = Some(timer);
        }
    }

    /// What is not caused by messages, every second.
    fn tick(&mut self, context: &mut Context<Self>) {
        let until = self.clock.now().after(TICK);
        act_at(&self.clock, until, context, Self::tick);
        let now = self.clock.elapsed();
        let received = unix_nanos(self.clock.corrected());
        if self.state != State::Refused
            && !self.subscribers.is_empty()
            && let Some(tick) = self.intake.tick(received, now)
        {
            self.record(tick, context);
        }
        let released = self.subscribers.release(now);
        if !released.is_empty() {
            let (account, destinations) = (&self.account, released.join(", "));
            info!(%account, destinations, "the cursors of destinations that are not configured are released");
        }
        self.request_due(context);
    }

    /// Removes from memory what all destinations have, while the storage fails, if there is little room.
    fn forget_sent(&mut self, context: &mut Context<Self>) {
        let sent = self.subscribers.sent();
        if let Some(sent) = sent.and_then(|sent| self.flow.sent(sent)) {
            self.known_gaps.add(sent);
            // If nothing is left to be written, the next record shows whether the storage works.
            self.set_timer(context);
        }
    }
}

impl<S: Storage> Drop for JournalActor<S> {
    /// Counts what is only in memory, and lost with an actor that failed too often. A record that is being written now counts as lost, too.
    fn drop(&mut self) {
        let appended = self.thread.end();
        let lost: Vec<_> = self.flow.memory().from(appended).cloned().collect();
        self.subscribers.lost(&lost);
    }
}

#[cfg(feature = "fault-injection")]
crate::supervise::faults::injectable!(JournalActor);

impl<S: Storage + Unpin + 'static> Supervised for JournalActor<S> {}

impl<S: Storage + Unpin + 'static> Actor for JournalActor<S> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_start(context);
        // Restarts cancel timers.
        self.timer = None;
        self.forget_requests();
        self.compress(context);
        match self.state {
            State::Opening => self.open(context),
            State::Open => {
                let effects = self.flow.repeat(self.clock.ran());
                self.carry_out(effects, context);
                self.close_if_finishing(context);
            }
            State::Refused => {}
        }
        self.set_timer(context);
        self.tick(context);
    }
}

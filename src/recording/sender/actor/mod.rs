//! The RemoteWriteActor: sends the rows of one account to one destination. It carries out what [`Progress`] and [`Flight`] decide.

mod kills;
mod reading;
mod sending;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, ResponseFuture, SpawnHandle,
    Supervised, WrapFuture,
};
use tokio::sync::oneshot;

use self::kills::Kills;
use super::SenderContext;
use super::client::Client;
use super::flight::Flight;
use super::load::LoadMeter;
use super::log::SenderLog;
use super::progress::Progress;
use crate::journal::Record;
use crate::recording::bounds::SteadyClock;
use crate::recording::journal::JournalActor;
use crate::recording::messages::{Advance, Finish};
use crate::recording::status::{DestinationStatus, JournalStatus, SenderState, SenderStatus};
use crate::remote_write::{Destination, Lane, Quarantine, TimeStreak};
use crate::self_metrics::Gauge;
use crate::supervise::{Heartbeat, act_at};
use crate::time::{Backoff, Clock, Moment, unix_nanos};

/// After an outage of more than this time, new records are sent first.
const OUTAGE: Duration = Duration::from_secs(60);

/// Requests in flight are awaited for this long at the end.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// The options of a RemoteWriteActor.
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// The tenant of the account, for destinations with the tenant `account`.
    pub tenant: Arc<str>,
    /// The journal of the account.
    pub journal: Addr<JournalActor>,
    /// Its status, which announces new records.
    pub journal_status: Arc<JournalStatus>,
    /// The destination, with its settings.
    pub destination: Arc<DestinationStatus>,
    /// What it reports.
    pub status: Arc<SenderStatus>,
    /// What all senders share.
    pub context: SenderContext,
}

/// Sends the rows of one account to one destination.
///
/// What is read and not sent survives a restart of the actor; requests that were in flight are repeated identically.
pub struct RemoteWriteActor {
    options: SenderOptions,
    clock: Clock,
    /// Decides whether rows are too old.
    steady: SteadyClock,
    /// When the first request could have been made.
    began: Option<Moment>,
    /// Whether requests will be made when the clock can be trusted, or after a while.
    awaits_clock: bool,
    client: Option<Rc<Client>>,
    /// `None` until the cursor is known.
    progress: Option<Progress>,
    reading: Reading,
    /// Waits between failed readings.
    backoff: Backoff,
    /// Whether the last reading failed.
    cannot_read: bool,
    /// The record that is being decoded.
    at_risk: Option<u64>,
    /// The records that made decoding panic.
    kills: Kills,
    /// By shard.
    flights: Vec<Option<Flight>>,
    streak: TimeStreak,
    quarantine: Quarantine,
    load: LoadMeter,
    /// Since when requests fail, without a success since.
    failing_since: Option<Moment>,
    wants_live_first: bool,
    /// Whether the first record was read.
    has_read: bool,
    log: SenderLog,
    /// Those that wait until requests in flight have ended.
    finishing: Option<Vec<oneshot::Sender<()>>>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

/// What is done to read on: one thing at a time.
#[derive(Debug)]
enum Reading {
    Idle,
    /// The journal or the pool is working, or a failed reading is repeated later.
    Busy,
    /// The budget is used up. A sender without samples in memory does not wait.
    Waiting {
        handle: SpawnHandle,
        lane: Lane,
        record: Arc<Record>,
    },
}

impl RemoteWriteActor {
    /// A sender that begins at the cursor of its destination when the actor starts.
    #[must_use]
    pub fn new(options: SenderOptions) -> Self {
        let (clock, status) = (options.context.clock.clone(), &options.status);
        let log = SenderLog::new(Arc::clone(&status.account), Arc::clone(&status.destination));
        let most = options.destination.destination.max_shards;
        Self {
            load: LoadMeter::new(most, clock.now()),
            options,
            clock,
            steady: SteadyClock::at_once(),
            began: None,
            awaits_clock: false,
            client: None,
            progress: None,
            reading: Reading::Idle,
            backoff: Backoff::REQUESTS,
            cannot_read: false,
            at_risk: None,
            kills: Kills::default(),
            flights: Vec::new(),
            streak: TimeStreak::default(),
            quarantine: Quarantine::default(),
            failing_since: None,
            wants_live_first: false,
            has_read: false,
            log,
            finishing: None,
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    fn destination(&self) -> &Destination {
        &self.options.destination.destination
    }

    /// The number of the next record of the journal.
    fn end(&self) -> u64 {
        *self.options.journal_status.end.borrow()
    }

    /// Does everything that can be done now.
    fn pump(&mut self, context: &mut Context<Self>) {
        if self.progress.is_none() {
            self.ask_for_cursor(context);
            self.end_if_finished();
            return;
        }
        self.take_requests(context);
        self.report();
        self.read_on(context);
        self.end_if_finished();
    }

    /// Reports the position to the journal, and the rest to the status.
    fn report(&mut self) {
        let (now, end) = (self.clock.now(), self.end());
        let unix = unix_nanos(self.clock.corrected());
        let Some(progress) = &mut self.progress else {
            return;
        };
        let status = &self.options.status;
        for (reason, rows) in progress.take_dropped() {
            status.count_dropped(reason, rows);
        }
        if let Some((cursor, rows)) = progress.advance() {
            self.options.journal.do_send(Advance {
                destination: Arc::clone(&status.destination),
                cursor,
                rows,
            });
        }
        let received = progress.received();
        let behind = received.map_or(Duration::ZERO, |received| {
            let behind = unix.saturating_sub(received);
            Duration::from_nanos(u64::try_from(behind).unwrap_or(0))
        });
        let current = progress.shards.count();
        if self.failing_since.is_some() {
            // More shards would not help.
            self.load.limited();
        }
        let next = self.load.next(current, behind, now);
        if next != current {
            progress.shards.resize(next);
        }
        status.shards.set(progress.shards.count().into());
        let is_done = progress.is_done(end);
        let oldest = match is_done || status.pending_rows() == 0 {
            true => None,
            false => {
                let began = nanos(&self.options.journal_status.oldest_record);
                let began = began.filter(|_| self.cannot_read);
                progress.oldest(nanos(&status.oldest_pending), began)
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
        let seconds = |nanos: i64| nanos as f64 / 1e9;
        status.oldest_pending.set_or_clear(oldest.map(seconds));
        status.waiting_since.set_or_clear(received.map(seconds));
        if is_done && status.state() == SenderState::Starting {
            status.set_state(SenderState::Sending);
        }
    }

    /// Replies to those that wait for the end, once no request is being sent.
    fn end_if_finished(&mut self) {
        let now = self.clock.now();
        let is_sending = |flight: &Flight| flight.is_sending && flight.not_before <= now;
        if self.finishing.is_some() && !self.flights.iter().flatten().any(is_sending) {
            self.reply_finished();
        }
    }

    fn reply_finished(&mut self) {
        for waiting in self.finishing.iter_mut().flat_map(std::mem::take) {
            // An error means that the end is not awaited any more.
            let _ = waiting.send(());
        }
    }

    /// Continues when there are more records.
    fn watch_journal(&self, context: &mut Context<Self>) {
        let mut end = self.options.journal_status.end.subscribe();
        let changed = async move { end.changed().await };
        context.spawn(changed.into_actor(self).map(|changed, actor, context| {
            if changed.is_ok() {
                actor.watch_journal(context);
                actor.pump(context);
            }
        }));
    }
}

/// The nanoseconds of a gauge in seconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast of a float saturates"
)]
fn nanos(seconds: &Gauge) -> Option<i64> {
    seconds.value().map(|seconds| (seconds * 1e9) as i64)
}

#[cfg(feature = "fault-injection")]
crate::supervise::faults::injectable!(RemoteWriteActor);

impl Supervised for RemoteWriteActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.was_killed();
        self.awaits_clock = false;
        self.reading = Reading::Idle;
        self.load.reset(self.clock.now());
        for flight in self.flights.iter_mut().flatten() {
            flight.interrupt();
        }
    }
}

impl Actor for RemoteWriteActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_start(context);
        // A connection may be the reason why the actor failed.
        self.client = None;
        self.watch_journal(context);
        for shard in 0..u16::try_from(self.flights.len()).unwrap_or(u16::MAX) {
            self.send(shard, context);
        }
        self.pump(context);
    }
}

impl Handler<Heartbeat> for RemoteWriteActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<Finish> for RemoteWriteActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Finish, context: &mut Self::Context) -> Self::Result {
        let (sender, finished) = oneshot::channel();
        self.finishing.get_or_insert_default().push(sender);
        let until = self.clock.now().after(FINISH_LIMIT);
        act_at(&self.clock, until, context, |actor: &mut Self, _| {
            actor.reply_finished();
        });
        self.pump(context);
        Box::pin(async move { finished.await.unwrap_or_default() })
    }
}

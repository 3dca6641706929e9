//! The InventoryActor: reads what Starlink's management API says about one account. It carries out what the [schedule] decides.
//!
//! The pages of a reading survive a restart of the actor; a request that is in flight is repeated. The inventory survives also
//! when the actor is given up and when the account is started again.

mod known;
mod pages;
mod record;
mod request;
mod schedule;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, MailboxError, Recipient, Supervised,
    WrapFuture,
};
use url::Url;

use self::pages::{Answers, Content};
use self::record::InventoryRecord;
use self::request::{Answered, Request, RequestError};
use self::schedule::{Effect, Event, Outcome, Schedule, Step};
use super::attempt::WorkPanicked;
use super::messages::{OfferInventory, OfferLastKnown, Renewal};
use super::metrics::AccountMetrics;
use super::now::Now;
use super::offer::StreamId;
use super::peers::REPLY_LIMIT;
use super::polling::Polling;
use crate::inventory::{Bounds, Inventory, Part, Terminals, last_known};
use crate::starlink::{Client, ClientOptions, Query};
use crate::supervise::{Heartbeat, act_at};
use crate::time::{Backoff, Clock};

pub use self::request::page_query;

pub(super) use self::known::{InventoryStart, KnownInventory};

/// How the inventories of all accounts are read.
#[derive(Debug, Clone)]
pub struct InventorySettings {
    /// Whether the balance is read.
    pub balance: bool,
    /// The limits.
    pub bounds: Bounds,
    /// Whether the last values of terminals are read once, because the previous process left no state.
    pub wants_last_values: bool,
    /// Takes inventories.
    pub store: Recipient<OfferInventory>,
    /// Takes last values.
    pub last_values: Recipient<OfferLastKnown>,
}

impl InventorySettings {
    /// The parts that are read, in the order of the first reading.
    fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let balance = self.balance;
        let is_read = move |part: &Part| *part != Part::Balance || balance;
        Part::ALL.into_iter().filter(is_read)
    }
}

/// The settings of an InventoryActor.
#[derive(Debug, Clone)]
pub(super) struct InventoryOptions {
    /// The account and its start.
    pub(super) stream: StreamId,
    /// The URL below which the requests are.
    pub(super) base: Url,
    /// How inventories are read.
    pub(super) settings: InventorySettings,
    /// The options of the client.
    pub(super) client: ClientOptions,
    /// Whether the store has the inventory of another client ID, or a part that is not read.
    pub(super) is_outdated: bool,
}

/// Reads the inventory of one account, one request at a time.
pub struct InventoryActor {
    options: InventoryOptions,
    polling: Polling,
    known: Arc<KnownInventory>,
    clock: Clock,
    client: Option<Rc<Client>>,
    schedule: Schedule,
    answers: Answers,
    /// The terminals whose last values are requested.
    silent: Option<Arc<Terminals>>,
    record: InventoryRecord,
    offering: Offering,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

/// Whether the store has the inventory.
#[derive(Debug)]
struct Offering {
    /// Whether the store lacks the latest inventory.
    is_due: bool,
    /// Whether an offer is in flight, or waits to be repeated.
    is_busy: bool,
    backoff: Backoff,
}

impl InventoryActor {
    /// An actor that continues with the known inventory.
    pub(super) fn new(
        options: InventoryOptions,
        polling: Polling,
        known: Arc<KnownInventory>,
        metrics: Arc<AccountMetrics>,
    ) -> Self {
        let (settings, clock) = (&options.settings, polling.clock().clone());
        let account = Arc::clone(&options.stream.account);
        let wants_last_values = settings.wants_last_values && !known.has_last_values();
        Self {
            schedule: Schedule::new(settings.parts(), settings.bounds, wants_last_values),
            answers: Answers::default(),
            silent: None,
            record: InventoryRecord::new(account, &known.inventory(), clock.clone(), metrics),
            offering: Offering {
                is_due: options.is_outdated,
                is_busy: false,
                backoff: Backoff::REQUESTS,
            },
            options,
            polling,
            known,
            clock,
            client: None,
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// Hands an event to the schedule and carries out its effects.
    fn handle_event(&mut self, event: Event, context: &mut Context<Self>) {
        for effect in self.schedule.on(event, Now::read(&self.clock)) {
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
            Effect::Request { step, instead_of } => self.request(step, instead_of, context),
            Effect::Merge(part) => self.merge(part, context),
            Effect::DropPages(part) => self.answers.drop_part(part),
            Effect::Forget(part) => {
                let mut inventory = self.known.inventory();
                if inventory.read_at(part).is_some() {
                    inventory.forget(part);
                    self.set(inventory);
                    self.offer(context);
                }
            }
            Effect::Offer => self.offer(context),
            Effect::SlowDown => self.polling.slow_down(self.clock.elapsed()),
            Effect::Record(outcome) => {
                if matches!(outcome, Outcome::LastValuesEnded { .. }) {
                    self.known.last_values_were_requested();
                    self.silent = None;
                }
                self.record.record(outcome);
                self.watch_outages(context);
            }
        }
    }

    fn set(&self, inventory: Inventory) {
        self.known.set(self.options.stream.incarnation, inventory);
    }

    fn request(&mut self, step: Step, instead_of: Option<Renewal>, context: &mut Context<Self>) {
        let options = &self.options;
        let make = || Rc::new(Client::new(options.client.clone()));
        let client = Rc::clone(self.client.get_or_insert_with(make));
        let terminals = self.silent_of(step);
        let request = Request {
            account: Arc::clone(&options.stream.account),
            step,
            query: query(step, &terminals),
            terminals,
            instead_of,
            client,
            base: options.base.clone(),
            polling: self.polling.clone(),
            settings: options.settings.clone(),
        };
        let answered = request.make().into_actor(self);
        context.spawn(answered.map(|answered, actor, context| {
            actor.answered(answered, context);
        }));
    }

    /// The IDs of the terminals whose last values a step requests.
    fn silent_of(&self, step: Step) -> Vec<String> {
        let Step::LastValues { chunk } = step else {
            return Vec::new();
        };
        let Some(terminals) = &self.silent else {
            return Vec::new();
        };
        let size = Query::PAGE_SIZE as usize;
        let first = chunk as usize * size;
        let chunk = (first..first + size).map_while(|index| terminals.get(index));
        chunk.map(|terminal| terminal.id.to_owned()).collect()
    }

    fn answered(&mut self, answered: Answered, context: &mut Context<Self>) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_answer(context);
        let Answered {
            result,
            token_serial,
            at,
        } = answered;
        let event = match result {
            Ok(Content::Part(parsed)) => {
                let is_last = parsed.is_last();
                let added = self.answers.add(parsed, at, &self.options.settings.bounds);
                Event::PageRead {
                    is_last,
                    has_new: added.has_new,
                    is_full: added.is_full,
                }
            }
            Ok(Content::LastValues(rejected)) => Event::LastValuesRead(rejected),
            Err(error) => Event::Failed {
                error,
                token_serial,
            },
        };
        self.handle_event(event, context);
    }

    /// Merges on another thread, because a large inventory takes long.
    fn merge(&self, part: Part, context: &mut Context<Self>) {
        let (answers, before) = (self.answers.clone(), self.known.inventory());
        let bounds = self.options.settings.bounds;
        let merge = move || answers.merge(part, before, &bounds);
        let merged = self.polling.peers().decoder.run(merge);
        context.spawn(merged.into_actor(self).map(move |merged, actor, context| {
            let merged = merged.map_err(|_| RequestError::Panicked(WorkPanicked));
            let event = match merged.and_then(|merged| Ok(merged?)) {
                Ok(inventory) => {
                    let known = inventory.terminals.as_ref();
                    let terminals = known.map_or(0, |known| known.value.len());
                    if part == Part::Terminals && actor.schedule.wants_last_values() {
                        actor.silent = known.map(|known| Arc::clone(&known.value));
                    }
                    let skipped = actor.answers.skipped(part, &inventory);
                    actor.set(inventory);
                    Event::Merged { terminals, skipped }
                }
                Err(error) => Event::NotMerged(error),
            };
            actor.handle_event(event, context);
        }));
    }

    /// Sends the inventory to the store, again if the store fails.
    fn offer(&mut self, context: &mut Context<Self>) {
        self.offering.is_due = true;
        self.offer_if_due(context);
    }

    fn offer_if_due(&mut self, context: &mut Context<Self>) {
        if self.offering.is_busy || !std::mem::take(&mut self.offering.is_due) {
            return;
        }
        self.offering.is_busy = true;
        let inventory = self.known.inventory();
        let offer = OfferInventory {
            account: Arc::clone(&self.options.stream.account),
            inventory: (!inventory.is_empty()).then(|| Arc::new(inventory)),
        };
        let (reply, clock) = (self.options.settings.store.send(offer), self.clock.clone());
        let reply = async move {
            let reply = clock.timeout(REPLY_LIMIT, reply).await;
            reply.unwrap_or(Err(MailboxError::Timeout))
        };
        context.spawn(reply.into_actor(self).map(|reply, actor, context| {
            let wait = match reply {
                Ok(()) => {
                    actor.offering.backoff.reset();
                    Duration::ZERO
                }
                Err(_) => {
                    actor.offering.is_due = true;
                    actor.offering.backoff.next(fastrand::f64())
                }
            };
            let until = actor.clock.now().after(wait);
            act_at(&actor.clock, until, context, |actor: &mut Self, context| {
                actor.offering.is_busy = false;
                actor.offer_if_due(context);
            });
        }));
    }

    /// Logs the end of an outage when it comes.
    fn watch_outages(&self, context: &mut Context<Self>) {
        if let Some(over_at) = self.record.outage_over_at() {
            act_at(&self.clock, over_at, context, move |actor: &mut Self, _| {
                if actor.record.outage_over_at() == Some(over_at) {
                    actor.record.log_recovery();
                }
            });
        }
    }
}

/// The request of a step, for the last values of these terminals.
fn query(step: Step, terminals: &[String]) -> Query {
    match step {
        Step::Page { part, page } => page_query(part, page),
        Step::LastValues { .. } => Query::LastKnown {
            body: last_known::request(terminals.iter().map(String::as_str)),
        },
    }
}

#[cfg(feature = "fault-injection")]
crate::supervise::faults::injectable!(InventoryActor);

impl Supervised for InventoryActor {}

impl Actor for InventoryActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_start(context);
        // A connection may be the reason why the actor failed.
        self.client = None;
        // An offer that was in flight may be lost.
        if std::mem::take(&mut self.offering.is_busy) {
            self.offering.is_due = true;
        }
        self.offer_if_due(context);
        self.watch_outages(context);
        self.handle_event(Event::Started, context);
    }
}

impl Handler<Heartbeat> for InventoryActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

//! The Recorder: starts and ends the journals of accounts and their senders, so that they fit the lists of accounts and destinations.
//!
//! The lists may change at any time. A destination with other settings gets a new sender, which continues at the same cursor; the senders
//! of other destinations are not affected. The journal of an account that was removed is sent to the end, and then deleted. A journal or a
//! sender that fails too often pauses alone.

mod accounts;
mod pausing;
mod removal;
mod senders;
#[cfg(test)]
mod tests;
mod unrecorded;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Actor;
use actix_rt::task::JoinHandle;
use futures_util::future::{join, join_all};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::accounts::Recorded;
use self::removal::DeletionError;
use self::unrecorded::Unrecorded;
use super::bounds::{Journals, keep_within};
use super::messages::{Finish, RecordMoved};
use super::own::OwnSenders;
use super::sender::SenderContext;
use super::status::{DestinationStatus, RecordingStatus, Statuses};
use crate::account::{Accounts, AnswerRoutes};
use crate::config::{Account, Configured};
use crate::fleet::TakenOver;
use crate::http::Sources;
use crate::journal::retention::Bounds;
use crate::journal::{JournalDirectory, MemoryBudget, MovedDevice};
use crate::store::Published;
use crate::supervise::{GivenUp, Supervisor};
use crate::tasks::Pool;
use crate::time::{Clock, Moment};

/// How often accounts that were removed are checked.
const CHECK: Duration = Duration::from_secs(10);

/// The time limit for a sender to finish its request.
const FINISH: Duration = Duration::from_secs(1);

/// The time at the end of the process that is reserved for the cursors of the journals.
const SAVE_CURSORS: Duration = Duration::from_millis(250);

/// What the Recorder needs.
#[derive(Debug)]
pub struct RecorderOptions {
    /// Starts journals and senders.
    pub supervisor: Supervisor,
    /// Journals and senders that are given up.
    pub given_up: mpsc::UnboundedReceiver<GivenUp>,
    /// Where the journals are.
    pub directory: Arc<JournalDirectory>,
    /// The bounds of the journals.
    pub bounds: Bounds,
    /// The snapshots of the fleet.
    pub published: Arc<Published>,
    /// The accounts that poll.
    pub accounts: Arc<Accounts>,
    /// Where accounts find their journals.
    pub routes: AnswerRoutes,
    /// What journals and senders report.
    pub status: Arc<RecordingStatus>,
    /// What all senders share.
    pub context: SenderContext,
    /// Compresses answers for the journals. Not the pool of the senders: a poll waits until its answer is stored, and must not wait for the
    /// jobs of a backlog.
    pub compression: Pool,
    /// New lists of accounts.
    pub account_lists: mpsc::UnboundedReceiver<Vec<Account>>,
    /// Receives each list of accounts when their journals are started.
    pub next: mpsc::UnboundedSender<Vec<Account>>,
    /// New lists of destinations.
    pub destination_lists: mpsc::UnboundedReceiver<Vec<Configured>>,
    /// Devices that another account has taken over.
    pub taken_over: mpsc::UnboundedReceiver<Vec<TakenOver>>,
}

/// Runs journals and senders. Must be used on one thread, inside an actix system.
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    memory: MemoryBudget,
    destinations: Vec<(Configured, Arc<DestinationStatus>)>,
    recorded: BTreeMap<Arc<str>, Recorded>,
    /// The journals that run, for the bounds.
    journals: Arc<Mutex<Journals>>,
    bounds: JoinHandle<()>,
    /// Sends what the exporter itself knows.
    own: Option<OwnSenders>,
    /// The number of starts so far, of journals and senders.
    incarnations: u64,
    /// The last list of accounts, if it waits for the deletion of a journal.
    waiting: Option<Vec<Account>>,
    events: mpsc::UnboundedSender<Event>,
    event_receiver: mpsc::UnboundedReceiver<Event>,
}

/// What has ended in the background.
#[derive(Debug)]
enum Event {
    /// A sender has ended: account and destination.
    SenderEnded(Arc<str>, Arc<str>),
    /// The account, and whether all destinations have all its rows.
    Checked(Arc<str>, bool),
    /// The journal of an account was deleted, or could not be.
    Deleted(Arc<str>, Result<(), DeletionError>),
}

impl Recorder {
    /// Starts the journals of these accounts, and of those that are found in the directory, and the senders of these destinations.
    ///
    /// # Errors
    /// A thread cannot be started, or the directory cannot be read.
    pub fn start(
        options: RecorderOptions,
        accounts: &[Account],
        destinations: Vec<Configured>,
    ) -> io::Result<Self> {
        // Reads the free space.
        let disk = Pool::start("journals", 1)?;
        let journals: Arc<Mutex<Journals>> = Arc::default();
        let bounds = {
            let journals = Arc::clone(&journals);
            let journals = move || {
                let journals = journals.lock().unwrap_or_else(PoisonError::into_inner);
                journals.clone()
            };
            let directory = Arc::clone(&options.directory);
            let clock = options.context.clock.clone();
            actix_rt::spawn(keep_within(
                journals,
                options.bounds,
                directory,
                disk,
                clock,
            ))
        };
        let (events, event_receiver) = mpsc::unbounded_channel();
        let found = options.directory.accounts()?;
        let mut recorder = Self {
            options,
            memory: MemoryBudget::new(MemoryBudget::STANDARD),
            destinations: Vec::new(),
            recorded: BTreeMap::new(),
            journals,
            bounds,
            own: None,
            incarnations: 0,
            waiting: None,
            events,
            event_receiver,
        };
        recorder.destinations = with_status(destinations);
        let is_configured = |name: &String| accounts.iter().any(|it| *it.name == **name);
        for name in found.into_iter().filter(|name| !is_configured(name)) {
            recorder.add_found(name.into());
        }
        recorder.set_accounts(accounts);
        Ok(recorder)
    }

    /// Sends what the exporter itself knows, too: what scrapes of these sources show.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn send_own(&mut self, sources: &Sources) -> io::Result<()> {
        self.own = Some(OwnSenders::start(sources.clone(), &self.options.context)?);
        self.publish();
        Ok(())
    }

    /// Follows the lists, without end.
    pub async fn run(&mut self) -> Infallible {
        let clock = self.clock().clone();
        let mut next_check = clock.now().after(CHECK);
        loop {
            let next_start = self.next_start();
            tokio::select! {
                Some(given_up) = self.options.given_up.recv() => self.pause(&given_up),
                Some(list) = self.options.account_lists.recv() => self.apply_accounts(list),
                Some(list) = self.options.destination_lists.recv() => self.apply_destinations(list),
                Some(devices) = self.options.taken_over.recv() => self.record_moved(devices),
                Some(event) = self.event_receiver.recv() => self.on_event(event),
                () = clock.sleep_until(next_start) => self.start_due(),
                () = clock.sleep_until(next_check) => {
                    next_check = clock.now().after(CHECK);
                    self.check_removed();
                }
            }
        }
    }

    /// Lets senders finish their requests, and journals save their cursors, until `deadline`.
    pub async fn finish(&mut self, deadline: Instant) {
        self.bounds.abort();
        let limit = (Instant::now() + FINISH).min(deadline - SAVE_CURSORS);
        let senders = self.recorded.values().flat_map(Recorded::running_senders);
        let senders = join_all(senders.map(|sender| sender.send(Finish)));
        let own = self.own.take();
        let own = async {
            if let Some(own) = own {
                own.finish().await;
            }
        };
        // What is not sent waits in the journal.
        let _ = timeout_at(limit, join(senders, own)).await;
        let journals = self.recorded.values().filter_map(Recorded::journal);
        let journals = journals.map(|journal| journal.send(Finish));
        if timeout_at(deadline, join_all(journals)).await.is_err() {
            warn!(
                "a journal did not finish before shutdown: rows that were sent may be sent again"
            );
        }
        for recorded in self.recorded.values() {
            recorded.stop();
        }
    }

    fn clock(&self) -> &Clock {
        &self.options.context.clock
    }

    fn next_incarnation(&mut self) -> u64 {
        self.incarnations += 1;
        self.incarnations
    }

    /// Takes a new list of accounts. It waits while a journal of one of them is being deleted.
    fn apply_accounts(&mut self, list: Vec<Account>) {
        let is_deleted = |account: &Account| {
            let recorded = self.recorded.get(&account.name);
            recorded.is_some_and(Recorded::is_being_deleted)
        };
        if list.iter().any(is_deleted) {
            self.waiting = Some(list);
            return;
        }
        self.waiting = None;
        self.set_accounts(&list);
        // Sending fails only when the process ends.
        let _ = self.options.next.send(list);
    }

    fn set_accounts(&mut self, list: &[Account]) {
        let configured: BTreeSet<_> = list.iter().map(|account| &account.name).collect();
        for (name, recorded) in &mut self.recorded {
            if !configured.contains(name) {
                recorded.is_configured = false;
            }
        }
        for account in list {
            let tenant = match &account.tenant {
                Some(tenant) => Arc::from(&**tenant),
                None => Arc::clone(&account.name),
            };
            self.add_configured(&account.name, tenant);
        }
        self.publish();
    }

    /// Replaces the destinations. Those that are equal keep their senders.
    fn apply_destinations(&mut self, list: Vec<Configured>) {
        let before = std::mem::take(&mut self.destinations);
        let (mut kept, mut added) = (Vec::new(), Vec::new());
        for configured in list {
            match before.iter().find(|(known, _)| *known == configured) {
                Some(known) => kept.push(known.clone()),
                None => added.push(configured),
            }
        }
        self.destinations = kept;
        self.destinations.extend(with_status(added));
        sort(&mut self.destinations);
        let accounts: Vec<_> = self.recorded.keys().cloned().collect();
        for account in accounts {
            self.replace_senders(&account);
        }
        self.publish();
    }

    /// Tells journals that other accounts deliver their devices.
    fn record_moved(&self, devices: Vec<TakenOver>) {
        let mut moved: BTreeMap<Arc<str>, Vec<MovedDevice>> = BTreeMap::new();
        for TakenOver { from, code, id } in devices {
            let device = MovedDevice {
                code: code.to_string(),
                id: id.into_string(),
            };
            moved.entry(from).or_default().push(device);
        }
        for (account, devices) in moved {
            let journal = self.recorded.get(&account).and_then(Recorded::journal);
            if let Some(journal) = journal {
                journal.do_send(RecordMoved(devices));
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::SenderEnded(account, destination) => {
                self.sender_ended(&account, &destination);
                self.publish();
            }
            Event::Checked(account, is_done) => self.checked(&account, is_done),
            Event::Deleted(account, result) => {
                self.deleted(&account, result);
                self.publish();
                if let Some(list) = self.waiting.take() {
                    self.apply_accounts(list);
                }
            }
        }
    }

    /// Publishes what runs now.
    fn publish(&mut self) {
        let recorded = || {
            self.recorded
                .iter()
                .filter(|(_, it)| !it.is_being_deleted())
        };
        let routes = recorded().map(|(name, recorded)| {
            let route = match recorded.journal() {
                Some(journal) => journal.clone().recipient(),
                None => Unrecorded::new(recorded).start().recipient(),
            };
            (Arc::clone(name), route)
        });
        self.options.routes.replace(routes.collect());
        let journals = recorded().filter_map(|(name, recorded)| {
            let journal = recorded.journal()?.clone();
            Some((Arc::clone(name), journal))
        });
        *self.journals.lock().unwrap_or_else(PoisonError::into_inner) = journals.collect();
        let destinations = self.destinations.iter();
        self.options.status.replace(Statuses {
            journals: recorded().map(|(_, it)| it.status()).collect(),
            destinations: destinations.map(|(_, status)| Arc::clone(status)).collect(),
            senders: recorded()
                .flat_map(|(_, it)| it.sender_statuses())
                .collect(),
        });
        let tenants = self.recorded.iter();
        let tenants = tenants.map(|(name, it)| (Arc::clone(name), Arc::clone(&it.tenant)));
        if let Some(own) = &mut self.own {
            own.set_tenants(tenants.collect());
            own.follow(&self.options.status.all().destinations);
        }
    }

    /// When the next journal or sender is started whose pause ends.
    fn next_start(&self) -> Moment {
        let recorded = self.recorded.values().map(Recorded::next_start);
        recorded.fold(Moment::NEVER, Moment::min)
    }
}

fn with_status(list: Vec<Configured>) -> Vec<(Configured, Arc<DestinationStatus>)> {
    let list = list.into_iter().map(|configured| {
        let status = DestinationStatus::new(Arc::clone(&configured.destination));
        (configured, Arc::new(status))
    });
    let mut list: Vec<_> = list.collect();
    sort(&mut list);
    list
}

fn sort(destinations: &mut [(Configured, Arc<DestinationStatus>)]) {
    destinations.sort_by(|(one, _), (other, _)| one.destination.name.cmp(&other.destination.name));
}

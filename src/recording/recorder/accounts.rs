//! The journal of one account, with the senders that read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Addr, Arbiter};
use tracing::error;

use super::Recorder;
use super::senders::Sender;
use crate::journal::{SegmentLimits, Start};
use crate::recording::journal::{JournalActor, JournalOptions};
use crate::recording::messages::{SetTenant, Subscription};
use crate::recording::sender::RemoteWriteActor;
use crate::recording::status::{DestinationStatus, JournalStatus, SenderStatus};
use crate::supervise::{Owner, Pauses};
use crate::time::Moment;

/// An account with a journal.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The tenant of its samples.
    pub(super) tenant: Arc<str>,
    /// Whether it is in the list of accounts. Otherwise its journal is deleted when it is sent.
    pub(super) is_configured: bool,
    /// Whether the check for its removal runs.
    pub(super) is_being_checked: bool,
    status: Arc<JournalStatus>,
    /// The thread, and the journal that runs on it; `None` during a pause and while it is deleted.
    pub(super) running: Option<(Arbiter, Addr<JournalActor>)>,
    /// The number of the journal's last start.
    pub(super) incarnation: u64,
    pub(super) pauses: Pauses,
    /// When it is started again; [`Moment::NEVER`] while it runs.
    pub(super) until: Moment,
    /// Whether it is closed, and its directory is being deleted.
    pub(super) is_deleting: bool,
    /// By destination, also those that are ending.
    pub(super) senders: BTreeMap<Arc<str>, Sender>,
}

impl Recorded {
    pub(super) fn journal(&self) -> Option<&Addr<JournalActor>> {
        self.running.as_ref().map(|(_, journal)| journal)
    }

    pub(super) fn is_being_deleted(&self) -> bool {
        self.is_deleting
    }

    pub(super) fn running_senders(&self) -> impl Iterator<Item = &Addr<RemoteWriteActor>> {
        self.senders.values().filter_map(Sender::address)
    }

    pub(super) fn status(&self) -> Arc<JournalStatus> {
        Arc::clone(&self.status)
    }

    pub(super) fn sender_statuses(&self) -> impl Iterator<Item = Arc<SenderStatus>> {
        self.senders
            .values()
            .map(|sender| Arc::clone(&sender.status))
    }

    /// Ends its thread.
    pub(super) fn stop(&self) {
        if let Some((arbiter, _)) = &self.running {
            arbiter.stop();
        }
    }

    /// When the journal or the next sender is started again.
    pub(super) fn next_start(&self) -> Moment {
        let senders = self.senders.values().map(|sender| sender.until);
        match self.running {
            Some(_) => senders.fold(self.until, Moment::min),
            // Senders are started with the journal.
            None => self.until,
        }
    }
}

impl Recorder {
    /// Adds an account of the list, or takes it back if it was removed before.
    pub(super) fn add_configured(&mut self, name: &Arc<str>, tenant: Arc<str>) {
        match self.recorded.get_mut(name) {
            Some(recorded) => {
                let is_back = !std::mem::replace(&mut recorded.is_configured, true);
                if is_back && recorded.running.is_none() {
                    // Its journal pauses, because it could not be deleted. Its answers are recorded at once.
                    recorded.tenant = tenant;
                    self.start_journal(name);
                    return;
                }
                if recorded.tenant != tenant {
                    recorded.tenant = Arc::clone(&tenant);
                    if let Some(journal) = recorded.journal() {
                        journal.do_send(SetTenant(tenant));
                    }
                    self.replace_tenant(name);
                }
            }
            None => {
                self.add(name, tenant, true);
                self.start_journal(name);
            }
        }
    }

    /// Adds an account that is not in the list, whose journal was found. If its tenant is not known, its name is used.
    pub(super) fn add_found(&mut self, name: Arc<str>) {
        let tenant = self.options.directory.tenant(&name);
        let tenant = tenant.unwrap_or_else(|| Arc::clone(&name));
        self.add(&name, tenant, false);
        self.start_journal(&name);
    }

    fn add(&mut self, name: &Arc<str>, tenant: Arc<str>, is_configured: bool) {
        let clock = self.clock();
        let recorded = Recorded {
            tenant,
            is_configured,
            is_being_checked: false,
            status: Arc::new(JournalStatus::new(Arc::clone(name), clock.ran())),
            running: None,
            incarnation: 0,
            pauses: Pauses::new(clock.now()),
            until: Moment::NEVER,
            is_deleting: false,
            senders: BTreeMap::new(),
        };
        self.recorded.insert(Arc::clone(name), recorded);
    }

    /// Starts the journal of an account and its senders, on a thread of their own. Without a thread the journal pauses.
    pub(super) fn start_journal(&mut self, name: &Arc<str>) {
        let arbiter = match Arbiter::try_new() {
            Ok(arbiter) => arbiter,
            Err(error) => {
                let now = self.clock().now();
                if let Some(recorded) = self.recorded.get_mut(name) {
                    let pause = recorded.pauses.next(now);
                    recorded.until = now.after(pause);
                    error!(
                        account = &**name,
                        %error,
                        retry_in_seconds = pause.as_secs(),
                        "cannot start a thread for a journal: answers of the account are not recorded"
                    );
                }
                return;
            }
        };
        let incarnation = self.next_incarnation();
        self.add_senders(name);
        let Some(recorded) = self.recorded.get(name) else {
            return;
        };
        let options = JournalOptions {
            account: Arc::clone(name),
            // A saved one is not replaced by the name of an account whose tenant could not be read.
            tenant: recorded.is_configured.then(|| Arc::clone(&recorded.tenant)),
            directory: Arc::clone(&self.options.directory),
            subscriptions: self.subscriptions(recorded),
            memory: self.memory.clone(),
            pool: self.options.compression.clone(),
            published: Arc::clone(&self.options.published),
            status: recorded.status(),
            segments: SegmentLimits::within(self.options.bounds),
            clock: self.clock().clone(),
        };
        let supervisor = self.options.supervisor.of(Owner {
            account: Arc::clone(name),
            incarnation,
        });
        let make = move || JournalActor::new(options);
        let journal = supervisor.start(&recorded.status.actor, &arbiter.handle(), make);
        if let Some(recorded) = self.recorded.get_mut(name) {
            recorded.running = Some((arbiter, journal));
            recorded.incarnation = incarnation;
            recorded.until = Moment::NEVER;
        }
        self.start_senders(name);
    }

    /// What the journal of an account keeps records for.
    pub(super) fn subscriptions(&self, recorded: &Recorded) -> Vec<Subscription> {
        let destinations = self.destinations.iter();
        let subscriptions = destinations.filter_map(|(configured, _)| {
            let destination = &configured.destination;
            let sender = recorded.senders.get(&destination.name)?;
            Some(Subscription {
                destination: Arc::clone(&destination.name),
                start: match destination.out_of_order_window.is_open() {
                    true => Start::Oldest,
                    false => Start::Next,
                },
                status: Arc::clone(&sender.status),
            })
        });
        subscriptions.collect()
    }

    /// The status of a destination of the current list.
    pub(super) fn destination(&self, name: &str) -> Option<Arc<DestinationStatus>> {
        let mut destinations = self.destinations.iter();
        let found = destinations.find(|(it, _)| &*it.destination.name == name);
        found.map(|(_, status)| Arc::clone(status))
    }
}

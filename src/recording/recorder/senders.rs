//! Starts and ends the senders of an account.

use std::sync::Arc;

use actix::Addr;
use tokio::sync::oneshot;

use super::{Event, FINISH, Recorder};
use crate::recording::messages::{Finish, SetSubscriptions};
use crate::recording::sender::{RemoteWriteActor, SenderOptions};
use crate::recording::status::{DestinationStatus, SenderStatus};
use crate::remote_write::Tenant;
use crate::supervise::{Owner, Pauses};
use crate::time::Moment;

/// The sender of one account to one destination.
#[derive(Debug)]
pub(super) struct Sender {
    /// What it reports, also after a restart.
    pub(super) status: Arc<SenderStatus>,
    /// The destination that it was started with.
    destination: Option<Arc<DestinationStatus>>,
    pub(super) state: SenderLife,
    /// The number of its last start.
    pub(super) incarnation: u64,
    pub(super) pauses: Pauses,
    /// When it is started again; [`Moment::NEVER`] if it does not pause.
    pub(super) until: Moment,
}

/// Whether a sender runs.
#[derive(Debug)]
pub(super) enum SenderLife {
    /// It is not started, or pauses.
    Stopped,
    /// It runs until the other half is dropped.
    Running(Addr<RemoteWriteActor>, oneshot::Sender<()>),
    /// It finishes its request.
    Ending,
}

impl Sender {
    pub(super) fn address(&self) -> Option<&Addr<RemoteWriteActor>> {
        match &self.state {
            SenderLife::Running(address, _) => Some(address),
            SenderLife::Stopped | SenderLife::Ending => None,
        }
    }
}

impl Recorder {
    /// Adds senders, not started yet, for the destinations that have none.
    pub(super) fn add_senders(&mut self, account: &Arc<str>) {
        let (ran, now) = (self.clock().ran(), self.clock().now());
        let Some(recorded) = self.recorded.get_mut(account) else {
            return;
        };
        for (configured, _) in &self.destinations {
            let name = &configured.destination.name;
            recorded.senders.entry(Arc::clone(name)).or_insert_with(|| {
                let status = SenderStatus::new(Arc::clone(account), Arc::clone(name), ran);
                Sender {
                    status: Arc::new(status),
                    destination: None,
                    state: SenderLife::Stopped,
                    incarnation: 0,
                    pauses: Pauses::new(now),
                    until: Moment::NEVER,
                }
            });
        }
    }

    /// Starts the senders of the current destinations that do not run, unless they pause.
    pub(super) fn start_senders(&mut self, account: &Arc<str>) {
        let now = self.clock().now();
        let Some(recorded) = self.recorded.get(account) else {
            return;
        };
        if recorded.running.is_none() {
            return;
        }
        let is_due = |sender: &Sender| {
            matches!(sender.state, SenderLife::Stopped)
                && (sender.until == Moment::NEVER || sender.until <= now)
        };
        let due = recorded.senders.iter().filter(|(_, it)| is_due(it));
        let due: Vec<_> = due.map(|(name, _)| Arc::clone(name)).collect();
        for name in due {
            if let Some(destination) = self.destination(&name) {
                self.start_sender(account, &name, destination);
            }
        }
    }

    fn start_sender(
        &mut self,
        account: &Arc<str>,
        name: &Arc<str>,
        destination: Arc<DestinationStatus>,
    ) {
        let incarnation = self.next_incarnation();
        let context = self.options.context.clone();
        let supervisor = self.options.supervisor.of(Owner {
            account: Arc::clone(account),
            incarnation,
        });
        let Some(recorded) = self.recorded.get_mut(account) else {
            return;
        };
        let journal_status = recorded.status();
        let (Some((arbiter, journal)), Some(sender)) =
            (&recorded.running, recorded.senders.get_mut(name))
        else {
            return;
        };
        let options = SenderOptions {
            tenant: Arc::clone(&recorded.tenant),
            journal: journal.clone(),
            journal_status,
            destination: Arc::clone(&destination),
            status: Arc::clone(&sender.status),
            context,
        };
        let (hold, held) = oneshot::channel();
        let end = async {
            // Ends when the other half is dropped.
            let _ = held.await;
        };
        let make = move || RemoteWriteActor::new(options);
        let actor = Arc::clone(&sender.status.actor);
        let address = supervisor.start_until(&actor, &arbiter.handle(), end, make);
        sender.state = SenderLife::Running(address, hold);
        sender.destination = Some(destination);
        sender.incarnation = incarnation;
        sender.until = Moment::NEVER;
    }

    /// Ends the senders whose destinations were removed or have other settings, and starts those that are missing.
    pub(super) fn replace_senders(&mut self, account: &Arc<str>) {
        let Some(recorded) = self.recorded.get(account) else {
            return;
        };
        let is_outdated = |name: &Arc<str>| {
            let wanted = self.destination(name);
            let sender = recorded.senders.get(name);
            let current = sender.and_then(|it| it.destination.as_ref());
            match (current, &wanted) {
                (Some(current), Some(wanted)) => !Arc::ptr_eq(current, wanted),
                (_, wanted) => wanted.is_none(),
            }
        };
        let outdated = recorded.senders.keys().filter(|name| is_outdated(name));
        let outdated: Vec<_> = outdated.cloned().collect();
        for name in outdated {
            self.end_sender(account, &name);
        }
        self.add_senders(account);
        self.subscribe(account);
        self.start_senders(account);
    }

    /// Starts the senders again whose requests name the tenant of the account.
    pub(super) fn replace_tenant(&mut self, account: &Arc<str>) {
        let destinations = self.destinations.iter();
        let of_account = destinations
            .filter(|(configured, _)| configured.destination.tenant == Tenant::Account)
            .map(|(configured, _)| Arc::clone(&configured.destination.name));
        let of_account: Vec<_> = of_account.collect();
        for name in of_account {
            self.end_sender(account, &name);
        }
    }

    /// Lets a sender finish its request, then ends it.
    fn end_sender(&mut self, account: &Arc<str>, name: &Arc<str>) {
        let clock = self.clock().clone();
        let events = self.events.clone();
        let Some(sender) = self
            .recorded
            .get_mut(account)
            .and_then(|recorded| recorded.senders.get_mut(name))
        else {
            return;
        };
        // Other settings may help.
        sender.until = Moment::NEVER;
        let (account, name) = (Arc::clone(account), Arc::clone(name));
        match std::mem::replace(&mut sender.state, SenderLife::Ending) {
            SenderLife::Running(address, hold) => {
                actix_rt::spawn(async move {
                    // What is not sent waits in the journal.
                    let _ = clock.timeout(FINISH, address.send(Finish)).await;
                    drop(hold);
                    // Sending fails only when the process ends.
                    let _ = events.send(Event::SenderEnded(account, name));
                });
            }
            SenderLife::Stopped => {
                let _ = events.send(Event::SenderEnded(account, name));
            }
            // Its end is already awaited.
            SenderLife::Ending => {}
        }
    }

    /// Removes a sender that has ended, or starts it with the current settings of its destination.
    pub(super) fn sender_ended(&mut self, account: &Arc<str>, name: &Arc<str>) {
        let is_wanted = self.destination(name).is_some();
        let Some(recorded) = self.recorded.get_mut(account) else {
            return;
        };
        match is_wanted {
            true => {
                if let Some(sender) = recorded.senders.get_mut(name) {
                    sender.state = SenderLife::Stopped;
                }
                self.start_senders(account);
            }
            false => {
                recorded.senders.remove(name);
            }
        }
    }

    /// Tells the journal of an account its destinations.
    fn subscribe(&self, account: &Arc<str>) {
        let Some(recorded) = self.recorded.get(account) else {
            return;
        };
        if let Some(journal) = recorded.journal() {
            journal.do_send(SetSubscriptions(self.subscriptions(recorded)));
        }
    }
}

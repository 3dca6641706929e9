//! The RemoteWriteActor: sends the rows of one account to one destination.

mod access;
mod budget;
mod client;
mod link;

use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Supervised};

use crate::fleet::{Limits, Retention};
use crate::outgoing::{Authorities, Proxy, Resolver};
use crate::recording::journal::JournalActor;
use crate::recording::messages::Finish;
use crate::recording::status::{DestinationStatus, JournalStatus, SenderStatus};
use crate::redaction::Redactor;
use crate::supervise::Heartbeat;
use crate::tasks::Pool;
use crate::telemetry::SharedSchemas;
use crate::time::Clock;

pub use self::access::AccessError;
pub use self::budget::Budget;
pub use self::client::{Client, ClientContext, Message, Outcome};
pub use self::link::Link;

/// What the senders of all accounts and destinations share.
#[derive(Debug, Clone)]
pub struct SenderContext {
    /// The clock.
    pub clock: Clock,
    /// Resolves the hosts of receivers.
    pub resolver: Resolver,
    /// The proxy for https, if any.
    pub proxy: Option<Proxy>,
    /// Further certificate authorities that are trusted for https, in addition to the machine's.
    pub authorities: Option<Authorities>,
    /// Decodes records, and encodes and compresses requests.
    pub pool: Pool,
    /// Limits decoded records.
    pub budget: Budget,
    /// Removes secrets from errors.
    pub redactor: Redactor,
    /// Shares the columns of answers with the accounts; without the fields that `DROP_FIELDS` and `LOCATION` leave out.
    pub schemas: SharedSchemas,
    /// Whether rows of routers are sent.
    pub include_routers: bool,
    /// When devices are silent.
    pub retention: Retention,
    /// The limits of the fleet.
    pub limits: Limits,
}

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
#[derive(Debug)]
pub struct RemoteWriteActor {
    options: SenderOptions,
}

impl RemoteWriteActor {
    /// A sender that begins at the cursor of its destination when the actor starts.
    #[must_use]
    pub fn new(options: SenderOptions) -> Self {
        Self { options }
    }
}

impl Supervised for RemoteWriteActor {}

impl Actor for RemoteWriteActor {
    type Context = Context<Self>;
}

impl Handler<Heartbeat> for RemoteWriteActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<Finish> for RemoteWriteActor {
    type Result = ();

    fn handle(&mut self, _: Finish, _: &mut Self::Context) {}
}

#[cfg(test)]
mod tests;

//! The RemoteWriteActor: sends the rows of one account to one destination.
//!
//! - [`progress`] decides what is read, [`decoder`] turns records into samples, [`rewind`] finds the records from which the state is rebuilt;
//! - [`flight`] follows a request until its samples are stored or counted, and [`attempt`] sends it once;
//! - [`client`] is the HTTP client, [`access`] has the credentials, and [`link`] is what all senders of a destination share;
//! - [`inquiry`] asks a receiver what it answers, for `check-config`.

mod access;
mod actor;
mod attempt;
mod budget;
mod client;
mod decoder;
mod flight;
mod inquiry;
mod link;
mod load;
mod log;
mod progress;
mod rewind;

use crate::fleet::{Limits, Retention};
use crate::outgoing::{Authorities, Proxy, Resolver};
use crate::redaction::Redactor;
use crate::tasks::Pool;
use crate::telemetry::SharedSchemas;
use crate::time::Clock;

pub use self::access::AccessError;
pub use self::actor::{RemoteWriteActor, SenderOptions};
pub use self::budget::Budget;
pub use self::client::{Client, ClientContext, Message, Outcome};
pub(super) use self::decoder::labels;
pub use self::inquiry::inquire;
pub use self::link::Link;
pub(super) use self::log::HoldLog;

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

#[cfg(test)]
pub(super) mod tests;

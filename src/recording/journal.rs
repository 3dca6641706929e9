//! The JournalActor: writes the answers of one account to its journal.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Supervised};

use super::messages::{
    Advance, CursorOf, DeleteOldest, Finish, ReadRecords, ReadReply, RecordMoved, SetSubscriptions,
    Subscription, Unavailable, Usage,
};
use super::status::JournalStatus;
use crate::account::OfferAnswer;
use crate::journal::retention::AccountUse;
use crate::journal::{Cursor, JournalDirectory, MemoryBudget};
use crate::store::Published;
use crate::supervise::Heartbeat;
use crate::tasks::Pool;
use crate::time::Clock;

/// The options of a JournalActor.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The account.
    pub account: Arc<str>,
    /// Where the journals are.
    pub directory: Arc<JournalDirectory>,
    /// The destinations at the start.
    pub subscriptions: Vec<Subscription>,
    /// The memory for records while the storage fails, of all accounts together.
    pub memory: MemoryBudget,
    /// Compresses and reads answers.
    pub pool: Pool,
    /// Says how many devices of the account are online.
    pub published: Arc<Published>,
    /// What it reports.
    pub status: Arc<JournalStatus>,
    /// The clock.
    pub clock: Clock,
}

/// Writes the answers of one account to its journal.
#[derive(Debug)]
pub struct JournalActor {
    options: JournalOptions,
}

impl JournalActor {
    /// A journal that is opened when the actor starts.
    #[must_use]
    pub fn new(options: JournalOptions) -> Self {
        Self { options }
    }
}

impl Supervised for JournalActor {}

impl Actor for JournalActor {
    type Context = Context<Self>;
}

impl Handler<Heartbeat> for JournalActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

macro_rules! unfinished {
    ($($message:ty => $result:ty, $value:expr;)*) => {$(
        impl Handler<$message> for JournalActor {
            type Result = actix::MessageResult<$message>;

            fn handle(&mut self, _: $message, _: &mut Self::Context) -> Self::Result {
                let value: $result = $value;
                actix::MessageResult(value)
            }
        }
    )*};
}

unfinished! {
    OfferAnswer => (), ();
    SetSubscriptions => (), ();
    CursorOf => Result<Option<Cursor>, Unavailable>, Ok(None);
    ReadRecords => Result<ReadReply, Unavailable>, Ok(ReadReply::default());
    Advance => (), ();
    RecordMoved => (), ();
    Usage => Option<AccountUse>, None;
    DeleteOldest => (), ();
    Finish => (), ();
}

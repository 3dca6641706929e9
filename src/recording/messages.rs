//! The messages of a journal. Answers arrive as [`crate::account::OfferAnswer`].

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use thiserror::Error;

use super::status::SenderStatus;
use crate::journal::retention::{AccountUse, Reason};
use crate::journal::{Cursor, Gap, MovedDevice, Record, Start};

/// How long a reply of a journal, and an operation on its storage, are awaited. An operation that takes longer hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// A destination that the journal keeps records for.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The name of the destination.
    pub destination: Arc<str>,
    /// Where it starts if it has no cursor.
    pub start: Start,
    /// Where its rows that wait and that are lost are counted.
    pub status: Arc<SenderStatus>,
}

/// Replaces the destinations. The cursor of a destination that is missing is released after an hour, unless it returns.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetSubscriptions(pub Vec<Subscription>);

/// Sets the tenant of the account. It is saved like a cursor.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetTenant(pub Arc<str>);

/// Why records cannot be read now: the journal is not open, the storage fails, or gives no result within 5 s. The request is to be repeated later.
#[derive(Debug, Clone, Error)]
#[error("the journal cannot be read: {0}")]
pub struct Unavailable(pub Arc<str>);

/// The cursor of a destination; `None` if it is not subscribed. Waits until the journal is open.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<Cursor>, Unavailable>")]
pub struct CursorOf(pub Arc<str>);

/// Reads records from a number on: at most this many bytes of encoded records, but one record if there is one.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<ReadReply, Unavailable>")]
pub struct ReadRecords {
    /// The lowest number.
    pub from: u64,
    /// The most bytes.
    pub most_bytes: usize,
    /// Whether records that are only in memory may be read although older ones cannot be read: the destination has a window.
    pub may_overtake: bool,
}

/// The records that were read.
#[derive(Debug, Clone, Default)]
pub struct ReadReply {
    /// In ascending order.
    pub records: Vec<Arc<Record>>,
    /// The number from which to read on. Numbers below it without a record are lost, or never existed.
    pub next: u64,
    /// The numbers below `next` that are missing for ever. If records in memory overtook older ones, those are neither read nor missing:
    /// they can be read later, from the same number on.
    pub gaps: Vec<Gap>,
    /// The number of the next record that will be made: `next` has reached it if no record waits.
    pub end: u64,
}

/// Sets the cursor of a destination. It is saved at most once a second.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Advance {
    /// The destination.
    pub destination: Arc<str>,
    /// The cursor.
    pub cursor: Cursor,
    /// The number of rows of the records that the destination is done with since the last call.
    pub rows: u64,
}

/// Records that another account delivers these devices from now on.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RecordMoved(pub Vec<MovedDevice>);

/// What the bounds of the journals need to know; `None` until the journal is open, while segments are deleted, and if the storage gives
/// no result within 5 s.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<AccountUse>")]
pub struct Usage;

/// Deletes the oldest segments, one for each reason, but at most 8. Does nothing while segments are being deleted.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct DeleteOldest(pub Vec<Reason>);

/// Appends what is not durable yet, closes the segment and saves the cursors at the end of the process, or before the journal is deleted.
/// Answered when that is done, at once if the journal must not be used. While the journal cannot be opened, there is no reply.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Finish;

//! Records the answers of all accounts, and sends their rows to the destinations of remote write.
//!
//! The decisions are in [`crate::journal`], [`crate::history`] and [`crate::remote_write`], which are pure; this module has the actors, the
//! threads, the sockets and the clock.
//!
//! - A [`JournalActor`] for each account writes its answers to its journal, and acknowledges them once they are durable.
//! - [`keep_within`] deletes the oldest records of all journals beyond their bounds.
//! - A [`RemoteWriteActor`] for each account and destination reads the journal at a cursor and sends the rows.
//! - An [`OwnSender`] for each destination sends what the exporter itself knows.

mod bounds;
mod families;
mod journal;
mod messages;
mod own;
mod recorder;
mod sender;
pub mod status;

pub use self::bounds::{Journals, keep_within};
pub use self::journal::{JournalActor, JournalOptions};
pub use self::messages::{
    Advance, CursorOf, DeleteOldest, Finish, ReadRecords, ReadReply, RecordMoved, SetSubscriptions,
    Subscription, Unavailable, Usage,
};
pub use self::own::{OwnOptions, OwnSender, OwnSenders, Tenants};
pub use self::recorder::{Recorder, RecorderOptions};
pub use self::sender::{
    AccessError, Budget, Client, ClientContext, Link, Message, Outcome, RemoteWriteActor,
    SenderContext, SenderOptions, inquire,
};
pub use self::status::{
    DestinationStatus, JournalStatus, RecordingStatus, SenderState, SenderStatus, Statuses,
};

//! The actors and their supervisor.
//!
//! What the tree guarantees: an actor that panics or stops is restarted with the same address, the same mailbox and the same
//! struct, after a backoff; only the message that it was handling is lost, and its sender is told so. Messages that wait
//! in the mailbox, promises that were given (`oneshot` senders kept in the struct) and a batch that was received survive. An
//! actor that dies too often ends the process, so that whatever runs it starts it afresh. What it cannot cure, a handler that
//! hangs, it makes seen: each actor answers a heartbeat, and `/livez` looks at the time of the last answer.

mod attempt;
mod cuts;
#[cfg(feature = "fault-injection")]
pub mod faults;
mod handover;
mod heard;
pub mod messages;
mod metadata;
mod metrics_store;
mod poll_log;
mod published;
mod row_watch;
mod stream;
mod supervisor;
mod token;
mod told;

pub use handover::Handover;
pub use metadata::MetadataActor;
pub use metrics_store::MetricsStoreActor;
pub use published::{PinLimits, Published};
pub use stream::{Neighbours, StreamActor, StreamOptions};
pub use supervisor::{ActorStatus, Cause, Death, GivenUp, Role, SupervisionPolicy, Supervisor};
pub use token::{TokenActor, TokenOptions};

//! The supervisor of the actors. Its guarantees hold for every actor that it starts.
//!
//! An actor that panics or stops is restarted with the same address, mailbox and struct, after a backoff. Only the message that it was
//! handling is lost, and its sender gets an error. Messages in the mailbox, pending replies (`oneshot` senders in the struct) and a
//! received batch are kept. An actor that fails too often is given up, and the application decides whether its account or the process ends. A hanging handler
//! cannot be restarted, but is detected: each actor replies to a heartbeat, and `/livez` checks the time of the last reply.

#[cfg(feature = "fault-injection")]
pub mod faults;
mod pauses;
mod supervisor;
mod timer;

pub use self::pauses::Pauses;
pub use self::supervisor::{
    ActorStatus, Cause, Failure, GivenUp, Heartbeat, Owner, Role, SupervisionPolicy, Supervisor,
};
pub use self::timer::act_at;

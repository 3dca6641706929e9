//! The supervisor of the actors: what it guarantees holds for every actor that it starts.
//!
//! An actor that panics or stops is restarted with the same address, the same mailbox and the same struct, after a backoff; only
//! the message that it was handling is lost, and its sender gets an error. Messages that wait in the mailbox, replies that were
//! promised (`oneshot` senders kept in the struct) and a batch that was received survive. An actor that dies too often is given
//! up, and the application decides what that ends. A handler that hangs cannot be cured, but it is seen: each actor answers a
//! heartbeat, and `/livez` looks at the time of the last answer.

#[cfg(feature = "fault-injection")]
pub mod faults;
mod supervisor;

pub use self::supervisor::{
    ActorStatus, Cause, Death, GivenUp, Heartbeat, Role, SupervisionPolicy, Supervisor,
};

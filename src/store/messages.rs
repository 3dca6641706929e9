//! The messages that only the store handles.

use actix::Message;

use crate::fleet::Frozen;

/// Requests the state of the fleet for the state file. It shares memory with the fleet and is serialised by the receiver.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Frozen")]
pub struct Freeze;

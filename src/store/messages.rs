//! The message that only the store takes.

use actix::Message;

use crate::fleet::Frozen;

/// Requests the serialised fleet for the state file.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Frozen")]
pub struct Freeze;

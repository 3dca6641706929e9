//! The message that only the store takes.

use actix::Message;

use crate::fleet::Frozen;

/// Asks the MetricsStoreActor for all that a later process needs to continue.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Frozen")]
pub struct Freeze;

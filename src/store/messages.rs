//! The messages that the store takes. Data flows one way; what comes back is an acknowledgement.

use std::sync::Arc;

use actix::Message;

use super::handover::Handover;
use crate::fleet::{Coverage, Frozen};
use crate::telemetry::Batch;

/// Hands a batch to the MetricsStoreActor. Acknowledged when the next scrape shows it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Apply {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Which batch of which stream it is: one that comes again is acknowledged, not applied twice.
    pub id: BatchId,
    /// The time that the batch speaks for; it ended when the answer was there.
    pub heard: Coverage,
    /// Whether the batch has been given up meanwhile.
    pub handover: Handover,
    /// The latest `UtcTimestampNs` that was not in the future when the answer came.
    pub latest: i64,
}

/// Asks the MetricsStoreActor for all that a later process needs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Frozen")]
pub struct Freeze;

/// Which batch of which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId {
    /// Which account's stream.
    pub account: usize,
    /// Counts the batches of the stream from 1.
    pub number: u64,
}

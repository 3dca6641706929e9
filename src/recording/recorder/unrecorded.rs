//! Takes the answers of an account while its journal pauses, and counts their rows as dropped.

use std::sync::Arc;

use actix::{Actor, Context, Handler, ResponseFuture};

use super::accounts::Recorded;
use crate::account::OfferAnswer;
use crate::recording::status::SenderStatus;
use crate::remote_write::RowReason;
use crate::tasks::Pool;
use crate::telemetry::decode;

/// Acknowledges the answers of an account without recording them. Ends when its last address is dropped.
#[derive(Debug)]
pub(super) struct Unrecorded {
    /// Decodes answers.
    pool: Pool,
    /// The destinations that lose the rows.
    destinations: Vec<Arc<SenderStatus>>,
}

impl Unrecorded {
    /// Takes the place of an account's journal.
    pub(super) fn new(recorded: &Recorded, pool: Pool) -> Self {
        let destinations = recorded.sender_statuses().collect();
        Self { pool, destinations }
    }
}

impl Actor for Unrecorded {
    type Context = Context<Self>;
}

impl Handler<OfferAnswer> for Unrecorded {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, offer: OfferAnswer, _: &mut Self::Context) -> Self::Result {
        let destinations = self.destinations.clone();
        let counted = self.pool.run(move || {
            // It was withdrawn: the account has counted it as lost.
            if !offer.handover.take() {
                return;
            }
            // It could be decoded before.
            let decoded = decode(offer.body.as_bytes().to_vec());
            let rows = decoded.map_or(0, |(rows, _)| rows.received() as u64);
            for status in destinations {
                status.count_dropped(RowReason::Memory, rows);
            }
        });
        Box::pin(async move {
            // An error means that counting panicked. The poll goes on.
            let _ = counted.await;
        })
    }
}

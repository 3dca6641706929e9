//! Takes the answers of an account while its journal pauses, and counts their rows as dropped.

use std::sync::Arc;

use actix::{Actor, Context, Handler};

use super::accounts::Recorded;
use crate::account::OfferAnswer;
use crate::recording::status::SenderStatus;
use crate::remote_write::RowReason;

/// Acknowledges the answers of an account without recording them. Ends when its last address is dropped.
#[derive(Debug)]
pub(super) struct Unrecorded {
    /// The destinations that lose the rows.
    destinations: Vec<Arc<SenderStatus>>,
}

impl Unrecorded {
    /// Takes the place of an account's journal.
    pub(super) fn new(recorded: &Recorded) -> Self {
        let destinations = recorded.sender_statuses().collect();
        Self { destinations }
    }
}

impl Actor for Unrecorded {
    type Context = Context<Self>;
}

impl Handler<OfferAnswer> for Unrecorded {
    type Result = ();

    fn handle(&mut self, offer: OfferAnswer, _: &mut Self::Context) {
        // If it was withdrawn, the account has counted it as lost.
        if offer.handover.take() {
            for status in &self.destinations {
                status.count_dropped(RowReason::Memory, offer.span.rows.into());
            }
        }
    }
}

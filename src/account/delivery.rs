//! The delivery of one answer: what each consumer is offered, and whether it has taken or lost the answer. Without I/O.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::Receipt;
use super::handover::Handover;
use super::offer::{BatchId, Offer, OfferAnswer, OfferBatch, Takes};
use crate::fleet::{Coverage, RowSpan};
use crate::telemetry::{Batch, Metadata, Rows, Schema};

/// The number of attempts to make an offer to one consumer, and to have the columns explained.
const TRIES: u8 = 2;

/// An answer in delivery: at least one consumer has neither taken nor lost it.
#[derive(Debug)]
pub(super) struct Delivery {
    id: BatchId,
    receipt: Receipt,
    coverage: Coverage,
    span: RowSpan,
    metadata: Arc<Metadata>,
    content: Content,
    /// The number of failed attempts to have the columns explained.
    unexplained: u8,
    /// One for each consumer, in their order.
    shares: Vec<Share>,
}

#[derive(Debug)]
enum Content {
    /// Rows whose columns are not explained yet.
    Rows(Rows),
    /// Rows with their columns.
    Batch(Arc<Batch>),
}

/// The delivery to one consumer.
#[derive(Debug)]
struct Share {
    takes: Takes,
    handover: Handover,
    /// The number of offers that the consumer did not acknowledge.
    failures: u8,
    outcome: Option<ShareOutcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShareOutcome {
    Taken,
    Lost,
}

/// An action that the delivery needs.
#[derive(Debug)]
pub(super) enum Step {
    /// Request an explanation of the columns.
    Explain(Arc<Metadata>),
    /// Make an offer to the consumer with this index.
    Offer(usize, Offer),
    /// The consumer with this index loses the answer.
    Lost(usize),
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// All consumers of batches have taken the batch.
    Yes,
    /// The columns were not explained.
    NotExplained,
    /// A consumer of batches has lost the batch.
    Lost,
}

impl Delivery {
    /// A delivery that has not begun. `consumers` says what each consumer takes.
    pub(super) fn new(
        id: BatchId,
        rows: Rows,
        span: RowSpan,
        metadata: Metadata,
        receipt: Receipt,
        coverage: Coverage,
        consumers: &[Takes],
    ) -> Self {
        let share = |takes: &Takes| Share {
            takes: *takes,
            handover: Handover::default(),
            failures: 0,
            outcome: None,
        };
        Self {
            id,
            receipt,
            coverage,
            span,
            metadata: Arc::new(metadata),
            content: Content::Rows(rows),
            unexplained: 0,
            shares: consumers.iter().map(share).collect(),
        }
    }

    /// All requests that are needed at this stage: at the beginning, and again after the requests were lost in a restart.
    pub(super) fn resume(&self) -> Vec<Step> {
        let explanation = match &self.content {
            Content::Rows(_) if self.unexplained < TRIES => Some(self.explain()),
            _ => None,
        };
        let offers = (0..self.shares.len()).filter_map(|consumer| self.offer(consumer));
        offers.chain(explanation).collect()
    }

    /// Adds the explanation of the columns, so that batches can be offered.
    pub(super) fn explained(&mut self, schema: Arc<Schema>) -> Vec<Step> {
        let Content::Rows(rows) = &mut self.content else {
            return Vec::new();
        };
        let rows = std::mem::take(rows);
        self.content = Content::Batch(Arc::new(Batch { rows, schema }));
        let takers = 0..self.shares.len();
        takers
            .filter(|consumer| self.shares[*consumer].takes == Takes::Batches)
            .filter_map(|consumer| self.offer(consumer))
            .collect()
    }

    /// The request for an explanation failed. After the last attempt the consumers of batches lose the answer.
    pub(super) fn not_explained(&mut self) -> Vec<Step> {
        if matches!(self.content, Content::Batch(_)) || self.unexplained >= TRIES {
            return Vec::new();
        }
        self.unexplained += 1;
        if self.unexplained < TRIES {
            return vec![self.explain()];
        }
        let takers = self.shares.iter_mut().enumerate();
        takers
            .filter(|(_, share)| share.takes == Takes::Batches && share.outcome.is_none())
            .map(|(consumer, share)| {
                share.outcome = Some(ShareOutcome::Lost);
                Step::Lost(consumer)
            })
            .collect()
    }

    /// A consumer has acknowledged its offer.
    pub(super) fn taken(&mut self, consumer: usize) {
        if let Some(share) = self.shares.get_mut(consumer) {
            share.outcome.get_or_insert(ShareOutcome::Taken);
        }
    }

    /// A consumer has not acknowledged its offer, because it failed or hangs. After the last attempt it loses the answer.
    pub(super) fn not_taken(&mut self, consumer: usize) -> Option<Step> {
        let share = self.shares.get_mut(consumer)?;
        if share.outcome.is_some() {
            return None;
        }
        share.failures = share.failures.saturating_add(1);
        if share.failures < TRIES {
            return self.offer(consumer);
        }
        // The consumer may have written the batch and failed before its acknowledgement.
        let is_lost = share.handover.withdraw();
        share.outcome = Some(match is_lost {
            true => ShareOutcome::Lost,
            false => ShareOutcome::Taken,
        });
        is_lost.then_some(Step::Lost(consumer))
    }

    /// The result, once each consumer has taken or lost the answer.
    pub(super) fn ended(&self) -> Option<Delivered> {
        if self.shares.iter().any(|share| share.outcome.is_none()) {
            return None;
        }
        if self.unexplained >= TRIES {
            return Some(Delivered::NotExplained);
        }
        let mut batches = self
            .shares
            .iter()
            .filter(|share| share.takes == Takes::Batches);
        Some(
            match batches.any(|share| share.outcome == Some(ShareOutcome::Lost)) {
                true => Delivered::Lost,
                false => Delivered::Yes,
            },
        )
    }

    /// The number of rows in the answer.
    pub(super) fn rows(&self) -> usize {
        self.content.rows().received()
    }

    /// The batch with its columns, and the arrival of its answer; `None` before the columns are explained.
    pub(super) fn batch(&self) -> Option<(&Batch, &Receipt)> {
        match &self.content {
            Content::Rows(_) => None,
            Content::Batch(batch) => Some((batch, &self.receipt)),
        }
    }

    /// When the answer was complete, by the time that the process ran.
    pub(super) fn answered(&self) -> Duration {
        self.receipt.answered
    }

    fn explain(&self) -> Step {
        Step::Explain(Arc::clone(&self.metadata))
    }

    /// The offer that a consumer needs now.
    fn offer(&self, consumer: usize) -> Option<Step> {
        let share = &self.shares[consumer];
        if share.outcome.is_some() {
            return None;
        }
        let (id, handover) = (self.id.clone(), share.handover.clone());
        let offer = match (share.takes, &self.content) {
            (Takes::Answers, content) => Offer::Answer(OfferAnswer {
                id,
                body: content.rows().body(),
                span: self.span,
                metadata: Arc::clone(&self.metadata),
                coverage: self.coverage,
                handover,
            }),
            (Takes::Batches, Content::Batch(batch)) => Offer::Batch(OfferBatch {
                id,
                batch: Arc::clone(batch),
                coverage: self.coverage,
                latest: self.receipt.latest(batch),
                handover,
            }),
            (Takes::Batches, Content::Rows(_)) => return None,
        };
        Some(Step::Offer(consumer, offer))
    }
}

impl Content {
    fn rows(&self) -> &Rows {
        match self {
            Self::Rows(rows) => rows,
            Self::Batch(batch) => &batch.rows,
        }
    }
}

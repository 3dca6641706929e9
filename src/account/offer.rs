//! The offers of an account to its consumers: answers as soon as they are decoded, and batches once their columns are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{MailboxError, Message, Recipient};
use arc_swap::ArcSwap;

use super::handover::Handover;
use crate::fleet::{Coverage, RowSpan};
use crate::telemetry::{Batch, Metadata};

/// The stream of one account between a start of its actors and the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamId {
    /// The account's name.
    pub account: Arc<str>,
    /// The number of the start, never used again in a process.
    pub incarnation: u64,
}

/// The identity of a batch. A consumer acknowledges a batch that it has already taken, and takes it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchId {
    /// The stream that the batch is of.
    pub stream: StreamId,
    /// Counts the batches of the stream from 1.
    pub number: u64,
}

/// Offers an answer whose columns are not explained yet. Acknowledged when it is durable.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct OfferAnswer {
    /// The identity of the batch that is made of the answer.
    pub id: BatchId,
    /// The answer's text: JSON that could be decoded. Invalid UTF-8 is replaced by U+FFFD.
    pub body: Arc<String>,
    /// Its columns and codes.
    pub metadata: Arc<Metadata>,
    /// Its rows.
    pub span: RowSpan,
    /// The time that the answer covers; it ends with the answer's arrival.
    pub coverage: Coverage,
    /// Whether the offer was withdrawn.
    pub handover: Handover,
}

/// Offers a batch. Acknowledged when the next scrape shows it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct OfferBatch {
    /// The identity of the batch.
    pub id: BatchId,
    /// The batch.
    pub batch: Arc<Batch>,
    /// The time that the answer covers; it ends with the answer's arrival.
    pub coverage: Coverage,
    /// The latest `UtcTimestampNs` that was not in the future when the answer arrived.
    pub latest: i64,
    /// Whether the offer was withdrawn.
    pub handover: Handover,
}

/// What a consumer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Answers, as soon as they are decoded. A lost answer does not make the poll fail.
    Answers,
    /// Batches. A poll succeeds when all consumers of batches have taken its batch.
    Batches,
}

/// Where the answers of accounts are recorded, by the names of the accounts. Clones share it. The address of an account changes when
/// its recorder is started again.
#[derive(Debug, Clone, Default)]
pub struct AnswerRoutes(Arc<ArcSwap<BTreeMap<Arc<str>, Recipient<OfferAnswer>>>>);

impl AnswerRoutes {
    /// Replaces all addresses.
    pub fn replace(&self, routes: BTreeMap<Arc<str>, Recipient<OfferAnswer>>) {
        self.0.store(Arc::new(routes));
    }

    /// The address of an account.
    pub(crate) fn find(&self, account: &str) -> Option<Recipient<OfferAnswer>> {
        self.0.load().get(account).cloned()
    }
}

/// Receives everything that an account polls. Acknowledgements, retries and losses of consumers are independent of each other. The next
/// poll waits until all have taken or lost the answer.
#[derive(Debug, Clone)]
pub enum Consumer {
    /// Takes answers at the current address. While an account has none, its answers are acknowledged and not recorded.
    Answers(AnswerRoutes),
    /// Takes batches.
    Batches(Recipient<OfferBatch>),
}

impl Consumer {
    /// What it takes.
    #[must_use]
    pub fn takes(&self) -> Takes {
        match self {
            Self::Answers(_) => Takes::Answers,
            Self::Batches(_) => Takes::Batches,
        }
    }

    /// Sends an offer and waits for its acknowledgement, without a time limit.
    pub(super) async fn offer(self, offer: Offer) -> Result<(), MailboxError> {
        match (self, offer) {
            (Self::Answers(routes), Offer::Answer(answer)) => {
                match routes.find(&answer.id.stream.account) {
                    Some(consumer) => consumer.send(answer).await,
                    None => Ok(()),
                }
            }
            (Self::Batches(consumer), Offer::Batch(batch)) => consumer.send(batch).await,
            // The poll loop offers what a consumer takes.
            (Self::Answers(_), Offer::Batch(_)) | (Self::Batches(_), Offer::Answer(_)) => {
                Err(MailboxError::Closed)
            }
        }
    }
}

/// An offer to one consumer.
#[derive(Debug)]
pub(super) enum Offer {
    /// To one that takes answers.
    Answer(OfferAnswer),
    /// To one that takes batches.
    Batch(OfferBatch),
}

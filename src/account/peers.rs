//! The actors and threads that a StreamActor uses, and how long it waits for their replies.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, MailboxError};

use super::messages::Resolve;
use super::offer::{Consumer, Offer, Takes};
use super::poll_loop::Event;
use super::{MetadataActor, TokenActor};
use crate::tasks::Pool;
use crate::telemetry::{Metadata, SchemaCache, SharedSchemas};
use crate::time::Clock;

/// How long an actor may take to reply: it may be in restart backoff.
pub(super) const REPLY_LIMIT: Duration = Duration::from_secs(30);

/// The actors and threads that a StreamActor uses.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    /// Gives tokens.
    pub(super) token: Addr<TokenActor>,
    /// Explains columns.
    pub(super) metadata: Addr<MetadataActor>,
    /// The columns that are known, to explain others without the MetadataActor.
    pub(super) schemas: SharedSchemas,
    /// The consumers of answers and batches.
    pub(super) consumers: Vec<Consumer>,
    /// Decodes answers, and explains their columns if the MetadataActor does not.
    pub(super) decoder: Pool,
}

impl Peers {
    /// What the consumer with this index takes.
    pub(super) fn takes(&self, index: usize) -> Option<Takes> {
        self.consumers.get(index).map(Consumer::takes)
    }

    /// Has columns explained. The future gives the event that reports the result.
    ///
    /// The names in the answer are sufficient to explain its columns. The MetadataActor keeps explained columns for later answers, and logs
    /// and counts changes. If it fails, the columns are explained without it, and their changes are neither logged nor counted.
    pub(super) fn explain(
        &self,
        metadata: Arc<Metadata>,
        clock: &Clock,
    ) -> impl Future<Output = Event> + use<> {
        let request = self.metadata.send(Resolve(Arc::clone(&metadata)));
        let reply = in_time(request, clock.clone());
        let (schemas, pool) = (self.schemas.clone(), self.decoder.clone());
        async move {
            if let Ok(schema) = reply.await {
                return Event::Explained(schema);
            }
            let explain = move || SchemaCache::sharing(schemas).resolve(&metadata).schema;
            match pool.run(explain).await {
                Ok(schema) => Event::Explained(schema),
                // Explaining these columns panics.
                Err(_) => Event::NotExplained,
            }
        }
    }

    /// Makes an offer to the consumer with this index. The future gives the event that reports whether it was taken.
    pub(super) fn offer(
        &self,
        index: usize,
        offer: Offer,
        clock: &Clock,
    ) -> impl Future<Output = Event> + use<> {
        let (consumer, clock) = (self.consumers.get(index).cloned(), clock.clone());
        async move {
            let reply = match consumer {
                Some(consumer) => in_time(consumer.offer(offer), clock).await,
                // The poll loop offers only to these consumers.
                None => Err(MailboxError::Closed),
            };
            match reply {
                Ok(()) => Event::Taken(index),
                Err(_) => Event::NotTaken(index),
            }
        }
    }
}

async fn in_time<R>(
    reply: impl Future<Output = Result<R, MailboxError>>,
    clock: Clock,
) -> Result<R, MailboxError> {
    let reply = clock.timeout(REPLY_LIMIT, reply).await;
    reply.unwrap_or(Err(MailboxError::Timeout))
}

//! One attempt to send a request: waits until it is due, encodes it, waits for the pace, and sends it.

use std::rc::Rc;
use std::sync::Arc;

use super::access::AccessError;
use super::client::{Client, Message, Outcome};
use super::flight::{Body, Rows};
use crate::history::{Protocol, TooLarge};
use crate::recording::status::DestinationStatus;
use crate::tasks::Pool;
use crate::time::{Clock, Moment};

/// One attempt.
pub(super) struct Attempt {
    pub(super) client: Rc<Client>,
    pub(super) clock: Clock,
    pub(super) pool: Pool,
    pub(super) destination: Arc<DestinationStatus>,
    pub(super) tenant: Arc<str>,
    pub(super) not_before: Moment,
    pub(super) protocol: Protocol,
    /// The value of the header `Retry-Attempt`.
    pub(super) attempt: u32,
    /// The number of samples.
    pub(super) samples: u64,
    pub(super) content: Content,
}

/// What is sent.
pub(super) enum Content {
    /// What was sent before.
    Encoded(Body),
    /// Rows that are encoded first.
    Rows(Rows),
}

/// How an attempt ended.
pub(super) enum Attempted {
    /// The request was sent, or the receiver could not be reached.
    Ended(Outcome),
    /// A file of the destination cannot be used.
    NoAccess(Arc<AccessError>),
    /// The request is too large to be compressed.
    TooLarge,
    /// Encoding panicked.
    Panicked,
}

/// The result of an attempt.
pub(super) struct Made {
    pub(super) attempted: Attempted,
    /// What was sent, for the next attempts.
    pub(super) body: Option<Body>,
    /// Whether it had to wait for the pace.
    pub(super) is_limited: bool,
}

impl Attempt {
    pub(super) async fn make(self) -> Made {
        self.clock.sleep_until(self.not_before).await;
        let made = |attempted, body| Made {
            attempted,
            body,
            is_limited: false,
        };
        let body = match self.content {
            Content::Encoded(body) => body,
            Content::Rows(rows) => {
                let (protocol, destination) = (self.protocol, Arc::clone(&self.destination));
                let encoded = self.pool.run(move || encode(protocol, &rows, &destination));
                match encoded.await {
                    Ok(Ok(body)) => body,
                    Ok(Err(TooLarge)) => return made(Attempted::TooLarge, None),
                    Err(_) => return made(Attempted::Panicked, None),
                }
            }
        };
        let link = &self.destination.link;
        let is_limited = link.wait_for_pace(self.samples, &self.clock).await;
        let message = Message {
            protocol: body.protocol,
            body: &body.bytes,
            attempt: self.attempt,
            tenant: &self.tenant,
        };
        let attempted = match self.client.send(&message).await {
            Ok(outcome) => Attempted::Ended(outcome),
            Err(error) => Attempted::NoAccess(error),
        };
        Made {
            attempted,
            body: Some(body),
            is_limited,
        }
    }
}

fn encode(
    protocol: Protocol,
    rows: &Rows,
    destination: &DestinationStatus,
) -> Result<Body, TooLarge> {
    let mut encoder = destination.link.take_encoder(&destination.destination);
    let rows = rows.iter().map(|(slice, row)| (&**slice, row));
    let request = encoder.rows(protocol, rows);
    destination.link.return_encoder(encoder);
    Ok(Body {
        protocol,
        bytes: request?.body,
    })
}

//! One request of the management API: waits for its turn, gets a token, sends the request, and has the answer read on another thread.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::MailboxError;
use bytes::Bytes;
use tracing::debug;
use url::Url;

use super::pages::Content;
use super::schedule::Step;
use crate::account::InventorySettings;
use crate::account::attempt::{WorkPanicked, ask_for_token};
use crate::account::messages::{OfferLastKnown, Renewal, TokenRefused};
use crate::account::peers::REPLY_LIMIT;
use crate::account::polling::Polling;
use crate::inventory::{AnswerError, Parsed, Part, last_known};
use crate::starlink::{Client, ErrorResponse, PollError, PollFailure, Query};
use crate::telemetry::{Batch, DecodeError, SchemaCache, decode};
use crate::time::unix_seconds;

/// A request for a part or for last values.
pub(super) struct Request {
    pub(super) account: Arc<str>,
    pub(super) step: Step,
    pub(super) query: Query,
    /// The terminals whose last values are requested, sorted.
    pub(super) terminals: Vec<String>,
    pub(super) instead_of: Option<Renewal>,
    pub(super) client: Rc<Client>,
    /// The URL below which the requests are.
    pub(super) base: Url,
    pub(super) polling: Polling,
    pub(super) settings: InventorySettings,
}

/// The result of a request.
pub(super) struct Answered {
    pub(super) result: Result<Content, RequestError>,
    /// The number of the token that was used, if one was.
    pub(super) token_serial: Option<u64>,
    /// When the answer was complete, in seconds since 1970: whole milliseconds, which a file keeps exactly.
    pub(super) at: f64,
}

impl Request {
    pub(super) async fn make(self) -> Answered {
        let mut token_serial = None;
        let body = self.body(&mut token_serial).await;
        let at = (unix_seconds(self.polling.clock().corrected()) * 1e3).round() / 1e3;
        let result = match (body, self.step) {
            (Ok(body), Step::Page { part, .. }) => self.parse(part, body, at).await,
            (Ok(body), Step::LastValues { .. }) => self.offer_last_values(body).await,
            (Err(error), _) => Err(error),
        };
        Answered {
            result,
            token_serial,
            at,
        }
    }

    async fn body(&self, token_serial: &mut Option<u64>) -> Result<Bytes, RequestError> {
        let clock = self.polling.clock();
        let token = ask_for_token(&self.polling.peers().token, self.instead_of, clock).await;
        let token = token.map_err(RequestError::TokenActor)?;
        let token = token.map_err(RequestError::Token)?;
        *token_serial = Some(token.serial);
        self.turn().await;
        let account = &*self.account;
        match self.step {
            Step::Page { part, page } => {
                debug!(account, part = part.name(), page, "inventory request");
            }
            Step::LastValues { chunk } => debug!(account, chunk, "request for last values"),
        }
        let answer = self.client.query(&self.base, &self.query, &token.bearer);
        Ok(answer.await?)
    }

    /// Waits until neither the pace of the inventory nor that of the account is exceeded.
    async fn turn(&self) {
        let clock = self.polling.clock();
        clock
            .sleep(self.polling.inventory_wait(clock.elapsed()))
            .await;
        match self.polling.reserve_inventory_request(clock.elapsed()) {
            Some(wait) => clock.sleep(wait).await,
            // The thread of the account is about to end.
            None => std::future::pending().await,
        }
    }

    async fn parse(&self, part: Part, body: Bytes, at: f64) -> Result<Content, RequestError> {
        let bounds = self.settings.bounds;
        let parse = move || Parsed::parse(part, &body, at, &bounds);
        let parsed = self.polling.peers().decoder.run(parse).await;
        Ok(Content::Part(parsed.map_err(|_| WorkPanicked)??))
    }

    async fn offer_last_values(&self, body: Bytes) -> Result<Content, RequestError> {
        let peers = self.polling.peers();
        let (schemas, terminals) = (peers.schemas.clone(), self.terminals.clone());
        let decode = move || {
            let is_requested = |id: &str| {
                let found = terminals.binary_search_by(|other| other.as_str().cmp(id));
                found.is_ok()
            };
            let answer = last_known::stream_answer(&body, is_requested)?;
            let (rows, metadata) = decode(answer.body)?;
            let schema = SchemaCache::sharing(schemas).resolve(&metadata).schema;
            Ok::<_, RequestError>((Batch { rows, schema }, answer.rejected))
        };
        let decoded = peers.decoder.run(decode).await;
        let (batch, rejected) = decoded.map_err(|_| WorkPanicked)??;
        let offer = OfferLastKnown {
            account: Arc::clone(&self.account),
            batch: Arc::new(batch),
        };
        let reply = self.settings.last_values.send(offer);
        let reply = self.polling.clock().timeout(REPLY_LIMIT, reply).await;
        let reply = reply.unwrap_or(Err(MailboxError::Timeout));
        reply.map_err(RequestError::Store)?;
        Ok(Content::LastValues(rejected))
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error(transparent)]
    Token(TokenRefused),
    #[error("the token actor did not respond")]
    TokenActor(#[source] MailboxError),
    #[error("the request failed")]
    Call(#[from] PollError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("the last values cannot be decoded")]
    Decode(#[from] DecodeError),
    #[error("the thread that parses or merges answers panicked")]
    Panicked(#[from] WorkPanicked),
    #[error(
        "pages {first} to {last} of {request} have no new entry, and none of them is the last page"
    )]
    NoNewEntries {
        /// The path of the request.
        request: &'static str,
        first: u32,
        last: u32,
    },
    #[error("the store did not take the last values")]
    Store(#[source] MailboxError),
}

impl RequestError {
    pub(super) fn reason(&self) -> PollFailure {
        match self {
            Self::Token(_) | Self::TokenActor(_) => PollFailure::Token,
            Self::Call(error) => error.reason(),
            Self::Answer(_) | Self::Decode(_) | Self::Panicked(_) | Self::NoNewEntries { .. } => {
                PollFailure::Decode
            }
            Self::Store(_) => PollFailure::StoreFailed,
        }
    }

    /// Whether the service account lacks a permission. A 403 of a firewall or a proxy says nothing about permissions.
    pub(super) fn is_permission(&self) -> bool {
        let answer = match self {
            Self::Call(error) => error.answer(),
            _ => None,
        };
        self.reason() == PollFailure::Forbidden && answer.is_some_and(ErrorResponse::is_of_api)
    }

    /// The HTTP status, if Starlink answered with anything but 200.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Call(error) => error.answer().map(|answer| answer.status),
            _ => None,
        }
    }

    /// The wait that Starlink requests (`Retry-After`), if any.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// The request for a page of a part.
#[must_use]
pub fn page_query(part: Part, page: u32) -> Query {
    match part {
        Part::Account => Query::Account,
        Part::Terminals => Query::Terminals { page },
        Part::ServiceLines => Query::ServiceLines { page },
        Part::DataUsage => Query::DataUsage {
            page,
            limit: Query::USAGE_PAGE_SIZE,
        },
        Part::Balance => Query::Balance,
    }
}

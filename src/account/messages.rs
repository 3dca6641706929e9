//! The messages between the actors of an account. Data flows in one direction; replies are acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use secrecy::SecretString;

use super::metrics::AccountMetrics;
use crate::inventory::Inventory;
use crate::starlink::TokenError;
use crate::telemetry::{Batch, Metadata, Schema};

/// Asks the TokenActor for a token. Concurrent callers share one request.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<IssuedToken, TokenRefused>")]
pub struct GetToken {
    /// A token that must not be used again.
    pub instead_of: Option<Renewal>,
}

/// Why a token must be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The number of the token. If it has been renewed meanwhile, it is not renewed again.
    pub serial: u64,
    /// Whether Starlink refused it (401), so that it must not be used even if no new one is issued.
    pub discard: bool,
}

/// A token for polls.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The number of the token, counted from 1 since the start of the account.
    pub serial: u64,
    /// The token.
    pub bearer: SecretString,
}

/// No access token is available at the moment. All waiting callers get the same error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no access token")]
pub struct TokenRefused {
    /// Why the last request failed.
    #[source]
    pub error: Arc<TokenError>,
    /// The wait before a token is requested again, as logged.
    pub retry_in: Duration,
}

/// Asks the MetadataActor for the meaning of the columns and codes of an answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Arc<Schema>")]
pub struct Resolve(pub Arc<Metadata>);

/// Ends the polls of a StreamActor. Acknowledged when the answer that is arriving, if any, is stored.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Drain {
    /// Whether a poll that Starlink has not begun to answer is aborted. If not, the acknowledgement comes after its answer is stored. An
    /// attempt that has not sent its poll is aborted in any case.
    pub cuts: bool,
}

/// Announces an account to the MetricsStoreActor, before its first batch.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct AddAccount {
    /// The account's name.
    pub name: Arc<str>,
    /// Where the rows of its batches are counted.
    pub metrics: Arc<AccountMetrics>,
}

/// Gives the MetricsStoreActor what Starlink's management API says about an account.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct OfferInventory {
    /// The account's name.
    pub account: Arc<str>,
    /// What is known; `None` removes it.
    pub inventory: Option<Arc<Inventory>>,
}

/// Gives the MetricsStoreActor the last values of an account's terminals, which are not current.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct OfferLastKnown {
    /// The account's name.
    pub account: Arc<str>,
    /// The values, in the form of a batch of the stream.
    pub batch: Arc<Batch>,
}

/// Tells the MetricsStoreActor that an account is no longer configured, after its last batch.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RemoveAccount {
    /// The account's name.
    pub name: Arc<str>,
}

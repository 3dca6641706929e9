//! The messages between the actors of an account. Data flows in one direction; replies are acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use secrecy::SecretString;

use super::metrics::AccountMetrics;
use crate::starlink::TokenError;
use crate::telemetry::{Metadata, Schema};

/// Asks the TokenActor for a token. Many may ask at once; they share one request.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<IssuedToken, TokenRefused>")]
pub struct GetToken {
    /// A token that no longer serves.
    pub instead_of: Option<Renewal>,
}

/// Why a token must be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Which token it is: one that was renewed since is not renewed again.
    pub serial: u64,
    /// Whether Starlink refused it (401), so that it must not be used even if no new one can be had.
    pub discard: bool,
}

/// A token that may be used.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// Counts the tokens of this process.
    pub serial: u64,
    /// The token.
    pub bearer: SecretString,
}

/// No access token is available at the moment. All that asked share the error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no access token")]
pub struct TokenRefused {
    /// Why the last request gave none.
    #[source]
    pub error: Arc<TokenError>,
    /// When to ask for a token again: the log names this time.
    pub retry_in: Duration,
}

/// Asks the MetadataActor what the columns and codes of an answer mean.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Arc<Schema>")]
pub struct Resolve(pub Arc<Metadata>);

/// Tells a StreamActor to poll no more. Acknowledged when the answer that is arriving, if any, is stored.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Drain {
    /// Whether a poll that Starlink has not begun to answer is cut. If not, the acknowledgement comes after its answer.
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

/// Tells the MetricsStoreActor that an account is no longer configured, after its last batch.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RemoveAccount {
    /// The account's name.
    pub name: Arc<str>,
}

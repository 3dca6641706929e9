//! The messages that only the store takes.

use std::sync::Arc;

use actix::Message;

use crate::account::AccountMetrics;
use crate::fleet::Frozen;

/// Announces an account to the MetricsStoreActor, before its first batch.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct AddAccount {
    /// The account's name.
    pub name: Arc<str>,
    /// The metrics of the account.
    pub metrics: Arc<AccountMetrics>,
}

/// Requests the serialised fleet for the state file.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Frozen")]
pub struct Freeze;

//! The rows that were left out since a row was last stored, for the page and the API.

use std::time::Duration;

use crate::fleet::LeftOut;

/// Rows that were left out since a row was last stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstored {
    /// Their number, by reason.
    pub rows: LeftOut,
    /// When the first of them arrived, measured by the time that the process ran.
    pub since: Duration,
    /// Whether no row has ever been stored.
    pub is_first: bool,
}

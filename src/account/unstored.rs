//! Answers whose rows were all left out, for the page and the API.

use std::time::Duration;

use crate::fleet::LeftOut;

/// Rows that were left out since a row was last stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstored {
    /// How many, and why.
    pub rows: LeftOut,
    /// When the first of them came, by the time that the process ran.
    pub since: Duration,
    /// Whether no row has been stored before.
    pub is_first: bool,
}

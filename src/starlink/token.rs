//! An access token as Starlink issues it.

use secrecy::SecretString;
use std::time::Duration;

/// An access token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The value of the header Authorization after `Bearer`.
    pub bearer: SecretString,
    /// How long it is valid: from 1 s to a day.
    pub lifetime: Duration,
}

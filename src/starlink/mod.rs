//! The client of Starlink's API: token requests, polls, and requests of the management API. The only module that uses awc.
//!
//! Each call is one request (or one for each token URL): nothing here retries, follows redirects, logs or stores a token. The
//! caller decides what a failure means; each error has a reason for the metrics.

mod client;
mod error;
mod query;
mod token;
mod wire;

pub use client::{BETWEEN_TOKEN_REQUESTS, Client, ClientOptions, Timeouts};
pub use error::{
    BodyError, CallError, ErrorResponse, PollError, PollFailure, Stage, TokenError, TokenFailure,
};
pub use query::Query;
pub use token::Token;

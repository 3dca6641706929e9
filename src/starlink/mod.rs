//! Starlink's API from the client's side: tokens and polls. The only code that uses awc.
//!
//! A call is made once: nothing here retries, follows redirects, logs or keeps a token. Who calls
//! decides what a failure means; every error knows its reason for the metrics.

mod client;
mod error;
mod wire;

pub use client::{BETWEEN_TOKEN_REQUESTS, Client, ClientOptions, Timeouts, Token};
pub use error::{
    BodyError, CallError, ErrorAnswer, PollError, PollFailure, Stage, TokenError, TokenFailure,
};

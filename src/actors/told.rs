//! Failures of polls and token requests in words: what Starlink said, and what an operator can do about it.

use super::attempt::AttemptError;
use crate::self_metrics::Told;
use crate::starlink::{CallError, PollError, PollFailure, TokenError, TokenFailure};
use crate::text::with_sources;

/// A failed attempt to poll.
pub(super) fn attempt(error: &AttemptError) -> Told {
    match error {
        AttemptError::Token(refused) => token(&refused.error),
        AttemptError::Poll(PollError::Call(call)) => {
            Told::new(&call_failed(call), remedy(error.reason()))
        }
        AttemptError::Decode(error) => {
            let message = format!(
                "Starlink's answer cannot be decoded: {}",
                with_sources(error)
            );
            Told::new(&message, None)
        }
        AttemptError::Panicked(_)
        | AttemptError::Poll(PollError::Token)
        | AttemptError::TokenActor(_)
        | AttemptError::Metadata
        | AttemptError::Store => {
            let message = format!("Polling failed: {}", with_sources(error));
            Told::new(&message, None)
        }
    }
}

/// A failed request for a token.
pub(super) fn token(error: &TokenError) -> Told {
    let message = match (error, error.answer()) {
        (_, Some(answer)) if error.reason() == TokenFailure::Refused => {
            let answer = answer.to_string();
            format!("Starlink rejected the credentials ({answer})")
        }
        (TokenError::Call(call), _) => format!("No access token: {}", call_failed(call)),
        (TokenError::Malformed(what), _) => {
            format!("No access token: Starlink's answer holds none: {what}")
        }
    };
    let remedy = match error.reason() {
        TokenFailure::Refused => Some("Check CLIENT_ID and CLIENT_SECRET."),
        TokenFailure::NotFound => Some("Check API_URL and TOKEN_URL."),
        TokenFailure::Connect => Some(CHECK_NETWORK),
        TokenFailure::Status
        | TokenFailure::Disconnected
        | TokenFailure::Timeout
        | TokenFailure::Malformed => None,
    };
    Told::new(&message, remedy)
}

const CHECK_NETWORK: &str = "Check DNS, network, firewall and HTTPS_PROXY.";

const fn remedy(reason: PollFailure) -> Option<&'static str> {
    match reason {
        PollFailure::Forbidden => {
            Some("The service account needs the permission \"Device telemetry, View\".")
        }
        PollFailure::NotFound => Some("If this lasts, check API_URL."),
        PollFailure::RateLimited => {
            Some("All programs that use the Starlink account share its rate limit.")
        }
        PollFailure::Connect => Some(CHECK_NETWORK),
        _ => None,
    }
}

/// A call that failed, without a full stop.
fn call_failed(error: &CallError) -> String {
    match error {
        CallError::Status(answer) if answer.message.is_empty() => {
            format!("Starlink answered {}", answer.status)
        }
        CallError::Status(answer) => {
            format!("Starlink answered {} ({})", answer.status, answer.message)
        }
        CallError::Connect(source) => {
            format!("Cannot reach Starlink: {}", with_sources(&**source))
        }
        CallError::Disconnected(source) => {
            format!(
                "The connection to Starlink was lost: {}",
                with_sources(&**source)
            )
        }
        CallError::Timeout(stage) => {
            format!("Starlink did not answer in time: timed out while waiting for {stage}")
        }
        CallError::Body(error) => {
            format!("Starlink's answer cannot be read: {}", with_sources(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::messages::TokenRefused;
    use super::*;
    use crate::starlink::{ErrorAnswer, Stage};

    fn answered(status: u16, message: &str) -> CallError {
        CallError::Status(ErrorAnswer {
            status,
            message: message.to_owned(),
            is_oauth: false,
            retry_after: None,
        })
    }

    #[test]
    fn a_failed_poll_is_told_with_its_remedy() {
        for (error, expected) in [
            (
                answered(503, "upstream is down"),
                "Starlink answered 503 (upstream is down).",
            ),
            (
                answered(403, "no"),
                "Starlink answered 403 (no). The service account needs the permission \"Device telemetry, View\".",
            ),
            (
                answered(404, ""),
                "Starlink answered 404. If this lasts, check API_URL.",
            ),
            (
                CallError::Connect("no route to host".into()),
                "Cannot reach Starlink: no route to host. Check DNS, network, firewall and HTTPS_PROXY.",
            ),
            (
                CallError::Timeout(Stage::Head),
                "Starlink did not answer in time: timed out while waiting for the head of the answer.",
            ),
        ] {
            let told = attempt(&AttemptError::Poll(error.into()));
            assert_eq!(told.to_string(), expected);
        }
    }

    #[test]
    fn a_failed_token_request_is_told_with_its_remedy() {
        for (error, expected) in [
            (
                answered(401, "invalid_client").into(),
                "Starlink rejected the credentials (status 401: invalid_client). Check CLIENT_ID and CLIENT_SECRET.",
            ),
            (
                answered(502, "busy").into(),
                "No access token: Starlink answered 502 (busy).",
            ),
            (
                TokenError::Malformed("it is empty"),
                "No access token: Starlink's answer holds none: it is empty.",
            ),
        ] {
            let error = TokenRefused {
                error: Arc::new(error),
                retry_in: Duration::ZERO,
            };
            assert_eq!(attempt(&AttemptError::Token(error)).to_string(), expected);
        }
    }
}

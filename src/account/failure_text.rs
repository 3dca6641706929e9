//! Failures of polls and token requests as text: Starlink's response, and the remedy.

use super::attempt::AttemptError;
use super::failure_report::FailureReport;
use crate::starlink::{CallError, PollError, PollFailure, TokenError, TokenFailure};
use crate::telemetry::DecodeError;
use crate::text::with_sources;

/// A failed attempt to poll.
pub(super) fn attempt(error: &AttemptError) -> FailureReport {
    match error {
        AttemptError::Token(refused) => token(&refused.error),
        AttemptError::Poll(PollError::Call(call)) => {
            FailureReport::new(&call_failed(call), remedy(error.reason()))
        }
        AttemptError::Decode(error) => {
            let message = format!(
                "Starlink's answer cannot be decoded: {}",
                with_sources(error)
            );
            let is_other = match error {
                DecodeError::WebPage | DecodeError::Missing(_) => true,
                // An answer of Starlink begins differently.
                DecodeError::Json(error) => error.at == 0,
                DecodeError::Repeated(_) | DecodeError::TooLong(_) => false,
            };
            FailureReport::new(&message, is_other.then_some(CHECK_ANSWERER))
        }
        AttemptError::Panicked(_)
        | AttemptError::Poll(PollError::Token)
        | AttemptError::TokenActor(_)
        | AttemptError::Metadata
        | AttemptError::Store => {
            let message = format!("Polling failed: {}", with_sources(error));
            FailureReport::new(&message, None)
        }
    }
}

/// A failed request for a token.
pub(super) fn token(error: &TokenError) -> FailureReport {
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
        TokenFailure::Malformed => Some(CHECK_TOKEN_ANSWERER),
        TokenFailure::Status => error
            .answer()
            .and_then(|answer| token_remedy(answer.status)),
        TokenFailure::Disconnected | TokenFailure::Timeout => None,
    };
    FailureReport::new(&message, remedy)
}

const CHECK_NETWORK: &str = "Check DNS, network, firewall and HTTPS_PROXY.";

const CHECK_ANSWERER: &str =
    "A proxy or a login portal may have answered instead of Starlink: check these, and API_URL.";

const CHECK_TOKEN_ANSWERER: &str = "A proxy or a login portal may have answered instead of Starlink: check these, and API_URL and TOKEN_URL.";

const SHARED_LIMIT: &str = "All programs that use the Starlink account share its rate limit.";

/// What can be done about an answer to a request for a token that says nothing about the credentials.
const fn token_remedy(status: u16) -> Option<&'static str> {
    match status {
        300..400 => Some(
            "Redirects are not followed. Check API_URL and TOKEN_URL, and whether a proxy or a login portal answers.",
        ),
        429 => Some(SHARED_LIMIT),
        _ => None,
    }
}

const fn remedy(reason: PollFailure) -> Option<&'static str> {
    match reason {
        PollFailure::Forbidden => {
            Some("The service account needs the permission \"Device telemetry, View\".")
        }
        PollFailure::NotFound => Some("If this lasts, check API_URL."),
        PollFailure::Unauthorized => Some(
            "If this lasts, Starlink refuses a token that it has issued: check that API_URL and TOKEN_URL belong together, and that the service account is enabled.",
        ),
        PollFailure::Redirect => Some(
            "Redirects are not followed. Check API_URL, and whether a proxy or a login portal answers.",
        ),
        PollFailure::RateLimited => Some(SHARED_LIMIT),
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
    use crate::starlink::{ErrorResponse, Stage};

    fn answered(status: u16, message: &str) -> CallError {
        CallError::Status(ErrorResponse {
            status,
            message: message.to_owned(),
            is_oauth: false,
            retry_after: None,
        })
    }

    #[test]
    fn a_failed_poll_is_reported_with_its_remedy() {
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
                answered(401, "no"),
                "Starlink answered 401 (no). If this lasts, Starlink refuses a token that it has issued: check that API_URL and TOKEN_URL belong together, and that the service account is enabled.",
            ),
            (
                answered(302, "redirect to https://portal.example"),
                "Starlink answered 302 (redirect to https://portal.example). Redirects are not followed. Check API_URL, and whether a proxy or a login portal answers.",
            ),
            (
                answered(429, ""),
                "Starlink answered 429. All programs that use the Starlink account share its rate limit.",
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
            let report = attempt(&AttemptError::Poll(error.into()));
            assert_eq!(report.to_string(), expected);
        }
    }

    #[test]
    fn a_foreign_answer_is_reported_with_its_likely_sender() {
        for (body, message, is_other) in [
            (
                "\n<!DOCTYPE html>",
                "the answer looks like a web page",
                true,
            ),
            ("oops", "expected '{' at byte 0", true),
            ("{}", "the answer has no member `data`", true),
            (
                r#"{"data":{"values":["#,
                "expected a value at byte 19",
                false,
            ),
        ] {
            let error = crate::telemetry::decode(body.into()).unwrap_err();
            let report = attempt(&error.into());
            assert!(report.message.contains(message), "{report}");
            assert_eq!(report.remedy.is_some(), is_other, "{report}");
        }
    }

    #[test]
    fn a_failed_token_request_is_reported_with_its_remedy() {
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
                "No access token: Starlink's answer holds none: it is empty. A proxy or a login portal may have answered instead of Starlink: check these, and API_URL and TOKEN_URL.",
            ),
            (
                answered(302, "").into(),
                "No access token: Starlink answered 302. Redirects are not followed. Check API_URL and TOKEN_URL, and whether a proxy or a login portal answers.",
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

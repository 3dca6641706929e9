//! Failures of polls and token requests as text: Starlink's response, and the remedy.

use super::attempt::AttemptError;
use super::failure_report::FailureReport;
use crate::config::Origin;
use crate::starlink::{CallError, PollError, PollFailure, TokenError, TokenFailure};
use crate::telemetry::DecodeError;
use crate::text::with_sources;

/// A failed attempt to poll. `origin` names the settings to change.
pub(super) fn attempt(error: &AttemptError, origin: &Origin) -> FailureReport {
    match error {
        AttemptError::Token(refused) => token(&refused.error, origin),
        AttemptError::Poll(PollError::Call(call)) => {
            FailureReport::new(&call_failed(call), poll_remedy(error.reason(), origin))
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
            let remedy = is_other.then(|| check_answerer(&origin.api_url()));
            FailureReport::new(&message, remedy)
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

/// A failed request for a token. `origin` names the settings to change.
pub(super) fn token(error: &TokenError, origin: &Origin) -> FailureReport {
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
    let status = error.answer().map(|answer| answer.status);
    FailureReport::new(&message, token_remedy(error.reason(), status, origin))
}

const CHECK_NETWORK: &str = "Check DNS, network, firewall and HTTPS_PROXY.";

/// For an answer that another server than Starlink's seems to have sent.
fn check_answerer(urls: &str) -> String {
    format!(
        "A proxy or a login portal may have answered instead of Starlink: check these, and {urls}."
    )
}

fn check_redirect(urls: &str) -> String {
    format!(
        "Redirects are not followed. Check {urls}, and whether a proxy or a login portal answers."
    )
}

fn token_remedy(reason: TokenFailure, status: Option<u16>, origin: &Origin) -> Option<String> {
    match (reason, status) {
        (TokenFailure::Refused, _) => Some(format!("Check {}.", origin.credentials())),
        (TokenFailure::NotFound, _) => Some(format!("Check {}.", origin.urls())),
        (TokenFailure::Connect, _) => Some(CHECK_NETWORK.to_owned()),
        (TokenFailure::Malformed, _) => Some(check_answerer(&origin.urls())),
        (TokenFailure::Status, Some(300..400)) => Some(check_redirect(&origin.urls())),
        (TokenFailure::Status, Some(429)) => Some(
            "Starlink limits token requests by IP address: all programs behind the address share the limit."
                .to_owned(),
        ),
        (TokenFailure::Status | TokenFailure::Disconnected | TokenFailure::Timeout, _) => None,
    }
}

fn poll_remedy(reason: PollFailure, origin: &Origin) -> Option<String> {
    Some(match reason {
        PollFailure::Forbidden => {
            "The service account needs the permission \"Device telemetry, View\".".to_owned()
        }
        PollFailure::NotFound => format!("If this lasts, check {}.", origin.api_url()),
        PollFailure::Unauthorized => format!(
            "If this lasts, Starlink refuses a token that it has issued: check that {} belong together, and that the service account is enabled.",
            origin.urls()
        ),
        PollFailure::Redirect => check_redirect(&origin.api_url()),
        PollFailure::RateLimited => format!(
            "All programs that use the Starlink account share its rate limit: stop or slow down the others, or lower {}.",
            origin.polls_per_minute()
        ),
        PollFailure::Connect => CHECK_NETWORK.to_owned(),
        _ => return None,
    })
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

    /// An account that the variables describe.
    const VARIABLES: Origin = Origin::variables(false, false);

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
                "Starlink answered 429. All programs that use the Starlink account share its rate limit: stop or slow down the others, or lower POLLS_PER_MINUTE.",
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
            let report = attempt(&AttemptError::Poll(error.into()), &VARIABLES);
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
            let report = attempt(&error.into(), &VARIABLES);
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
                answered(429, "slow down").into(),
                "No access token: Starlink answered 429 (slow down). Starlink limits token requests by IP address: all programs behind the address share the limit.",
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
            let report = attempt(&AttemptError::Token(error), &VARIABLES);
            assert_eq!(report.to_string(), expected);
        }
    }

    #[test]
    fn remedies_name_the_settings_of_the_account() {
        let in_file = Origin::entry("b".into(), |key| key != "polls_per_minute");
        let poll = |error: CallError| AttemptError::Poll(error.into());
        let token = |error: TokenError| {
            AttemptError::Token(TokenRefused {
                error: Arc::new(error),
                retry_in: Duration::ZERO,
            })
        };
        let urls = "api_url and token_url of account b in ACCOUNTS_FILE";
        for (error, variables, entry) in [
            (
                token(answered(401, "invalid_client").into()),
                "Check CLIENT_ID and CLIENT_SECRET.",
                "Check client_id_file and client_secret_file of account b in ACCOUNTS_FILE.".to_owned(),
            ),
            (
                token(answered(404, "").into()),
                "Check API_URL and TOKEN_URL.",
                format!("Check {urls}."),
            ),
            (
                token(answered(302, "").into()),
                "Redirects are not followed. Check API_URL and TOKEN_URL, and whether a proxy or a login portal answers.",
                format!("Redirects are not followed. Check {urls}, and whether a proxy or a login portal answers."),
            ),
            (
                token(TokenError::Malformed("it is empty")),
                "A proxy or a login portal may have answered instead of Starlink: check these, and API_URL and TOKEN_URL.",
                format!("A proxy or a login portal may have answered instead of Starlink: check these, and {urls}."),
            ),
            (
                poll(answered(401, "")),
                "If this lasts, Starlink refuses a token that it has issued: check that API_URL and TOKEN_URL belong together, and that the service account is enabled.",
                format!("If this lasts, Starlink refuses a token that it has issued: check that {urls} belong together, and that the service account is enabled."),
            ),
            (
                poll(answered(404, "")),
                "If this lasts, check API_URL.",
                "If this lasts, check api_url of account b in ACCOUNTS_FILE.".to_owned(),
            ),
            (
                poll(answered(302, "")),
                "Redirects are not followed. Check API_URL, and whether a proxy or a login portal answers.",
                "Redirects are not followed. Check api_url of account b in ACCOUNTS_FILE, and whether a proxy or a login portal answers.".to_owned(),
            ),
            (
                poll(answered(429, "")),
                "All programs that use the Starlink account share its rate limit: stop or slow down the others, or lower POLLS_PER_MINUTE.",
                "All programs that use the Starlink account share its rate limit: stop or slow down the others, or lower POLLS_PER_MINUTE.".to_owned(),
            ),
            (
                crate::telemetry::decode("oops".into()).unwrap_err().into(),
                "A proxy or a login portal may have answered instead of Starlink: check these, and API_URL.",
                "A proxy or a login portal may have answered instead of Starlink: check these, and api_url of account b in ACCOUNTS_FILE.".to_owned(),
            ),
        ] {
            let remedy = |origin: &Origin| attempt(&error, origin).remedy.unwrap();
            assert_eq!(remedy(&VARIABLES), variables);
            assert_eq!(remedy(&in_file), entry);
        }
    }
}

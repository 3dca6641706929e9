//! Tests of the metrics while polls or token requests fail: only the right reason is counted, and no metric reports success.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{Answer, Simulator};
use starlink_telemetry::starlink::Timeouts;

use super::observed;
use crate::form::{Body, poll_failures};
use crate::harness::{Service, UP, eventually, scripted_simulator};

const TOKEN_FAILURES: &str = "starlink_exporter_token_request_failures_total";

/// Starts a service and waits until a poll has failed for `reason`. Returns the scrape, after checking that no other reason was counted.
async fn fails_as(
    reason: &str,
    simulator: &Simulator,
    changes: &[(&str, &str)],
    timeouts: Timeouts,
) -> Body {
    let tuning = Tuning {
        timeouts,
        ..Tuning::default()
    };
    let service = Service::tuned(simulator, changes, tuning).await;
    let failed = poll_failures(reason);
    eventually(&failed, || async {
        service.scrape().await.value(&failed) > Some(0.0)
    })
    .await;
    let body = service.scrape().await;
    let failures = body.poll_failures();
    assert_eq!(failures.keys().collect::<Vec<_>>(), [reason]);
    assert!(
        body.value(r#"starlink_exporter_polls_total{account="default"}"#) >= Some(failures[reason])
    );
    assert_eq!(body.value(UP), Some(0.0), "{reason}");
    body
}

/// An answer that is sent later than the end of any test.
fn never() -> Answer {
    Answer::ordinary().delay(Duration::from_secs(600))
}

/// A time-out short enough for a test.
const SHORT: Duration = Duration::from_millis(300);

/// The other reasons are tested in `tests/it/failures.rs`.
#[actix_rt::test]
async fn failed_polls_are_counted_and_measured_and_are_not_token_failures() {
    let usual = Timeouts::default();
    let short = Timeouts {
        beyond_linger: SHORT,
        ..usual
    };
    let cases = [
        ("unauthorized", Answer::error(401, "no"), usual),
        ("client_error", Answer::error(418, "no"), usual),
        ("server_error", Answer::error(503, "no"), usual),
        ("disconnected", Answer::closed(), usual),
        ("timeout", never(), short),
        ("decode", Answer::html(), usual),
    ];
    join_all(cases.map(|(reason, answer, timeouts)| async move {
        let simulator = scripted_simulator();
        simulator.set_default_answer(Some(answer));
        let body = fails_as(reason, &simulator, &[], timeouts).await;
        let polls = observed(&body, "starlink_exporter_poll_duration_seconds");
        assert!(polls >= 1.0, "{reason}");
        assert_eq!(body.moved(TOKEN_FAILURES), BTreeMap::new(), "{reason}");
        let success = r#"starlink_exporter_last_poll_success_timestamp_seconds{account="default"}"#;
        assert_eq!(body.value(success), None, "{reason}");
    }))
    .await;
}

#[actix_rt::test]
async fn a_poll_that_cannot_connect_is_counted_with_that_reason() {
    // One simulator issues tokens; the one of the stream accepts no connections.
    let simulator = scripted_simulator();
    let gone = scripted_simulator();
    gone.unplug();
    let token_url = format!("{}/auth/connect/token", simulator.api_url());
    let api_url = gone.api_url();
    let changes = [("API_URL", api_url.as_str()), ("TOKEN_URL", &token_url)];
    fails_as("connect", &simulator, &changes, Timeouts::default()).await;
}

#[actix_rt::test]
async fn failed_requests_for_a_token_are_counted_by_their_reason() {
    let usual = Timeouts::default();
    let short = Timeouts {
        token: SHORT,
        ..usual
    };
    let refusal = Answer::token_error("invalid_client");
    let cases = [
        ("refused", Some(refusal), usual),
        ("refused", Some(Answer::error(401, "no")), usual),
        ("not_found", Some(Answer::error(404, "no")), usual),
        ("status", Some(Answer::error(503, "no")), usual),
        ("disconnected", Some(Answer::closed()), usual),
        ("timeout", Some(never()), short),
        ("malformed", Some(Answer::html()), usual),
        ("malformed", Some(Answer::text("{}")), usual),
        ("connect", None, usual),
    ];
    join_all(cases.map(|(reason, answer, timeouts)| async move {
        let simulator = scripted_simulator();
        match answer {
            Some(_) => simulator.set_default_token_answer(answer),
            None => simulator.unplug(),
        }
        let body = fails_as("token", &simulator, &[], timeouts).await;
        let failed = body.moved(TOKEN_FAILURES);
        assert_eq!(failed.keys().collect::<Vec<_>>(), [reason]);
        let requests = body.value(r#"starlink_exporter_token_requests_total{account="default"}"#);
        assert!(requests >= Some(failed[reason]), "{reason}: {requests:?}");
        let polls = observed(&body, "starlink_exporter_poll_duration_seconds");
        assert_eq!(polls, 0.0, "{reason}: no poll was made");
        let expiry = r#"starlink_exporter_token_expiry_timestamp_seconds{account="default"}"#;
        assert_eq!(body.value(expiry), None, "{reason}");
    }))
    .await;
}

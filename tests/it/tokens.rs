//! Tests of the token: one request for concurrent callers, renewal in time, and use of the old token after a failed renewal.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use starlink_telemetry::account::messages::GetToken;
use starlink_telemetry::simulator::{Answer, Journal, Options, Simulator};

use crate::binary::{Binary, run};
use crate::harness::{Service, UP, environment, eventually, journal, scripted_simulator, shows};

const PUBLIC_PATH: &str = "/api/public/auth/connect/token";
const PLAIN_PATH: &str = "/api/auth/connect/token";

const TOKEN_FAILURES: &str = "starlink_exporter_token_request_failures_total";

fn failed(reason: &str) -> String {
    format!(
        r#"starlink_exporter_token_request_failures_total{{account="default",reason="{reason}"}}"#
    )
}

/// Requests for a token are at least a second apart.
fn assert_apart(journal: &Journal) {
    for pair in journal.token_requests.windows(2) {
        let apart = pair[1].at.duration_since(pair[0].at);
        // Requests are recorded before they are answered. The resolution of the clocks is a millisecond.
        assert!(apart >= Duration::from_millis(950), "{pair:?}");
    }
}

fn paths(journal: &Journal) -> Vec<&str> {
    let requests = journal.token_requests.iter();
    requests.map(|request| request.path.as_str()).collect()
}

#[actix_rt::test]
async fn concurrent_callers_share_one_token_request() {
    let simulator = scripted_simulator();
    simulator.push_token_answer(Answer::ordinary().delay(Duration::from_millis(500)));
    let service = Service::start(&simulator, &[]).await;
    let ask = |_| service.account.token.send(GetToken { instead_of: None });
    let answers = join_all((0..100).map(ask)).await;
    for answer in answers {
        assert_eq!(answer.unwrap().unwrap().serial, 1);
    }
    service.shows(UP, 1.0).await;
    assert_eq!(simulator.journal().token_requests.len(), 1);
    let requests = r#"starlink_exporter_token_requests_total{account="default"}"#;
    assert_eq!(service.scrape().await.value(requests), Some(1.0));
}

#[actix_rt::test]
async fn a_token_is_renewed_after_four_fifths_of_its_lifetime() {
    let simulator = Simulator::start(Options {
        token_lifetime: Duration::from_secs(5),
        ..Options::default()
    })
    .unwrap();
    let _service = Service::start(&simulator, &[]).await;
    let renewed = |seen: &Journal| {
        let mut polls = seen.polls.iter();
        polls.any(|poll| poll.token_serial == Some(2))
    };
    let journal = journal(&simulator, "a poll with the second token", renewed).await;
    let [first, second] = &journal.token_requests[..] else {
        panic!("{:?}", journal.token_requests);
    };
    let age = second.at.duration_since(first.at);
    assert!(age >= Duration::from_secs(4), "{age:?}");
    assert_eq!(journal.polls_answered_with(401), 0, "never too late");
}

#[actix_rt::test]
async fn a_renewal_respects_retry_after() {
    // The announced lifetime causes a renewal at once; the token is valid for longer and is used meanwhile.
    let simulator = scripted_simulator();
    let short = format!(
        r#"{{"access_token":"{}","expires_in":1}}"#,
        simulator.issue_token()
    );
    simulator.push_token_answer(Answer::text(short));
    simulator.push_token_answer(Answer::too_many_requests("3"));
    let _service = Service::start(&simulator, &[]).await;
    let asked_again = |seen: &Journal| seen.token_requests.len() == 3;
    let journal = journal(&simulator, "a third request", asked_again).await;
    let [_, refused, third] = &journal.token_requests[..] else {
        panic!("{:?}", journal.token_requests);
    };
    let pause = third.at.duration_since(refused.at);
    assert!(pause >= Duration::from_secs(3), "{pause:?}");
}

/// The next request is made when the log says.
#[actix_rt::test]
async fn a_failed_token_request_is_logged_with_the_time_until_the_next_one() {
    let simulator = scripted_simulator();
    simulator.push_token_answer(Answer::too_many_requests("3"));
    let url = format!("http://{}{PUBLIC_PATH}", simulator.address());
    let (binary, address) = Binary::listening(&simulator, &[("TOKEN_URL", &url)]).await;
    shows(address, UP, 1.0).await;
    let failed = "token request failed: retrying";
    binary.logs(failed).await;
    let events = binary.events_saying(failed);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].value("retry_in_seconds"), Some(&3.into()));
    let requests = simulator.journal().token_requests;
    let pause = requests[1].at.duration_since(requests[0].at);
    assert!(pause >= Duration::from_secs(3), "{pause:?}");
}

/// Polls that fail meanwhile cause no earlier request, because the old token is valid.
#[actix_rt::test]
async fn a_failed_renewal_is_not_repeated_before_its_time() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    service.shows(UP, 1.0).await;
    simulator.push_token_answer(Answer::too_many_requests("5"));
    for _ in 0..3 {
        simulator.push_answer(Answer::error(500, "a fault"));
    }
    let asked_again = |seen: &Journal| seen.token_requests.len() == 3;
    let journal = journal(&simulator, "a third request", asked_again).await;
    let [_, refused, third] = &journal.token_requests[..] else {
        panic!("{:?}", journal.token_requests);
    };
    let pause = third.at.duration_since(refused.at);
    assert!(pause >= Duration::from_secs(5), "{pause:?}");
}

#[actix_rt::test]
async fn after_every_status_but_200_the_token_is_renewed_before_the_next_poll_at_most_once_a_second()
 {
    let statuses = [302, 400, 401, 403, 404, 409, 422, 429, 500, 503];
    join_all(statuses.map(|status| async move {
        let simulator = scripted_simulator();
        simulator.push_answer(Answer::error(status, "no"));
        let service = Service::start(&simulator, &[]).await;
        service.shows(UP, 1.0).await;
        let journal = simulator.journal();
        let used: Vec<_> = journal.polls[..2]
            .iter()
            .map(|poll| (poll.status, poll.token_serial))
            .collect();
        let expected = [(Some(status), Some(1)), (Some(200), Some(2))];
        assert_eq!(used, expected);
        assert_eq!(journal.token_requests.len(), 2, "{status}");
        assert_apart(&journal);
    }))
    .await;
}

#[actix_rt::test]
async fn the_old_token_is_used_until_a_new_one_is_issued() {
    let outages = [
        (Answer::error(500, "down"), "status"),
        (Answer::closed(), "disconnected"),
        (Answer::html(), "malformed"),
        (Answer::token_error("invalid_client"), "refused"),
    ];
    join_all(outages.map(|(outage, reason)| async move {
        let simulator = scripted_simulator();
        let service = Service::start(&simulator, &[]).await;
        service.shows(UP, 1.0).await;
        simulator.set_default_token_answer(Some(outage));
        simulator.push_answer(Answer::error(500, "a fault"));
        eventually("the renewal fails", || async {
            service.scrape().await.value(&failed(reason)) >= Some(1.0)
        })
        .await;
        service.shows(UP, 1.0).await;
        let index = journal(&simulator, "the fault", |seen| {
            seen.polls_answered_with(500) == 1
        })
        .await
        .polls
        .iter()
        .position(|poll| poll.status == Some(500))
        .unwrap();
        let seen = journal(&simulator, "two more", |seen| seen.polls.len() > index + 2).await;
        for poll in &seen.polls[index + 1..] {
            assert_eq!(poll.token_serial, Some(1), "{reason}");
        }

        simulator.set_default_token_answer(None);
        let renewed = |seen: &Journal| seen.polls.iter().any(|poll| poll.token_serial == Some(2));
        let journal = journal(&simulator, "the successor is used", renewed).await;
        assert_apart(&journal);
    }))
    .await;
}

/// Until a token was issued, any failure of the first URL leads to the second.
#[actix_rt::test]
async fn the_second_token_url_is_tried_and_kept() {
    let refusals = [
        None,
        Some(Answer::error(405, "not here")),
        Some(Answer::token_error("invalid_client")),
        Some(Answer::token_error("unauthorized_client").status(401)),
        Some(Answer::error(403, "no")),
        Some(Answer::too_many_requests("1")),
        Some(Answer::error(500, "down")),
        Some(Answer::html().status(502)),
        Some(Answer::html()),
        Some(Answer::text("{}")),
    ];
    join_all(refusals.map(|answer| async move {
        let simulator = scripted_simulator();
        match answer {
            Some(answer) => simulator.push_token_answer(answer),
            None => simulator.set_public_token_path(false),
        }
        let service = Service::start(&simulator, &[]).await;
        service.shows(UP, 1.0).await;
        simulator.set_public_token_path(true);
        simulator.revoke_tokens();
        let third = |seen: &Journal| seen.token_requests.len() >= 3;
        let journal = journal(&simulator, "a third request", third).await;
        assert_eq!(paths(&journal), [PUBLIC_PATH, PLAIN_PATH, PLAIN_PATH]);
        assert_apart(&journal);
        service.shows(UP, 1.0).await;
        let failures = service.scrape().await.moved(TOKEN_FAILURES);
        assert!(failures.is_empty(), "a token was issued: {failures:?}");
    }))
    .await;
}

/// A failing connection does not mean that the URL is wrong.
#[actix_rt::test]
async fn the_second_token_url_is_tried_only_after_a_response_of_the_first() {
    let simulator = scripted_simulator();
    simulator.push_token_answer(Answer::closed());
    let service = Service::start(&simulator, &[]).await;
    service.shows(UP, 1.0).await;
    assert_eq!(paths(&simulator.journal()), [PUBLIC_PATH; 2]);
}

/// Of two failures the one of a real token endpoint is logged.
#[actix_rt::test]
async fn of_two_refusals_the_oauth_error_is_reported() {
    let oauth = || Answer::token_error("invalid_client");
    for (first, second, expected) in [
        (oauth(), Answer::error(404, "no page"), "invalid_client"),
        (Answer::html().status(403), oauth(), "invalid_client"),
        (Answer::error(503, "maintenance"), oauth(), "invalid_client"),
        (
            Answer::error(404, "no page"),
            Answer::error(503, "maintenance"),
            "maintenance",
        ),
        (
            Answer::error(503, "maintenance"),
            Answer::error(404, "no page"),
            "maintenance",
        ),
        (
            Answer::token_error("first"),
            Answer::token_error("second"),
            "status 400: first",
        ),
    ] {
        let simulator = scripted_simulator();
        simulator.push_token_answer(first);
        simulator.push_token_answer(second);
        let settings = environment(&simulator, &[]);
        let (code, _, errors) = run(&["check-config", "--connect"], settings).await;
        assert_eq!(code, 1, "{errors}");
        assert!(errors.contains(expected), "{expected}: {errors}");
        assert_eq!(paths(&simulator.journal()), [PUBLIC_PATH, PLAIN_PATH]);
    }
}

/// After a token was issued, only 404 and 405 lead to the other URL.
#[actix_rt::test]
async fn a_token_url_that_has_worked_is_kept_when_it_refuses() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    service.shows(UP, 1.0).await;
    simulator.push_token_answer(Answer::error(500, "down"));
    simulator.push_token_answer(Answer::html());
    simulator.revoke_tokens();
    let fourth = |seen: &Journal| seen.token_requests.len() >= 4;
    let journal = journal(&simulator, "a fourth request", fourth).await;
    assert_eq!(paths(&journal), [PUBLIC_PATH; 4]);
}

#[actix_rt::test]
async fn the_second_token_url_is_tried_even_if_the_first_has_worked_before() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    service.shows(UP, 1.0).await;
    simulator.set_public_token_path(false);
    simulator.revoke_tokens();
    let third = |seen: &Journal| seen.token_requests.len() >= 3;
    let journal = journal(&simulator, "a third request", third).await;
    assert_eq!(paths(&journal), [PUBLIC_PATH, PUBLIC_PATH, PLAIN_PATH]);
    service.shows(UP, 1.0).await;
}

#[actix_rt::test]
async fn only_the_configured_token_url_is_used() {
    let simulator = scripted_simulator();
    simulator.set_public_token_path(false);
    simulator.push_token_answer(Answer::token_error("invalid_client"));
    let url = format!("http://{}{PUBLIC_PATH}", simulator.address());
    let service = Service::start(&simulator, &[("TOKEN_URL", &url)]).await;
    service.shows(&failed("not_found"), 2.0).await;
    let journal = simulator.journal();
    assert!(paths(&journal).iter().all(|path| *path == PUBLIC_PATH));
    assert_apart(&journal);
}

#[actix_rt::test]
async fn a_redirected_token_request_is_refused_and_the_secret_is_not_sent_on() {
    let statuses = [301, 302, 303, 307, 308];
    join_all(statuses.map(|status| async move {
        let (simulator, elsewhere) = (scripted_simulator(), scripted_simulator());
        let url = format!("http://{}{PUBLIC_PATH}", elsewhere.address());
        let redirect = Answer::redirect(&url).status(status);
        simulator.push_token_answer(redirect);
        let service = Service::start(&simulator, &[]).await;
        service.shows(UP, 1.0).await;
        assert!(elsewhere.journal().token_requests.is_empty(), "{status}");
        let journal = simulator.journal();
        assert_eq!(paths(&journal), [PUBLIC_PATH, PLAIN_PATH]);
        assert_apart(&journal);
    }))
    .await;
}

#[actix_rt::test]
async fn a_secret_file_is_reread_and_its_last_value_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    fs::write(&path, "of yesterday\n").unwrap();
    let simulator = scripted_simulator();
    let file = path.to_str().unwrap();
    let changes = [("CLIENT_SECRET", ""), ("CLIENT_SECRET_FILE", file)];
    let (binary, address) = Binary::listening(&simulator, &changes).await;
    let refused = |seen: &Journal| !seen.token_requests.is_empty();
    let refused = journal(&simulator, "a request", refused).await;
    assert!(!refused.token_requests[0].is_form_ok);

    fs::write(&path, "secret\r\n\n").unwrap();
    shows(address, UP, 1.0).await;

    fs::remove_file(&path).unwrap();
    let serial = |seen: &Journal| seen.polls.last().and_then(|poll| poll.token_serial);
    let before = serial(&simulator.journal());
    simulator.revoke_tokens();
    journal(&simulator, "a token by the kept secret", |seen| {
        serial(seen).is_some_and(|serial| Some(serial) > before)
    })
    .await;
    let unreadable = "cannot read a credential file: the last value stays in use";
    binary.logs(unreadable).await;
    assert_eq!(binary.events_saying(unreadable).len(), 1);
    assert_eq!(binary.events_saying(unreadable)[0].text("level"), "WARN");
    shows(address, UP, 1.0).await;
}

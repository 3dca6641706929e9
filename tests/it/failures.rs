//! Tests of failing polls: each failure is counted, logged once, retried after a wait, and recovered from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{
    Answer, AnswerBody, Journal, Options, Outcome, Poll, Simulator,
};
use starlink_telemetry::starlink::Timeouts;

use crate::binary::{Binary, Event};
use crate::form::{poll_failures, scrape};
use crate::harness::{
    Service, UP, WAIT_LIMIT, eventually, journal, scripted_simulator, shows, terminal_row,
};

/// The shortest wait after a failure.
const BACKOFF: Duration = Duration::from_secs(1);

/// The limit of decoded answers in bytes.
const BATCH_LIMIT: usize = 64 << 20;

/// The time between the end of a poll and the start of the next one.
fn pause_after(polls: &[Poll], index: usize) -> Duration {
    let ended = polls[index].ended.unwrap();
    polls[index + 1].started.duration_since(ended)
}

/// Waits until the second poll has begun. Returns all polls.
async fn two_polls(simulator: &Simulator) -> Vec<Poll> {
    let seen = journal(simulator, "two polls", |seen| seen.polls.len() >= 2);
    seen.await.polls
}

/// A valid answer with one row, as text.
fn body_with(id: &str) -> String {
    AnswerBody::new()
        .row(terminal_row(id, 2_000_000_000, 2.0))
        .to_json()
}

/// A failing answer, and its expected effects.
struct Case {
    answer: Answer,
    reason: &'static str,
    level: &'static str,
    status: Option<u16>,
    /// The part of the answer's text that is logged.
    message: String,
}

fn case(answer: Answer, reason: &'static str, status: Option<u16>, message: &str) -> Case {
    Case {
        answer,
        reason,
        level: "WARN",
        status,
        message: message.to_owned(),
    }
}

fn refusals() -> Vec<Case> {
    let long = "é".repeat(300);
    let dirty = format!("bad\u{1b}[31m\r\n{long}");
    let clean = format!("bad[31m{}", &long[..193 * 2]);
    vec![
        case(
            Answer::error(404, "no such stream"),
            "not_found",
            Some(404),
            "no such stream",
        ),
        case(
            Answer::error(422, &dirty),
            "unprocessable",
            Some(422),
            &clean,
        ),
        case(
            Answer::error(400, "odd body"),
            "client_error",
            Some(400),
            "odd body",
        ),
        case(
            Answer::error(500, "a fault"),
            "server_error",
            Some(500),
            "a fault",
        ),
        case(Answer::html().status(502), "server_error", Some(502), ""),
        case(
            Answer::error(503, "busy"),
            "server_error",
            Some(503),
            "busy",
        ),
        case(
            Answer::error(429, "quota"),
            "rate_limited",
            Some(429),
            "quota",
        ),
        case(
            Answer::redirect("http://127.0.0.1:1/"),
            "redirect",
            Some(307),
            "",
        ),
        case(Answer::closed(), "disconnected", None, ""),
        Case {
            level: "ERROR",
            ..case(
                Answer::error(403, "no access"),
                "forbidden",
                Some(403),
                "no access",
            )
        },
    ]
}

/// Answers with status 200 that are not valid batches; each contains a row in its readable part.
fn nonsense() -> Vec<Case> {
    let whole = body_with("unread");
    let half = whole.len() / 2;
    let decode = |answer| case(answer, "decode", None, "");
    let disconnected = |answer| case(answer, "disconnected", None, "");
    let row = terminal_row("unread", 2_000_000_000, 2.0);
    let bomb = AnswerBody::new().row(row.as_str()).padding(BATCH_LIMIT);
    vec![
        decode(Answer::html()),
        decode(Answer::text(whole[..half].to_owned())),
        decode(Answer::text(format!("{whole}{whole}"))),
        decode(Answer::text("")),
        decode(Answer::text("null")),
        decode(Answer::text(r#"{"data":null}"#)),
        decode(Answer::text(format!("[{row}]"))),
        decode(Answer::text(format!(
            r#"{{"data":{{"values":{{"a":{row}}}}}}}"#
        ))),
        decode(Answer::text(whole.replace(
            "columnNamesByDeviceType\":{",
            "columnNamesByDeviceType\":7,\"x\":{",
        ))),
        decode(Answer::text(whole.clone()).header("Content-Encoding", "br")),
        decode(Answer::text(whole.clone()).header("Content-Encoding", "gzip")),
        decode(Answer::text(whole.clone()).chunked().cut_at(half)),
        decode(Answer::from(bomb).gzip()),
        disconnected(Answer::text(whole.clone()).cut_at(half)),
        disconnected(Answer::text(whole).gzip().cut_at(300)),
    ]
}

/// Waits until a poll that failed for this reason is followed by one that succeeds.
async fn overcome(address: SocketAddr, reason: &str) {
    let is_over = async || {
        let body = scrape(address, "prometheus").await;
        body.value(&poll_failures(reason)) >= Some(1.0) && body.value(UP) == Some(1.0)
    };
    // A scrape can come between the two changes of the failure itself: then the next one shows it.
    eventually("the failure is overcome", || async {
        is_over().await && is_over().await
    })
    .await;
}

/// The failure occurs once: it is counted and logged in one line, nothing is applied, the next poll starts after
/// the backoff, and its success is logged.
async fn is_reported_and_recovered(case: Case) {
    let simulator = scripted_simulator();
    let (binary, address) = Binary::listening(&simulator, &[]).await;
    shows(address, UP, 1.0).await;
    simulator.push_answer(case.answer.clone());
    overcome(address, case.reason).await;

    let scrape = scrape(address, "prometheus").await;
    let what = format!("{:?}", case.answer.clone().delay(Duration::ZERO));
    let what = what.get(..300).unwrap_or(&what);
    let once = BTreeMap::from([(case.reason.to_owned(), 1.0)]);
    assert_eq!(scrape.poll_failures(), once, "{what}");
    assert!(!scrape.has("starlink_DownlinkThroughput{"), "{what}");
    assert_eq!(scrape.value(UP), Some(1.0));

    let logged: Vec<Event> = binary
        .events()
        .into_iter()
        .filter(|event| event.text("level") != "INFO")
        .collect();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0].text("level"), case.level, "{logged:?}");
    assert_eq!(logged[0].text("reason"), case.reason, "{logged:?}");
    let status = logged[0]
        .value("status")
        .and_then(serde_json::Value::as_u64);
    assert_eq!(status, case.status.map(u64::from), "{logged:?}");
    if !case.message.is_empty() {
        assert!(logged[0].says(&case.message), "{logged:?}");
    }
    if case.level == "ERROR" {
        let permission = r#""Device telemetry, View""#;
        assert!(logged[0].text("message").contains(permission), "{logged:?}");
    }

    let journal = simulator.journal();
    let odd = |poll: &Poll| poll.outcome == Outcome::Cut || poll.status != Some(200);
    let index = match case.status {
        Some(status) => journal
            .polls
            .iter()
            .position(|poll| poll.status == Some(status)),
        None => journal.polls.iter().position(odd),
    };
    if let Some(index) = index.filter(|index| index + 1 < journal.polls.len()) {
        assert!(pause_after(&journal.polls, index) >= BACKOFF, "{what}");
    }
    assert_eq!(journal.most_polls_in_flight, 1, "{what}");
}

#[actix_rt::test]
async fn every_failed_poll_is_reported_and_the_next_one_succeeds() {
    join_all(refusals().into_iter().map(is_reported_and_recovered)).await;
}

#[actix_rt::test]
async fn an_answer_that_is_not_a_valid_batch_changes_nothing() {
    join_all(nonsense().into_iter().map(is_reported_and_recovered)).await;
}

#[actix_rt::test]
async fn after_a_401_there_is_one_immediate_retry_with_a_new_token_then_backoff() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[("MAX_LINGER", "1100")]).await;
    // After a linger the token is so old that the next request for one does not wait.
    two_polls(&simulator).await;
    simulator.set_default_answer(Some(Answer::error(401, "expired")));
    service.shows(&poll_failures("unauthorized"), 2.0).await;
    simulator.set_default_answer(None);
    service.shows(UP, 1.0).await;

    let journal = simulator.journal();
    let first = journal
        .polls
        .iter()
        .position(|poll| poll.status == Some(401));
    let first = first.unwrap();
    let serials: Vec<_> = journal.polls[first..first + 3]
        .iter()
        .map(|poll| poll.token_serial)
        .collect();
    assert_eq!(serials, [Some(1), Some(2), Some(3)]);
    let pauses = [0, 1].map(|index| pause_after(&journal.polls, first + index));
    assert!(pauses[0] < BACKOFF && pauses[1] >= BACKOFF, "{pauses:?}");
}

#[actix_rt::test]
async fn a_token_that_starlink_refused_is_never_used_again() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    service.shows(UP, 1.0).await;
    simulator.set_default_token_answer(Some(Answer::error(500, "down")));
    simulator.revoke_tokens();
    eventually("an attempt without a token", || async {
        service.scrape().await.value(&poll_failures("token")) >= Some(1.0)
    })
    .await;
    let expiry = r#"starlink_exporter_token_expiry_timestamp_seconds{account="default"}"#;
    assert_eq!(service.scrape().await.value(expiry), None);
    simulator.set_default_token_answer(None);
    service.shows(UP, 1.0).await;
    let journal = simulator.journal();
    let refused = journal.polls.iter().filter(|poll| poll.status == Some(401));
    assert_eq!(refused.count(), 1);
}

#[actix_rt::test]
async fn retry_after_is_respected_in_seconds_and_as_a_date() {
    let until = Instant::now() + Duration::from_secs(2);
    // A date has no fractions of a second.
    let date = SystemTime::now() + Duration::from_secs(3);
    // Without `Retry-After` the first wait is one second.
    let cases = [
        (Answer::too_many_requests("2"), 2 * BACKOFF, None),
        (
            Answer::too_many_requests(&httpdate::fmt_http_date(date)),
            BACKOFF,
            Some(until),
        ),
        (Answer::too_many_requests("0"), BACKOFF, None),
        (Answer::too_many_requests("soon"), BACKOFF, None),
        (
            Answer::error(503, "busy").header("Retry-After", "2"),
            2 * BACKOFF,
            None,
        ),
    ];
    join_all(cases.map(|(answer, at_least, not_before)| async move {
        let simulator = scripted_simulator();
        simulator.push_answer(answer.clone());
        let _service = Service::start(&simulator, &[]).await;
        let polls = two_polls(&simulator).await;
        let pause = pause_after(&polls, 0);
        assert!(pause >= at_least, "{pause:?} after {answer:?}");
        assert!(not_before.is_none_or(|time| polls[1].started >= time));
    }))
    .await;
}

#[actix_rt::test]
async fn an_answer_that_does_not_arrive_in_time_is_a_time_out() {
    let short = Duration::from_millis(500);
    let timeouts = Timeouts::default();
    let rows = || Answer::rows([terminal_row("late", 1_000_000_000, 1.0)]);
    let cases = [
        (
            "the head",
            rows().delay(WAIT_LIMIT),
            Timeouts {
                beyond_linger: short,
                ..timeouts
            },
        ),
        (
            "the next byte",
            rows().stall_at(100),
            Timeouts {
                idle: short,
                ..timeouts
            },
        ),
        (
            "the whole body",
            rows().trickle(1, Duration::from_millis(20)),
            Timeouts {
                body: short,
                ..timeouts
            },
        ),
    ];
    join_all(cases.map(|(what, answer, timeouts)| async move {
        let simulator = scripted_simulator();
        simulator.push_answer(answer);
        let tuning = Tuning {
            timeouts,
            ..Tuning::default()
        };
        let service = Service::tuned(&simulator, &[("MAX_LINGER", "100")], tuning).await;
        service.shows(&poll_failures("timeout"), 1.0).await;
        let scrape = service.scrape().await;
        assert!(!scrape.has("starlink_DownlinkThroughput{"), "{what}");
        service.shows(UP, 1.0).await;
        let polls = two_polls(&simulator).await;
        assert_eq!(polls[0].outcome, Outcome::Abandoned, "{what}");
        let apart = polls[1].started.duration_since(polls[0].started);
        assert!(apart >= short / 2 + BACKOFF, "{what}: {apart:?}");
    }))
    .await;
}

#[actix_rt::test]
async fn a_repeated_failure_is_logged_once() {
    let simulator = scripted_simulator();
    simulator.set_default_answer(Some(Answer::error(500, "a fault")));
    let (binary, address) = Binary::listening(&simulator, &[]).await;
    eventually("two failures", || async {
        scrape(address, "prometheus")
            .await
            .value(&poll_failures("server_error"))
            >= Some(2.0)
    })
    .await;
    simulator.set_default_answer(None);
    overcome(address, "server_error").await;
    let logged = binary.events_at("WARN");
    assert_eq!(logged.len(), 1, "{logged:?}");
}

#[actix_rt::test]
async fn a_refused_token_request_is_one_error_line_and_is_repeated() {
    let refusals = [
        (Answer::token_error("invalid_client"), 400),
        (Answer::token_error("invalid_client").status(401), 401),
    ];
    join_all(refusals.map(|(answer, status)| async move {
        let id = "somebody";
        let simulator = Simulator::start(Options {
            client_id: id.to_owned(),
            ..Options::default()
        })
        .unwrap();
        simulator.set_default_token_answer(Some(answer));
        let (binary, address) = Binary::listening(&simulator, &[("CLIENT_ID", id)]).await;
        // Both URLs are asked in one attempt.
        let again = |seen: &Journal| seen.token_requests.len() >= 3;
        journal(&simulator, "a second attempt", again).await;
        let logged = binary.events_at("ERROR");
        assert_eq!(logged.len(), 1, "{logged:?}");
        assert!(logged[0].text("message").contains("token refused"));
        assert_eq!(logged[0].value("status").unwrap(), status);
        assert!(logged[0].says("invalid_client"), "{logged:?}");
        // The failed poll has the same cause and is not logged again.
        let warnings = binary.events_at("WARN");
        assert!(warnings.is_empty(), "{warnings:?}");
        let scrape = scrape(address, "prometheus").await;
        assert_eq!(scrape.value(UP), Some(0.0));
        assert!(simulator.journal().polls.is_empty());

        simulator.set_default_token_answer(None);
        shows(address, UP, 1.0).await;
        let requests = simulator.journal().token_requests;
        for pair in requests.windows(2) {
            assert!(pair[1].at.duration_since(pair[0].at) >= BACKOFF, "{pair:?}");
        }
    }))
    .await;
}

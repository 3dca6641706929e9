//! No secret shows anywhere, whatever happens to a token and a poll, at the most talkative log level.

use futures_util::future::join_all;
use starlink_telemetry::simulator::{Answer, Options, Simulator};

use crate::binary::{Binary, run};
use crate::form::{FORMATS, poll_failures, scrape};
use crate::harness::{environment, eventually, terminal_row};
use crate::wire::get;

const ID: &str = "needle/id one";
const SECRET: &str = "needle+secret&=\"%";

/// A simulator that knows these credentials, and the token that it gives in each healthy token answer.
fn simulator() -> (Simulator, Needles) {
    let simulator = Simulator::start(Options {
        client_id: ID.to_owned(),
        client_secret: SECRET.to_owned(),
        ..Options::default()
    })
    .unwrap();
    let token = simulator.issue_token();
    let issued = format!(r#"{{"access_token":"{token}","expires_in":900}}"#);
    simulator.set_default_token_answer(Some(Answer::text(issued)));
    (simulator, Needles { token })
}

/// What must stay secret, in the spellings in which it might come to light.
struct Needles {
    token: String,
}

impl Needles {
    fn check(&self, place: &str, text: &str) {
        let in_a_form = |text: &str| {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            let form = form.append_pair("", text).finish();
            form.trim_start_matches('=').to_owned()
        };
        for needle in [ID, SECRET, &self.token] {
            for spelling in [
                needle.to_owned(),
                in_a_form(needle),
                needle.replace('"', "\\\""),
            ] {
                assert!(!text.contains(&spelling), "{spelling} in {place}:\n{text}");
            }
        }
    }
}

/// What goes wrong with one service.
struct Trouble {
    token_answers: Vec<Answer>,
    answers: Vec<Answer>,
    /// By what it is counted.
    reasons: &'static [&'static str],
}

fn troubles(token: &str) -> Vec<Trouble> {
    let expired = Answer::error(401, "no").header("WWW-Authenticate", "Bearer");
    vec![
        Trouble {
            token_answers: vec![
                Answer::token_error(&format!("not {SECRET}")),
                Answer::redirect("http://127.0.0.1:1/"),
            ],
            answers: Vec::new(),
            reasons: &["token"],
        },
        Trouble {
            token_answers: Vec::new(),
            answers: vec![expired, Answer::error(422, &format!("not {token}"))],
            reasons: &["unauthorized", "unprocessable"],
        },
        Trouble {
            token_answers: Vec::new(),
            answers: vec![Answer::error(500, "no"), Answer::html()],
            reasons: &["server_error", "decode"],
        },
    ]
}

#[actix_rt::test]
async fn no_secret_stands_in_a_log_a_page_a_metric_or_an_error() {
    let cases = ["text", "json"].map(|format| [0, 1, 2].map(|index| (format, index)));
    join_all(cases.as_flattened().iter().map(|(format, index)| async {
        let (simulator, needles) = simulator();
        let trouble = troubles(&needles.token).swap_remove(*index);
        keeps(&simulator, &needles, trouble, format).await;
    }))
    .await;
}

/// The service overcomes the trouble; then nothing that it ever said has a secret in it.
async fn keeps(simulator: &Simulator, needles: &Needles, trouble: Trouble, log_format: &str) {
    for answer in trouble.token_answers {
        simulator.push_token_answer(answer);
    }
    let row = || terminal_row("shown", 1_000_000_000, 1.0);
    for answer in trouble.answers {
        simulator.push_answer(answer);
        // A success, so that the next failure is not waited for.
        simulator.push_rows([row()]);
    }
    let settings = [
        ("CLIENT_ID", ID),
        ("CLIENT_SECRET", SECRET),
        ("RUST_LOG", "trace"),
        ("LOG_FORMAT", log_format),
    ];
    let (mut service, address) = Binary::listening(simulator, &settings).await;
    eventually("all is overcome", || async {
        let body = scrape(address, "prometheus").await;
        let has_failed = |reason: &&str| body.value(&poll_failures(reason)) > Some(0.0);
        body.value("starlink_up") == Some(1.0) && trouble.reasons.iter().all(has_failed)
    })
    .await;
    let mut pages = FORMATS
        .map(|format| format!("/metrics?format={format}"))
        .to_vec();
    pages.extend(["/metrics", "/", "/readyz?verbose", "/livez?verbose"].map(str::to_owned));
    for page in pages {
        let answer = get(address, &page, &[("Authorization", "Bearer x")]).await;
        assert_eq!(answer.status, 200, "{page}");
        needles.check(&page, &answer.body);
    }
    service.signal("TERM");
    assert_eq!(service.ended().await, Some(0));
    let log = service.stderr();
    for told in ["TRACE", "batch stored"] {
        assert!(log.contains(told), "it was talkative");
    }
    needles.check("the log", &log);
    needles.check("stdout", &service.stdout());
    let echoes = ["token", "unprocessable"];
    if trouble.reasons.iter().any(|reason| echoes.contains(reason)) {
        assert!(log.contains("not [redacted]"), "the echo is told: {log}");
    }
}

#[actix_rt::test]
async fn no_secret_stands_in_what_check_config_prints() {
    let answers = [
        None,
        Some(Answer::token_error(&format!("not {SECRET}"))),
        Some(Answer::redirect("http://127.0.0.1:1/")),
    ];
    for answer in answers {
        let (simulator, needles) = simulator();
        let expected = i32::from(answer.is_some());
        if let Some(answer) = answer {
            simulator.push_token_answer(answer);
        }
        let settings = [
            ("CLIENT_ID", ID),
            ("CLIENT_SECRET", SECRET),
            ("RUST_LOG", "trace"),
        ];
        let settings = environment(&simulator, &settings);
        let (code, output, errors) = run(&["check-config", "--connect"], settings).await;
        assert_eq!(code, expected, "{errors}");
        needles.check("check-config", &format!("{output}{errors}"));
    }
}

//! Tests of the simulator by plain clients: awc for valid HTTP, a socket for broken responses.

use std::{
    collections::BTreeSet,
    future::Future,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::*;

/// The time limit of waits. Successful tests do not wait that long.
const PATIENCE: Duration = Duration::from_secs(20);
const NO_LINGER: (u32, u32) = (65_000, 0);

fn run<T>(future: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(future)
}

fn start(options: Options) -> Simulator {
    Simulator::start(options).expect("a simulator")
}

fn plain(terminals: usize) -> Options {
    Options {
        terminals,
        quirks: false,
        ..Options::default()
    }
}

fn client() -> awc::Client {
    awc::Client::builder()
        .timeout(PATIENCE)
        .disable_redirects()
        .finish()
}

async fn post_form(url: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let mut answer = client()
        .post(url)
        .send_form(&form)
        .await
        .expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

async fn token(simulator: &Simulator) -> String {
    let url = format!("{}/auth/connect/token", simulator.api_url());
    let form = [
        ("client_id", "client"),
        ("client_secret", "secret"),
        ("grant_type", "client_credentials"),
    ];
    let (status, body) = post_form(&url, &form).await;
    assert_eq!(status, 200);
    body["access_token"].as_str().expect("a token").to_owned()
}

fn send(simulator: &Simulator, token: &str, body: &Value) -> awc::SendClientRequest {
    client()
        .post(format!("{}/v2/telemetry/stream", simulator.api_url()))
        .bearer_auth(token)
        .send_json(body)
}

async fn poll(simulator: &Simulator, token: &str, wanted: (u32, u32)) -> (u16, Value) {
    let body = json!({"batchSize": wanted.0, "maxLingerMs": wanted.1});
    let mut answer = send(simulator, token, &body).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.body().limit(100 << 20).await.expect("a body");
    let is_gzip = answer.headers().contains_key("content-encoding");
    let body = if is_gzip {
        unzipped(&body)
    } else {
        body.to_vec()
    };
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn unzipped(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(body);
    decoder.read_to_end(&mut plain).expect("one gzip member");
    plain
}

fn rows(body: &Value) -> Vec<String> {
    let rows = body["data"]["values"].as_array().expect("values");
    rows.iter().map(Value::to_string).collect()
}

/// Polls by a socket: sends the head, and returns everything until the end.
fn raw_poll(simulator: &Simulator) -> TcpStream {
    let token = simulator.issue_token();
    let body = r#"{"batchSize":10,"maxLingerMs":0}"#;
    let mut socket = TcpStream::connect(simulator.address()).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(
        socket,
        "POST {STREAM_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    socket
}

/// Reads head and body until the server closes the connection.
fn raw_answer(simulator: &Simulator) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    if let Err(error) = raw_poll(simulator).read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let body = end.map(|end| bytes.split_off(end + 4)).unwrap_or_default();
    (String::from_utf8(bytes).expect("a head"), body)
}

#[test]
fn credentials_are_checked() {
    let simulator = start(Options::default());
    let url = format!("{}/auth/connect/token", simulator.api_url());
    let cases = [
        (("client", "secret", "client_credentials"), 200, Value::Null),
        (
            ("client", "wrong", "client_credentials"),
            400,
            json!("invalid_client"),
        ),
        (
            ("wrong", "secret", "client_credentials"),
            400,
            json!("invalid_client"),
        ),
        (
            ("client", "secret", "password"),
            400,
            json!("unsupported_grant_type"),
        ),
    ];
    run(async {
        for ((id, secret, grant), expected, error) in cases {
            let form = [
                ("client_id", id),
                ("client_secret", secret),
                ("grant_type", grant),
            ];
            let (status, body) = post_form(&url, &form).await;
            assert_eq!((status, &body["error"]), (expected, &error));
            if status == 200 {
                assert_eq!(body["expires_in"], 900);
                assert_eq!(body["token_type"], "Bearer");
            }
        }
    });
    let seen: Vec<_> = simulator
        .journal()
        .token_requests
        .iter()
        .map(|request| (request.is_form_ok, request.status))
        .collect();
    assert_eq!(
        seen,
        [
            (true, Some(200)),
            (false, Some(400)),
            (false, Some(400)),
            (false, Some(400))
        ]
    );
}

#[test]
fn both_token_paths_work_and_the_public_one_can_be_closed() {
    let simulator = start(Options::default());
    let form = [
        ("client_id", "client"),
        ("client_secret", "secret"),
        ("grant_type", "client_credentials"),
    ];
    run(async {
        for (is_open, path, expected) in [
            (true, PUBLIC_TOKEN_PATH, 200),
            (true, PLAIN_TOKEN_PATH, 200),
            (false, PUBLIC_TOKEN_PATH, 404),
            (false, PLAIN_TOKEN_PATH, 200),
        ] {
            simulator.set_public_token_path(is_open);
            let url = format!("http://{}{path}", simulator.address());
            assert_eq!(post_form(&url, &form).await.0, expected, "{is_open} {path}");
        }
    });
}

#[test]
fn token_answers_can_be_scripted() {
    let simulator = start(Options::default());
    let url = format!("{}/auth/connect/token", simulator.api_url());
    run(async {
        simulator.set_default_token_answer(Some(Answer::error(500, "down")));
        simulator.push_token_answer(Answer::text(
            json!({"access_token": simulator.issue_token()}).to_string(),
        ));
        let (status, body) = post_form(&url, &[]).await;
        assert_eq!((status, &body["expires_in"]), (200, &Value::Null));
        let own = body["access_token"].as_str().expect("a token");
        assert_eq!(poll(&simulator, own, NO_LINGER).await.0, 200);
        assert_eq!(post_form(&url, &[]).await.0, 500);
        simulator.set_default_token_answer(None);
        token(&simulator).await;
    });
}

#[test]
fn tokens_end_and_others_are_refused() {
    let simulator = start(Options {
        token_lifetime: Duration::ZERO,
        ..Options::default()
    });
    let lasting = start(Options::default());
    run(async {
        let expired = token(&simulator).await;
        let (status, body) = poll(&simulator, &expired, NO_LINGER).await;
        assert_eq!((status, &body["isValid"]), (401, &json!(false)));

        let revoked = token(&lasting).await;
        assert_eq!(poll(&lasting, &revoked, NO_LINGER).await.0, 200);
        lasting.revoke_tokens();
        assert_eq!(poll(&lasting, &revoked, NO_LINGER).await.0, 401);
        assert_eq!(poll(&lasting, "unknown", NO_LINGER).await.0, 401);
        let next = token(&lasting).await;
        assert_eq!(poll(&lasting, &next, NO_LINGER).await.0, 200);
    });
    let serials: Vec<_> = lasting
        .journal()
        .polls
        .iter()
        .map(|poll| poll.token_serial)
        .collect();
    assert_eq!(serials, [Some(1), None, None, Some(2)]);
}

#[test]
fn only_an_exact_request_is_answered() {
    let simulator = start(Options::default());
    let cases = [
        (json!({"batchSize": 1, "maxLingerMs": 0}), 200),
        (json!({"batchSize": 65000, "maxLingerMs": 0}), 200),
        (json!({"batchSize": 0, "maxLingerMs": 0}), 400),
        (json!({"batchSize": 65001, "maxLingerMs": 0}), 400),
        (json!({"batchSize": 1, "maxLingerMs": 65001}), 400),
        (json!({"batchSize": 1, "maxLingerMs": -1}), 400),
        (json!({"batchSize": 1.5, "maxLingerMs": 0}), 400),
        (json!({"batchSize": "1", "maxLingerMs": 0}), 400),
        (json!({"batchSize": 1}), 400),
        (json!({"batchSize": 1, "maxLingerMs": 0, "more": 1}), 400),
        (json!([]), 400),
    ];
    run(async {
        let token = simulator.issue_token();
        for (body, expected) in cases {
            let mut answer = send(&simulator, &token, &body).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), expected, "{body}");
            let answer: Value = answer.json().await.expect("JSON");
            assert_eq!(answer.get("errors").is_some(), expected == 400, "{body}");
        }
        let url = format!("http://{}", simulator.address());
        for (path, expected) in [
            (STREAM_PATH, 405),
            (PUBLIC_TOKEN_PATH, 405),
            ("/nothing", 404),
        ] {
            let answer = client()
                .get(format!("{url}{path}"))
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status().as_u16(), expected, "{path}");
        }
    });
    let polls = simulator.journal().polls;
    assert_eq!(polls[0].body, r#"{"batchSize":1,"maxLingerMs":0}"#);
    assert_eq!(
        (polls[1].batch_size, polls[1].max_linger_ms),
        (Some(65_000), Some(0))
    );
    assert_eq!(polls[2].batch_size, None);
}

#[test]
fn an_answer_reads_as_documented() {
    let simulator = start(Options {
        routers: true,
        ..plain(3)
    });
    run(async {
        let token = token(&simulator).await;
        let (status, body) = poll(&simulator, &token, NO_LINGER).await;
        assert_eq!(status, 200);
        for row in body["data"]["values"].as_array().expect("values") {
            let code = row[0].as_str().expect("a device type");
            let columns = body["data"]["columnNamesByDeviceType"][code].as_array();
            assert_eq!(columns.map(Vec::len), row.as_array().map(Vec::len), "{row}");
            let lag_ns = now_ns() - i128::from(row[1].as_u64().expect("a timestamp"));
            assert!((0..60_000_000_000).contains(&lag_ns), "{lag_ns}");
        }
        assert_eq!(rows(&body).len(), 9);
        assert_eq!(body["metadata"]["enums"]["DeviceType"]["u"], "UserTerminal");
    });
    assert_eq!(simulator.journal().rows_handed_out, 9);
}

fn now_ns() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_nanos() as i128
}

#[test]
fn an_empty_answer_comes_after_the_linger() {
    let simulator = start(Options::default());
    run(async {
        let token = token(&simulator).await;
        let started = Instant::now();
        let (status, body) = poll(&simulator, &token, (1, 150)).await;
        assert!(started.elapsed() >= Duration::from_millis(150));
        assert_eq!((status, rows(&body).len()), (200, 0));
    });
}

#[test]
fn a_full_batch_comes_at_once_and_clients_share_the_rows() {
    let simulator = start(plain(50));
    run(async {
        let token = token(&simulator).await;
        // Tick 0 has 50 terminals and 50 allocations: ten batches, none of which may wait 65 seconds.
        let mut seen = BTreeSet::new();
        for _ in 0..5 {
            let both = futures_util::future::join(
                poll(&simulator, &token, (10, 65_000)),
                poll(&simulator, &token, (10, 65_000)),
            );
            let ((_, one), (_, two)) = both.await;
            assert_eq!((rows(&one).len(), rows(&two).len()), (10, 10));
            seen.extend(rows(&one));
            seen.extend(rows(&two));
        }
        assert_eq!(seen.len(), 100);
        let (_, rest) = poll(&simulator, &token, (10, 0)).await;
        assert!(rows(&rest).is_empty());
    });
}

#[test]
fn ticks_come_faster_with_speed() {
    let simulator = start(Options {
        speed: 150.0,
        ..plain(5)
    });
    run(async {
        let token = token(&simulator).await;
        poll(&simulator, &token, (10, 65_000)).await;
        // The next 20 rows are four ticks away: 0.4 s, not a minute.
        let (_, body) = poll(&simulator, &token, (20, 65_000)).await;
        assert_eq!(rows(&body).len(), 20);
    });
}

#[test]
fn a_backlog_comes_first_in_full_batches() {
    let simulator = start(Options {
        backlog: Duration::from_secs(600),
        ..plain(10)
    });
    run(async {
        let token = token(&simulator).await;
        let mut oldest_ns = Vec::new();
        for _ in 0..4 {
            let (_, body) = poll(&simulator, &token, (100, 65_000)).await;
            assert_eq!(rows(&body).len(), 100);
            oldest_ns.push(body["data"]["values"][0][1].as_u64().expect("a timestamp"));
        }
        assert!(oldest_ns.is_sorted());
        assert!(now_ns() - i128::from(oldest_ns[0]) >= 600_000_000_000);
    });
}

#[test]
fn polls_beyond_the_rate_limit_are_refused() {
    let simulator = start(Options {
        polls_per_minute: Some(2),
        ..Options::default()
    });
    run(async {
        let token = token(&simulator).await;
        for expected in [200, 200, 429] {
            assert_eq!(poll(&simulator, &token, (1, 0)).await.0, expected);
        }
    });
}

#[test]
fn the_script_is_answered_in_order_then_the_default_then_the_fleet() {
    let simulator = start(plain(1));
    simulator.push_answer(Answer::error(503, "first"));
    simulator.push_rows([r#"["u",1,"ut1"]"#]);
    simulator.push_body(r#"{"data":null}"#);
    simulator.set_default_answer(Some(Answer::html().status(502)));
    run(async {
        let token = token(&simulator).await;
        let (status, body) = poll(&simulator, &token, NO_LINGER).await;
        assert_eq!(
            (status, &body["errors"][0]["errorMessage"]),
            (503, &json!("first"))
        );
        assert_eq!(
            rows(&poll(&simulator, &token, NO_LINGER).await.1),
            [r#"["u",1,"ut1"]"#]
        );
        assert_eq!(
            poll(&simulator, &token, NO_LINGER).await.1,
            json!({"data": null})
        );
        assert_eq!(poll(&simulator, &token, NO_LINGER).await.0, 502);
        assert_eq!(poll(&simulator, &token, NO_LINGER).await.0, 502);
        simulator.set_default_answer(None);
        assert_eq!(rows(&poll(&simulator, &token, NO_LINGER).await.1).len(), 2);
    });
    assert_eq!(simulator.journal().polls_answered_with(502), 2);
}

#[test]
fn a_waiting_poll_takes_a_pushed_answer_at_once() {
    let simulator = start(Options::default());
    run(async {
        let token = token(&simulator).await;
        let push = async {
            assert!(
                simulator
                    .wait_until(PATIENCE, |journal| journal.polls_in_flight == 1)
                    .await
            );
            simulator.push_rows(["[1]"]);
        };
        let (answer, ()) =
            futures_util::future::join(poll(&simulator, &token, (1, 65_000)), push).await;
        assert_eq!(rows(&answer.1), ["[1]"]);
    });
}

#[test]
fn a_client_that_leaves_is_noticed_and_takes_no_rows_along() {
    let simulator = start(plain(4));
    run(async {
        drop_poll_after_start(&simulator, 1).await;
        let token = token(&simulator).await;
        let (_, body) = poll(&simulator, &token, NO_LINGER).await;
        assert_eq!(rows(&body).len(), 8);
    });
}

/// Begins a poll that waits, and closes the connection.
async fn drop_poll_after_start(simulator: &Simulator, count: usize) {
    let token = simulator.issue_token();
    let waiting = Box::pin(poll(simulator, &token, (65_000, 65_000)));
    let begun = simulator.wait_until(PATIENCE, |journal| journal.polls_in_flight == 1);
    match futures_util::future::select(waiting, Box::pin(begun)).await {
        futures_util::future::Either::Right((true, waiting)) => drop(waiting),
        _ => panic!("the poll did not wait"),
    }
    let is_seen = |journal: &Journal| journal.polls_with(Outcome::Abandoned) == count;
    assert!(simulator.wait_until(PATIENCE, is_seen).await);
}

#[test]
fn a_body_can_be_cut() {
    let simulator = start(Options::default());
    for (answer, length_header) in [
        (Answer::text("0123456789").cut_at(4), true),
        (Answer::text("0123456789").chunked().cut_at(4), false),
    ] {
        simulator.push_answer(answer);
        let (head, body) = raw_answer(&simulator);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(head.contains("content-length: 10"), length_header, "{head}");
        let expected: &[u8] = if length_header {
            b"0123"
        } else {
            b"4\r\n0123\r\n"
        };
        assert_eq!(body, expected);
    }
    assert_eq!(simulator.journal().polls_with(Outcome::Cut), 2);
}

#[test]
fn a_large_body_is_cut_where_it_should_be() {
    let simulator = start(Options::default());
    simulator.push_answer(Answer::from(AnswerBody::new().padding(3 << 20)).cut_at(2 << 20));
    let (_, body) = raw_answer(&simulator);
    assert_eq!(body.len(), 2 << 20);
}

#[test]
fn a_connection_can_be_closed_before_the_head() {
    let simulator = start(Options::default());
    simulator.push_answer(Answer::closed());
    simulator.push_answer(Answer::closed().delay(Duration::from_millis(50)));
    for _ in 0..2 {
        assert_eq!(raw_answer(&simulator), (String::new(), Vec::new()));
    }
    let journal = simulator.journal();
    assert_eq!(journal.polls_with(Outcome::Cut), 2);
    assert!(journal.polls.iter().all(|poll| poll.status.is_none()));
}

#[test]
fn rows_that_were_cut_off_come_again() {
    let simulator = start(plain(5));
    simulator.push_answer(Answer::ordinary().cut_at(100));
    raw_answer(&simulator);
    run(async {
        let token = token(&simulator).await;
        assert_eq!(rows(&poll(&simulator, &token, NO_LINGER).await.1).len(), 10);
    });
    assert_eq!(simulator.journal().rows_handed_out, 10);
}

#[test]
fn a_body_can_stall_until_the_client_leaves() {
    let simulator = start(Options::default());
    for answer in [
        Answer::text("0123456789").stall_at(4),
        Answer::text("").stall_at(0),
    ] {
        simulator.push_answer(answer);
        let mut socket = raw_poll(&simulator);
        let mut start = [0; 12];
        socket.read_exact(&mut start).expect("a head");
        assert_eq!(&start, b"HTTP/1.1 200");
        assert_eq!(simulator.journal().polls_in_flight, 1);
        drop(socket);
        let is_over = |journal: &Journal| journal.polls_in_flight == 0;
        assert!(run(simulator.wait_until(PATIENCE, is_over)));
    }
    assert_eq!(simulator.journal().polls_with(Outcome::Abandoned), 2);
}

#[test]
fn a_body_can_trickle() {
    let simulator = start(Options::default());
    simulator.push_answer(Answer::rows(["[1]"]).trickle(500, Duration::from_millis(2)));
    run(async {
        let token = token(&simulator).await;
        assert_eq!(rows(&poll(&simulator, &token, NO_LINGER).await.1), ["[1]"]);
    });
}

#[test]
fn a_delayed_head_notices_that_the_client_left() {
    let simulator = start(Options::default());
    simulator.set_default_answer(Some(Answer::text("{}").delay(Duration::from_secs(600))));
    run(drop_poll_after_start(&simulator, 1));
}

#[test]
fn bodies_can_be_compressed_and_large() {
    let simulator = start(Options::default());
    simulator.push_answer(Answer::rows(["[1]"]).gzip());
    let large = AnswerBody::new().row("[2]").padding(20 << 20);
    simulator.push_answer(Answer::from(large.clone()));
    simulator.push_answer(Answer::from(large.clone()).gzip());
    run(async {
        let token = token(&simulator).await;
        for expected in ["[1]", "[2]", "[2]"] {
            assert_eq!(
                rows(&poll(&simulator, &token, NO_LINGER).await.1),
                [expected]
            );
        }
    });
    simulator.push_answer(Answer::from(large).gzip().cut_at(usize::MAX));
    let (head, body) = raw_answer(&simulator);
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(body.len() < 1 << 20, "{}", body.len());
}

#[test]
fn heads_are_as_scripted() {
    let simulator = start(Options::default());
    let cases = [
        (
            Answer::redirect("/elsewhere"),
            307,
            "location",
            "/elsewhere",
        ),
        (Answer::too_many_requests("7"), 429, "retry-after", "7"),
        (
            Answer::html(),
            200,
            "content-type",
            "text/html; charset=utf-8",
        ),
        (Answer::text("{}"), 200, "content-type", "application/json"),
        (
            Answer::ordinary().status(500),
            500,
            "content-type",
            "application/json",
        ),
    ];
    run(async {
        let token = token(&simulator).await;
        for (answer, status, name, value) in cases {
            simulator.push_answer(answer);
            let body = json!({"batchSize": 1, "maxLingerMs": 0});
            let answer = send(&simulator, &token, &body).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status);
            let headers: Vec<_> = answer.headers().get_all(name).collect();
            assert_eq!(headers, [value], "{name}");
        }
    });
}

#[test]
fn polls_in_flight_are_counted() {
    let simulator = start(Options::default());
    run(async {
        let token = token(&simulator).await;
        let two = futures_util::future::join(
            poll(&simulator, &token, (1, 65_000)),
            poll(&simulator, &token, (1, 65_000)),
        );
        let release = async {
            assert!(
                simulator
                    .wait_until(PATIENCE, |journal| journal.polls_in_flight == 2)
                    .await
            );
            simulator.set_default_answer(Some(Answer::text("{}")));
        };
        futures_util::future::join(two, release).await;
    });
    let journal = simulator.journal();
    assert_eq!(
        (journal.most_polls_in_flight, journal.polls_in_flight),
        (2, 0)
    );
}

#[test]
fn what_never_happens_is_not_waited_for_beyond_the_limit() {
    let simulator = start(Options::default());
    assert!(!run(simulator
        .wait_until(Duration::from_millis(5), |journal| !journal
            .polls
            .is_empty())));
}

#[test]
fn a_pulled_network_cuts_everything_and_the_stream_goes_on_afterwards() {
    let simulator = start(plain(3));
    let mut waiting = raw_poll(&simulator);
    simulator.push_answer(Answer::text("0123456789").stall_at(4));
    let mut stalled = raw_poll(&simulator);
    let _ = waiting.read(&mut [0; 4096]).expect("an answer");
    let _ = stalled.read(&mut [0; 10]).expect("a head");
    let token = simulator.issue_token();
    for _ in 0..5 {
        simulator.unplug();
        simulator.unplug();
        assert!(TcpStream::connect(simulator.address()).is_err());
        simulator.plug().expect("the same port");
        simulator.plug().expect("nothing to do");
    }
    let mut rest = Vec::new();
    let end = stalled.read_to_end(&mut rest).map_err(|error| error.kind());
    assert!(
        end.is_ok() || end == Err(ErrorKind::ConnectionReset),
        "{end:?}"
    );
    run(async {
        let is_seen = |journal: &Journal| journal.polls_in_flight == 0;
        assert!(simulator.wait_until(PATIENCE, is_seen).await);
        assert_eq!(poll(&simulator, &token, NO_LINGER).await.0, 200);
    });
}

#[test]
fn a_new_one_may_start_on_the_same_port() {
    let first = start(plain(2));
    let port = first.address().port();
    let taken = Simulator::start(Options {
        port,
        ..Options::default()
    });
    assert!(matches!(taken, Err(SimulatorError::Listen { .. })));
    first.stop();
    let second = start(Options {
        port,
        ..Options::default()
    });
    assert_eq!(
        second.api_url(),
        format!("http://127.0.0.1:{port}/api/public")
    );
}

#[test]
fn a_speed_must_be_sensible() {
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let result = Simulator::start(Options {
            speed,
            ..Options::default()
        });
        assert!(matches!(result, Err(SimulatorError::Speed(_))), "{speed}");
    }
}

#[test]
fn no_secret_shows() {
    let simulator = start(Options::default());
    let text = format!("{simulator:?}");
    assert!(!text.contains("secret"), "{text}");
}

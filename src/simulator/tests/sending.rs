//! Tests of the ways in which an answer is sent, cut, stalled or abandoned.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use super::*;

/// Polls by a socket: sends the head, and returns everything until the end.
fn raw_poll(simulator: &Simulator) -> TcpStream {
    let token = simulator.issue_token();
    let body = r#"{"batchSize":10,"maxLingerMs":0}"#;
    let mut socket = TcpStream::connect(simulator.address()).expect("a connection");
    socket
        .set_read_timeout(Some(WAIT_LIMIT))
        .expect("a time-out");
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
fn a_client_that_disconnects_is_detected_and_no_rows_are_lost() {
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
    let begun = simulator.wait_until(WAIT_LIMIT, |journal| journal.polls_in_flight == 1);
    match futures_util::future::select(waiting, Box::pin(begun)).await {
        futures_util::future::Either::Right((true, waiting)) => drop(waiting),
        _ => panic!("the poll did not wait"),
    }
    let is_seen = |journal: &Journal| journal.polls_with(Outcome::Abandoned) == count;
    assert!(simulator.wait_until(WAIT_LIMIT, is_seen).await);
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
fn rows_that_were_cut_off_are_sent_again() {
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
fn a_body_can_stall_until_the_client_disconnects() {
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
        assert!(run(simulator.wait_until(WAIT_LIMIT, is_over)));
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
fn an_answer_is_complete_with_its_last_piece() {
    let simulator = start(plain(2));
    // A single piece: no pause follows it.
    let pause = Duration::from_secs(600);
    simulator.push_answer(Answer::ordinary().trickle(usize::MAX, pause));
    let mut socket = raw_poll(&simulator);
    let mut start = [0; 12];
    socket.read_exact(&mut start).expect("a head");
    drop(socket);
    let is_over = |journal: &Journal| journal.polls_in_flight == 0;
    assert!(run(simulator.wait_until(WAIT_LIMIT, is_over)));
    let journal = simulator.journal();
    assert_eq!(journal.polls_with(Outcome::Answered), 1);
    assert_eq!(journal.rows_handed_out, 4);
}

#[test]
fn a_client_that_disconnects_before_a_delayed_head_is_detected() {
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
fn unplug_cuts_all_connections_and_the_stream_continues_afterwards() {
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
        assert!(simulator.wait_until(WAIT_LIMIT, is_seen).await);
        assert_eq!(poll(&simulator, &token, NO_LINGER).await.0, 200);
    });
}

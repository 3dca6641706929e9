//! Tests of error responses, redirects, time limits and connections that fail.
use super::*;
use crate::starlink::{PollFailure, TokenFailure};

#[test]
fn every_other_status_is_an_error_with_its_message() {
    let body = br#"{"errors":[{"memberNames":[],"errorMessage":"No \"bearer-0123\""}]}"#;
    let cases = [
        ("204", PollFailure::Decode),
        ("302", PollFailure::Redirect),
        ("400", PollFailure::ClientError),
        ("401", PollFailure::Unauthorized),
        ("403", PollFailure::Forbidden),
        ("404", PollFailure::NotFound),
        ("422", PollFailure::Unprocessable),
        ("429", PollFailure::RateLimited),
        ("500", PollFailure::ServerError),
        ("502", PollFailure::ServerError),
    ];
    for (status, expected) in cases {
        let server = Server::answering(answer(status, "", body));
        let (result, head_came) = poll_at(&server.url, ClientOptions::default(), Duration::ZERO);
        let error = result.unwrap_err();
        assert_eq!(error.reason(), expected, "{status}");
        let answer = error.answer().unwrap();
        assert_eq!(answer.status.to_string(), status);
        assert_eq!(answer.message, "No \"[redacted]\"", "{status}");
        assert_eq!(answer.retry_after, None);
        assert!(head_came);
    }
}

#[test]
fn token_errors_have_reasons_and_no_secrets() {
    let echo = br#"{"error":"secret-4567 of id &=1"}"#.as_slice();
    let cases = [
        (answer("400", "", echo), TokenFailure::Refused),
        (answer("405", "", echo), TokenFailure::NotFound),
        (answer("503", "", echo), TokenFailure::Status),
        (answer("200", "", b"<html>"), TokenFailure::Malformed),
        (
            answer("200", "", &[b' '; SMALL_LIMIT + 1]),
            TokenFailure::Malformed,
        ),
        (b"".to_vec(), TokenFailure::Disconnected),
    ];
    for (answer, expected) in cases {
        let server = Server::answering(answer);
        let error = request_token(&server, ClientOptions::default()).unwrap_err();
        assert_eq!(error.reason(), expected);
        let debug = format!("{error:?} {error}");
        assert!(
            !debug.contains("secret-4567") && !debug.contains("id &=1"),
            "{debug}"
        );
    }
    let stalled = Server::start(vec![Step::Hold]);
    let error = request_token(&stalled, short_timeouts()).unwrap_err();
    assert_eq!(error.reason(), TokenFailure::Timeout);
}

#[test]
fn retry_after_counts_with_429_and_503_only() {
    let past = "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let cases = [
        ("429", "Retry-After: 7\r\n", Some(7)),
        ("503", "retry-after: 7\r\n", Some(7)),
        ("429", "Retry-After: 4000\r\n", Some(300)),
        ("429", past, Some(0)),
        ("429", "Retry-After: soon\r\n", None),
        ("429", "", None),
        ("500", "Retry-After: 7\r\n", None),
        ("401", "Retry-After: 7\r\n", None),
    ];
    for (status, header, expected) in cases {
        let server = Server::answering(answer(status, header, b"<html>busy</html>"));
        let error = poll(&server).unwrap_err();
        let expected = expected.map(Duration::from_secs);
        assert_eq!(error.retry_after(), expected, "{status} {header}");
        assert_eq!(error.answer().unwrap().message, "");
    }
}

#[test]
fn a_bad_error_body_does_not_hide_the_status() {
    let head = b"HTTP/1.1 503 X\r\nContent-Length: 9000000\r\nRetry-After: 7\r\n\r\n";
    let gzip_error = gzip(br#"{"error":"down"}"#);
    let cases = [
        ("too large", vec![Step::Send(head.to_vec())], ""),
        (
            "stalled",
            vec![
                Step::Send(
                    b"HTTP/1.1 503 X\r\nContent-Length: 9\r\nRetry-After: 7\r\n\r\n{".to_vec(),
                ),
                Step::Hold,
            ],
            "",
        ),
        (
            "compressed",
            vec![Step::Send(answer(
                "503",
                "Content-Encoding: gzip\r\nRetry-After: 7\r\n",
                &gzip_error,
            ))],
            "down",
        ),
    ];
    for (name, steps, message) in cases {
        let server = Server::start(steps);
        let (result, _) = poll_at(&server.url, short_timeouts(), Duration::ZERO);
        let expected = ErrorResponse {
            status: 503,
            message: message.to_owned(),
            is_oauth: message == "down",
            retry_after: Some(Duration::from_secs(7)),
        };
        assert_eq!(result.unwrap_err().answer(), Some(&expected), "{name}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for status in ["301", "302", "307", "308"] {
        let server = Server::answering(answer(status, "Location: /elsewhere\r\n", b""));
        assert_eq!(poll(&server).unwrap_err().reason(), PollFailure::Redirect);
        let error = request_token(&server, ClientOptions::default()).unwrap_err();
        assert_eq!(error.reason(), TokenFailure::Status);
        assert_eq!(server.requests().len(), 2, "{status}");
    }
}

#[test]
fn a_server_that_sends_nothing_causes_a_time_out() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n".to_vec();
    let cases = [
        ("no head", vec![Step::Hold], Stage::Head),
        (
            "half a head",
            vec![Step::Send(head[..20].to_vec()), Step::Hold],
            Stage::Head,
        ),
        (
            "no body",
            vec![Step::Send(head.clone()), Step::Hold],
            Stage::NextByte,
        ),
        (
            "a body without end",
            vec![Step::Send(head), Step::Trickle],
            Stage::WholeBody,
        ),
    ];
    for (name, steps, expected) in cases {
        let server = Server::start(steps);
        // Only the expected limit is short, so that no other one is reached first on a busy machine.
        let mut options = ClientOptions::default();
        let timeouts = &mut options.timeouts;
        let limit = match expected {
            Stage::Head => &mut timeouts.beyond_linger,
            Stage::NextByte => &mut timeouts.idle,
            Stage::WholeBody => &mut timeouts.body,
        };
        *limit = Duration::from_millis(100);
        let (result, head_came) = poll_at(&server.url, options, Duration::ZERO);
        let error = result.unwrap_err();
        assert_eq!(error.reason(), PollFailure::Timeout, "{name}");
        assert!(
            matches!(error, PollError::Call(CallError::Timeout(stage)) if stage == expected),
            "{name}: {error:?}"
        );
        assert_eq!(head_came, expected != Stage::Head, "{name}");
    }
}

#[test]
fn each_failure_of_connecting_has_its_reason() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let refusing: Url = format!("http://127.0.0.1:{port}/").parse().unwrap();
    let mut plain = Server::answering("no TLS here").url;
    plain.set_scheme("https").unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let tls = Some(Arc::new(tls));
    let mut silent = Server::start(vec![Step::Hold]).url;
    silent.set_scheme("https").unwrap();
    let cases = [
        ("refused", refusing, None),
        ("https without TLS settings", plain.clone(), None),
        ("no TLS at the other end", plain, tls.clone()),
        ("a handshake without end", silent, tls),
    ];
    for (name, url, tls) in cases {
        let options = ClientOptions {
            tls,
            timeouts: Timeouts {
                connect: Duration::from_millis(200),
                ..Timeouts::default()
            },
            ..ClientOptions::default()
        };
        let error = poll_at(&url, options, Duration::ZERO).0.unwrap_err();
        assert_eq!(error.reason(), PollFailure::Connect, "{name}: {error:?}");
        assert!(error.source().is_some(), "{name}");
    }
}

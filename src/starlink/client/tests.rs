//! Tests of the client against servers with the behaviour and the faults of Starlink.
use super::*;
use crate::starlink::{PollFailure, TokenFailure};
use flate2::{Compression, write::GzEncoder};
use std::{
    cell::Cell,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    thread,
};

mod connections;

const BODY: &str = r#"{"data":{"values":[]}}"#;

/// What the test server does with a connection after it has read a request. Then it closes the connection.
#[derive(Clone)]
enum Step {
    Send(Vec<u8>),
    Sleep(Duration),
    /// Sends a byte every few milliseconds until the client disconnects.
    Trickle,
    /// Waits until the client disconnects.
    Hold,
}

struct Server {
    url: Url,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Listens until the process ends, and performs the steps with every connection.
    fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                seen.lock().unwrap().push(read_request(&stream));
                for step in &steps {
                    // The client may disconnect at any time, which some tests provoke.
                    if step.perform(&mut stream).is_err() {
                        break;
                    }
                }
            }
        });
        Self {
            url: url.parse().unwrap(),
            requests,
        }
    }

    fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(vec![Step::Send(answer.into())])
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Step {
    fn perform(&self, stream: &mut TcpStream) -> io::Result<()> {
        match self {
            Self::Send(bytes) => stream.write_all(bytes),
            Self::Sleep(duration) => {
                thread::sleep(*duration);
                Ok(())
            }
            Self::Trickle => loop {
                stream.write_all(b" ")?;
                thread::sleep(Duration::from_millis(5));
            },
            Self::Hold => stream.read_to_end(&mut Vec::new()).map(drop),
        }
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).unwrap_or_default() == 0 {
            return request;
        }
    }
    let length = request
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or_default();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request + &String::from_utf8(body).unwrap()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn chunked(headers: &str, chunks: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n");
    [head.as_bytes(), chunks].concat()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn short_timeouts() -> ClientOptions {
    let short = Duration::from_millis(100);
    ClientOptions {
        timeouts: Timeouts {
            token: short,
            beyond_linger: short,
            body: 3 * short,
            idle: short,
            ..Timeouts::default()
        },
        ..ClientOptions::default()
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(future)
}

/// Polls once. Also returns whether `on_head` was called.
fn poll_at(
    url: &Url,
    options: ClientOptions,
    linger: Duration,
) -> (Result<Bytes, PollError>, bool) {
    let head_came = Cell::new(false);
    let result = run(async {
        let bearer = SecretString::from("bearer-0123");
        Client::new(options)
            .poll(url, &bearer, 1000, linger, || head_came.set(true))
            .await
    });
    (result, head_came.get())
}

fn poll(server: &Server) -> Result<Bytes, PollError> {
    poll_at(&server.url, ClientOptions::default(), Duration::ZERO).0
}

fn request_token(server: &Server, options: ClientOptions) -> Result<Token, TokenError> {
    run(async {
        Client::new(options)
            .request_token(&server.url, &"id &=1".into(), &"secret-4567".into())
            .await
    })
}

#[test]
fn a_poll_sends_what_the_api_expects() {
    let server = Server::answering(answer("200", "", BODY.as_bytes()));
    let (result, head_came) = poll_at(
        &server.url,
        ClientOptions::default(),
        Duration::from_millis(1500),
    );
    assert_eq!(result.unwrap(), BODY);
    assert!(head_came);

    let requests = server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert_eq!(body, r#"{"batchSize":1000,"maxLingerMs":1500}"#);
    let head = head.to_ascii_lowercase();
    let expected = [
        "post /path http/1.1",
        "authorization: bearer bearer-0123",
        "content-type: application/json",
        "accept: application/json",
        "accept-encoding: gzip",
        &format!("user-agent: {USER_AGENT}"),
    ];
    for line in expected {
        assert!(head.lines().any(|sent| sent == line), "{line} in {head}");
    }
}

#[test]
fn a_token_request_sends_a_form() {
    let body = br#"{"access_token":"abc","expires_in":600}"#;
    let server = Server::answering(answer("200", "", body));
    let token = request_token(&server, ClientOptions::default()).unwrap();
    assert_eq!(token.bearer.expose_secret(), "abc");
    assert_eq!(token.lifetime, Duration::from_secs(600));

    let requests = server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: application/x-www-form-urlencoded")
    );
    assert_eq!(
        body,
        "client_id=id+%26%3D1&client_secret=secret-4567&grant_type=client_credentials"
    );
}

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
fn whole_bodies_are_read_in_every_framing() {
    let body = BODY.as_bytes();
    let gzipped = gzip(body);
    let encoded = "Content-Encoding: gzip\r\n";
    let (first, second) = gzipped.split_at(9);
    let cases = [
        ("length", answer("200", "", body)),
        ("length, gzip", answer("200", encoded, &gzipped)),
        (
            "chunks",
            chunked("", &[chunk(body), b"0\r\n\r\n".to_vec()].concat()),
        ),
        (
            "chunks, gzip",
            chunked(
                encoded,
                &[chunk(first), chunk(second), b"0\r\n\r\n".to_vec()].concat(),
            ),
        ),
        (
            "HTTP/1.0, to the end of the connection",
            [b"HTTP/1.0 200 OK\r\n\r\n", body].concat(),
        ),
    ];
    for (name, answer) in cases {
        assert_eq!(poll(&Server::answering(answer)).unwrap(), BODY, "{name}");
    }
}

#[test]
fn broken_answers_are_errors() {
    let cut = |mut answer: Vec<u8>| {
        answer.truncate(answer.len() - 5);
        answer
    };
    let gzipped = gzip(BODY.as_bytes());
    let encoded = "Content-Encoding: gzip\r\n";
    let unsupported = "Content-Encoding: br\r\n";
    let cases: [(&str, Vec<u8>, PollFailure); 14] = [
        (
            "cut, with a length",
            cut(answer("200", "", BODY.as_bytes())),
            PollFailure::Disconnected,
        ),
        (
            "HTTP/1.0, cut, with a length",
            b"HTTP/1.0 200 OK\r\nContent-Length: 22\r\n\r\n{".to_vec(),
            PollFailure::Disconnected,
        ),
        (
            "nothing but the head",
            b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n".to_vec(),
            PollFailure::Disconnected,
        ),
        (
            "gzip, cut, with a length",
            cut(answer("200", encoded, &gzipped)),
            PollFailure::Disconnected,
        ),
        (
            "gzip, cut, in chunks",
            cut(chunked(encoded, &chunk(&gzipped))),
            PollFailure::Decode,
        ),
        (
            "gzip, cut before it was sent",
            answer("200", encoded, &gzipped[..15]),
            PollFailure::Decode,
        ),
        (
            "no gzip, though it says so",
            answer("200", encoded, BODY.as_bytes()),
            PollFailure::Decode,
        ),
        (
            "brotli",
            answer("200", unsupported, BODY.as_bytes()),
            PollFailure::Decode,
        ),
        (
            "bad chunks",
            chunked("", b"no chunk\r\n"),
            PollFailure::Decode,
        ),
        (
            "no length, no chunks",
            [b"HTTP/1.1 200 OK\r\n\r\n", BODY.as_bytes()].concat(),
            PollFailure::Decode,
        ),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n  ".to_vec(),
            PollFailure::Decode,
        ),
        (
            "not HTTP",
            b"SSH-2.0-x\r\n\r\n".to_vec(),
            PollFailure::Decode,
        ),
        ("nothing", Vec::new(), PollFailure::Disconnected),
        (
            "cut in the head",
            b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(),
            PollFailure::Disconnected,
        ),
    ];
    for (name, answer, expected) in cases {
        let error = poll(&Server::answering(answer)).unwrap_err();
        assert_eq!(error.reason(), expected, "{name}: {error:?}");
    }
}

/// The only truncation that the client does not detect. The JSON parser must.
#[test]
fn truncated_chunks_without_gzip_are_not_detected() {
    let server = Server::answering(chunked("", &chunk(&BODY.as_bytes()[..10])));
    assert_eq!(poll(&server).unwrap(), &BODY[..10]);
}

#[test]
fn bodies_over_the_limit_are_refused() {
    let limit = 1000;
    let exact = vec![b' '; limit];
    let over = vec![b' '; limit + 1];
    let end = b"0\r\n\r\n".to_vec();
    let encoded = "Content-Encoding: gzip\r\n";
    let cases = [
        ("length", answer("200", "", &exact), true),
        ("length", answer("200", "", &over), false),
        ("gzip", answer("200", encoded, &gzip(&exact)), true),
        ("gzip", answer("200", encoded, &gzip(&over)), false),
        (
            "chunks",
            chunked("", &[chunk(&exact), end.clone()].concat()),
            true,
        ),
        ("chunks", chunked("", &[chunk(&over), end].concat()), false),
    ];
    for (name, answer, fits) in cases {
        let options = ClientOptions {
            batch_limit: limit,
            ..ClientOptions::default()
        };
        let server = Server::answering(answer);
        match poll_at(&server.url, options, Duration::ZERO).0 {
            Ok(body) => assert!(fits && body == exact, "{name}"),
            Err(error) => {
                assert!(!fits, "{name}: {error:?}");
                assert_eq!(error.reason(), PollFailure::Decode, "{name}");
            }
        }
    }
}

#[test]
fn silence_ends_in_a_time_out() {
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
        let mut options = short_timeouts();
        if expected == Stage::WholeBody {
            // The limit holds also if the bytes come slowly on a loaded machine.
            options.timeouts.idle = Duration::from_secs(60);
        }
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

/// A linger longer than awc's own time-out of 5 s, and than our limit without the linger.
#[test]
fn a_long_linger_is_waited_for() {
    let linger = Duration::from_secs(6);
    let server = Server::start(vec![
        Step::Sleep(linger),
        Step::Send(answer("200", "", BODY.as_bytes())),
    ]);
    let options = ClientOptions {
        timeouts: Timeouts {
            beyond_linger: Duration::from_secs(5),
            ..Timeouts::default()
        },
        ..ClientOptions::default()
    };
    assert_eq!(poll_at(&server.url, options, linger).0.unwrap(), BODY);
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

#[test]
fn a_token_that_is_not_allowed_in_a_header_is_not_sent() {
    let server = Server::answering(answer("200", "", b""));
    let result = run(async {
        Client::new(ClientOptions::default())
            .poll(&server.url, &"a\r\nb".into(), 1, Duration::ZERO, || {})
            .await
    });
    assert_eq!(result.unwrap_err().reason(), PollFailure::Token);
    assert_eq!(server.requests().len(), 0);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_at_trace_level_contains_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let server = Server::answering(answer("200", "", br#"{"access_token":"bearer-0123"}"#));
    tracing::subscriber::with_default(subscriber, || {
        request_token(&server, ClientOptions::default()).unwrap();
        poll(&server).unwrap();
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("TRACE"));
    for secret in ["bearer-0123", "secret-4567", "id+%26"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

//! Tests of the client against test servers: this file has the server, and the tests of requests.
use super::*;
use crate::starlink::PollFailure;
use flate2::{Compression, write::GzEncoder};
use std::{
    cell::Cell,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    thread,
};

mod bodies;
mod connections;
mod failures;

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

/// A linger longer than awc's own time-out of 5 s, and than our limit without the linger.
#[test]
fn a_poll_may_linger_longer_than_the_time_out_of_awc() {
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

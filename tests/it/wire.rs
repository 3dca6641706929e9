//! A plain HTTP/1.1 client that shows responses as they were sent: it does not decompress, follow redirects or correct anything.
#![expect(
    clippy::expect_used,
    reason = "the message of `expect` explains the failure of the test"
)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use actix_rt::task::spawn_blocking;
use socket2::{Domain, Socket, Type};
use url::{Position, Url};

use crate::harness::WAIT_LIMIT;

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without chunk framing.
    pub bytes: Vec<u8>,
    /// The body as text; empty if it is compressed.
    pub body: String,
}

impl Response {
    /// The values of a header, joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// The target that a browser requests for a link of `/` or `/device`: relative links are resolved, the fragment is removed.
pub fn target(link: &str) -> String {
    let url = Url::parse("http://host/").unwrap().join(link).unwrap();
    url[Position::BeforePath..Position::AfterQuery].to_owned()
}

/// Sends a GET request with headers.
pub async fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Response {
    ask(address, "GET", target, headers).await
}

/// Sends a GET request. Returns `None` if the connection is refused or ends without a response.
pub async fn try_get(address: SocketAddr, target: &str) -> Option<Response> {
    let answer = exchange(address, request(address, "GET", target, &[])).await;
    answer.ok().and_then(|answer| parse(&answer))
}

/// Sends a GET request from the loopback address `source`, as another client would.
pub async fn get_from(
    source: Ipv4Addr,
    address: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
) -> Response {
    let request = request(address, "GET", target, headers);
    let exchange = move || {
        let mut connection = connect_from(source, address);
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        answer
    };
    let answer = spawn_blocking(exchange).await.unwrap();
    parse(&answer).expect("the head has an end")
}

/// Connects from the loopback address `source`.
pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream
}

/// Sends a request without a body, and reads until the connection ends.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Response {
    send(address, request(address, method, target, headers)).await
}

/// Sends the text of a request, and reads until the connection ends.
pub async fn send(address: SocketAddr, request: String) -> Response {
    let answer = exchange(address, request).await.unwrap();
    parse(&answer).expect("the head has an end")
}

/// The text of a request.
pub fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n")
}

/// Sends a request and returns all received bytes. Blocks a separate thread, so that concurrent requests of one test do not wait
/// for each other.
async fn exchange(address: SocketAddr, request: String) -> io::Result<Vec<u8>> {
    let exchange = move || {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(WAIT_LIMIT))?;
        connection.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer)?;
        Ok(answer)
    };
    spawn_blocking(exchange).await.unwrap()
}

/// Parses a response; `None` if its head is incomplete.
pub fn parse(answer: &[u8]) -> Option<Response> {
    let end = find(answer, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let mut answer = Response {
        status: status.parse().unwrap(),
        headers: lines.map(header).collect(),
        bytes: answer[end + 4..].to_vec(),
        body: String::new(),
    };
    if !answer.bytes.is_empty() && answer.header("transfer-encoding").as_deref() == Some("chunked")
    {
        answer.bytes = without_chunks(&answer.bytes);
    }
    if answer.header("content-encoding").is_none() {
        answer.body = String::from_utf8(answer.bytes.clone()).expect("text is UTF-8");
    }
    Some(answer)
}

fn without_chunks(mut framed: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = find(framed, b"\r\n").expect("a chunk has a size");
        let size = std::str::from_utf8(&framed[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(
                &framed[end..],
                b"\r\n\r\n",
                "nothing follows the last chunk"
            );
            return body;
        }
        let chunk = &framed[end + 2..];
        body.extend_from_slice(&chunk[..size]);
        assert_eq!(&chunk[size..size + 2], b"\r\n");
        framed = &chunk[size + 2..];
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

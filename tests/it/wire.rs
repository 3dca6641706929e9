//! HTTP/1.1 byte by byte, as any client could speak it: nothing is decoded, followed or put right on the way.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on fails, and the text tells why"
)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use actix_rt::task::spawn_blocking;
use socket2::{Domain, Socket, Type};
use url::{Position, Url};

use crate::harness::PATIENCE;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without the chunks' framing.
    pub bytes: Vec<u8>,
    /// The same as text; empty where it came compressed.
    pub body: String,
}

impl Answer {
    /// A header's values, joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// What a browser requests for a link of `/` or `/device`: it resolves relative links and keeps the fragment to itself.
pub fn target(link: &str) -> String {
    let url = Url::parse("http://host/").unwrap().join(link).unwrap();
    url[Position::BeforePath..Position::AfterQuery].to_owned()
}

/// GETs a target with headers.
pub async fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    ask(address, "GET", target, headers).await
}

/// GETs a target; none where nobody listens any more or the connection ends without an answer.
pub async fn try_get(address: SocketAddr, target: &str) -> Option<Answer> {
    let answer = exchange(address, request(address, "GET", target, &[])).await;
    answer.ok().and_then(|answer| parse(&answer))
}

/// GETs a target from a loopback address of the test's choice, as another client would.
pub async fn get_from(
    source: Ipv4Addr,
    address: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
) -> Answer {
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

/// A connection from a loopback address of the test's choice.
pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request without a body and waits for the end of the connection.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Answer {
    send(address, request(address, method, target, headers)).await
}

/// Sends this text and reads until the service closes the connection.
pub async fn send(address: SocketAddr, request: String) -> Answer {
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

/// What comes back until the connection ends. The socket blocks a thread of its own: tests that run side by side in one
/// system do not wait for each other.
async fn exchange(address: SocketAddr, request: String) -> io::Result<Vec<u8>> {
    let exchange = move || {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer)?;
        Ok(answer)
    };
    spawn_blocking(exchange).await.unwrap()
}

/// Reads an answer, if its head is whole.
pub fn parse(answer: &[u8]) -> Option<Answer> {
    let end = find(answer, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let mut answer = Answer {
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

//! HTTP/1.1 byte by byte, as any client could speak it: nothing is decoded, followed or put right on the way.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on fails, and the text tells why"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::PATIENCE;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without the chunks' framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's values, joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// GETs a target with headers.
pub fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    ask(address, "GET", target, headers)
}

/// Sends a request without a body and waits for the end of the connection.
pub fn ask(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{headers}");
    send(
        address,
        format!("{head}Connection: close\r\n\r\n").as_bytes(),
    )
}

/// Sends these bytes and reads until the service closes the connection.
pub fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(request).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    parse(&answer)
}

fn parse(answer: &[u8]) -> Answer {
    let end = find(answer, b"\r\n\r\n").expect("the head has an end");
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
        body: answer[end + 4..].to_vec(),
    };
    if !answer.body.is_empty() && answer.header("transfer-encoding").as_deref() == Some("chunked") {
        answer.body = without_chunks(&answer.body);
    }
    answer
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

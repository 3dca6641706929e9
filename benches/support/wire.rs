//! A blocking HTTP client that reads responses without parsing the body.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The read time-out.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// The size of a single read.
const BUFFER: usize = 1 << 20;

/// The longest head.
const LONGEST_HEAD: usize = 1024;

/// The beginning of the head of a successful response.
const OK: &str = "HTTP/1.1 200";

/// The header of a chunked response, in lower case.
const CHUNKED: &str = "transfer-encoding: chunked";

/// The end of a chunked response.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Sends a GET request; the server closes the connection after its response.
pub fn request(address: SocketAddr, path: &str, is_gzip: bool) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT_LIMIT))?;
    let encoding = if is_gzip { "gzip" } else { "identity" };
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\n\
         Accept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

/// Reads responses completely, and checks only the beginning and the end.
#[derive(Debug)]
pub struct Sink {
    buffer: Vec<u8>,
}

impl Default for Sink {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER],
        }
    }
}

impl Sink {
    /// Requests a path and returns the number of bytes of the response, including its head.
    ///
    /// # Errors
    /// Errors of the connection; the status is not 200; the last chunk is missing.
    pub fn drain(&mut self, address: SocketAddr, path: &str, is_gzip: bool) -> Result<usize> {
        let mut stream = request(address, path, is_gzip)?;
        let mut total = stream.read(&mut self.buffer)?;
        let head = String::from_utf8_lossy(&self.buffer[..total.min(LONGEST_HEAD)]);
        if !head.starts_with(OK) {
            return Err(Error::other(head.into_owned()));
        }
        let is_chunked = head.to_ascii_lowercase().contains(CHUNKED);
        let mut end = self.buffer[..total].to_vec();
        loop {
            let count = stream.read(&mut self.buffer)?;
            if count == 0 {
                break;
            }
            total += count;
            // The end may be split across several reads.
            end.extend_from_slice(&self.buffer[count.saturating_sub(LAST_CHUNK.len())..count]);
            end.drain(..end.len().saturating_sub(LAST_CHUNK.len()));
        }
        if is_chunked && !end.ends_with(LAST_CHUNK) {
            return Err(cut());
        }
        Ok(total)
    }
}

/// The body of a response, with chunk framing removed.
///
/// # Errors
/// Errors of the connection; the status is not 200; the response is truncated.
pub fn body(answer: &[u8]) -> Result<Vec<u8>> {
    let end = find(answer, b"\r\n\r\n").ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    if !head.starts_with(&OK.to_ascii_lowercase()) {
        return Err(Error::other(head));
    }
    let mut rest = &answer[end + 4..];
    if !head.contains(CHUNKED) {
        return Ok(rest.to_vec());
    }
    let mut body = Vec::with_capacity(rest.len());
    loop {
        let line = find(rest, b"\r\n").ok_or_else(cut)?;
        let size = std::str::from_utf8(&rest[..line]).map_err(Error::other)?;
        let size = usize::from_str_radix(size, 16).map_err(Error::other)?;
        if size == 0 {
            return Ok(body);
        }
        let chunk = line + 2..line + 2 + size;
        body.extend_from_slice(rest.get(chunk.clone()).ok_or_else(cut)?);
        rest = rest.get(chunk.end + 2..).ok_or_else(cut)?;
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "the answer is cut")
}

/// The first position of `wanted`.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|found| found == wanted)
}

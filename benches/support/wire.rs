//! A plain blocking HTTP client: reads all that comes, understands none of it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing that is measured here takes longer between two bytes.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many bytes are read at a time.
const BUFFER: usize = 1 << 20;

/// No head is longer.
const LONGEST_HEAD: usize = 1024;

/// What the only good head begins with.
const OK: &str = "HTTP/1.1 200";

/// What the head of a chunked answer has, in lower case.
const CHUNKED: &str = "transfer-encoding: chunked";

/// What a chunked answer ends with.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A GET that is under way; the server closes the connection after its answer.
pub fn request(address: SocketAddr, path: &str, is_gzip: bool) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let encoding = if is_gzip { "gzip" } else { "identity" };
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\n\
         Accept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

/// Reads everything, and looks at nothing but the beginning and the end.
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
    /// How many bytes an answer has, its head included.
    ///
    /// # Errors
    /// Of the connection; when the status is not 200, or chunks end before the last one.
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
            // The last bytes may come one by one.
            end.extend_from_slice(&self.buffer[count.saturating_sub(LAST_CHUNK.len())..count]);
            end.drain(..end.len().saturating_sub(LAST_CHUNK.len()));
        }
        if is_chunked && !end.ends_with(LAST_CHUNK) {
            return Err(cut());
        }
        Ok(total)
    }
}

/// The body of an answer as it is, chunked or not.
///
/// # Errors
/// Of the connection; when the status is not 200, or the answer ends before its end.
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

/// Where `wanted` stands first.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|found| found == wanted)
}

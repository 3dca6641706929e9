//! The connection that awc uses: TCP with or without TLS, with interim responses removed.

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::interim::{self, Head};

/// The size of a single read while the head is inspected.
const CHUNK: usize = 4096;

/// TCP with or without TLS.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// The state of a connection between request and response.
enum ReadState {
    /// The head of the final response was found, or the connection is idle: bytes pass through.
    PassThrough,
    /// A request was sent. These bytes were received since, and may be an interim response.
    Head(Vec<u8>),
    /// The final response has begun with these bytes, of which those before the index have been read.
    Rest(Vec<u8>, usize),
}

/// A connection without pipelining: each request is sent after the response to the previous one was read. Interim responses are
/// removed.
pub(crate) struct Stream {
    transport: Transport,
    reading: ReadState,
    /// The number of bytes of interim responses since the request.
    skipped: usize,
}

impl Stream {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            reading: ReadState::PassThrough,
            skipped: 0,
        }
    }

    /// Reads and drops interim responses until the final response begins or the connection ends.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let ReadState::Head(head) = &mut self.reading {
            match interim::inspect(head) {
                Head::Final => {
                    self.reading = ReadState::Rest(mem::take(head), 0);
                }
                Head::Interim(length) => {
                    head.drain(..length);
                    self.skipped += length;
                }
                Head::Incomplete => {
                    if self.skipped + head.len() > interim::LIMIT {
                        let limit = interim::LIMIT;
                        let text = format!(
                            "more than {limit} bytes of interim responses (1xx) came before the response"
                        );
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                    }
                    let mut chunk = [0; CHUNK];
                    let mut chunk = ReadBuf::new(&mut chunk);
                    ready!(Pin::new(&mut self.transport).poll_read(context, &mut chunk))?;
                    match chunk.filled() {
                        [] => self.reading = ReadState::Rest(mem::take(head), 0),
                        bytes => head.extend_from_slice(bytes),
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_head(context))?;
        if let ReadState::Rest(bytes, start) = &mut self.reading {
            let rest = &bytes[*start..];
            let length = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..length]);
            *start += length;
            if *start == bytes.len() {
                self.reading = ReadState::PassThrough;
            }
            if length > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Pin::new(&mut self.transport).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.transport).poll_write(context, bytes))?;
        if written > 0 && matches!(self.reading, ReadState::PassThrough) {
            self.reading = ReadState::Head(Vec::new());
            self.skipped = 0;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

impl ActixStream for Stream {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(self.transport.tcp(), context)
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(self.transport.tcp(), context)
    }
}

/// Without the bytes that were sent or received.
impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream)
                .poll_read(context, buffer)
                .map_err(with_short_text),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Replaces the text of rustls, which contains a link to its manual.
fn with_short_text(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server closed the connection without ending TLS",
        ),
        _ => error,
    }
}

//! A connection as awc gets it: TCP, with TLS or without, less the interim responses.

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::interim::{self, Beginning};

/// How much is read at once while a head is looked at.
const CHUNK: usize = 4096;

/// TCP, with TLS or without.
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

/// Where a connection stands between request and answer.
enum Reading {
    /// What comes belongs to the answer, or the connection is idle.
    Through,
    /// A request was sent, and this is what has come since, while that may be an interim response.
    Head(Vec<u8>),
    /// The answer has begun: first these bytes, from this one on.
    Rest(Vec<u8>, usize),
}

/// A connection on which one request after the other is sent, each when the answer to the one before has been read: interim
/// responses are left out.
pub(crate) struct Stream {
    transport: Transport,
    reading: Reading,
    /// How many bytes of interim responses came since the request.
    skipped: usize,
}

impl Stream {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            reading: Reading::Through,
            skipped: 0,
        }
    }

    /// Reads on, and drops interim responses, until the answer begins or the connection ends.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Reading::Head(head) = &mut self.reading {
            match interim::beginning(head) {
                Beginning::Answer => {
                    self.reading = Reading::Rest(mem::take(head), 0);
                }
                Beginning::Interim(length) => {
                    head.drain(..length);
                    self.skipped += length;
                }
                Beginning::Unknown => {
                    if self.skipped + head.len() > interim::LIMIT {
                        let limit = interim::LIMIT;
                        let text = format!(
                            "more than {limit} bytes of interim responses (1xx) came before the answer"
                        );
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                    }
                    let mut chunk = [0; CHUNK];
                    let mut chunk = ReadBuf::new(&mut chunk);
                    ready!(Pin::new(&mut self.transport).poll_read(context, &mut chunk))?;
                    match chunk.filled() {
                        [] => self.reading = Reading::Rest(mem::take(head), 0),
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
        if let Reading::Rest(bytes, start) = &mut self.reading {
            let rest = &bytes[*start..];
            let length = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..length]);
            *start += length;
            if *start == bytes.len() {
                self.reading = Reading::Through;
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
        if written > 0 && matches!(self.reading, Reading::Through) {
            self.reading = Reading::Head(Vec::new());
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

/// Without what was sent or received.
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
                .map_err(in_words),
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

/// rustls says it with a link to its manual.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server closed the connection without ending TLS",
        ),
        _ => error,
    }
}

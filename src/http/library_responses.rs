//! Adds the shared headers to the responses that the HTTP library makes by itself.
//!
//! actix-http responds to a head that is malformed (400), too large (431) or slow (408) before it calls any service, and closes the
//! connection after the response. It has no hook for them: its services (requests, `Expect`, upgrades) do not see them, and
//! `on_connect_ext` sees only the connection. Therefore the headers are inserted into the written bytes, and only while no response of a
//! service is in progress. A response that is written together with the one before it (to a client that pipelines requests) has no
//! body and is not changed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::http::header::HeaderMap;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::admission::OptionalGate;
use super::connection::ConnectionHandle;
use super::finish::insert_shared;

/// The end of a line of a head.
const END: &[u8] = b"\r\n";

/// A connection that adds the common headers to the responses of the library.
pub struct WithSharedHeaders<T> {
    io: T,
    handle: ConnectionHandle,
    gate: OptionalGate,
    /// The rest of a response that got headers.
    rest: Bytes,
}

impl<T> WithSharedHeaders<T> {
    /// A connection whose handlers report their responses to `handle`.
    pub fn new(io: T, handle: ConnectionHandle, gate: OptionalGate) -> Self {
        Self {
            io,
            handle,
            gate,
            rest: Bytes::new(),
        }
    }

    /// The handle for the handlers of this connection's requests.
    pub fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }
}

impl<T: AsyncWrite + Unpin> WithSharedHeaders<T> {
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.rest.has_remaining() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The bytes with the headers inserted after the status line, if they begin a response.
fn completed(bytes: &[u8], gate: &OptionalGate) -> Option<Bytes> {
    if !bytes.starts_with(b"HTTP/1.") {
        return None;
    }
    let status = bytes.windows(END.len()).position(|two| two == END)? + END.len();
    let mut whole = bytes[..status].to_vec();
    let mut headers = HeaderMap::new();
    insert_shared(&mut headers, gate);
    for (name, value) in &headers {
        whole.extend_from_slice(name.as_str().as_bytes());
        whole.extend_from_slice(b": ");
        whole.extend_from_slice(value.as_bytes());
        whole.extend_from_slice(END);
    }
    whole.extend_from_slice(&bytes[status..]);
    Some(whole.into())
}

impl<T: AsyncRead + Unpin> AsyncRead for WithSharedHeaders<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WithSharedHeaders<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_rest(context))?;
        let whole = match this.handle.has_response() {
            true => None,
            false => completed(bytes, &this.gate),
        };
        let Some(whole) = whole else {
            return Pin::new(&mut this.io).poll_write(context, bytes);
        };
        this.rest = whole;
        // Bytes that do not fit now are written before all others, at the latest at a flush.
        if let Poll::Ready(Err(error)) = this.poll_rest(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(context))?;
        ready!(Pin::new(&mut self.io).poll_flush(context))?;
        // The library flushes after it has written everything.
        self.handle.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(context))?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

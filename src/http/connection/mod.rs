//! A client's connection with time limits. It is closed when it is idle, when a request does not end, and when a response is read too
//! slowly.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The most bytes of requests without a response. The request of a scrape has a few hundred.
const MOST_UNANSWERED: usize = 32 * 1024;

/// The most heads of requests that are read before the first is answered. The web server keeps about 6 KiB for each. A scraper sends
/// its next request after the response.
const MOST_PIPELINED: usize = 16;

/// The time limits of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// To send the first request of a connection.
    pub first: Duration,
    /// From the first byte of a request to the first byte of its response. Includes the time that the handler takes.
    pub request: Duration,
    /// Without an acknowledgement of any data of a response; enforced by the operating system.
    pub stall: Duration,
    /// To read a whole response. Scrapes and pages apply it to the body; the connection restarts it whenever some bytes are read.
    pub response: Duration,
    /// The least rate at which a client must read a response, in bytes per second. Only time in which the server waits for the client counts.
    pub rate: u32,
    /// The time for which a client may be slower than `rate` in total.
    pub grace: Duration,
    /// To send the next request after a response.
    pub idle: Duration,
    /// To close a connection after the last response.
    pub close: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            request: Duration::from_secs(20),
            stall: Duration::from_secs(10),
            response: Duration::from_secs(120),
            rate: 256 * 1024,
            grace: Duration::from_secs(10),
            // Longer than most scrape intervals: Prometheus keeps its connection.
            idle: Duration::from_secs(75),
            close: Duration::from_secs(1),
        }
    }
}

/// With more open connections than this, a connection is closed after a large response: the web server keeps about 90 KiB of buffers for
/// each that has had one.
pub const MOST_KEPT: usize = 512;

/// Counts the open connections of a listener, each of which holds a clone.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<()>);

impl OpenConnections {
    fn is_large(&self) -> bool {
        Arc::strong_count(&self.0) > MOST_KEPT
    }
}

/// Shared by a connection and the handlers of its requests, which report the progress of responses.
#[derive(Debug, Clone, Default)]
pub struct ConnectionHandle(Rc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    open_connections: OpenConnections,
    is_last: Cell<bool>,
    is_broken: Cell<bool>,
    /// When the response began, plus the time in which the server did not wait for the client.
    response: Cell<Option<Instant>>,
    /// Whether the body of a response is not complete yet.
    is_open: Cell<bool>,
    /// Whether a response has begun and is possibly not written yet.
    is_unwritten: Cell<bool>,
    /// Bytes of the response that are written.
    sent: Cell<u64>,
}

impl ConnectionHandle {
    /// Whether there are too many connections to keep this one open after its response.
    pub fn is_crowded(&self) -> bool {
        self.0.open_connections.is_large()
    }

    /// The next response is the connection's last. What the client has not sent yet is not read.
    pub fn announce_last(&self) {
        self.0.is_last.set(true);
    }

    /// A response begins. From now on the client must read at the least rate.
    pub fn begin_response(&self) {
        self.0.response.set(Some(Instant::now()));
        self.0.sent.set(0);
        self.0.is_open.set(true);
        self.0.is_unwritten.set(true);
    }

    /// The body of the response is complete, but possibly not written to the connection yet.
    pub fn end_response(&self) {
        self.0.is_open.set(false);
    }

    /// Everything that was ready is written.
    pub fn flushed(&self) {
        self.0.is_unwritten.set(self.0.is_open.get());
    }

    /// Whether the next bytes may belong to a handler's response.
    pub fn has_response(&self) -> bool {
        self.0.is_unwritten.get()
    }

    /// The response is incomplete. The connection is reset, so that the client does not take it for a complete one.
    pub fn break_off(&self) {
        self.0.is_broken.set(true);
    }

    /// Excludes the time since then from the time of the response, because the server did not wait for the client.
    fn exclude_since(&self, since: Instant) {
        let begun = self.0.response.get();
        let later = begun.map(|begun| begun + begun.max(since).elapsed());
        self.0.response.set(later);
    }

    /// The time at which the client is too slow, unless it reads more before.
    fn due(&self, timeouts: &ClientTimeouts) -> Option<Instant> {
        let millis = self.0.sent.get().saturating_mul(1000) / u64::from(timeouts.rate.max(1));
        let time = Duration::from_millis(millis).saturating_add(timeouts.grace);
        self.0.response.get()?.checked_add(time)
    }
}

/// A transport that can be closed with an error that the peer sees.
pub trait Reset {
    /// Sends a reset when the transport is closed.
    fn reset(&self);
}

/// A stream of bytes that fails when its client exceeds a time limit.
///
/// The web server itself limits only the time of the first request of a connection, not that of later ones.
#[derive(Debug)]
pub struct Connection<T: Reset> {
    io: T,
    timeouts: ClientTimeouts,
    /// Ends at the current time limit.
    timer: Pin<Box<Sleep>>,
    /// Bytes received since the last write.
    unanswered: usize,
    /// Ends of heads among them.
    pipelined: usize,
    /// Whether the last received byte ended a line.
    is_at_line: bool,
    /// Whether a write waits because the client does not read.
    is_stalled: bool,
    /// The time of the response is counted up to here.
    counted: Instant,
    handle: ConnectionHandle,
}

impl<T: Reset> Connection<T> {
    /// Waits for the first request. Needs a tokio runtime with timers.
    pub fn new(io: T, timeouts: ClientTimeouts, open_connections: OpenConnections) -> Self {
        let progress = Progress {
            open_connections,
            ..Progress::default()
        };
        Self {
            io,
            timeouts,
            timer: Box::pin(sleep(timeouts.idle)),
            unanswered: 0,
            pipelined: 0,
            is_at_line: false,
            is_stalled: false,
            counted: Instant::now(),
            handle: ConnectionHandle(Rc::new(progress)),
        }
    }

    /// The handle for the handlers of this connection's requests.
    pub fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }

    fn wait_at_most(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }

    fn has_received(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unanswered == 0 && !bytes.is_empty() {
            self.wait_at_most(self.timeouts.request);
        }
        self.unanswered += bytes.len();
        self.count_heads(bytes);
        if self.unanswered > MOST_UNANSWERED || self.pipelined > MOST_PIPELINED {
            return Err(io::Error::new(ErrorKind::InvalidData, "too long a request"));
        }
        Ok(())
    }

    /// Counts empty lines, each of which ends a head.
    fn count_heads(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.pipelined += usize::from(self.is_at_line);
                    self.is_at_line = true;
                }
                b'\r' => {}
                _ => self.is_at_line = false,
            }
        }
    }

    fn has_sent(&mut self, bytes: usize) {
        let sent = &self.handle.0.sent;
        sent.set(sent.get().saturating_add(bytes as u64));
        self.unanswered = 0;
        self.pipelined = 0;
        self.has_room();
    }

    /// Counts the time since the last call if the server waited for the client.
    fn count_time(&mut self) {
        if !self.is_stalled {
            self.handle.exclude_since(self.counted);
        }
        self.counted = Instant::now();
    }

    /// A write is possible again.
    fn has_room(&mut self) {
        self.count_time();
        self.is_stalled = false;
        self.wait_at_most(match self.handle.0.is_last.get() {
            true => self.timeouts.close,
            false => self.timeouts.idle,
        });
    }

    /// Nothing can be read or written now. Fails at the time limit.
    fn poll_timeout<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        ready!(self.timer.as_mut().poll(context));
        if self.is_stalled {
            self.handle.break_off();
        }
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Records the result of a write.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = &written {
            self.has_sent(*result.as_ref().unwrap_or(&0));
            return written;
        }
        self.wait_for_room(context)
    }

    /// Nothing more can be written now.
    fn wait_for_room<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        if !self.is_stalled {
            self.count_time();
            self.is_stalled = true;
            // Not a shorter time: a slow client may take long to empty the operating system's buffer.
            self.wait_at_most(self.timeouts.response);
            if let Some(due) = self.handle.due(&self.timeouts)
                && due < self.timer.deadline()
            {
                self.timer.as_mut().reset(due);
            }
        }
        self.poll_timeout(context)
    }
}

impl<T: Reset> Drop for Connection<T> {
    fn drop(&mut self) {
        if self.handle.0.is_broken.get() {
            self.io.reset();
        }
    }
}

impl<T: Reset + AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.io).poll_read(context, buffer)? {
            Poll::Ready(()) => Poll::Ready(this.has_received(&buffer.filled()[before..])),
            Poll::Pending => this.poll_timeout(context),
        }
    }
}

impl<T: Reset + AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.written(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(context, bytes);
        this.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // TLS accepts bytes before the transport has room for them.
        match Pin::new(&mut this.io).poll_flush(context) {
            Poll::Ready(flushed) => {
                if flushed.is_ok() && this.is_stalled {
                    this.has_room();
                }
                Poll::Ready(flushed)
            }
            Poll::Pending => this.wait_for_room(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

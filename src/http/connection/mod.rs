//! A client's connection and its time limits: silence, requests without an end and responses that are read too slowly end it.

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

/// The most bytes of requests that have not been answered yet. A scrape's request has a few hundred.
const MOST_UNANSWERED: usize = 32 * 1024;

/// The most heads of requests that are read before anything is answered. The web server keeps about 6 KiB for each. A scraper sends the
/// next request after the response.
const MOST_PIPELINED: usize = 16;

/// How long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For the first request of a connection to be there.
    pub first: Duration,
    /// From the first byte of a request to the first byte of its answer, ours included.
    pub request: Duration,
    /// For taking anything of an answer, as far as the operating system can tell.
    pub stall: Duration,
    /// For reading a whole answer, to which scrapes and pages keep. On the connection itself it begins anew with whatever is taken.
    pub answer: Duration,
    /// Bytes a second that a client must have taken of a response, in the time that it keeps us waiting.
    pub rate: u32,
    /// For so long it may be slower.
    pub grace: Duration,
    /// Between requests.
    pub idle: Duration,
    /// For the end of a connection that we have done with.
    pub goodbye: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            request: Duration::from_secs(20),
            stall: Duration::from_secs(10),
            answer: Duration::from_secs(120),
            rate: 256 * 1024,
            grace: Duration::from_secs(10),
            // Longer than most scrape intervals, so that Prometheus need not connect each time.
            idle: Duration::from_secs(75),
            goodbye: Duration::from_secs(1),
        }
    }
}

/// Up to so many open connections are kept open after a response. The web server keeps some 90 KiB of buffers for each that has had a
/// large one.
pub const MOST_KEPT: usize = 512;

/// The open connections of a listener: each holds a clone.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<()>);

impl OpenConnections {
    fn is_large(&self) -> bool {
        Arc::strong_count(&self.0) > MOST_KEPT
    }
}

/// What the handlers of a connection's requests tell the connection.
#[derive(Debug, Clone, Default)]
pub struct ConnectionHandle(Rc<Told>);

#[derive(Debug, Default)]
struct Told {
    open_connections: OpenConnections,
    is_last: Cell<bool>,
    is_broken: Cell<bool>,
    /// When the response began, and later by the time in which the client did not keep us waiting.
    response: Cell<Option<Instant>>,
    /// Whether a response has begun whose body is not at its end.
    is_open: Cell<bool>,
    /// Whether a response has begun that may not be written to its end.
    is_unwritten: Cell<bool>,
    /// Bytes of the response so far.
    sent: Cell<u64>,
}

impl ConnectionHandle {
    /// Whether there are too many connections to keep this one open after its response.
    pub fn is_crowded(&self) -> bool {
        self.0.open_connections.is_large()
    }

    /// The response that begins is the connection's last: the client may keep what it has not sent yet.
    pub fn announce_last(&self) {
        self.0.is_last.set(true);
    }

    /// A response begins: from now on it must be read at a rate.
    pub fn begin_response(&self) {
        self.0.response.set(Some(Instant::now()));
        self.0.sent.set(0);
        self.0.is_open.set(true);
        self.0.is_unwritten.set(true);
    }

    /// The body of the response is at its end, but perhaps not written yet.
    pub fn end_response(&self) {
        self.0.is_open.set(false);
    }

    /// All that was there to be written is written.
    pub fn flushed(&self) {
        self.0.is_unwritten.set(self.0.is_open.get());
    }

    /// Whether what is written next may be a part of a handler's response.
    pub fn has_response(&self) -> bool {
        self.0.is_unwritten.get()
    }

    /// The response ends before its end: so that it cannot be taken for a whole one, the connection is reset.
    pub fn break_off(&self) {
        self.0.is_broken.set(true);
    }

    /// The client has not kept us waiting since then: this time does not count.
    fn excuse_since(&self, since: Instant) {
        let begun = self.0.response.get();
        let later = begun.map(|begun| begun + begun.max(since).elapsed());
        self.0.response.set(later);
    }

    /// When the client must have taken more than it has.
    fn due(&self, timeouts: &ClientTimeouts) -> Option<Instant> {
        let millis = self.0.sent.get().saturating_mul(1000) / u64::from(timeouts.rate.max(1));
        let time = Duration::from_millis(millis).saturating_add(timeouts.grace);
        self.0.response.get()?.checked_add(time)
    }
}

/// A transport whose end may be one that its peer takes for a failure.
pub trait Reset {
    /// Has the transport end in this way when it is closed.
    fn reset(&self);
}

/// A stream of bytes that fails when its client has used up our timeouts.
///
/// The web server itself limits the first request of a connection only: the head of a later one may trickle for ever.
#[derive(Debug)]
pub struct Connection<T: Reset> {
    io: T,
    timeouts: ClientTimeouts,
    /// When the client's time is over.
    timer: Pin<Box<Sleep>>,
    /// How many bytes have come since we wrote the last time.
    unanswered: usize,
    /// How many ends of heads were among them.
    pipelined: usize,
    /// Whether the byte before what comes next ended a handle.
    is_at_line: bool,
    /// Whether the client keeps us waiting: there is no room for what is to be written.
    is_stalled: bool,
    /// Until when the time of the response has been counted.
    counted: Instant,
    handle: ConnectionHandle,
}

impl<T: Reset> Connection<T> {
    /// Waits for a request. Needs a tokio runtime with timers.
    pub fn new(io: T, timeouts: ClientTimeouts, open_connections: OpenConnections) -> Self {
        let told = Told {
            open_connections,
            ..Told::default()
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
            handle: ConnectionHandle(Rc::new(told)),
        }
    }

    /// For the handlers of this connection's requests.
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

    /// Counts empty lines: each ends a head.
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

    /// Only the time in which the client keeps us waiting counts against it.
    fn count_time(&mut self) {
        if !self.is_stalled {
            self.handle.excuse_since(self.counted);
        }
        self.counted = Instant::now();
    }

    /// The client keeps us waiting no longer.
    fn has_room(&mut self) {
        self.count_time();
        self.is_stalled = false;
        self.wait_at_most(match self.handle.0.is_last.get() {
            true => self.timeouts.goodbye,
            false => self.timeouts.idle,
        });
    }

    /// Nothing comes or goes at the moment. Fails when it has been so for too long.
    fn poll_timeout<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        ready!(self.timer.as_mut().poll(context));
        if self.is_stalled {
            self.handle.break_off();
        }
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// What a write has come to.
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

    /// Nothing more can be written at the moment.
    fn wait_for_room<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        if !self.is_stalled {
            self.count_time();
            self.is_stalled = true;
            // Not the shorter time: there may be no room for long while a slow client empties the operating system's buffer.
            self.wait_at_most(self.timeouts.answer);
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
        // TLS takes some bytes in before it has room for them.
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

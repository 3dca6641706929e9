//! The connection of a client, which ends if the client is idle for too long, does not complete a request, or reads too slowly.

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

/// The most request heads that are read before the first response. The web server holds about 6 KiB for each. A scraper sends the next
/// request after the response.
const MOST_PIPELINED: usize = 16;

/// The time limits of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// From the start of a connection until its first request is complete.
    pub first: Duration,
    /// From the first byte of a request to the first byte of the response, including the time that the service needs.
    pub request: Duration,
    /// Without progress in reading a response, as far as the operating system can detect it.
    pub stall: Duration,
    /// For reading a complete response. Scrapes and pages check it; on the connection itself, it restarts with every progress.
    pub answer: Duration,
    /// The lowest average rate of reading a response, in bytes a second. Only the time in which the service waits for the client counts.
    pub rate: u32,
    /// How long a response may be read below the rate.
    pub grace: Duration,
    /// Without a request.
    pub idle: Duration,
    /// For closing a connection after its last response.
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

/// Above this number of open connections, one that had a large response is closed after it, because the web server would keep about
/// 90 KiB of buffers for it.
pub const MOST_KEPT: usize = 512;

/// Counts the open connections of a listener, each of which holds a clone.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<()>);

impl OpenConnections {
    fn is_large(&self) -> bool {
        Arc::strong_count(&self.0) > MOST_KEPT
    }
}

/// The interface of request handlers to their connection.
#[derive(Debug, Clone, Default)]
pub struct ConnectionHandle(Rc<Told>);

#[derive(Debug, Default)]
struct Told {
    open_connections: OpenConnections,
    is_last: Cell<bool>,
    is_broken: Cell<bool>,
    /// The start of the response, shifted by the time in which the service did not wait for the client.
    response: Cell<Option<Instant>>,
    /// Whether the body of a response is incomplete.
    is_open: Cell<bool>,
    /// Whether a response may not be written completely yet.
    is_unwritten: Cell<bool>,
    /// The number of bytes of the response that were written so far.
    sent: Cell<u64>,
}

impl ConnectionHandle {
    /// Whether there are too many connections to keep this one open after its response.
    pub fn is_crowded(&self) -> bool {
        self.0.open_connections.is_large()
    }

    /// Marks the next response as the connection's last, so that the client need not send the rest of its request.
    pub fn announce_last(&self) {
        self.0.is_last.set(true);
    }

    /// Marks the start of a response, which the client must read at the lowest rate from now on.
    pub fn begin_response(&self) {
        self.0.response.set(Some(Instant::now()));
        self.0.sent.set(0);
        self.0.is_open.set(true);
        self.0.is_unwritten.set(true);
    }

    /// Marks the end of the response's body, which may not be written yet.
    pub fn end_response(&self) {
        self.0.is_open.set(false);
    }

    /// Marks that all data so far is written.
    pub fn flushed(&self) {
        self.0.is_unwritten.set(self.0.is_open.get());
    }

    /// Whether the next written bytes may belong to a handler's response.
    pub fn has_response(&self) -> bool {
        self.0.is_unwritten.get()
    }

    /// Marks the response as incomplete: the connection is reset, so that the client detects it.
    pub fn break_off(&self) {
        self.0.is_broken.set(true);
    }

    /// Excludes the time since `since`, in which the service did not wait for the client.
    fn excuse_since(&self, since: Instant) {
        let begun = self.0.response.get();
        let later = begun.map(|begun| begun + begun.max(since).elapsed());
        self.0.response.set(later);
    }

    /// When the client will fall below the lowest rate if it reads nothing more.
    fn due(&self, timeouts: &ClientTimeouts) -> Option<Instant> {
        let millis = self.0.sent.get().saturating_mul(1000) / u64::from(timeouts.rate.max(1));
        let time = Duration::from_millis(millis).saturating_add(timeouts.grace);
        self.0.response.get()?.checked_add(time)
    }
}

/// A transport that can be closed by a reset, which its peer detects as a failure.
pub trait Reset {
    /// Makes the transport reset the connection when it is closed.
    fn reset(&self);
}

/// A stream of bytes that fails when its client has used up our timeouts.
///
/// The web server itself limits only the first request of a connection; the head of a later one could take any time.
#[derive(Debug)]
pub struct Connection<T: Reset> {
    io: T,
    timeouts: ClientTimeouts,
    /// The current time limit of the client.
    timer: Pin<Box<Sleep>>,
    /// The number of bytes received since the last write.
    unanswered: usize,
    /// The number of request heads that ended within them.
    pipelined: usize,
    /// Whether the byte before what comes next ended a handle.
    is_at_line: bool,
    /// Whether the service waits for the client, because the buffers are full.
    is_stalled: bool,
    /// The end of the response time that was counted so far.
    counted: Instant,
    handle: ConnectionHandle,
}

impl<T: Reset> Connection<T> {
    /// A connection that waits for a request. Needs a tokio runtime with timers.
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

    /// The handle for the request handlers of this connection.
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

    /// Counts the empty lines, each of which ends a head.
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

    /// Counts the time only if the service waited for the client.
    fn count_time(&mut self) {
        if !self.is_stalled {
            self.handle.excuse_since(self.counted);
        }
        self.counted = Instant::now();
    }

    /// Called when the client has read something.
    fn has_room(&mut self) {
        self.count_time();
        self.is_stalled = false;
        self.wait_at_most(match self.handle.0.is_last.get() {
            true => self.timeouts.goodbye,
            false => self.timeouts.idle,
        });
    }

    /// Pending until the time limit, then a failure.
    fn poll_timeout<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        ready!(self.timer.as_mut().poll(context));
        if self.is_stalled {
            self.handle.break_off();
        }
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Handles the result of a write.
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

    /// Handles full buffers.
    fn wait_for_room<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        if !self.is_stalled {
            self.count_time();
            self.is_stalled = true;
            // Not the shorter limit: while a slow client empties the buffer of the operating system, nothing can be written for a long time.
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
        // TLS accepts some bytes into its own buffer even if the connection cannot take them.
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

//! A client's connection, and how much of our patience it has: silence, requests without an end and answers that nobody takes
//! end it.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The most bytes of requests that have not been answered yet. A scrape's request has a few hundred.
const MOST_UNANSWERED: usize = 32 * 1024;

/// How long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the first request of a connection to be there.
    pub first: Duration,
    /// From the first byte of a request to the first byte of its answer, ours included.
    pub request: Duration,
    /// For taking anything of an answer, as far as the operating system can tell.
    pub stall: Duration,
    /// For reading a whole answer, to which scrapes and pages keep. On the connection itself it begins anew with whatever is taken.
    pub answer: Duration,
    /// Between requests.
    pub idle: Duration,
    /// For the end of a connection that we have done with.
    pub goodbye: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            request: Duration::from_secs(20),
            stall: Duration::from_secs(10),
            answer: Duration::from_secs(120),
            // Longer than most scrape intervals, so that Prometheus need not connect each time.
            idle: Duration::from_secs(75),
            goodbye: Duration::from_secs(1),
        }
    }
}

/// Lets the handler of a request say that its answer is the connection's last: the client may keep what it has not sent yet.
#[derive(Debug, Clone, Default)]
pub struct LastAnswer(Rc<Cell<bool>>);

impl LastAnswer {
    /// To be called before the answer is sent.
    pub fn announce(&self) {
        self.0.set(true);
    }
}

/// A stream of bytes that fails when its client has used up our patience.
///
/// The web server itself limits the first request of a connection only: the head of a later one may trickle for ever.
#[derive(Debug)]
pub struct Connection<T> {
    io: T,
    patience: Patience,
    /// When the client's time is over.
    timer: Pin<Box<Sleep>>,
    /// How many bytes have come since we wrote the last time.
    unanswered: usize,
    is_stalled: bool,
    last_answer: LastAnswer,
}

impl<T> Connection<T> {
    /// Waits for a request. Needs a tokio runtime with timers.
    pub fn new(io: T, patience: Patience) -> Self {
        Self {
            io,
            patience,
            timer: Box::pin(sleep(patience.idle)),
            unanswered: 0,
            is_stalled: false,
            last_answer: LastAnswer::default(),
        }
    }

    /// For the handlers of this connection's requests.
    pub fn last_answer(&self) -> LastAnswer {
        self.last_answer.clone()
    }

    fn wait_at_most(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }

    fn has_received(&mut self, bytes: usize) -> io::Result<()> {
        if self.unanswered == 0 && bytes > 0 {
            self.wait_at_most(self.patience.request);
        }
        self.unanswered += bytes;
        if self.unanswered > MOST_UNANSWERED {
            return Err(io::Error::new(ErrorKind::InvalidData, "too long a request"));
        }
        Ok(())
    }

    fn has_sent(&mut self) {
        self.unanswered = 0;
        self.is_stalled = false;
        self.wait_at_most(match self.last_answer.0.get() {
            true => self.patience.goodbye,
            false => self.patience.idle,
        });
    }

    /// Nothing comes or goes at the moment. Fails when it has been so for too long.
    fn poll_patience<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// What a write has come to.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.has_sent();
            return written;
        }
        self.wait_for_room(context)
    }

    /// Nothing more can be written at the moment.
    fn wait_for_room<R>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        if !self.is_stalled {
            self.is_stalled = true;
            // Not the shorter time: there may be no room for long while a slow client empties the operating system's buffer.
            self.wait_at_most(self.patience.answer);
        }
        self.poll_patience(context)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.io).poll_read(context, buffer)? {
            Poll::Ready(()) => Poll::Ready(this.has_received(buffer.filled().len() - before)),
            Poll::Pending => this.poll_patience(context),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
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
            Poll::Ready(flushed) => Poll::Ready(flushed),
            Poll::Pending => this.wait_for_room(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PATIENCE: Patience = Patience {
        first: Duration::from_secs(5),
        request: Duration::from_secs(20),
        stall: Duration::from_secs(5),
        answer: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        goodbye: Duration::from_secs(1),
    };

    /// A connection and its client, between whom eight bytes fit. The clock goes on by itself when everybody waits.
    fn connected() -> (Connection<DuplexStream>, DuplexStream) {
        let (ours, client) = duplex(8);
        (Connection::new(ours, PATIENCE), client)
    }

    /// How many seconds it took to fail with the kind of error.
    fn failed_after(since: Instant, failed: io::Result<usize>) -> (ErrorKind, u64) {
        (failed.unwrap_err().kind(), since.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_cut() {
        let (mut connection, _client) = connected();
        let since = Instant::now();
        let failed = connection.read(&mut [0; 8]).await;
        assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 75));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_read_for_long_behind_the_last_answer() {
        let (mut connection, _client) = connected();
        connection.last_answer().announce();
        connection.write_all(b"no").await.unwrap();
        let since = Instant::now();
        let failed = connection.read(&mut [0; 8]).await;
        assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickled_request_is_cut_after_the_first_answer_too() {
        let (mut connection, mut client) = connected();
        for _ in 0..2 {
            client.write_all(b"ask").await.unwrap();
            connection.read_exact(&mut [0; 3]).await.unwrap();
            connection.write_all(b"answer").await.unwrap();
            client.read_exact(&mut [0; 6]).await.unwrap();
        }
        let since = Instant::now();
        let trickle = async {
            loop {
                client.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        };
        let mut read = 0;
        let reading = async {
            loop {
                read += connection.read(&mut [0; 8]).await?;
            }
        };
        let failed: io::Result<usize> = tokio::select! {
            never = trickle => never,
            failed = reading => failed,
        };
        assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut() {
        let (mut connection, _client) = connected();
        connection.write_all(b"12345678").await.unwrap();
        let since = Instant::now();
        let failed = connection.write(b"9").await;
        assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_something_now_and_then_is_served() {
        let (mut connection, mut client) = connected();
        let reading = async {
            for _ in 0..50 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                client.read_exact(&mut [0; 8]).await.unwrap();
            }
        };
        let written = async { connection.write_all(&[0; 8 * 50]).await };
        let ((), written) = tokio::join!(reading, written);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_end_is_cut() {
        let (mut connection, mut client) = connected();
        let flood = async { client.write_all(&[b'x'; 2 * MOST_UNANSWERED]).await };
        let mut read = 0;
        let reading = async {
            loop {
                read += connection.read(&mut [0; 8]).await?;
            }
        };
        let failed: io::Result<()> = tokio::select! {
            _ = flood => Ok(()),
            failed = reading => failed,
        };
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read, MOST_UNANSWERED);
    }
}

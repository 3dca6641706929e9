//! Sends a body, with the faults of the script.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_rt::time::{Sleep, sleep};
use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use super::{answer::Ending, connection::Connection, open_poll::OpenPoll};

/// The size of the pieces of a body. actix-web needs more than twice the time for one large buffer.
const PIECE_BYTES: usize = 64 * 1024;
/// The delay before the connection of a cut body is closed, so that its last bytes are sent.
const FLUSH_TIME: Duration = Duration::from_millis(20);

/// A body for actix-web.
pub(super) struct Sending {
    /// The bytes that are not sent yet.
    rest: Bytes,
    size: BodySize,
    ending: Ending,
    piece_bytes: usize,
    pause: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    is_flushed: bool,
    connection: Connection,
    /// The poll; `None` for token requests.
    open_poll: Option<OpenPoll>,
}

impl Sending {
    pub(super) fn new(
        body: Bytes,
        is_chunked: bool,
        ending: Ending,
        trickle: Option<(usize, Duration)>,
        connection: Connection,
        mut open_poll: Option<OpenPoll>,
    ) -> Self {
        let whole = body.len();
        let sent = match ending {
            Ending::Whole => whole,
            Ending::CutAt(bytes) | Ending::StallAt(bytes) => bytes.min(whole),
        };
        let has_fault = ending != Ending::Whole;
        // actix-web drops a body of size 0 without polling it.
        let is_stream = is_chunked || (whole == 0 && has_fault);
        if whole == 0 && !is_stream {
            open_poll.take().into_iter().for_each(OpenPoll::answered);
        }
        Self {
            rest: body.slice(..sent),
            size: if is_stream {
                BodySize::Stream
            } else {
                BodySize::Sized(whole as u64)
            },
            ending,
            piece_bytes: trickle.map_or(PIECE_BYTES, |(bytes, _)| bytes),
            pause: trickle.map(|(_, pause)| pause),
            timer: None,
            is_flushed: false,
            connection,
            open_poll,
        }
    }

    fn next_piece(&mut self) -> Bytes {
        let piece = self.rest.split_to(self.piece_bytes.min(self.rest.len()));
        if !self.rest.is_empty() {
            self.timer = self.pause.map(|pause| Box::pin(sleep(pause)));
        } else if self.is_complete_with_last_piece() {
            self.open_poll
                .take()
                .into_iter()
                .for_each(OpenPoll::answered);
        }
        piece
    }

    /// Whether the last piece completes the answer for the client, which may then close the connection at once.
    fn is_complete_with_last_piece(&self) -> bool {
        self.ending == Ending::Whole && matches!(self.size, BodySize::Sized(_))
    }
}

impl MessageBody for Sending {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        loop {
            if self.connection.is_gone() {
                self.connection.close();
                return Poll::Ready(None);
            }
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            if !self.rest.is_empty() {
                return Poll::Ready(Some(Ok(self.next_piece())));
            }
            match self.ending {
                Ending::Whole => {
                    self.open_poll
                        .take()
                        .into_iter()
                        .for_each(OpenPoll::answered);
                    return Poll::Ready(None);
                }
                Ending::StallAt(_) => return Poll::Pending,
                Ending::CutAt(_) if self.is_flushed => {
                    self.open_poll.take().into_iter().for_each(OpenPoll::cut);
                    self.connection.close();
                    return Poll::Ready(None);
                }
                Ending::CutAt(_) => {
                    self.is_flushed = true;
                    self.timer = Some(Box::pin(sleep(FLUSH_TIME)));
                }
            }
        }
    }
}

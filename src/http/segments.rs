//! Compresses a text that is written in parts, on threads of a pool, some segments ahead of the reader.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use flate2::CompressError;
use futures_util::FutureExt;
use futures_util::future::poll_fn;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::PollSemaphore;

use super::gzip::{Deflater, Segment, SegmentPosition};
use crate::exposition::{Cursor, Revoked};
use crate::tasks::Pool;

/// A segment takes text until it has this many bytes. It exceeds that by a few devices, never by a whole family.
pub const SEGMENT: usize = 128 * 1024;

/// The most bytes of a compressed segment of usual text: at worst nine bits for each byte.
pub const LARGEST_SEGMENT: usize = SEGMENT + SEGMENT / 4;

/// The memory of a compressor: text, compressed text, and its state.
pub const COMPRESSOR_BYTES: usize = 2 * LARGEST_SEGMENT + 320 * 1024;

/// The most compressors. More do not make scrapes faster.
pub const MOST_COMPRESSORS: usize = 16;

/// A text of which any part can be written by itself.
pub trait Parts: Send + Sync + 'static {
    /// The number of families and blocks. Two texts of one version have the same number.
    fn steps(&self) -> usize;

    /// Appends the text from a cursor on until `out` has `enough` bytes. Returns where it continues, or `None` at the end. Called from any
    /// thread.
    ///
    /// # Errors
    /// If the snapshot was revoked.
    fn write(
        &self,
        from: Cursor,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> Result<Option<Cursor>, Revoked>;
}

/// Why a body is incomplete.
#[derive(Debug, Error)]
pub enum BodyError {
    /// A part could not be written: it panicked, or the process ends.
    #[error("a part of the text could not be written")]
    Part,
    /// The compressor failed.
    #[error("the text could not be compressed")]
    Compress(#[from] CompressError),
    /// The snapshot was revoked: its reader was too slow.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// The task that compressed the body for all readers has ended.
    #[error("the compression was given up")]
    GivenUp,
}

/// A segment, and where the text continues.
#[derive(Debug)]
pub struct PlacedSegment {
    /// The compressed parts.
    pub segment: Segment,
    /// Where the next segment begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// The buffers of a thread that compresses a segment.
#[derive(Debug, Default)]
struct Compressor {
    text: Vec<u8>,
    deflater: Deflater,
}

/// The compressors of all bodies. Their number limits how many segments are compressed at the same time.
#[derive(Debug, Clone)]
pub struct Compressors {
    free: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Compressor>>>,
    pool: Pool,
}

impl Compressors {
    /// So many compressors, each made when it is first needed.
    #[must_use]
    pub fn new(count: usize, pool: Pool) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count)),
            idle: Arc::default(),
            pool,
        }
    }

    fn take(&self) -> Compressor {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_default()
    }

    /// Drops a compressor whose buffer has become unusually large.
    fn put_back(&self, mut compressor: Compressor) {
        if compressor.text.capacity() > 2 * SEGMENT {
            compressor = Compressor::default();
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(compressor);
    }
}

/// The segments of a text from a cursor on, in order. The bounds of segments depend only on the text, so two of these that begin at the
/// same cursor give the same segments.
///
/// The end of a segment is known once it is rendered, which takes a fraction of the time of its compression: segments are rendered one
/// after the other and compressed side by side. A compressor is held only for that work, never while a client reads.
pub struct Segments {
    parts: Arc<dyn Parts>,
    /// Where the next segment begins; `None` at the end.
    next: Option<Cursor>,
    /// The most segments that are being compressed or wait to be taken.
    ahead: usize,
    /// Receives where the newest segment ends.
    rendering: Option<oneshot::Receiver<Option<Cursor>>>,
    running: VecDeque<oneshot::Receiver<Result<PlacedSegment, BodyError>>>,
    compressors: Compressors,
    turn: PollSemaphore,
}

impl fmt::Debug for Segments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { next, running, .. } = self;
        write!(formatter, "Segments({} before {next:?})", running.len())
    }
}

impl Segments {
    /// The text from a cursor on, at most `ahead` segments ahead. Nothing happens before the first call of `next`.
    #[must_use]
    pub fn new(
        parts: Arc<dyn Parts>,
        first: Cursor,
        ahead: usize,
        compressors: &Compressors,
    ) -> Self {
        Self {
            parts,
            next: Some(first),
            ahead: ahead.max(1),
            rendering: None,
            running: VecDeque::new(),
            compressors: compressors.clone(),
            turn: PollSemaphore::new(Arc::clone(&compressors.free)),
        }
    }

    /// The next segment, or `None` after the last. Must be called in a runtime; may be cancelled.
    ///
    /// # Errors
    /// If a part panics, the snapshot is revoked or the compressor fails. No further segments follow.
    pub async fn next(&mut self) -> Option<Result<PlacedSegment, BodyError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<PlacedSegment, BodyError>>> {
        let is_waiting = self.poll_start(context).is_pending();
        let Some(oldest) = self.running.front_mut() else {
            return match is_waiting {
                true => Poll::Pending,
                false => Poll::Ready(None),
            };
        };
        let ended = ready!(oldest.poll_unpin(context));
        self.running.pop_front();
        Poll::Ready(Some(ended.unwrap_or(Err(BodyError::Part))))
    }

    /// Starts segments up to the limit, as far as their beginnings are known and compressors are free.
    fn poll_start(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(rendering) = &mut self.rendering {
                // A segment that failed is the last.
                self.next = ready!(rendering.poll_unpin(context)).unwrap_or(None);
                self.rendering = None;
            }
            let Some(first) = self.next.filter(|_| self.running.len() < self.ahead) else {
                return Poll::Ready(());
            };
            // The semaphore is never closed.
            let turn = ready!(self.turn.poll_acquire(context));
            let (rendered, rendering) = oneshot::channel();
            self.rendering = Some(rendering);
            let (parts, compressors) = (Arc::clone(&self.parts), self.compressors.clone());
            let pool = self.compressors.pool.clone();
            self.running.push_back(pool.run(move || {
                let _turn = turn;
                let mut compressor = compressors.take();
                let stretch = compressor.stretch(&*parts, first, rendered);
                drop(parts);
                compressors.put_back(compressor);
                stretch
            }));
        }
    }
}

impl Compressor {
    fn stretch(
        &mut self,
        parts: &dyn Parts,
        first: Cursor,
        rendered: oneshot::Sender<Option<Cursor>>,
    ) -> Result<PlacedSegment, BodyError> {
        self.text.clear();
        let next = parts.write(first, &mut self.text, SEGMENT)?;
        // Fails if the reader has been dropped.
        rendered.send(next).ok();
        let segment = self.deflater.segment(&self.text, SegmentPosition::Inside)?;
        Ok(PlacedSegment { segment, next })
    }
}

//! A text that is written in parts, compressed on blocking threads, some segments ahead of whoever takes them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_rt::task::{JoinHandle, spawn_blocking};
use flate2::CompressError;
use futures_util::FutureExt;
use futures_util::future::poll_fn;
use thiserror::Error;
use tokio::sync::oneshot;

use super::gzip::{Deflater, Place, Segment};

/// A segment takes parts until it has so many bytes of text.
const SEGMENT: usize = 512 * 1024;

/// A text that is written in parts, each by itself and in any order.
pub trait Parts: Send + Sync + 'static {
    /// How many parts there are.
    fn count(&self) -> usize;
    /// Appends one part. Called from any thread.
    fn write(&self, part: usize, out: &mut Vec<u8>);
}

/// Why a body ends before its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// A part could not be written: it panicked, or the runtime ends.
    #[error("a part of the text could not be written")]
    Part,
    /// The compressor failed.
    #[error("the text could not be compressed")]
    Compress(#[from] CompressError),
    /// Whoever compressed the body for all of its readers is gone.
    #[error("the compression was given up")]
    GivenUp,
}

/// A segment, and where the text goes on.
#[derive(Debug)]
pub struct Stretch {
    /// The parts, compressed.
    pub segment: Segment,
    /// The first part behind them.
    pub end: usize,
}

/// What a thread needs to make a segment. Handed from one to the next.
#[derive(Debug, Default)]
struct Workbench {
    text: Vec<u8>,
    deflater: Deflater,
}

/// The segments of a text from a part on, in their order. Which parts a segment takes depends on the parts alone, so that two
/// of these that begin with the same part give the same.
///
/// Where a segment ends is known once it is rendered, which takes a fraction of its compression: segments are rendered one
/// after the other, each on its thread, and compressed side by side.
pub struct Segments {
    parts: Arc<dyn Parts>,
    /// The part that the next segment begins with.
    next: usize,
    /// How many segments may be under way or waiting to be taken.
    ahead: usize,
    /// Says where the youngest segment ends.
    rendering: Option<oneshot::Receiver<usize>>,
    running: VecDeque<JoinHandle<Result<(Stretch, Workbench), CompressError>>>,
    idle: Vec<Workbench>,
}

impl fmt::Debug for Segments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { next, running, .. } = self;
        write!(formatter, "Segments({} before {next})", running.len())
    }
}

impl Segments {
    /// The text from part `first` on, at most `ahead` segments ahead. Nothing happens before the first is asked for.
    #[must_use]
    pub fn new(parts: Arc<dyn Parts>, first: usize, ahead: usize) -> Self {
        Self {
            parts,
            next: first,
            ahead: ahead.max(1),
            rendering: None,
            running: VecDeque::new(),
            idle: Vec::new(),
        }
    }

    /// The next segment; none behind the last part. To be called in a runtime; may be cancelled.
    ///
    /// # Errors
    /// When a part panics or the compressor fails. There is no use in going on then.
    pub async fn next(&mut self) -> Option<Result<Stretch, BodyError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Stretch, BodyError>>> {
        self.poll_start(context);
        let Some(oldest) = self.running.front_mut() else {
            return Poll::Ready(None);
        };
        let ended = ready!(oldest.poll_unpin(context));
        self.running.pop_front();
        Poll::Ready(Some(match ended {
            Ok(Ok((stretch, workbench))) => {
                self.idle.push(workbench);
                Ok(stretch)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_panicked_or_cancelled) => Err(BodyError::Part),
        }))
    }

    /// Starts as many segments as may be, as far as it is known where they begin.
    fn poll_start(&mut self, context: &mut Context<'_>) {
        loop {
            if let Some(rendering) = &mut self.rendering {
                let Poll::Ready(end) = rendering.poll_unpin(context) else {
                    return;
                };
                // A segment that panicked is the last.
                self.next = end.unwrap_or(usize::MAX);
                self.rendering = None;
            }
            if self.running.len() >= self.ahead || self.next >= self.parts.count() {
                return;
            }
            self.start();
        }
    }

    fn start(&mut self) {
        let (rendered, rendering) = oneshot::channel();
        let parts = Arc::clone(&self.parts);
        let first = self.next;
        let mut workbench = self.idle.pop().unwrap_or_default();
        self.rendering = Some(rendering);
        self.running.push_back(spawn_blocking(move || {
            let Workbench { text, deflater } = &mut workbench;
            let end = render(&*parts, first, text);
            // Nobody listens where the reader is gone.
            rendered.send(end).ok();
            drop(parts);
            let segment = deflater.segment(text, Place::Inside)?;
            Ok((Stretch { segment, end }, workbench))
        }));
    }
}

/// Writes parts from `first` on until there is enough for a segment, and tells which part comes next.
fn render(parts: &dyn Parts, first: usize, text: &mut Vec<u8>) -> usize {
    text.clear();
    let mut part = first;
    while part < parts.count() && text.len() < SEGMENT {
        parts.write(part, text);
        part += 1;
    }
    part
}

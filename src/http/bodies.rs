//! Compressed bodies: each is compressed once, for all who scrape the same snapshot, and kept until there is a newer one.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flate2::Crc;
use futures_util::{Stream, StreamExt, future, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::error;

use super::gzip::{self, Deflater, Place, Segment};
use super::segments::{BodyError, Parts, Segments};

/// The most compressed bytes that are kept, of all bodies together.
const LIMIT: usize = 128 * 1024 * 1024;

/// The most bodies that are kept. A fleet is shared out by a few shards; what is asked for beyond that is compressed for each
/// reader by itself.
const MOST_BODIES: usize = 256;

/// More segments than this are not compressed side by side for all readers of a body: each takes about a megabyte meanwhile.
const MOST_AHEAD: usize = 16;

/// The same for one reader that compresses for itself.
const MOST_AHEAD_ALONE: usize = 4;

/// Tells apart what bodies are made of, and grows: the snapshot's version, and of one snapshot the generation of the names.
pub type Version = (u64, u64);

/// The bodies of the newest snapshot that was scraped, one for each key (what there may be of one snapshot: formats, shards).
///
/// The first reader of a body has it filled, by a task that waits for no reader; others take the same segments meanwhile or
/// later, each at its own pace. Where the limit ends a body, each reader compresses the rest for itself, when its client is
/// ready for it. A body that nobody reads is not filled any further, and is forgotten unless it is whole.
#[derive(Debug)]
pub struct Bodies<K> {
    shelf: Arc<Mutex<Shelf<K>>>,
    /// A permit for each compressed byte that may be kept. Bodies of older snapshots count as long as somebody reads them.
    room: Arc<Semaphore>,
    cores: usize,
}

impl<K> Default for Bodies<K> {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl<K> Bodies<K> {
    fn with_limit(limit: usize) -> Self {
        Self {
            shelf: Arc::new(Mutex::new(Shelf {
                version: (0, 0),
                bodies: HashMap::new(),
            })),
            room: Arc::new(Semaphore::new(limit)),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl<K: Clone + Eq + Hash + 'static> Bodies<K> {
    /// A reader of the body `key`: `parts` are its text, the same for the same version and key; they are not looked at where the body
    /// is ready. To be called in an actix runtime.
    #[must_use]
    pub fn read(&self, version: Version, key: K, parts: Arc<dyn Parts>) -> Reader {
        // Freed after the lock is.
        let _replaced;
        let mut shelf = lock(&self.shelf);
        if version > shelf.version {
            shelf.version = version;
            _replaced = std::mem::take(&mut shelf.bodies);
        }
        let body = if version < shelf.version {
            // Somebody has a newer snapshot: what is old is of use to this reader alone.
            None
        } else if let Some(filled) = shelf.bodies.get(&key) {
            Some(filled.clone())
        } else if shelf.bodies.len() >= MOST_BODIES {
            None
        } else {
            let (filling, filled) = watch::channel(Filled::default());
            shelf.bodies.insert(key.clone(), filled.clone());
            let filler = Filler {
                shelf: Arc::clone(&self.shelf),
                key,
                room: Arc::clone(&self.room),
                filling,
            };
            // More than there are cores: what is ready waits for what is before it, and whoever starts more may have to wait for a core.
            let ahead = (4 * self.cores).min(MOST_AHEAD);
            actix_rt::spawn(filler.fill(Segments::new(Arc::clone(&parts), 0, ahead)));
            Some(filled)
        };
        let ahead = (2 * self.cores).min(MOST_AHEAD_ALONE);
        Reader::new(body, parts, ahead)
    }
}

#[derive(Debug)]
struct Shelf<K> {
    version: Version,
    bodies: HashMap<K, watch::Receiver<Filled>>,
}

/// Held for moments only. A panic while it is held leaves nothing half done.
fn lock<K>(shelf: &Mutex<Shelf<K>>) -> MutexGuard<'_, Shelf<K>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far a body has come.
#[derive(Debug, Default)]
struct Filled {
    segments: Vec<Arc<Kept>>,
    end: Option<End>,
}

/// Why a body grows no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is whole.
    Whole,
    /// There is no room for more. The text goes on with this part.
    Full(usize),
}

/// A segment that is kept, and its room.
#[derive(Debug)]
struct Kept {
    segment: Segment,
    _room: OwnedSemaphorePermit,
}

/// Who fills a body.
struct Filler<K: Eq + Hash> {
    shelf: Arc<Mutex<Shelf<K>>>,
    key: K,
    room: Arc<Semaphore>,
    filling: watch::Sender<Filled>,
}

impl<K: Eq + Hash> Filler<K> {
    /// Fills the body to its end, or until nobody reads it any more. A body that fails is forgotten, and its readers fail.
    async fn fill(self, mut segments: Segments) {
        let mut next = 0;
        while !self.is_abandoned() {
            match segments.next().await {
                None => return self.end(End::Whole),
                Some(Ok(stretch)) => {
                    if !self.keep(stretch.segment) {
                        return self.end(End::Full(next));
                    }
                    next = stretch.end;
                }
                Some(Err(error)) => return error!(%error, "cannot compress a response"),
            }
        }
    }

    /// Hands a segment to all readers, if there is room for it.
    fn keep(&self, segment: Segment) -> bool {
        let Ok(size) = u32::try_from(segment.bytes.len()) else {
            return false;
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) else {
            return false;
        };
        let kept = Arc::new(Kept {
            segment,
            _room: room,
        });
        self.filling
            .send_modify(|filled| filled.segments.push(kept));
        true
    }

    fn end(&self, end: End) {
        self.filling.send_modify(|filled| filled.end = Some(end));
    }

    /// Whether nobody reads the body. It is off the shelf then, so that nobody will.
    fn is_abandoned(&self) -> bool {
        let mut shelf = lock(&self.shelf);
        let is_shelved = self.is_shelved(&shelf);
        let is_abandoned = self.filling.receiver_count() == usize::from(is_shelved);
        if is_abandoned && is_shelved {
            shelf.bodies.remove(&self.key);
        }
        is_abandoned
    }

    /// Whether new readers find this body: not when there is a newer snapshot.
    fn is_shelved(&self, shelf: &Shelf<K>) -> bool {
        let found = shelf.bodies.get(&self.key);
        found.is_some_and(|filled| filled.same_channel(&self.filling.subscribe()))
    }
}

impl<K: Eq + Hash> Drop for Filler<K> {
    /// A body without an end, which would never get one, is no use to later readers.
    fn drop(&mut self) {
        if self.filling.borrow().end.is_some() {
            return;
        }
        let mut shelf = lock(&self.shelf);
        if self.is_shelved(&shelf) {
            shelf.bodies.remove(&self.key);
        }
    }
}

/// Reads a body from its begin, at its own pace.
pub struct Reader {
    source: Source,
    /// Dropped as soon as it is known that they are not needed: they hold a snapshot.
    parts: Option<Arc<dyn Parts>>,
    ahead: usize,
}

/// Where the next segment comes from.
#[derive(Debug)]
enum Source {
    /// The body that all share.
    Shared {
        filled: watch::Receiver<Filled>,
        taken: usize,
    },
    /// This reader's own work.
    Own(Segments),
    /// There are no more.
    Ended,
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Reader({:?})", self.source)
    }
}

impl Reader {
    fn new(body: Option<watch::Receiver<Filled>>, parts: Arc<dyn Parts>, ahead: usize) -> Self {
        let Some(filled) = body else {
            return Self {
                source: Source::Own(Segments::new(parts, 0, ahead)),
                parts: None,
                ahead,
            };
        };
        let is_whole = filled.borrow().end == Some(End::Whole);
        Self {
            source: Source::Shared { filled, taken: 0 },
            parts: (!is_whole).then_some(parts),
            ahead,
        }
    }

    /// The next bytes of the deflate stream, whose text is added to `crc`; none at the end.
    async fn next(&mut self, crc: &mut Crc) -> Result<Option<Bytes>, BodyError> {
        loop {
            match &mut self.source {
                Source::Shared { filled, taken } => {
                    let has_more =
                        |filled: &Filled| filled.segments.len() > *taken || filled.end.is_some();
                    let filled = filled.wait_for(has_more).await;
                    let filled = filled.map_err(|_gone| BodyError::GivenUp)?;
                    if filled.end == Some(End::Whole) {
                        self.parts = None;
                    }
                    if let Some(kept) = filled.segments.get(*taken) {
                        *taken += 1;
                        crc.combine(&kept.segment.crc);
                        return Ok(Some(kept.segment.bytes.clone()));
                    }
                    let end = filled.end;
                    drop(filled);
                    self.source = match (end, self.parts.take()) {
                        (Some(End::Full(next)), Some(parts)) => {
                            Source::Own(Segments::new(parts, next, self.ahead))
                        }
                        _ => Source::Ended,
                    };
                }
                Source::Own(segments) => match segments.next().await {
                    Some(stretch) => {
                        let segment = stretch?.segment;
                        crc.combine(&segment.crc);
                        return Ok(Some(segment.bytes));
                    }
                    None => self.source = Source::Ended,
                },
                Source::Ended => return Ok(None),
            }
        }
    }
}

/// A gzip member: what the reader gives, then `last`, a text that is this answer's own.
pub fn member(reader: Reader, last: Vec<u8>) -> impl Stream<Item = Result<Bytes, BodyError>> {
    let header = future::ready(Ok(Bytes::from_static(&gzip::HEADER)));
    let start = Some((reader, Crc::new(), last));
    let segments = stream::try_unfold(start, |rest| async {
        let Some((mut reader, mut whole, last)) = rest else {
            return Ok(None);
        };
        Ok(Some(match reader.next(&mut whole).await? {
            Some(bytes) => (bytes, Some((reader, whole, last))),
            None => (ending(whole, &last)?, None),
        }))
    });
    stream::once(header).chain(segments)
}

/// The last segment and the trailer.
fn ending(mut whole: Crc, last: &[u8]) -> Result<Bytes, BodyError> {
    let segment = Deflater::default().segment(last, Place::Last)?;
    whole.combine(&segment.crc);
    Ok([&segment.bytes[..], &gzip::trailer(&whole)].concat().into())
}

#[cfg(test)]
mod tests;

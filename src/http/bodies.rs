//! Compressed bodies. Each is compressed once for all scrapes of a snapshot, and kept until there is a newer snapshot.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use flate2::Crc;
use futures_util::{Stream, StreamExt, future, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::error;

use super::gzip::{self, Deflater, Segment, SegmentPosition};
use super::segments::{BodyError, Compressors, Parts, Segments};
use crate::exposition::Cursor;
use crate::tasks::Pool;

/// The most bodies that are kept: fleets have few shards. Further bodies are compressed for each reader by itself.
const MOST_BODIES: usize = 256;

/// The most bytes of a body that are handed to a connection at a time: it copies them.
pub const PIECE: usize = 32 * 1024;

/// The version of the content of bodies, which grows: the snapshot's number, then the generation of the names.
pub type Version = (u64, u64);

/// The limits of all bodies together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// The most compressed bytes that are kept.
    pub kept: usize,
    /// The most segments that are compressed at the same time.
    pub compressors: usize,
}

/// The bodies of the newest snapshot that was scraped, one for each key (such as format and shard).
///
/// The first reader of a body starts a task that compresses it and waits for no reader. All readers take the same segments, each at its
/// own pace. The kept bytes are limited: a body that needs room evicts bodies without readers, then bodies of older snapshots, whose
/// readers are the slowest and fail. If there is still no room, each reader compresses the rest for itself, one segment at a time.
#[derive(Debug)]
pub struct Bodies<K> {
    cache: Arc<Mutex<BodyCache<K>>>,
    /// A permit for each compressed byte that may be cached.
    room: Arc<Semaphore>,
    compressors: Compressors,
    ahead: usize,
}

impl<K> Bodies<K> {
    /// No bodies yet. The pool compresses.
    #[must_use]
    pub fn new(limits: BodyLimits, pool: Pool) -> Self {
        Self {
            cache: Arc::new(Mutex::new(BodyCache {
                version: (0, 0),
                bodies: HashMap::new(),
                replaced: VecDeque::new(),
            })),
            room: Arc::new(Semaphore::new(limits.kept)),
            compressors: Compressors::new(limits.compressors, pool),
            ahead: limits.compressors,
        }
    }
}

impl<K: Clone + Eq + Hash + 'static> Bodies<K> {
    /// A reader of the body `key`. `parts` are its text, which is the same for the same version and key; they are not read if the body is
    /// complete. Must be called in an actix runtime.
    #[must_use]
    pub fn read(&self, version: Version, key: K, parts: Arc<dyn Parts>) -> Reader {
        let mut cache = lock(&self.cache);
        if version > cache.version {
            cache.replace(version);
        }
        let body = if version < cache.version {
            // There is a newer snapshot: no other reader will ask for this body.
            None
        } else if let Some(body) = cache.bodies.get(&key) {
            Some((Arc::clone(body), body.subscribe()))
        } else if cache.bodies.len() >= MOST_BODIES {
            None
        } else {
            let (body, filled) = watch::channel(Filled::default());
            let body = Arc::new(body);
            cache.bodies.insert(key.clone(), Arc::clone(&body));
            let writer = BodyWriter {
                cache: Arc::clone(&self.cache),
                key,
                room: Arc::clone(&self.room),
                body: Arc::clone(&body),
            };
            // Segments are compressed side by side, but used in order.
            let segments = Segments::new(
                Arc::clone(&parts),
                Cursor::default(),
                self.ahead,
                &self.compressors,
            );
            actix_rt::spawn(writer.fill(segments, Arc::clone(&parts)));
            Some((body, filled))
        };
        Reader::new(body, parts, &self.compressors)
    }
}

#[derive(Debug)]
struct BodyCache<K> {
    version: Version,
    bodies: HashMap<K, Body>,
    /// Bodies of older snapshots that may have readers, the oldest first.
    replaced: VecDeque<Weak<watch::Sender<Filled>>>,
}

/// The receivers are the readers. They also hold the sender, so a replaced body is dropped with its last reader.
type Body = Arc<watch::Sender<Filled>>;

impl<K: Eq + Hash> BodyCache<K> {
    fn replace(&mut self, version: Version) {
        self.version = version;
        self.replaced.retain(|body| body.strong_count() > 0);
        let replaced = self.bodies.drain().map(|(_, body)| body);
        self.replaced
            .extend(replaced.map(|body| Arc::downgrade(&body)));
    }

    /// Removes a body other than the requester to make room: one without readers, else one of the oldest snapshot. Returns whether there
    /// was one.
    fn evict(&mut self, requester: &Body) -> bool {
        let is_unread = |body: &&Body| body.receiver_count() == 0 && body.borrow().end.is_some();
        let unread = self.bodies.iter().find(|(_, body)| is_unread(body));
        if let Some((_, unread)) = unread {
            let unread = Arc::clone(unread);
            self.bodies.retain(|_, body| !Arc::ptr_eq(body, &unread));
            return true;
        }
        while let Some(oldest) = self.replaced.pop_front() {
            let oldest = oldest.upgrade();
            if let Some(oldest) = oldest.filter(|body| !Arc::ptr_eq(body, requester)) {
                oldest.send_modify(|filled| {
                    filled.segments = Vec::new();
                    filled.end = Some(End::Cut);
                });
                return true;
            }
        }
        false
    }
}

/// Held only for moments. A panic while it is held leaves no inconsistent state.
fn lock<K>(cache: &Mutex<BodyCache<K>>) -> MutexGuard<'_, BodyCache<K>> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The compressed part of a body.
#[derive(Debug, Default)]
struct Filled {
    segments: Vec<Arc<Kept>>,
    end: Option<End>,
}

/// Why a body has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is complete.
    Whole,
    /// There is no room for more. The rest of the text, which has this many steps, begins at the cursor.
    Full(Cursor, usize),
    /// It was evicted, or its compression failed.
    Cut,
}

/// A segment that is kept, with the permit for its bytes.
#[derive(Debug)]
struct Kept {
    segment: Segment,
    _room: OwnedSemaphorePermit,
}

/// Compresses a body.
struct BodyWriter<K: Eq + Hash> {
    cache: Arc<Mutex<BodyCache<K>>>,
    key: K,
    room: Arc<Semaphore>,
    body: Body,
}

impl<K: Eq + Hash> BodyWriter<K> {
    /// Compresses the body to its end, or until it has no reader. If the compression fails, the body is dropped and its readers fail.
    async fn fill(self, mut segments: Segments, parts: Arc<dyn Parts>) {
        let mut next = Cursor::default();
        while !self.is_abandoned() {
            match segments.next().await {
                None => return self.end(End::Whole),
                Some(Ok(stretch)) => {
                    if !self.keep(stretch.segment) {
                        return self.end(End::Full(next, parts.steps()));
                    }
                    match stretch.next {
                        Some(end) => next = end,
                        None => return self.end(End::Whole),
                    }
                }
                Some(Err(BodyError::Revoked(_))) => return,
                Some(Err(error)) => return error!(%error, "cannot compress a scrape"),
            }
        }
    }

    /// Hands a segment to all readers. Returns whether there is room for it.
    fn keep(&self, segment: Segment) -> bool {
        let Some(room) = self.take_room(segment.bytes.len()) else {
            return false;
        };
        let kept = Arc::new(Kept {
            segment,
            _room: room,
        });
        self.body.send_if_modified(|filled| {
            let grows = filled.end.is_none();
            if grows {
                filled.segments.push(kept);
            }
            grows
        })
    }

    fn take_room(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        let size = u32::try_from(size).ok()?;
        loop {
            if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) {
                return Some(room);
            }
            if !lock(&self.cache).evict(&self.body) {
                return None;
            }
        }
    }

    fn end(&self, end: End) {
        self.body.send_if_modified(|filled| {
            let grows = filled.end.is_none();
            if grows {
                filled.end = Some(end);
            }
            grows
        });
    }

    /// Whether the body has no reader. Then it is removed from the cache, so that it gets none.
    fn is_abandoned(&self) -> bool {
        let mut cache = lock(&self.cache);
        let is_abandoned = self.body.receiver_count() == 0;
        if is_abandoned {
            self.remove(&mut cache);
        }
        is_abandoned
    }

    /// Removes the body from the cache, unless a newer snapshot has replaced it.
    fn remove(&self, cache: &mut BodyCache<K>) {
        let found = cache.bodies.get(&self.key);
        if found.is_some_and(|body| Arc::ptr_eq(body, &self.body)) {
            cache.bodies.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash> Drop for BodyWriter<K> {
    /// A body without an end would never get one: it is removed, and its readers fail.
    fn drop(&mut self) {
        let has_end = self.body.borrow().end.is_some();
        if !has_end {
            self.remove(&mut lock(&self.cache));
            self.end(End::Cut);
        }
    }
}

/// Reads a body from its beginning, at its own pace.
pub struct Reader {
    source: Source,
    /// Dropped as soon as they are not needed.
    parts: Option<Arc<dyn Parts>>,
    compressors: Compressors,
}

/// The source of the next segment.
#[derive(Debug)]
enum Source {
    /// The shared body.
    Shared {
        filled: watch::Receiver<Filled>,
        taken: usize,
        _body: Body,
    },
    /// Segments that this reader compresses.
    Own(Segments),
    /// There are no more segments.
    Ended,
}

/// Bytes of a body, and the kept segment that they belong to.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    _kept: Option<Arc<Kept>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Reader({:?})", self.source)
    }
}

impl Reader {
    fn new(
        body: Option<(Body, watch::Receiver<Filled>)>,
        parts: Arc<dyn Parts>,
        compressors: &Compressors,
    ) -> Self {
        let (source, parts) = match body {
            None => (
                Source::Own(Self::own(parts, Cursor::default(), compressors)),
                None,
            ),
            Some((body, filled)) => {
                let is_whole = filled.borrow().end == Some(End::Whole);
                let source = Source::Shared {
                    filled,
                    taken: 0,
                    _body: body,
                };
                (source, (!is_whole).then_some(parts))
            }
        };
        Self {
            source,
            parts,
            compressors: compressors.clone(),
        }
    }

    /// One segment at a time: a slow client must not have several in memory.
    fn own(parts: Arc<dyn Parts>, first: Cursor, compressors: &Compressors) -> Segments {
        Segments::new(parts, first, 1, compressors)
    }

    /// The next bytes of the deflate stream, or `None` at the end. Adds their text to `crc`.
    async fn next(&mut self, crc: &mut Crc) -> Result<Option<Piece>, BodyError> {
        loop {
            match &mut self.source {
                Source::Shared { filled, taken, .. } => {
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
                        return Ok(Some(Piece {
                            bytes: kept.segment.bytes.clone(),
                            _kept: Some(Arc::clone(kept)),
                        }));
                    }
                    let end = filled.end;
                    drop(filled);
                    self.source = match (end, self.parts.take()) {
                        (Some(End::Full(next, steps)), Some(parts)) if parts.steps() == steps => {
                            Source::Own(Self::own(parts, next, &self.compressors))
                        }
                        (Some(End::Whole), _) => Source::Ended,
                        _ => return Err(BodyError::GivenUp),
                    };
                }
                Source::Own(segments) => match segments.next().await {
                    Some(stretch) => {
                        let segment = stretch?.segment;
                        crc.combine(&segment.crc);
                        return Ok(Some(Piece {
                            bytes: segment.bytes,
                            _kept: None,
                        }));
                    }
                    None => self.source = Source::Ended,
                },
                Source::Ended => return Ok(None),
            }
        }
    }
}

/// The unsent rest of a gzip member.
struct Member {
    reader: Reader,
    crc: Crc,
    last: Vec<u8>,
    piece: Option<Piece>,
}

impl Member {
    /// The next bytes, and whether they are the last ones.
    async fn next(&mut self) -> Result<(Bytes, bool), BodyError> {
        if self.piece.is_none() {
            self.piece = self.reader.next(&mut self.crc).await?;
        }
        let Some(piece) = &mut self.piece else {
            return Ok((ending(std::mem::take(&mut self.crc), &self.last)?, true));
        };
        let bytes = piece.bytes.split_to(piece.bytes.len().min(PIECE));
        if piece.bytes.is_empty() {
            self.piece = None;
        }
        Ok((bytes, false))
    }
}

/// A gzip member: the reader's body, then `last`, a text of this response alone.
pub fn member(reader: Reader, last: Vec<u8>) -> impl Stream<Item = Result<Bytes, BodyError>> {
    let header = future::ready(Ok(Bytes::from_static(&gzip::HEADER)));
    let start = Some(Member {
        reader,
        crc: Crc::new(),
        last,
        piece: None,
    });
    let segments = stream::try_unfold(start, |rest| async {
        let Some(mut member) = rest else {
            return Ok(None);
        };
        let (bytes, is_last) = member.next().await?;
        Ok(Some((bytes, (!is_last).then_some(member))))
    });
    stream::once(header).chain(segments)
}

/// The last segment and the trailer.
fn ending(mut whole: Crc, last: &[u8]) -> Result<Bytes, BodyError> {
    let segment = Deflater::default().segment(last, SegmentPosition::Last)?;
    whole.combine(&segment.crc);
    Ok([&segment.bytes[..], &gzip::trailer(&whole)].concat().into())
}

#[cfg(test)]
mod tests;

//! Tests that fast, slow and aborted readers get the complete text, and of the memory that they use.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::gzip::tests::text_of;
use super::*;

/// A pool with a thread for each compressor.
fn pool() -> Pool {
    Pool::start("test", LIMITS.compressors).unwrap()
}
use crate::exposition::Revoked;

type Bytestream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>>>>;

const LAST: &[u8] = b"# EOF\n";

/// A text that counts how often each part is written, waits before a part that is not allowed yet, and panics at one.
struct Text {
    parts: Vec<Vec<u8>>,
    written: Mutex<Vec<usize>>,
    allowed: Mutex<usize>,
    more_allowed: Condvar,
    panics_at: Option<usize>,
    must_not_be_read: bool,
    is_revoked: AtomicBool,
}

impl Text {
    fn new(parts: Vec<Vec<u8>>) -> Self {
        Self {
            written: Mutex::new(vec![0; parts.len()]),
            allowed: Mutex::new(usize::MAX),
            more_allowed: Condvar::new(),
            panics_at: None,
            must_not_be_read: false,
            is_revoked: AtomicBool::new(false),
            parts,
        }
    }

    /// So many parts that are a segment each.
    fn of_segments(count: usize) -> Self {
        Self::new((0..count).map(|part| noise(part, 520 * 1024)).collect())
    }

    fn waiting_at(self, part: usize) -> Self {
        *self.allowed.lock().unwrap() = part;
        self
    }

    fn panicking_at(mut self, part: usize) -> Self {
        self.panics_at = Some(part);
        self
    }

    fn allow_all(&self) {
        *self.allowed.lock().unwrap() = usize::MAX;
        self.more_allowed.notify_all();
    }

    fn written(&self) -> Vec<usize> {
        self.written.lock().unwrap().clone()
    }

    fn whole(&self) -> Vec<u8> {
        [&self.parts.concat(), LAST].concat()
    }
}

impl Text {
    fn write_part(&self, part: usize, out: &mut Vec<u8>) {
        let allowed = self.allowed.lock().unwrap();
        drop(
            self.more_allowed
                .wait_while(allowed, |allowed| *allowed <= part)
                .unwrap(),
        );
        assert!(self.panics_at != Some(part), "this part panics");
        self.written.lock().unwrap()[part] += 1;
        out.extend_from_slice(&self.parts[part]);
    }
}

impl Parts for Text {
    fn steps(&self) -> usize {
        self.parts.len()
    }

    fn write(
        &self,
        from: Cursor,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> Result<Option<Cursor>, Revoked> {
        assert!(
            !self.must_not_be_read,
            "the body is complete without its parts"
        );
        for part in from.step()..self.parts.len() {
            if self.is_revoked.load(Ordering::Relaxed) {
                return Err(Revoked);
            }
            if out.len() >= enough {
                return Ok(Some(Cursor::at_step(part)));
            }
            self.write_part(part, out);
        }
        Ok(None)
    }
}

const LIMITS: BodyLimits = BodyLimits {
    kept: 64 * 1024 * 1024,
    compressors: 8,
};

fn unlimited<K>() -> Bodies<K> {
    Bodies::new(LIMITS, pool())
}

fn limited<K>(kept: usize) -> Bodies<K> {
    Bodies::new(BodyLimits { kept, ..LIMITS }, pool())
}

/// A text that compresses, but not to almost nothing.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed as u64);
    let mut text = vec![0; length];
    random.fill(&mut text);
    text.iter_mut().for_each(|byte| *byte = b'a' + *byte % 4);
    text
}

fn stream(bodies: &Bodies<u8>, version: u64, text: &Arc<Text>) -> Bytestream {
    stream_of(bodies, (version, 0), text)
}

fn stream_of(bodies: &Bodies<u8>, version: Version, text: &Arc<Text>) -> Bytestream {
    let parts = Arc::clone(text);
    Box::pin(member(bodies.read(version, 0, parts), LAST.to_vec()))
}

async fn rest(mut stream: Bytestream, mut read: Vec<u8>) -> Result<Vec<u8>, BodyError> {
    while let Some(bytes) = stream.next().await {
        read.extend_from_slice(&bytes?);
    }
    Ok(read)
}

async fn read(stream: Bytestream) -> Vec<u8> {
    text_of(&rest(stream, Vec::new()).await.unwrap())
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(future)
}

fn kept(bodies: &Bodies<u8>) -> usize {
    let cache = lock(&bodies.cache);
    let bodies = cache.bodies.values();
    bodies
        .map(|filled| {
            let filled = filled.borrow();
            let sizes = filled.segments.iter();
            sizes.map(|kept| kept.segment.bytes.len()).sum::<usize>()
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_gets_the_whole_text(lengths in vec(prop_oneof![0..2000usize, 0..700_000usize], 0..12), limit in 0..600_000usize) {
        let parts = lengths.into_iter().enumerate().map(|(seed, length)| noise(seed, length));
        let text = Arc::new(Text::new(parts.collect()));
        let bodies = limited(limit);
        run(async {
            let eager = rest(stream(&bodies, 1, &text), Vec::new());
            let mut quitter = stream(&bodies, 1, &text);
            let quitter = async move { drop((quitter.next().await, quitter.next().await)) };
            let mut dawdler = stream(&bodies, 1, &text);
            let dawdler = async {
                let mut read = Vec::new();
                for _ in 0..3 {
                    if let Some(bytes) = dawdler.next().await {
                        read.extend_from_slice(&bytes.unwrap());
                    }
                    for _ in 0..100 {
                        actix_rt::task::yield_now().await;
                    }
                }
                rest(dawdler, read).await
            };
            let ((), eager, dawdler) = futures_util::future::join3(quitter, eager, dawdler).await;
            let late = rest(stream(&bodies, 1, &text), Vec::new()).await;
            let member = eager.unwrap();
            assert!(text_of(&member) == text.whole());
            assert!(dawdler.unwrap() == member && late.unwrap() == member);
            assert!(kept(&bodies) <= limit);
        });
    }
}

#[actix_rt::test]
async fn all_readers_cost_one_compression() {
    let bodies = unlimited();
    let text = Arc::new(Text::of_segments(10));
    let together = join_all((0..3).map(|_| read(stream(&bodies, 1, &text)))).await;
    let later = read(stream(&bodies, 1, &text)).await;
    assert!(
        together
            .iter()
            .chain([&later])
            .all(|read| *read == text.whole())
    );
    assert_eq!(text.written(), [1; 10]);
}

#[actix_rt::test]
async fn the_cache_holds_a_limited_number_of_bodies() {
    let bodies: Bodies<usize> = unlimited();
    let text = Arc::new(Text::new(vec![b"text\n".to_vec()]));
    for key in 0..MOST_BODIES + 2 {
        let reader = bodies.read((1, 0), key, Arc::clone(&text) as Arc<dyn Parts>);
        assert!(read(Box::pin(member(reader, LAST.to_vec()))).await == text.whole());
    }
    assert_eq!(lock(&bodies.cache).bodies.len(), MOST_BODIES);
}

#[actix_rt::test]
async fn readers_on_other_threads_share_the_body() {
    let bodies = Arc::new(unlimited());
    let text = Arc::new(Text::of_segments(10));
    let reader = || {
        let (bodies, text) = (Arc::clone(&bodies), Arc::clone(&text));
        std::thread::spawn(move || run(async { read(stream(&bodies, 1, &text)).await }))
    };
    let readers = [reader(), reader(), reader()];
    for reader in readers {
        // The actix system of a thread ends with its reader, after the segments that it compressed for the others are complete.
        assert!(reader.join().unwrap() == text.whole());
    }
    assert!(read(stream(&bodies, 1, &text)).await == text.whole());
}

#[actix_rt::test]
async fn a_body_is_completed_even_if_its_first_reader_stops() {
    for does_stay in [true, false] {
        let bodies = unlimited();
        let text = Arc::new(Text::of_segments(8).waiting_at(2));
        let mut first = stream(&bodies, 1, &text);
        first.next().await.unwrap().unwrap();
        let second = stream(&bodies, 1, &text);
        let first = does_stay.then_some(first);
        text.allow_all();
        assert!(read(second).await == text.whole());
        if let Some(first) = first {
            let read = rest(first, gzip::HEADER.to_vec()).await.unwrap();
            assert!(text_of(&read) == text.whole());
        }
        assert_eq!(text.written(), [1; 8]);
    }
}

#[actix_rt::test]
async fn a_panic_ends_all_readers_and_the_next_tries_again() {
    let bodies = unlimited();
    for part in [0, 3, 7] {
        let text = Arc::new(Text::of_segments(8).panicking_at(part));
        let readers = (0..3).map(|_| rest(stream(&bodies, 1, &text), Vec::new()));
        for read in join_all(readers).await {
            assert!(matches!(read, Err(BodyError::GivenUp)), "{part}");
        }
        let alone = limited(0);
        let read = rest(stream(&alone, 1, &text), Vec::new()).await;
        assert!(read.is_err(), "{part}");
        let text = Arc::new(Text::of_segments(2));
        assert!(self::read(stream(&bodies, 1, &text)).await == text.whole());
        lock(&bodies.cache).bodies.clear();
    }
}

#[actix_rt::test]
async fn a_newer_snapshot_replaces_an_older_one_and_so_do_newer_names() {
    for (before, after) in [((1, 0), (2, 0)), ((1, 1), (1, 2)), ((1, 2), (2, 1))] {
        let bodies = unlimited();
        let old = Arc::new(Text::of_segments(6).waiting_at(3));
        let new = Arc::new(Text::of_segments(4));
        let under_way = stream_of(&bodies, before, &old);
        assert!(read(stream_of(&bodies, after, &new)).await == new.whole());
        old.allow_all();
        assert!(read(under_way).await == old.whole());
        assert_eq!(old.written(), [1; 6]);
        assert!(read(stream_of(&bodies, before, &old)).await == old.whole());
        assert_eq!(
            old.written(),
            [2; 6],
            "bodies of older snapshots are not kept"
        );
        assert!(read(stream_of(&bodies, after, &new)).await == new.whole());
        assert_eq!(new.written(), [1; 4], "the newest is kept");
        let room = bodies.room.available_permits();
        assert_eq!(room + kept(&bodies), LIMITS.kept, "nothing else takes room");
    }
}

#[actix_rt::test]
async fn a_body_without_readers_is_not_continued() {
    let bodies = unlimited();
    let text = Arc::new(Text::of_segments(40).waiting_at(10));
    let mut reader = stream(&bodies, 1, &text);
    for _ in 0..3 {
        reader.next().await.unwrap().unwrap();
    }
    drop(reader);
    text.allow_all();
    let parts = Arc::downgrade(&text);
    let written = {
        eventually("the parts are let go", || Arc::strong_count(&text) == 1).await;
        text.written().iter().sum::<usize>()
    };
    assert!(written < 40, "{written}");
    drop(text);
    assert!(Weak::upgrade(&parts).is_none());
    assert_eq!(bodies.room.available_permits(), LIMITS.kept);
    assert!(lock(&bodies.cache).bodies.is_empty());
}

#[actix_rt::test]
async fn a_complete_body_needs_no_parts() {
    let bodies = unlimited();
    let text = Arc::new(Text::of_segments(3));
    let mut slow = stream(&bodies, 1, &text);
    slow.next().await.unwrap().unwrap();
    assert!(read(stream(&bodies, 1, &text)).await == text.whole());
    slow.next().await.unwrap().unwrap();
    eventually("the parts are let go", || Arc::strong_count(&text) == 1).await;
    let later = stream(&bodies, 1, &text);
    assert_eq!(Arc::strong_count(&text), 1);
    assert!(read(later).await == text.whole());
    let unseen = Arc::new(Text {
        must_not_be_read: true,
        ..Text::new(vec![])
    });
    assert!(read(stream(&bodies, 1, &unseen)).await == text.whole());
}

#[actix_rt::test]
async fn a_body_without_room_is_compressed_by_each_reader() {
    let segment = 140 * 1024;
    let limit = 4 * segment;
    let bodies = limited(limit);
    let text = Arc::new(Text::of_segments(30));
    let mut slow = stream(&bodies, 1, &text);
    let mut taken = Vec::new();
    for _ in 0..6 {
        taken.extend_from_slice(&slow.next().await.unwrap().unwrap());
    }
    for _ in 0..2 {
        assert!(read(stream(&bodies, 1, &text)).await == text.whole());
        assert!(kept(&bodies) <= limit);
    }
    let written = text.written();
    assert_eq!(written[0], 1, "what fits is shared");
    assert!(
        written[29] == 2,
        "compression does not run far ahead of a slow reader: {written:?}"
    );
    assert!(text_of(&rest(slow, taken).await.unwrap()) == text.whole());
    assert_eq!(text.written()[29], 3);
    eventually("the parts are let go", || Arc::strong_count(&text) == 1).await;
}

/// A slow reader of an old snapshot keeps its body's room only until a newer body needs it.
#[actix_rt::test]
async fn newer_bodies_take_their_room_from_older_ones() {
    let segment = 300 * 1024;
    let bodies = limited(5 * segment);
    let old = Arc::new(Text::of_segments(4));
    let mut slow = stream(&bodies, 1, &old);
    slow.next().await.unwrap().unwrap();
    assert!(read(stream(&bodies, 1, &old)).await == old.whole());
    let new = Arc::new(Text::of_segments(4));
    for _ in 0..2 {
        assert!(read(stream(&bodies, 2, &new)).await == new.whole());
    }
    assert_eq!(new.written(), [1; 4], "the newer one is kept whole");
    let cut = rest(slow, Vec::new()).await;
    assert!(matches!(cut, Err(BodyError::GivenUp)));
}

/// Bodies of the same snapshot without readers are evicted, so that shards that are rarely scraped leave room for the others.
#[actix_rt::test]
async fn bodies_without_readers_are_evicted() {
    let segment = 300 * 1024;
    let bodies: Bodies<usize> = limited(5 * segment);
    let texts: Vec<_> = (0..3).map(|_| Arc::new(Text::of_segments(4))).collect();
    for (key, text) in texts.iter().enumerate() {
        for _ in 0..2 {
            let reader = bodies.read((1, 0), key, Arc::clone(text) as Arc<dyn Parts>);
            assert!(read(Box::pin(member(reader, LAST.to_vec()))).await == text.whole());
        }
        assert_eq!(text.written(), [1; 4], "{key} is kept while it is in use");
    }
}

/// Two texts with the same version never become one body.
#[actix_rt::test]
async fn a_body_is_continued_only_in_its_own_text() {
    let bodies = limited(3 * 140 * 1024);
    let text = Arc::new(Text::of_segments(6));
    assert!(read(stream(&bodies, 1, &text)).await == text.whole());
    let other = Arc::new(Text::of_segments(7));
    let read = rest(stream(&bodies, 1, &other), Vec::new()).await;
    assert!(matches!(read, Err(BodyError::GivenUp)));
}

#[actix_rt::test]
async fn a_revoked_snapshot_ends_its_readers() {
    for kept in [0, LIMITS.kept] {
        let bodies = limited(kept);
        let text = Arc::new(Text::of_segments(30).waiting_at(2));
        let mut reader = stream(&bodies, 1, &text);
        reader.next().await.unwrap().unwrap();
        text.is_revoked.store(true, Ordering::Relaxed);
        text.allow_all();
        let read = rest(reader, Vec::new()).await;
        assert!(matches!(
            read,
            Err(BodyError::GivenUp | BodyError::Revoked(_))
        ));
        eventually("the text is let go", || Arc::strong_count(&text) == 1).await;
    }
}

/// Readers that compress for themselves share the compressors; a reader that waits for its client holds none.
#[actix_rt::test]
async fn slow_readers_hold_no_compressor() {
    let bodies = Bodies::new(
        BodyLimits {
            kept: 0,
            compressors: 1,
        },
        pool(),
    );
    let text = Arc::new(Text::of_segments(6));
    let mut slow: Vec<_> = (0..40).map(|_| stream(&bodies, 1, &text)).collect();
    for reader in &mut slow {
        for _ in 0..2 {
            reader.next().await.unwrap().unwrap();
        }
    }
    assert!(read(stream(&bodies, 1, &text)).await == text.whole());
    for reader in slow {
        assert!(rest(reader, Vec::new()).await.is_ok());
    }
}

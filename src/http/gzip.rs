//! Builds one gzip member (RFC 1952) from parts that are deflated independently, on any thread.

use bytes::Bytes;
use flate2::{Compress, CompressError, Compression, Crc, FlushCompress};

/// The header of a member: deflate, no name, no time, the fastest level, unknown system.
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A deflated part of a text. The segments of a text, in order, form its deflate stream.
#[derive(Debug)]
pub struct Segment {
    /// Complete deflate blocks that end at a byte boundary and do not refer to earlier text.
    pub bytes: Bytes,
    /// The checksum and the length of the text, to be combined with those of the earlier segments.
    pub crc: Crc,
}

/// The position of a segment in its member, which decides how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentPosition {
    /// More segments follow.
    Inside,
    /// The trailer of the member follows.
    Last,
}

/// A compressor with its buffer, reused for several segments.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        Self {
            compress: Compress::new(Compression::fast(), false),
            out: Vec::new(),
        }
    }
}

impl Deflater {
    /// Deflates a part of a text.
    ///
    /// # Errors
    /// The compressor fails, which is not expected.
    pub fn segment(
        &mut self,
        text: &[u8],
        position: SegmentPosition,
    ) -> Result<Segment, CompressError> {
        let flush = match position {
            SegmentPosition::Inside => FlushCompress::Full,
            SegmentPosition::Last => FlushCompress::Finish,
        };
        self.compress.reset();
        self.out.clear();
        let mut rest = text;
        loop {
            // A byte becomes at most nine bits, so one call is enough; reserved memory that is not used is not resident.
            self.out.reserve(rest.len() + rest.len() / 4 + 64);
            let before = self.compress.total_in();
            self.compress.compress_vec(rest, &mut self.out, flush)?;
            let consumed = self.compress.total_in() - before;
            let consumed = usize::try_from(consumed).unwrap_or(usize::MAX);
            rest = rest.get(consumed..).unwrap_or_default();
            if self.out.len() < self.out.capacity() {
                break;
            }
        }
        let mut crc = Crc::new();
        crc.update(text);
        Ok(Segment {
            bytes: Bytes::copy_from_slice(&self.out),
            crc,
        })
    }
}

/// The trailer of a member: the checksum of the whole text, and its length modulo 2³².
#[must_use]
pub fn trailer(whole: &Crc) -> [u8; 8] {
    let mut trailer = [0; 8];
    let (checksum, length) = trailer.split_at_mut(4);
    checksum.copy_from_slice(&whole.sum().to_le_bytes());
    length.copy_from_slice(&whole.amount().to_le_bytes());
    trailer
}

#[cfg(test)]
pub mod tests {
    use std::io::Read;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Decompresses exactly one member, without trailing bytes.
    pub fn text_of(member: &[u8]) -> Vec<u8> {
        let mut decoder = flate2::bufread::GzDecoder::new(member);
        let mut text = Vec::new();
        decoder.read_to_end(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "nothing follows");
        text
    }

    fn member(stretches: &[&[u8]], last: &[u8]) -> Vec<u8> {
        let mut deflater = Deflater::default();
        let mut whole = Crc::new();
        let mut member = HEADER.to_vec();
        let inside = stretches
            .iter()
            .map(|text| (*text, SegmentPosition::Inside));
        for (text, place) in inside.chain([(last, SegmentPosition::Last)]) {
            let segment = deflater.segment(text, place).unwrap();
            whole.combine(&segment.crc);
            member.extend_from_slice(&segment.bytes);
        }
        member.extend_from_slice(&trailer(&whole));
        member
    }

    #[test]
    fn segments_are_one_member() {
        let large = vec![b'x'; 3_000_000];
        let noise: Vec<u8> = (0..700_000).map(|_| fastrand::u8(..)).collect();
        for stretches in [
            &[][..],
            &[b"" as &[u8]],
            &[b"a", b"", b"a"],
            &[&large, b"y", &large],
            &[&noise, &large, &noise],
        ] {
            for last in [b"" as &[u8], b"the end\n", &noise] {
                let expected = [stretches.concat(), last.to_vec()].concat();
                assert!(text_of(&member(stretches, last)) == expected);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_in_any_segments_is_decompressed_unchanged(stretches in vec(vec(any::<u8>(), 0..300), 0..8), last in vec(any::<u8>(), 0..300)) {
            let stretches: Vec<&[u8]> = stretches.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(text_of(&member(&stretches, &last)), [stretches.concat(), last.clone()].concat());
        }
    }
}

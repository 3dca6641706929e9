//! The payload of an answer's record: the body of the answer, compressed with gzip.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// The most bytes of an expanded body: the longest answer, in which each byte may have become U+FFFD.
pub const LONGEST: u64 = 3 * (64 << 20);

/// Compresses the body of an answer.
///
/// # Errors
/// None in practice: memory takes all writes.
pub fn compress(body: &str) -> io::Result<Bytes> {
    // More than answers need, so that it seldom grows.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::new(3));
    encoder.write_all(body.as_bytes())?;
    let mut payload = encoder.finish()?;
    // It can be in memory for long.
    payload.shrink_to_fit();
    Ok(payload.into())
}

/// The body of an answer.
///
/// # Errors
/// The payload is not complete gzip, or its content is longer than [`LONGEST`].
pub fn expand(payload: &[u8]) -> io::Result<Vec<u8>> {
    expand_within(LONGEST, payload)
}

fn expand_within(bound: u64, payload: &[u8]) -> io::Result<Vec<u8>> {
    let stated = usize::try_from(stated_length(payload).min(bound)).unwrap_or(0);
    let mut body = Vec::with_capacity(stated);
    let mut decoder = GzDecoder::new(payload).take(bound + 1);
    decoder.read_to_end(&mut body)?;
    match body.len() as u64 > bound {
        true => Err(io::Error::other("the body is too long")),
        false => Ok(body),
    }
}

/// The length of the body that the end of the payload states (RFC 1952, ISIZE), so that the text is not copied while it grows. What is
/// there may be damaged: no payload expands by more than 1,032 times (DEFLATE).
fn stated_length(payload: &[u8]) -> u64 {
    let stated = payload
        .last_chunk()
        .map_or(0, |end| u32::from_le_bytes(*end));
    u64::from(stated).min(payload.len() as u64 * 1032)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_expanded_within_a_bound() {
        let body = r#"{"data":{"values":[]}}"#.repeat(100);
        let payload = compress(&body).unwrap();
        assert!(payload.len() * 10 < body.len());
        assert_eq!(expand(&payload).unwrap(), body.as_bytes());
        assert_eq!(stated_length(&payload), body.len() as u64);
        assert_eq!(stated_length(&[255; 10]), 10_320);
        assert_eq!(stated_length(&[]), 0);
        let length = body.len() as u64;
        assert!(expand_within(length, &payload).is_ok());
        assert!(expand_within(length - 1, &payload).is_err());
        assert!(expand(&payload[..payload.len() - 9]).is_err(), "cut");
        assert!(expand(body.as_bytes()).is_err(), "not gzip");
    }
}

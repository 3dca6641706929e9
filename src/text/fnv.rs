//! FNV-1a in 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv): the same hash in every process, also at compile time.

/// The hash of no bytes.
pub const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash of bytes that follow those of `hash`.
#[must_use]
pub const fn append(hash: u64, bytes: &[u8]) -> u64 {
    let mut hash = hash;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_equal_the_published_test_vectors() {
        // From the algorithm's own test vectors.
        for (text, expected) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(append(EMPTY, text.as_bytes()), expected, "{text}");
            let (one, other) = text.as_bytes().split_at(text.len() / 2);
            assert_eq!(append(append(EMPTY, one), other), expected, "{text}");
        }
    }
}

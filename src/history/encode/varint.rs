//! The variable-length integers of protocol buffers: seven bits in each byte, the lowest first.

/// The number of bytes of a number.
#[inline]
pub(super) const fn length(number: u64) -> usize {
    // 0 has one byte.
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a number.
#[inline]
pub(super) fn push(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The lowest seven bits, and the bit that says that more follow.
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends the length of what follows.
#[inline]
pub(super) fn push_length(out: &mut Vec<u8>, length: usize) {
    push(out, length as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_groups_of_seven_bits() {
        for (number, expected) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 1]),
            (
                u64::MAX,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
        ] {
            let mut out = Vec::new();
            push(&mut out, number);
            assert_eq!(out, expected, "{number}");
        }
        for bits in 0..64 {
            for number in [1 << bits, (1 << bits) - 1] {
                let mut out = Vec::new();
                push(&mut out, number);
                assert_eq!(out.len(), length(number), "{number}");
            }
        }
    }
}

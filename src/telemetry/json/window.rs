//! Eight bytes of a text at once: where a string or a number ends, and what digits spell.

/// How many bytes are looked at together: those of a `u64`. One byte after the other would cost a branch each, and their
/// number, which varies from cell to cell, a wrong guess of the processor.
pub(super) const WINDOW: usize = 8;

/// The same byte in each place of a window.
pub(super) const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WINDOW])
}

/// How many bytes of a window come before the first whose highest bit is set in `marks`.
fn before_mark(marks: u64) -> usize {
    (marks & each(0x80)).trailing_zeros() as usize / 8
}

/// How many bytes of a window come before the first quote, backslash or control character.
///
/// A byte that is less than what is subtracted from it gets its highest bit set, and only bytes after it may be marked
/// wrongly, by what it borrows. Exchanging the quote (0x22) and the blank (0x20) puts the quote beside the control characters.
pub(super) fn plain_bytes(window: u64) -> usize {
    let quote_or_control = (window ^ each(0x02)).wrapping_sub(each(0x21));
    let backslash = (window ^ each(b'\\')).wrapping_sub(each(1));
    before_mark((quote_or_control | backslash) & !window)
}

/// Marks the bytes that are no digits, given how far they are from the digit 0.
fn no_digits(values: u64) -> u64 {
    values | values.wrapping_add(each(0x7f - 9))
}

/// Whether a window holds digits alone.
pub(super) fn is_all_digits(window: u64) -> bool {
    no_digits(window ^ each(b'0')) & each(0x80) == 0
}

/// How many bytes of a window come before the first that is no digit, and the number that they spell.
pub(super) fn leading_digits(window: u64) -> (usize, u64) {
    let values = window ^ each(b'0');
    let count = before_mark(no_digits(values));
    // Zeros in front of the digits.
    (
        count,
        eight_digits(values.unbounded_shl(64 - 8 * count as u32)),
    )
}

/// The number that the values of eight digits make: neighbours are united, digits to pairs, pairs to fours, fours to eight.
pub(super) fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

//! Examines eight bytes of a text at once: finds the end of a string or a number, and parses digits.

/// The number of bytes of a `u64`. Examining single bytes would need a branch for each, and the end of a cell would be mispredicted,
/// because the lengths of cells vary.
pub(super) const WINDOW: usize = 8;

/// The same byte in each place of a window.
pub(super) const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WINDOW])
}

/// The number of bytes before the first one whose highest bit is set in `marks`.
fn before_mark(marks: u64) -> usize {
    (marks & each(0x80)).trailing_zeros() as usize / 8
}

/// The number of bytes before the first quote, backslash or control character.
///
/// Subtraction sets the highest bit of a byte that is less than the subtrahend. It then borrows from the next byte, so only bytes after
/// the first marked one may be marked wrongly. Exchanging the quote (0x22) and the blank (0x20) makes the quote adjacent to the control
/// characters.
pub(super) fn plain_bytes(window: u64) -> usize {
    let quote_or_control = (window ^ each(0x02)).wrapping_sub(each(0x21));
    let backslash = (window ^ each(b'\\')).wrapping_sub(each(1));
    before_mark((quote_or_control | backslash) & !window)
}

/// Marks the bytes that are not digits; `values` are the bytes XOR the digit 0.
fn non_digits(values: u64) -> u64 {
    values | values.wrapping_add(each(0x7f - 9))
}

/// Whether all bytes of a window are digits.
pub(super) fn is_all_digits(window: u64) -> bool {
    non_digits(window ^ each(b'0')) & each(0x80) == 0
}

/// The number of digits before the first byte that is not a digit, and their value.
pub(super) fn leading_digits(window: u64) -> (usize, u64) {
    let values = window ^ each(b'0');
    let count = before_mark(non_digits(values));
    // Shifting puts zeros before the digits.
    (
        count,
        eight_digits(values.unbounded_shl(64 - 8 * count as u32)),
    )
}

/// The value of eight digits. Adjacent parts are combined: digits to pairs, pairs to groups of four, these to the result.
pub(super) fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

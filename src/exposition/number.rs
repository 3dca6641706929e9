//! Writes the numbers of samples: the shortest decimal that parses to the same `f64`.

use std::ops::Range;

/// Integers below 2^53 are written with all their digits. Above, not every integer is an `f64`, and the shortest decimal differs.
const MAX_INTEGER: u64 = 1 << 53;

/// Numbers with at most this many decimal places are written by a fast path. Most measurements have no more.
const PLACES: usize = 8;

/// 1 in units of the last of these decimal places: 10^8.
const ONE: u64 = 100_000_000;

/// The range of the fast path, in units of 10^-8. Each decimal of at most 15 digits is the shortest one of its `f64`, without trailing zeros (Goldberg,
/// "What every computer scientist should know about floating-point arithmetic", 1991). Below 0.00001, an exponent is shorter.
const FAST: Range<u64> = 1_000..1_000_000_000_000_000;

/// Writes the shortest decimal of a finite number that parses to the same `f64`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "converting back shows whether the conversion was exact"
)]
pub fn number(out: &mut Vec<u8>, value: f64) {
    let integer = value as i64;
    if integer as f64 == value && integer.unsigned_abs() < MAX_INTEGER {
        return short(out, itoa::Buffer::new().format(integer));
    }
    let one = ONE as f64;
    let scaled = (value * one + 0.5_f64.copysign(value)) as i64;
    if scaled as f64 / one == value && FAST.contains(&scaled.unsigned_abs()) {
        return decimal(out, scaled);
    }
    short(out, zmij::Buffer::new().format(value));
}

/// Writes `scaled` / [`ONE`], which is not an integer.
fn decimal(out: &mut Vec<u8>, scaled: i64) {
    if scaled < 0 {
        out.push(b'-');
    }
    let scaled = scaled.unsigned_abs();
    short(out, itoa::Buffer::new().format(scaled / ONE));
    let digits = eight_digits(scaled % ONE);
    // The last decimal place is the highest byte.
    let zeros = digits.leading_zeros() as usize / 8;
    out.push(b'.');
    let end = out.len() + PLACES - zeros;
    out.extend_from_slice(&(digits | 0x3030_3030_3030_3030).to_le_bytes());
    out.truncate(end);
}

/// The eight digits of a number below 10^8, the first one in the lowest byte. Splits it three times, into lanes of 32, 16 and
/// 8 bits. Divisions are multiplications by reciprocals, which are exact for numbers that small.
fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}

/// Appends a short text. For 8 to 16 bytes, two overlapping copies of a constant size are faster than one of a variable size.
fn short(out: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) if text.len() <= 16 => {
            let end = out.len() + text.len();
            out.extend_from_slice(first);
            out.truncate(end - 8);
            out.extend_from_slice(last);
        }
        _ => out.extend_from_slice(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text::tests::written;
    use super::*;

    #[test]
    fn numbers_are_written_in_the_shortest_form() {
        for (value, expected) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (0.115, "0.115"),
            (3_221_225_985.0, "3221225985"),
            (0.5, "0.5"),
            (-0.0001, "-0.0001"),
            (-12.34, "-12.34"),
            (100.25, "100.25"),
            (0.00001, "0.00001"),
            (12_345_678_901.25, "12345678901.25"),
            (599_686_042_433_355_775.0, "5.996860424333558e+17"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(written(|out| number(out, value)), expected);
        }
    }

    #[test]
    fn eight_digits_equal_the_decimal_digits_of_the_number() {
        let every_part = (0..10_000).flat_map(|part| [part, part * 10_000, part * 10_001]);
        for number in every_part.chain([99_999_999, 12_345_678]) {
            let digits = (eight_digits(number) | 0x3030_3030_3030_3030).to_le_bytes();
            assert_eq!(
                std::str::from_utf8(&digits).unwrap(),
                format!("{number:08}")
            );
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_writes_the_shortest_decimal(scaled in any::<i64>(), places in 0..11_i32) {
            let value = scaled as f64 / 10_f64.powi(places);
            let text = written(|out| number(out, value));
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
            if value.fract() != 0.0 {
                let mut shortest = zmij::Buffer::new();
                prop_assert_eq!(text, shortest.format(value));
            }
        }

        #[test]
        fn the_fast_path_writes_the_shortest_decimal_of_small_numbers(scaled in -10_000_000..10_000_000_i32, places in 1..11_i32) {
            let value = f64::from(scaled) / 10_f64.powi(places);
            let text = written(|out| number(out, value));
            let expected = match value.fract() == 0.0 {
                true => format!("{value:.0}").replace("-0", "0"),
                false => zmij::Buffer::new().format(value).to_owned(),
            };
            prop_assert_eq!(text, expected);
        }

        #[test]
        fn written_numbers_parse_to_the_same_value(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let text = written(|out| number(out, value));
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }
    }
}

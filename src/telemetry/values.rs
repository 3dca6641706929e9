//! Parses the text of cells as numbers, and derives metric names from fields.

/// The number of digits that a `u64` always holds. Numbers that are not longer are parsed in nanoseconds.
const SHORT: usize = 19;

/// How many longer numbers of an answer are rounded correctly. Each may take microseconds, if it is halfway between two `f64`s. Of further
/// numbers only the first digits are used. Only a hostile answer has so many.
const MOST_LONG: usize = 16_384;

/// Parses numbers, and limits the total cost for an answer.
#[derive(Debug, Clone)]
pub struct LongNumbers {
    left: usize,
}

impl Default for LongNumbers {
    fn default() -> Self {
        Self { left: MOST_LONG }
    }
}

impl LongNumbers {
    /// The value of a well-formed number; infinite if it exceeds `f64`.
    pub fn parse(&mut self, text: &str) -> Option<f64> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, ""));
        let digits = || mantissa.bytes().filter(u8::is_ascii_digit);
        let is_short = digits()
            .skip_while(|digit| *digit == b'0')
            .nth(SHORT)
            .is_none();
        if is_short {
            return text.parse().ok();
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                text.parse().ok()
            }
            None => first_digits(mantissa, exponent)?.parse().ok(),
        }
    }
}

/// The number with only its first [`SHORT`] digits.
fn first_digits(mantissa: &str, exponent: &str) -> Option<String> {
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let unsigned = mantissa.trim_start_matches(['+', '-']);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    let kept: String = digits().skip(zeros).take(SHORT).map(char::from).collect();
    // An exponent beyond i64 has the same effect as the largest or smallest one.
    let exponent: i64 = match exponent.parse() {
        Ok(exponent) => exponent,
        Err(_) if exponent.is_empty() => 0,
        Err(_) if exponent.starts_with('-') => i64::MIN / 2,
        Err(_) => i64::MAX / 2,
    };
    // The kept digits form an integer. The shift is the number of digits of the whole part after them; negative if they reach into the
    // fraction.
    let shift = i64::try_from(whole.len()).ok()? - i64::try_from(zeros + kept.len()).ok()?;
    let exponent = exponent.saturating_add(shift);
    Some(format!("{sign}{kept}e{exponent}"))
}

/// The value of a text that is a finite decimal number and nothing else, `[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?`.
///
/// Stricter than `f64::from_str`, which also reads `inf`, `nan` and `.5`.
#[must_use]
pub fn decimal(text: &str, numbers: &mut LongNumbers) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let rest = strip_digits(unsigned)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => strip_digits(fraction).unwrap_or(fraction),
        None => rest,
    };
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if !strip_digits(unsigned)?.is_empty() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    numbers.parse(text).filter(|value| value.is_finite())
}

/// The text after one or more leading digits; `None` without one.
fn strip_digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|character: char| character.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

/// The name with every character outside `[A-Za-z0-9_]` replaced by `_`.
#[must_use]
pub fn sanitise(name: &str) -> String {
    let keep = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.chars()
        .map(|character| if keep(character) { character } else { '_' })
        .collect()
}

/// The key of an info field: the name in lower case, sanitised. If it is empty or begins with a digit or `_`, it gets the prefix
/// `field_`: a label name must not begin with a digit, and those that begin with `__` are reserved by Prometheus.
#[must_use]
pub fn info_key(name: &str) -> String {
    let key = sanitise(&name.to_lowercase());
    if key.starts_with(|first: char| first.is_ascii_alphabetic()) {
        key
    } else {
        format!("field_{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_finite_decimals_are_numbers() {
        for (text, expected) in [
            ("21", Some(21.0)),
            ("+21", Some(21.0)),
            ("-0.5", Some(-0.5)),
            ("7.", Some(7.0)),
            ("007", Some(7.0)),
            ("1e3", Some(1000.0)),
            ("1.5E-2", Some(0.015)),
            ("599686042433355775", Some(599_686_042_433_355_775.0)),
            ("1e999", None),
            ("-1e999", None),
            ("", None),
            ("+", None),
            (".5", None),
            ("1e", None),
            ("1e+", None),
            ("1e5x", None),
            ("1.2.3", None),
            ("0x10", None),
            ("inf", None),
            ("NaN", None),
            (" 1", None),
            ("1 ", None),
            ("1_000", None),
            ("١", None),
            ("2025.08.11.mr61518", None),
        ] {
            assert_eq!(
                decimal(text, &mut LongNumbers::default()),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn beyond_the_limit_only_the_first_digits_of_long_numbers_are_used() {
        for text in [
            "2.4703282292062327208e-324",
            "9007199254740993.00000000000000000001",
            "-123456789012345678901234567890",
            "0.0001234567890123456789012345",
            "+00012345678901234567890123.5E-3",
            "12345678901234567890e400",
            "12345678901234567890e-99999999999999999999",
            "12345678901234567890e99999999999999999999",
            "0.00000000000000000000000000000000000000000000000001",
        ] {
            let exact: f64 = text.parse().unwrap();
            let mut spent = LongNumbers { left: 0 };
            let near = spent.parse(text).unwrap();
            let is_near = near == exact || near == exact.next_up() || near == exact.next_down();
            assert!(is_near, "{text}: {near:e} for {exact:e}");
            assert_eq!(LongNumbers { left: 1 }.parse(text), Some(exact), "{text}");
        }
        let mut one = LongNumbers { left: 1 };
        for text in ["1.5", "1234567890123456789", "0.0000000000000000000000001"] {
            assert_eq!(one.parse(text), text.parse().ok(), "{text}");
        }
        assert_eq!(one.left, 1, "short numbers do not count");
    }

    #[test]
    fn names_are_sanitised() {
        for (name, gauge, key) in [
            (
                "DownlinkThroughput",
                "DownlinkThroughput",
                "downlinkthroughput",
            ),
            ("Wi-Fi.Rate µs", "Wi_Fi_Rate__s", "wi_fi_rate__s"),
            ("", "", "field_"),
            ("5GhzClients", "5GhzClients", "field_5ghzclients"),
            ("_private", "_private", "field__private"),
            ("é", "_", "field__"),
        ] {
            assert_eq!(sanitise(name), gauge, "{name:?}");
            assert_eq!(info_key(name), key, "{name:?}");
        }
    }
}

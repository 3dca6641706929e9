//! What a cell's text means: is it a number, and which names does a field end in.

/// The value of a text that is wholly a finite decimal number, `[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?`.
///
/// Stricter than `f64::from_str`, which also reads `inf`, `nan` and `.5`.
#[must_use]
pub fn decimal(text: &str) -> Option<f64> {
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
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// What follows one or more leading digits.
fn strip_digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|character: char| character.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

/// A name with every character outside `[A-Za-z0-9_]` made `_`.
#[must_use]
pub fn sanitise(name: &str) -> String {
    let keep = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.chars()
        .map(|character| if keep(character) { character } else { '_' })
        .collect()
}

/// The key of an info field: the name in lower case, sanitised; one that is empty or begins with a digit or `_` gets the
/// prefix `field_` (label names beginning with `__` are Prometheus's own, and none may begin with a digit).
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
            assert_eq!(decimal(text), expected, "{text:?}");
        }
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

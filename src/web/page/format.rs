//! Numbers, times and texts for display: rounded, with a unit, without control characters.

use std::time::{Duration, UNIX_EPOCH};

/// A duration, rounded, in the largest unit that gives it about two digits: `12 s`, `3 min`, `2 h`.
#[must_use]
pub fn age(seconds: f64) -> String {
    const UNITS: [(f64, f64, &str); 3] = [
        (100.0, 1.0, "s"),
        (100.0 * 60.0, 60.0, "min"),
        (48.0 * 3600.0, 3600.0, "h"),
    ];
    let seconds = seconds.max(0.0);
    let rounded = |size: f64| (seconds / size).round();
    let is_below = |(limit, size, _): &&(f64, f64, &str)| rounded(*size) * size < *limit;
    let unit = UNITS.iter().find(is_below);
    let (_, size, name) = unit.copied().unwrap_or((0.0, 86400.0, "d"));
    format!("{:.0} {name}", rounded(size))
}

/// The same in minutes or larger units, for texts that screen readers read aloud whenever they change.
#[must_use]
pub fn minutes(seconds: f64) -> String {
    match seconds {
        ..100.0 => "1 min".to_owned(),
        _ => age(seconds),
    }
}

/// A number with so many decimals. A number that is not 0 is not shown as 0.
#[must_use]
pub fn decimals(value: f64, places: usize) -> String {
    let least = 10f64.powi(-i32::try_from(places).unwrap_or(0));
    if value > 0.0 && value < least / 2.0 {
        return format!("<{least:.places$}");
    }
    if value.abs() >= 1e9 {
        return number(value);
    }
    let text = format!("{value:.places$}");
    match text.strip_prefix('-') {
        // -0.0 is shown as 0.0.
        Some(rest) if !rest.contains(|digit| matches!(digit, '1'..='9')) => rest.to_owned(),
        _ => text,
    }
}

/// A number of unknown meaning: an integer in full, any other with four significant digits.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !size.is_finite() {
        return value.to_string();
    }
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("≈{value:.3e}");
    }
    if value.fract() == 0.0 {
        return grouped(&format!("{:.0}", value + 0.0));
    }
    let places = match size {
        1000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        1.0.. => 3,
        _ => 4,
    };
    let text = format!("{value:.places$}");
    if places == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// An amount of data as a number of Starlink's GB, of 10^9 bytes: below 100 GB with one decimal. A number that is not 0 is not shown as 0.
#[must_use]
pub fn amount(bytes: f64) -> String {
    let size = bytes / 1e9;
    let text = match size.abs() {
        100.0.. => number(size.round()),
        _ => decimals(size, 1),
    };
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The same with its unit.
#[must_use]
pub fn gigabytes(bytes: f64) -> String {
    format!("{} GB", amount(bytes))
}

/// A moment in seconds since 1970, as a date of UTC.
#[must_use]
pub fn date(seconds: f64) -> String {
    moment(seconds).chars().take("2026-01-01".len()).collect()
}

/// A share in whole percent, rounded down, so that only a limit that is reached is shown as 100 %.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = (share * 100.0).floor();
    match share {
        _ if percent == 0.0 && share > 0.0 => "<1 %".to_owned(),
        _ => format!("{} %", number(percent)),
    }
}

/// A count, its digits in groups of three.
#[must_use]
pub fn count(value: usize) -> String {
    grouped(&value.to_string())
}

/// An integer, its digits in groups of three.
fn grouped(integer: &str) -> String {
    let (sign, digits) = match integer.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", integer),
    };
    let mut text = sign.to_owned();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment in seconds since 1970, as a date and a time of UTC.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times outside of the years 1970 to 9999 become the nearest one within"
)]
pub fn moment(seconds: f64) -> String {
    const LAST: f64 = 253_402_300_799.0;
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let since_1970 = Duration::from_secs(seconds.clamp(0.0, LAST) as u64);
    // Such as "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, section 5.6.7).
    let date = httpdate::fmt_http_date(UNIX_EPOCH + since_1970);
    let mut parts = date.split(' ').skip(1);
    let mut next = || parts.next().unwrap_or_default();
    let (day, month, year, time) = (next(), next(), next(), next());
    let month = MONTHS.find(month).map_or(0, |at| at / 3 + 1);
    format!("{year}-{month:02}-{day} {time} UTC")
}

/// A text from outside, with control characters and line separators replaced by the pictures that Unicode has for them.
#[must_use]
pub fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' => '\u{fffd}',
        '\u{2028}' | '\u{2029}' => '\u{2424}',
        other => other,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        for (seconds, expected) in [
            (-1.0, "0 s"),
            (0.4, "0 s"),
            (12.0, "12 s"),
            (99.4, "99 s"),
            (99.5, "2 min"),
            (298.0, "5 min"),
            (5969.0, "99 min"),
            (5970.0, "2 h"),
            (170_999.0, "47 h"),
            (171_000.0, "2 d"),
            (1e9, "11574 d"),
        ] {
            assert_eq!(age(seconds), expected, "{seconds}");
        }
        for (seconds, expected) in [(5.0, "1 min"), (99.9, "1 min"), (100.0, "2 min")] {
            assert_eq!(minutes(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn numbers_are_rounded() {
        for (value, places, expected) in [
            (0.0, 1, "0.0"),
            (-0.0, 1, "0.0"),
            (0.04, 1, "<0.1"),
            (0.06, 1, "0.1"),
            (210.44, 1, "210.4"),
            (33.6, 0, "34"),
            (0.2, 0, "<1"),
            (-3.26, 1, "-3.3"),
        ] {
            assert_eq!(decimals(value, places), expected, "{value}");
        }
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-1.0, "-1"),
            (0.5, "0.5"),
            (0.123_45, "0.1235"),
            (1.234_56, "1.235"),
            (12.345_6, "12.35"),
            (1234.56, "1235"),
            (1_209_600.0, "1,209,600"),
            (-123_456.0, "-123,456"),
            (5.995e17, "≈5.995e17"),
            (0.000_012_3, "≈1.230e-5"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), expected, "{value}");
        }
        for (value, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (usize::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(value), expected);
        }
    }

    #[test]
    fn amounts_of_data_are_gigabytes_and_shares_are_whole_percent() {
        for (bytes, expected) in [
            (0.0, "0 GB"),
            (1e3, "<0.1 GB"),
            (2.34e9, "2.3 GB"),
            (12e9, "12 GB"),
            (742.5e9, "743 GB"),
            (1e12, "1,000 GB"),
            (1.5e30, "≈1.500e21 GB"),
        ] {
            assert_eq!(gigabytes(bytes), expected, "{bytes}");
        }
        for (share, expected) in [
            (0.0, "0 %"),
            (0.000_1, "<1 %"),
            (0.7425, "74 %"),
            (0.999_9, "99 %"),
            (1.0, "100 %"),
            (12.345, "1,234 %"),
        ] {
            assert_eq!(percent(share), expected, "{share}");
        }
    }

    #[test]
    fn moments_are_dates() {
        for (seconds, expected) in [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_782_399.9, "2000-02-28 23:59:59 UTC"),
            (951_868_799.0, "2000-02-29 23:59:59 UTC"),
            (951_868_800.0, "2000-03-01 00:00:00 UTC"),
            (1_767_225_645.0, "2026-01-01 00:00:45 UTC"),
            (4_107_542_399.0, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400.0, "2100-03-01 00:00:00 UTC"),
            (-5.0, "1970-01-01 00:00:00 UTC"),
            (1e300, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(moment(seconds), expected);
        }
    }

    #[test]
    fn controls_become_pictures() {
        let text = "a\0\u{1b}[31m\r\n\u{7f}\u{85}\u{2028}é<\u{202e}";
        assert_eq!(printable(text), "a␀␛[31m␍␊␡\u{fffd}␤é<\u{202e}");
    }
}

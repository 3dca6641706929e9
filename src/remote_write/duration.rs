//! Durations in the notation of Prometheus: `30s`, `9h`, `1d12h`.

use std::time::Duration;

/// Unit and milliseconds, from the longest to the shortest, which is the only order that Prometheus accepts.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Parses a duration; `0` needs no unit. `None` if it is none, or too long for milliseconds in 64 bits.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut units, mut millis) = (text, UNITS.as_slice(), 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|character: char| character.is_ascii_digit());
        let (unit, further) = behind.split_at(end.unwrap_or(behind.len()));
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let value = number.parse::<u64>().ok()?.checked_mul(units[at].1)?;
        millis = millis.checked_add(value)?;
        units = &units[at + 1..];
        rest = further;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_prometheus() {
        for (text, millis) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("30s", Some(30_000)),
            ("9h", Some(32_400_000)),
            ("1d12h", Some(129_600_000)),
            ("1m500ms", Some(60_500)),
            ("1y", Some(31_536_000_000)),
            ("", None),
            ("9", None),
            ("h", None),
            ("-9h", None),
            ("1.5h", None),
            ("9 h", None),
            ("1s1m", None),
            ("1h1h", None),
            ("99999999999y", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}

//! Times in answers, which are texts.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The time in nanoseconds since 1970, from a text such as `2026-11-26T12:00:00.123+00:00` or `2026-11-24T07:13:20Z` (RFC 3339). Without an
/// offset, it is a time in UTC. `None` if it is not a time that 64 bits hold.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    let timestamp = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => {
            let local: DateTime = text.parse().ok()?;
            TimeZone::UTC.to_timestamp(local).ok()?
        }
    };
    i64::try_from(timestamp.as_nanosecond()).ok()
}

/// The same in seconds.
#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
pub(super) fn seconds(text: Option<&str>) -> Option<f64> {
    const SECOND: i64 = 1_000_000_000;
    let nanoseconds = nanoseconds(text?)?;
    // Whole seconds are exact.
    let (seconds, rest) = (
        nanoseconds.div_euclid(SECOND),
        nanoseconds.rem_euclid(SECOND),
    );
    Some(seconds as f64 + rest as f64 / SECOND as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        for (text, expected) in [
            ("1970-01-01T00:00:00+00:00", Some(0.0)),
            ("2026-11-10T00:00:00+00:00", Some(1_794_268_800.0)),
            ("2026-11-10T02:00:00+02:00", Some(1_794_268_800.0)),
            ("2026-11-10T00:00:00Z", Some(1_794_268_800.0)),
            ("2026-11-10T00:00:00.250", Some(1_794_268_800.25)),
            ("2026-11-10T00:00:00", Some(1_794_268_800.0)),
            ("2026-11-10", Some(1_794_268_800.0)),
            ("0001-01-01T00:00:00", None),
            ("9999-12-31T00:00:00Z", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(seconds(Some(text)), expected, "{text}");
        }
        assert_eq!(seconds(None), None);
    }
}

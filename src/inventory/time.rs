//! Times in answers, which are texts.

use jiff::SignedDuration;
use jiff::civil::{DateTime, Time, date};
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

/// The time since 1970, from a text such as `2026-11-26T12:00:00.123+00:00` or `2026-11-24T07:13:20Z` (RFC 3339). Without an offset, it is
/// a time in UTC; without a time, midnight. `None` if it is not a time from 1970 to the end of 9999: an unset date is year 1.
fn since_1970(text: &str) -> Option<SignedDuration> {
    let pieces = Pieces::parse(text).ok()?;
    let time = pieces.time().unwrap_or(Time::midnight());
    let local = DateTime::from_parts(pieces.date(), time);
    let since = local.duration_since(date(1970, 1, 1).at(0, 0, 0, 0));
    let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
    let utc = since.checked_sub(SignedDuration::from_secs(offset.seconds().into()))?;
    (!utc.is_negative()).then_some(utc)
}

/// The time in nanoseconds since 1970. `None` if it is not a time that 64 bits hold.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    i64::try_from(since_1970(text)?.as_nanos()).ok()
}

/// The time in seconds since 1970. Whole seconds are exact.
pub(super) fn seconds(text: Option<&str>) -> Option<f64> {
    since_1970(text?).map(|since| since.as_secs_f64())
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
            ("1969-12-31T23:59:59Z", None),
            ("2200-01-01T00:00:00Z", Some(7_258_118_400.0)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799.0)),
            ("9999-12-31T23:59:59-02:00", Some(253_402_307_999.0)),
            ("2026-11-10T00:00:00Z and more", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(seconds(Some(text)), expected, "{text}");
        }
        assert_eq!(seconds(None), None);
        let nanosecond = nanoseconds("1970-01-01T00:00:00.000000001Z");
        assert_eq!(nanosecond, Some(1));
        assert_eq!(nanoseconds("2300-01-01T00:00:00Z"), None);
    }
}

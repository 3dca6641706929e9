//! Days and the text of times.

use jiff::Timestamp;

pub(super) const DAY: i64 = 86_400;

/// The text of a time in Unix seconds, as in `2026-11-10T00:00:00+00:00`.
pub(super) fn text(seconds: i64) -> String {
    let timestamp = Timestamp::from_second(seconds).unwrap_or_default();
    timestamp.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// The text of a time in Unix nanoseconds, with milliseconds.
pub(in crate::simulator) fn text_of_nanos(nanoseconds: u64) -> String {
    let seconds = text((nanoseconds / 1_000_000_000) as i64);
    let milliseconds = nanoseconds / 1_000_000 % 1000;
    let (time, zone) = seconds.split_at(seconds.len() - "+00:00".len());
    format!("{time}.{milliseconds:03}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_starlink_writes_them() {
        assert_eq!(text(1_795_694_400), "2026-11-26T12:00:00+00:00");
        assert_eq!(
            text_of_nanos(1_795_694_400_123_999_999),
            "2026-11-26T12:00:00.123+00:00"
        );
    }
}

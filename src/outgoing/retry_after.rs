//! Parses the header `Retry-After`.

use std::time::{Duration, SystemTime};

/// Parses `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which is relative to `now` and zero if it is past. `None` if it is
/// neither.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits alone can only fail to parse if the number exceeds u64.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

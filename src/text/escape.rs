//! Escaping of label values, as the Prometheus text format and OpenMetrics do it.

/// A label value with `\`, `"` and newline escaped; `None` when it has none of them.
#[must_use]
pub fn escape_label(value: &str) -> Option<String> {
    if !value.contains(['\\', '"', '\n']) {
        return None;
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    for character in value.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    Some(escaped)
}

/// Whether the condition holds for all bytes of a text. Unlike [`Iterator::all`] without an early exit, so that the compiler can vectorise the
/// loop.
#[must_use]
pub fn all(text: &str, holds: impl Fn(u8) -> bool) -> bool {
    let bytes = text.bytes();
    bytes.fold(true, |all, byte| all & holds(byte))
}

/// Writes a text with `\` and newline escaped, and `"` too if `quote` is set.
pub fn escape_into(out: &mut Vec<u8>, text: &str, quote: bool) {
    if all(text, |byte| !matches!(byte, b'\\' | b'\n' | b'"')) {
        return out.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quote => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

//! Decodes a JSON string with escapes.

/// Appends the unescaped content of a string to `out`. Returns false, and leaves `out` unchanged, if an escape is not a character (a
/// lone surrogate).
pub fn unescape(content: &str, out: &mut String) -> bool {
    let start = out.len();
    let readable = unescape_into(content, out).is_some();
    if !readable {
        out.truncate(start);
    }
    readable
}

fn unescape_into(mut content: &str, out: &mut String) -> Option<()> {
    while let Some((plain, escape)) = content.split_once('\\') {
        out.push_str(plain);
        let mut rest = escape.chars();
        match rest.next()? {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let (character, after) = unicode_escape(rest.as_str())?;
                out.push(character);
                rest = after.chars();
            }
            other => out.push(other),
        }
        content = rest.as_str();
    }
    out.push_str(content);
    Some(())
}

/// The character of `XXXX` or `XXXX\uYYYY`, and the text after it.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
    let high = unit(text)?;
    let rest = text.get(4..)?;
    if let Some(character) = char::from_u32(u32::from(high)) {
        return Some((character, rest));
    }
    let low = rest.strip_prefix("\\u")?;
    let character = char::decode_utf16([high, unit(low)?]).next()?.ok()?;
    Some((character, low.get(4..)?))
}

//! The parts of lines that all formats share: headers, labels, and the tags and fields of line protocol.

use super::Format;
use crate::text::escape::{all, escape_into};

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that can go up and down.
    Gauge,
    /// A value that only goes up; the names of samples end in `_total`.
    Counter,
    /// Cumulative buckets, a sum and a count.
    Histogram,
    /// Information in labels, with the value 1; the names of samples end in `_info`.
    Info,
}

/// The metadata of a family, which precedes its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family<'a> {
    /// The name of the samples (of a histogram without `_bucket`, `_sum`, `_count`).
    pub name: &'a str,
    /// One sentence, with the unit; unescaped.
    pub help: &'a str,
    /// The type.
    pub kind: Kind,
    /// The unit, if the family's name ends in it.
    pub unit: Option<&'static str>,
}

/// Writes `# HELP`, `# TYPE` and, in OpenMetrics, `# UNIT`.
///
/// Text 0.0.4 has the name of the samples there, and no type `info`; OpenMetrics has the name of the family, without `_total` or
/// `_info`.
pub fn header(out: &mut Vec<u8>, format: Format, family: &Family<'_>) {
    let (name, kind) = match (format, family.kind) {
        (Format::OpenMetrics, Kind::Counter) => (without(family.name, "_total"), "counter"),
        (Format::OpenMetrics, Kind::Info) => (without(family.name, "_info"), "info"),
        (_, Kind::Counter) => (family.name, "counter"),
        (_, Kind::Gauge | Kind::Info) => (family.name, "gauge"),
        (_, Kind::Histogram) => (family.name, "histogram"),
    };
    let quote = format == Format::OpenMetrics;
    line(out, &["# HELP ", name, " "]);
    escape_into(out, family.help, quote);
    line(out, &["\n# TYPE ", name, " ", kind, "\n"]);
    if let (Format::OpenMetrics, Some(unit)) = (format, family.unit) {
        line(out, &["# UNIT ", name, " ", unit, "\n"]);
    }
}

fn without<'n>(name: &'n str, suffix: &str) -> &'n str {
    name.strip_suffix(suffix).unwrap_or(name)
}

/// Appends several strings.
pub fn line(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes `key="value"` with the value escaped.
pub fn label(out: &mut Vec<u8>, key: &str, value: &str) {
    line(out, &[key, "=\""]);
    escape_into(out, value, true);
    out.push(b'"');
}

/// Writes `,key=value` of line protocol. Empty tags are omitted, because the protocol does not allow them.
///
/// A backslash cannot be escaped in a tag, and a control character would end the line or break a parser: both become `_`.
pub fn tag(out: &mut Vec<u8>, key: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    line(out, &[",", key, "="]);
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'=' | b'\\');
    if all(value, is_plain) {
        return out.extend_from_slice(value.as_bytes());
    }
    for character in value.chars() {
        match character {
            ',' | '=' | ' ' => out.extend([b'\\', character as u8]),
            '\\' => out.push(b'_'),
            control if control.is_control() => out.push(b'_'),
            other => push_char(out, other),
        }
    }
}

/// Writes `key="value"` of line protocol; control characters become spaces.
pub fn string_field(out: &mut Vec<u8>, key: &str, value: &str) {
    line(out, &[key, "=\""]);
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if all(value, is_plain) {
        line(out, &[value, "\""]);
        return;
    }
    for character in value.chars() {
        match character {
            '"' | '\\' => out.extend([b'\\', character as u8]),
            control if control.is_control() => out.push(b' '),
            other => push_char(out, other),
        }
    }
    out.push(b'"');
}

fn push_char(out: &mut Vec<u8>, character: char) {
    let mut buffer = [0; 4];
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::text::escape::escape_label;

    /// What a function writes.
    pub fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn headers_differ_by_format() {
        let family = |name, kind, unit| Family {
            name,
            help: "A \"b\" \\ c\nd.",
            kind,
            unit,
        };
        let counter = family("x_total", Kind::Counter, None);
        let seconds = family("y_seconds", Kind::Gauge, Some("seconds"));
        let info = family("z_info", Kind::Info, None);
        for (format, family, expected) in [
            (
                Format::Prometheus,
                counter,
                "# HELP x_total A \"b\" \\\\ c\\nd.\n# TYPE x_total counter\n",
            ),
            (
                Format::Mixed,
                seconds,
                "# HELP y_seconds A \"b\" \\\\ c\\nd.\n# TYPE y_seconds gauge\n",
            ),
            (
                Format::Prometheus,
                info,
                "# HELP z_info A \"b\" \\\\ c\\nd.\n# TYPE z_info gauge\n",
            ),
            (
                Format::OpenMetrics,
                counter,
                "# HELP x A \\\"b\\\" \\\\ c\\nd.\n# TYPE x counter\n",
            ),
            (
                Format::OpenMetrics,
                info,
                "# HELP z A \\\"b\\\" \\\\ c\\nd.\n# TYPE z info\n",
            ),
            (
                Format::OpenMetrics,
                seconds,
                "# HELP y_seconds A \\\"b\\\" \\\\ c\\nd.\n# TYPE y_seconds gauge\n# UNIT y_seconds seconds\n",
            ),
        ] {
            assert_eq!(written(|out| header(out, format, &family)), expected);
        }
    }

    #[test]
    fn texts_are_escaped_by_their_position() {
        for (text, in_label, in_tag, in_field) in [
            (
                "plain é",
                r#"k="plain é""#,
                r",k=plain\ é",
                r#"k="plain é""#,
            ),
            ("", r#"k="""#, "", r#"k="""#),
            (
                "a\"b\\c\nd",
                r#"k="a\"b\\c\nd""#,
                ",k=a\"b_c_d",
                r#"k="a\"b\\c d""#,
            ),
            (
                "a,b=c\td\u{85}",
                "k=\"a,b=c\td\u{85}\"",
                r",k=a\,b\=c_d_",
                r#"k="a,b=c d ""#,
            ),
        ] {
            assert_eq!(written(|out| label(out, "k", text)), in_label);
            assert_eq!(written(|out| tag(out, "k", text)), in_tag);
            assert_eq!(written(|out| string_field(out, "k", text)), in_field);
            let escaped = escape_label(text).unwrap_or_else(|| text.into());
            assert_eq!(format!("k=\"{escaped}\""), in_label);
        }
    }
}

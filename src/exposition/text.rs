//! The smallest parts of all formats: headers, label values, tags and numbers.

use std::ops::Range;

use super::Format;

/// What a family's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; the samples' names end in `_total`.
    Counter,
    /// Cumulative buckets, a sum and a count.
    Histogram,
    /// Labels are the message; the samples' names end in `_info`.
    Info,
}

/// What the lines before a family's samples say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family<'a> {
    /// The name of the samples (of a histogram without `_bucket`, `_sum`, `_count`).
    pub name: &'a str,
    /// One sentence, with the unit; unescaped.
    pub help: &'a str,
    /// The type.
    pub kind: Kind,
    /// The unit, where the family's name ends in it.
    pub unit: Option<&'static str>,
}

/// Writes `# HELP`, `# TYPE` and, in OpenMetrics, `# UNIT`.
///
/// Text 0.0.4 names the samples there and has no type `info`; OpenMetrics names the family, without `_total` or `_info`.
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

/// Writes parts one after the other.
pub fn line(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

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

/// Texts that are written often are copied so many bytes at a time: as many must stand behind what [`push_padded`] reads.
pub const PADDING: usize = 32;

/// Appends the first `length` bytes of a text that goes on for a multiple of [`PADDING`]. Copies that are of one size are several
/// times faster than those of just as many bytes as there are; what was too much is taken back.
pub fn push_padded(out: &mut Vec<u8>, text: &[u8], length: usize) {
    let end = out.len() + length;
    let (steps, _) = text.as_chunks::<PADDING>();
    for step in steps {
        out.extend_from_slice(step);
    }
    out.truncate(end);
}

/// A text that is written again and again.
#[derive(Debug)]
pub struct Padded {
    text: Vec<u8>,
    length: usize,
}

impl Padded {
    /// The text, with room behind it.
    #[must_use]
    pub fn new(mut text: Vec<u8>) -> Self {
        let length = text.len();
        text.resize(length.next_multiple_of(PADDING), b' ');
        Self { text, length }
    }

    /// Appends the text.
    pub fn push(&self, out: &mut Vec<u8>) {
        push_padded(out, &self.text, self.length);
    }
}

/// Writes `key="value"`, the value escaped.
pub fn label(out: &mut Vec<u8>, key: &str, value: &str) {
    line(out, &[key, "=\""]);
    escape_into(out, value, true);
    out.push(b'"');
}

/// Whether all bytes are harmless. Without an early end, so that many bytes are looked at in one instruction.
fn all(text: &str, is_harmless: impl Fn(u8) -> bool) -> bool {
    let bytes = text.bytes();
    bytes.fold(true, |all, byte| all & is_harmless(byte))
}

/// Writes a text with `\` and newline escaped, and `"` too if asked.
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

/// Writes `,key=value` of line protocol. An empty tag is left out: the protocol has none.
///
/// A backslash cannot be escaped there, and a control character would end the line or break a reader: both become `_`.
pub fn tag(out: &mut Vec<u8>, key: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    line(out, &[",", key, "="]);
    let is_harmless = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'=' | b'\\');
    if all(value, is_harmless) {
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
    let is_harmless = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if all(value, is_harmless) {
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

/// Integers are written as such below 2^53: beyond, not every integer is an `f64`, and the shortest spelling is another.
const LARGEST_PLAIN: u64 = 1 << 53;

/// So many decimal places are tried before the general way: what was measured in single precision mostly has no more.
const PLACES: usize = 8;

/// One, in the unit of the last of these places.
const ONE: u64 = 100_000_000;

/// Decimals of at most 15 digits and `f64`s stand one to one (Goldberg, "What every computer scientist should know about
/// floating-point arithmetic", 1991): one that gives the number is its shortest spelling, once its last zeros are left out.
/// Below a hundred-thousandth an exponent is shorter.
const IS_SCALED: Range<u64> = 1_000..1_000_000_000_000_000;

/// Writes a finite number in the shortest spelling that gives the same `f64` again.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the way there and back tells whether it was an integer that both types hold"
)]
pub fn number(out: &mut Vec<u8>, value: f64) {
    let integer = value as i64;
    if integer as f64 == value && integer.unsigned_abs() < LARGEST_PLAIN {
        return short(out, itoa::Buffer::new().format(integer));
    }
    let one = ONE as f64;
    let scaled = (value * one + 0.5_f64.copysign(value)) as i64;
    if scaled as f64 / one == value && IS_SCALED.contains(&scaled.unsigned_abs()) {
        return decimal(out, scaled);
    }
    short(out, zmij::Buffer::new().format(value));
}

/// Writes a number of so many hundred-millionths that is no integer.
fn decimal(out: &mut Vec<u8>, scaled: i64) {
    if scaled < 0 {
        out.push(b'-');
    }
    let scaled = scaled.unsigned_abs();
    short(out, itoa::Buffer::new().format(scaled / ONE));
    let digits = eight_digits(scaled % ONE);
    // The last place is the highest byte.
    let zeros = digits.leading_zeros() as usize / 8;
    out.push(b'.');
    let end = out.len() + PLACES - zeros;
    out.extend_from_slice(&(digits | 0x3030_3030_3030_3030).to_le_bytes());
    out.truncate(end);
}

/// The digits of a number below 10^8, the first one in the lowest byte. Halves it three times, in lanes of 32, 16 and 8 bits;
/// the factors are reciprocals, exact for numbers that small.
fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}

/// Appends a text of a few bytes: two overlapping copies of one size each, instead of one whose size is not known.
fn short(out: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) if text.len() <= 16 => {
            let end = out.len() + text.len();
            out.extend_from_slice(first);
            out.truncate(end - 8);
            out.extend_from_slice(last);
        }
        _ => out.extend_from_slice(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
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
    fn texts_are_escaped_for_where_they_go() {
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

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (0.115, "0.115"),
            (3_221_225_985.0, "3221225985"),
            (0.5, "0.5"),
            (-0.0001, "-0.0001"),
            (-12.34, "-12.34"),
            (100.25, "100.25"),
            (0.00001, "0.00001"),
            (12_345_678_901.25, "12345678901.25"),
            (599_686_042_433_355_775.0, "5.996860424333558e+17"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(written(|out| number(out, value)), expected);
        }
    }

    #[test]
    fn eight_digits_are_those_of_the_number() {
        let every_part = (0..10_000).flat_map(|part| [part, part * 10_000, part * 10_001]);
        for number in every_part.chain([99_999_999, 12_345_678]) {
            let digits = (eight_digits(number) | 0x3030_3030_3030_3030).to_le_bytes();
            assert_eq!(
                std::str::from_utf8(&digits).unwrap(),
                format!("{number:08}")
            );
        }
    }

    proptest! {
        #[test]
        fn few_places_are_written_as_shortly_as_many(scaled in any::<i64>(), places in 0..11_i32) {
            let value = scaled as f64 / 10_f64.powi(places);
            let text = written(|out| number(out, value));
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
            if value.fract() != 0.0 {
                let mut shortest = zmij::Buffer::new();
                prop_assert_eq!(text, shortest.format(value));
            }
        }

        #[test]
        fn small_numbers_of_few_places_are_written_shortly(scaled in -10_000_000..10_000_000_i32, places in 1..11_i32) {
            let value = f64::from(scaled) / 10_f64.powi(places);
            let text = written(|out| number(out, value));
            let expected = match value.fract() == 0.0 {
                true => format!("{value:.0}").replace("-0", "0"),
                false => zmij::Buffer::new().format(value).to_owned(),
            };
            prop_assert_eq!(text, expected);
        }

        #[test]
        fn numbers_come_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let text = written(|out| number(out, value));
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }
    }
}

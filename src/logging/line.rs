//! Formats an event as one line of text or JSON: at most [`MAX_LINE`] bytes, with values escaped.

use std::fmt::Write;

use tracing::Level;

use super::fields::{Fields, Value};

/// The longest line in bytes, including the line end. It is `PIPE_BUF` of Linux: so much is written to a pipe atomically.
pub(super) const MAX_LINE: usize = 4096;

/// The longest message or value in bytes, after escaping.
const MAX_VALUE: usize = 1024;

/// Bytes reserved for the mark of a cut line, and for the line end.
const RESERVED: usize = 24;

/// Marks the place where a text was cut.
const CUT: char = '…';

/// The longest value without the mark.
const MAX_UNCUT: usize = MAX_VALUE - CUT.len_utf8();

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For people: `TIME LEVEL target: message name=value … span{name=value}`.
    Text {
        /// Whether the level is coloured, for a terminal.
        is_coloured: bool,
    },
    /// An object: `timestamp`, `level`, `message`, the fields, `target`, and `spans`.
    Json,
}

/// An event with its spans.
#[derive(Debug)]
pub(super) struct Event<'e> {
    pub(super) time: &'e str,
    pub(super) level: Level,
    pub(super) target: &'e str,
    pub(super) fields: &'e Fields,
    /// The number of events of this call site that were suppressed since its last line.
    pub(super) suppressed: u64,
    /// The spans, the root first.
    pub(super) spans: &'e [(&'static str, Fields)],
}

/// Formats the line, including the line end.
pub(super) fn write(format: Format, event: &Event<'_>) -> Vec<u8> {
    match format {
        Format::Text { is_coloured } => text(event, is_coloured),
        Format::Json => json(event),
    }
}

fn text(event: &Event<'_>, is_coloured: bool) -> Vec<u8> {
    let mut line = LineBuilder::default();
    let level = event.level;
    let (on, off) = match is_coloured {
        true => (colour(level), "\u{1b}[0m"),
        false => ("", ""),
    };
    let message = escaped(&event.fields.message, text_escape);
    let target = escaped(event.target, text_escape);
    line.add(&format!(
        "{} {on}{level:>5}{off} {target}: {message}",
        event.time
    ));
    for (name, value) in &event.fields.others {
        line.add(&format!(" {name}={}", text_value(value)));
    }
    if event.suppressed > 0 {
        line.add(&format!(" suppressed={}", event.suppressed));
    }
    for (span, fields) in event.spans {
        let fields = fields.others.iter();
        let fields = fields.map(|(name, value)| format!("{name}={}", text_value(value)));
        line.add(&format!(
            " {span}{{{}}}",
            fields.collect::<Vec<_>>().join(" ")
        ));
    }
    line.end(" cut=true", "")
}

fn json(event: &Event<'_>) -> Vec<u8> {
    let mut line = LineBuilder::default();
    let message = escaped(&event.fields.message, json_escape);
    let target = escaped(event.target, json_escape);
    line.add(&format!(
        r#"{{"timestamp":"{}","level":"{}","message":"{message}""#,
        event.time, event.level
    ));
    for (name, value) in &event.fields.others {
        // Renamed, because parsers disagree on objects with duplicate keys.
        let mark = match *name {
            "timestamp" | "level" | "message" | "target" | "spans" | "suppressed" | "cut" => "_",
            _ => "",
        };
        line.add(&format!(r#","{mark}{name}":{}"#, json_value(value)));
    }
    if event.suppressed > 0 {
        line.add(&format!(r#","suppressed":{}"#, event.suppressed));
    }
    line.add(&format!(r#","target":"{target}""#));
    let spans = event.spans.iter().map(|(span, fields)| {
        let fields = fields.others.iter().filter(|(name, _)| *name != "name");
        let fields = fields.map(|(name, value)| format!(r#","{name}":{}"#, json_value(value)));
        format!(r#"{{"name":"{span}"{}}}"#, fields.collect::<String>())
    });
    let spans: Vec<_> = spans.collect();
    if !spans.is_empty() {
        line.add(&format!(r#","spans":[{}]"#, spans.join(",")));
    }
    line.end(r#","cut":true"#, "}")
}

/// Builds a line of parts. A part that does not fit is left out.
#[derive(Default)]
struct LineBuilder {
    text: String,
    is_cut: bool,
}

impl LineBuilder {
    /// Adds a part if it fits completely.
    fn add(&mut self, part: &str) {
        match self.text.len() + part.len() + RESERVED <= MAX_LINE {
            true => self.text.push_str(part),
            false => self.is_cut = true,
        }
    }

    fn end(mut self, mark: &str, end: &str) -> Vec<u8> {
        if self.is_cut {
            self.text.push_str(mark);
        }
        self.text.push_str(end);
        self.text.push('\n');
        self.text.into_bytes()
    }
}

const fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

/// A value as text: without quotes if it is a single word without special characters.
fn text_value(value: &Value) -> String {
    let text = match value {
        Value::Plain(number) => return number.clone(),
        Value::Text(text) => text,
    };
    let is_bare = |character: char| {
        let is_special = matches!(character, '"' | '\\' | '=' | '{' | '}');
        !is_special && !character.is_whitespace() && !is_unprintable(character)
    };
    match !text.is_empty() && text.len() <= MAX_UNCUT && text.chars().all(is_bare) {
        true => text.clone(),
        false => format!("\"{}\"", escaped(text, quoted_escape)),
    }
}

fn json_value(value: &Value) -> String {
    match value {
        Value::Plain(number) => number.clone(),
        Value::Text(text) => format!("\"{}\"", escaped(text, json_escape)),
    }
}

/// Writes the escape of a character and returns true, or returns false if the character itself must be written.
type Escape = fn(char, &mut String) -> bool;

/// Escapes a text and cuts it to [`MAX_VALUE`] bytes after escaping.
fn escaped(text: &str, escape: Escape) -> String {
    let mut written = String::with_capacity(text.len().min(MAX_VALUE));
    for character in text.chars() {
        let before = written.len();
        if !escape(character, &mut written) {
            written.push(character);
        }
        if written.len() > MAX_UNCUT {
            written.truncate(before);
            written.push(CUT);
            break;
        }
    }
    written
}

fn text_escape(character: char, written: &mut String) -> bool {
    if is_unprintable(character) {
        written.extend(character.escape_default());
        return true;
    }
    false
}

fn quoted_escape(character: char, written: &mut String) -> bool {
    if matches!(character, '"' | '\\') {
        written.push('\\');
        return false;
    }
    text_escape(character, written)
}

fn json_escape(character: char, written: &mut String) -> bool {
    if is_unprintable(character) {
        // All of them are in the basic multilingual plane, so four digits suffice.
        let _ = write!(written, "\\u{:04x}", u32::from(character));
        return true;
    }
    quoted_escape(character, written)
}

/// Whether the character may affect a terminal or the layout of the text: controls, line ends, invisible characters, and marks that
/// change the direction of writing.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    const TEXT: Format = Format::Text { is_coloured: false };

    fn value(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn fields(message: &str, others: Vec<(&'static str, Value)>) -> Fields {
        Fields {
            message: message.to_owned(),
            others,
        }
    }

    fn line(format: Format, fields: &Fields, spans: &[(&'static str, Fields)]) -> String {
        let event = Event {
            time: "2026-01-02T03:04:05Z",
            level: Level::WARN,
            target: "a::b",
            fields,
            suppressed: 0,
            spans,
        };
        String::from_utf8(write(format, &event)).unwrap()
    }

    #[test]
    fn values_are_quoted_if_necessary() {
        for (text, in_text, in_json) in [
            ("word", "word", r#""word""#),
            ("/a/b-c.d:1", "/a/b-c.d:1", r#""/a/b-c.d:1""#),
            ("two words", r#""two words""#, r#""two words""#),
            ("", r#""""#, r#""""#),
            ("a=b", r#""a=b""#, r#""a=b""#),
            (r#"q"\"#, r#""q\"\\""#, r#""q\"\\""#),
            ("é→", "é→", r#""é→""#),
            ("a\nb", r#""a\nb""#, r#""a\u000ab""#),
            ("\u{1b}[31m", r#""\u{1b}[31m""#, r#""\u001b[31m""#),
            ("\u{9b}1m", r#""\u{9b}1m""#, r#""\u009b1m""#),
            ("\u{202e}x", r#""\u{202e}x""#, r#""\u202ex""#),
        ] {
            let fields = fields("it happened", vec![("f", value(text))]);
            assert_eq!(
                line(TEXT, &fields, &[]),
                format!("2026-01-02T03:04:05Z  WARN a::b: it happened f={in_text}\n")
            );
            assert_eq!(
                line(Format::Json, &fields, &[]),
                format!(
                    "{{\"timestamp\":\"2026-01-02T03:04:05Z\",\"level\":\"WARN\",\"message\":\"it happened\",\"f\":{in_json},\"target\":\"a::b\"}}\n"
                )
            );
        }
    }

    #[test]
    fn numbers_spans_and_the_suppressed_count_are_shown() {
        let fields = fields(
            "m\r\u{7f}",
            vec![
                ("count", Value::Plain("7".to_owned())),
                ("level", value("x")),
            ],
        );
        let inner = vec![
            ("path", value("/a b")),
            ("status", Value::Plain("200".to_owned())),
        ];
        let spans = [("request", self::fields("", inner))];
        let event = |format| {
            let event = Event {
                time: "T",
                level: Level::INFO,
                target: "t",
                fields: &fields,
                suppressed: 3,
                spans: &spans,
            };
            String::from_utf8(write(format, &event)).unwrap()
        };
        assert_eq!(
            event(TEXT),
            "T  INFO t: m\\r\\u{7f} count=7 level=x suppressed=3 request{path=\"/a b\" status=200}\n"
        );
        assert_eq!(
            event(Format::Json),
            "{\"timestamp\":\"T\",\"level\":\"INFO\",\"message\":\"m\\u000d\\u007f\",\"count\":7,\"_level\":\"x\",\"suppressed\":3,\"target\":\"t\",\"spans\":[{\"name\":\"request\",\"path\":\"/a b\",\"status\":200}]}\n"
        );
        assert!(
            event(Format::Text { is_coloured: true })
                .starts_with("T \u{1b}[32m INFO\u{1b}[0m t: m")
        );
    }

    #[test]
    fn long_values_are_cut_and_fields_that_do_not_fit_are_left_out() {
        let names = ["a", "b", "c", "d", "e"];
        let long = fields(
            "m",
            names
                .map(|name| (name, value(&"é\u{1}".repeat(5000))))
                .to_vec(),
        );
        for (format, mark) in [(TEXT, " cut=true\n"), (Format::Json, ",\"cut\":true}\n")] {
            let line = line(format, &long, &[]);
            assert!(line.len() <= MAX_LINE, "{}", line.len());
            assert!(line.ends_with(mark), "{line}");
            assert_eq!(line.matches(CUT).count(), 3, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_event_is_one_line_within_the_bound(
            message in any::<String>(),
            texts in prop::collection::vec("\\PC{0,40}|[\\x00-\\x9f\\\\\"é\u{2028}]{0,400}|.{500,1500}", 0..8),
            spans in prop::collection::vec("[\\x00-\\x9f\"]{0,3000}", 0..3),
        ) {
            const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let others = NAMES.into_iter().zip(texts.iter().map(|text| value(text)));
            let fields = self::fields(&message, others.collect());
            let spans = spans.iter().map(|text| ("s", self::fields("", vec![("f", value(text))])));
            let spans: Vec<_> = spans.collect();
            for format in [TEXT, Format::Json] {
                let line = line(format, &fields, &spans);
                prop_assert!(line.len() <= MAX_LINE);
                let content = line.strip_suffix('\n').unwrap();
                prop_assert!(!content.chars().any(is_unprintable), "{content}");
            }
            let line = line(Format::Json, &fields, &spans);
            let read: Json = serde_json::from_str(&line).unwrap();
            let is_cut = read.get("cut").is_some();
            for (name, value) in &fields.others {
                let Value::Text(text) = value else { unreachable!() };
                match read.get(name).and_then(Json::as_str) {
                    Some(read) => match read.strip_suffix(CUT) {
                        Some(beginning) => prop_assert!(text.starts_with(beginning)),
                        None => prop_assert_eq!(read, text),
                    },
                    None => prop_assert!(is_cut),
                }
            }
        }
    }
}

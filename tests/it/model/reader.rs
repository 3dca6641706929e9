//! A strict parser of the exposition formats, which rejects every violation of the structure.

use std::collections::BTreeSet;

use starlink_telemetry::exposition::Format;

use super::oracle::{Labels, Series};

/// The content of a body.
#[derive(Debug, Default)]
pub struct Body {
    /// The families in order. The name of the family of `starlink_info` is that of its sample in every format.
    pub families: Vec<Family>,
    pub samples: Vec<(Series, f64)>,
    /// The lines in line protocol.
    pub lines: Vec<String>,
}

/// The lines before the samples of a family.
#[derive(Debug)]
pub struct Family {
    pub name: String,
    pub help: String,
    pub kind: String,
}

struct Reader {
    format: Format,
    body: Body,
    names: BTreeSet<String>,
    series: BTreeSet<(String, BTreeSet<(String, String)>)>,
    /// The name of HELP, then of TYPE, until the first sample.
    help: Option<(String, String)>,
    /// Name and type of the family whose samples may follow.
    current: Option<(String, String)>,
    /// Whether the current family has a sample.
    used: bool,
}

/// Parses a body.
///
/// # Errors
/// The rule that the body violates.
pub fn read(text: &str, format: Format) -> Result<Body, String> {
    let mut text = text;
    if format == Format::OpenMetrics {
        text = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    }
    if format == Format::Mixed {
        let (comment, rest) = text.split_once('\n').ok_or("no first line")?;
        let says = |what| comment.contains(what);
        if !(comment.starts_with("# ") && says("line protocol") && says("?format=prometheus")) {
            return Err(format!("the first line is not the comment: {comment:?}"));
        }
        text = rest;
    }
    let mut reader = Reader {
        format,
        body: Body::default(),
        names: BTreeSet::new(),
        series: BTreeSet::new(),
        help: None,
        current: None,
        used: true,
    };
    if text.is_empty() {
        return Ok(reader.body);
    }
    let lines = text.strip_suffix('\n').ok_or("no final newline")?;
    for line in lines.split('\n') {
        reader
            .line(line)
            .map_err(|problem| format!("{problem}: {line:?}"))?;
    }
    reader.end_family()?;
    Ok(reader.body)
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() {
            return Err("a blank line".into());
        }
        if self.format == Format::Mixed && line.starts_with("starlink_info,") {
            return self.line_protocol(line);
        }
        match line.strip_prefix("# ") {
            Some(comment) => self.comment(comment),
            None if line.starts_with('#') => Err("another comment".into()),
            None => self.sample(line),
        }
    }

    fn line_protocol(&mut self, line: &str) -> Result<(), String> {
        if self.body.lines.is_empty() {
            self.end_family()?;
            self.current = None;
            self.begin_family("starlink_info", "", "")?;
            self.used = true;
        } else if self
            .body
            .families
            .last()
            .is_none_or(|family| family.name != "starlink_info")
        {
            return Err("starlink_info is not contiguous".into());
        }
        self.body.lines.push(line.to_owned());
        Ok(())
    }

    fn begin_family(&mut self, name: &str, help: &str, kind: &str) -> Result<(), String> {
        if !self.names.insert(name.to_owned()) {
            return Err(format!("the family {name} comes twice"));
        }
        self.body.families.push(Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind: kind.to_owned(),
        });
        Ok(())
    }

    fn end_family(&mut self) -> Result<(), String> {
        if self.help.is_some() {
            return Err("HELP without TYPE".into());
        }
        if !self.used {
            return Err("a family without samples".into());
        }
        Ok(())
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let open_metrics = self.format == Format::OpenMetrics;
        if let Some(help) = comment.strip_prefix("HELP ") {
            self.end_family()?;
            self.current = None;
            let (name, help) = help.split_once(' ').ok_or("HELP without a text")?;
            self.help = Some((name.to_owned(), unescape(help, open_metrics)?));
        } else if let Some(kind) = comment.strip_prefix("TYPE ") {
            let (name, kind) = kind.split_once(' ').ok_or("TYPE without a type")?;
            let (helped, help) = self.help.take().ok_or("TYPE without HELP")?;
            if helped != name {
                return Err("HELP and TYPE of different families".into());
            }
            self.check_family(name, kind)?;
            let shown = if kind == "info" {
                format!("{name}_info")
            } else {
                name.to_owned()
            };
            self.begin_family(&shown, &help, kind)?;
            self.current = Some((name.to_owned(), kind.to_owned()));
            self.used = false;
        } else if let Some(unit) = comment.strip_prefix("UNIT ").filter(|_| open_metrics) {
            let (name, unit) = unit.split_once(' ').ok_or("UNIT without a unit")?;
            let current = self.current.as_ref().filter(|_| !self.used);
            if current.is_none_or(|current| current.0 != name) {
                return Err("UNIT at a wrong place".into());
            }
            if !name.ends_with(&format!("_{unit}")) {
                return Err("a unit that the name does not end in".into());
            }
        } else {
            return Err("another comment".into());
        }
        Ok(())
    }

    fn check_family(&self, name: &str, kind: &str) -> Result<(), String> {
        let open_metrics = self.format == Format::OpenMetrics;
        let fits = match kind {
            "gauge" => true,
            "counter" => name.ends_with("_total") != open_metrics,
            "info" => open_metrics && !name.ends_with("_info"),
            "histogram" => !["_bucket", "_sum", "_count"]
                .iter()
                .any(|suffix| name.ends_with(suffix)),
            _ => false,
        };
        if !fits || !is_name(name) {
            return Err("a family's name or type is wrong".into());
        }
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let end = line.find(['{', ' ']).ok_or("a sample without a value")?;
        let (name, mut rest) = line.split_at(end);
        if !is_name(name) {
            return Err("the sample's name is wrong".into());
        }
        self.check_sample(name)?;
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            (labels, rest) = read_labels(inside)?;
        }
        let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
        let value = read_value(value)?;
        let set: BTreeSet<_> = labels.iter().cloned().collect();
        let keys: BTreeSet<_> = labels.iter().map(|(key, _)| key).collect();
        if keys.len() != labels.len() {
            return Err("a label comes twice".into());
        }
        if !self.series.insert((name.to_owned(), set)) {
            return Err("a sample comes twice".into());
        }
        self.used = true;
        self.body.samples.push(((name.to_owned(), labels), value));
        Ok(())
    }

    fn check_sample(&self, name: &str) -> Result<(), String> {
        let (family, kind) = self
            .current
            .as_ref()
            .ok_or("a sample without HELP and TYPE")?;
        let suffix = name
            .strip_prefix(family.as_str())
            .ok_or("a sample of another family")?;
        let fits = match (&**kind, self.format == Format::OpenMetrics) {
            ("gauge", _) | ("counter", false) => suffix.is_empty(),
            ("counter", true) => suffix == "_total",
            ("info", _) => suffix == "_info",
            _ => ["_bucket", "_sum", "_count"].contains(&suffix),
        };
        if fits {
            Ok(())
        } else {
            Err("a sample of another family".into())
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(allowed)
        && name
            .bytes()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
}

/// The labels up to the closing brace, and the rest of the text.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Vec::new();
    loop {
        let (key, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(key) {
            return Err("a label's name is wrong".into());
        }
        let mut escaped = false;
        let end = after.find(|char| {
            let ends = char == '"' && !escaped;
            escaped = char == '\\' && !escaped;
            ends
        });
        let (value, after) = after.split_at(end.ok_or("a label without an end")?);
        labels.push((key.to_owned(), unescape(value, true)?));
        match after[1..].strip_prefix(',') {
            Some(after) => rest = after,
            None => {
                return Ok((
                    labels,
                    after[1..].strip_prefix('}').ok_or("no closing brace")?,
                ));
            }
        }
    }
}

fn read_value(value: &str) -> Result<f64, String> {
    if !value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte))
    {
        return Err("no plain finite value, or something after it".into());
    }
    let value = value.parse::<f64>().map_err(|_| "the value is no number")?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err("the value is not finite".into())
    }
}

fn unescape(text: &str, quotes: bool) -> Result<String, String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '\\' => match chars.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quotes => '"',
                _ => return Err("an escape that is none".into()),
            },
            char => char,
        });
    }
    Ok(plain)
}

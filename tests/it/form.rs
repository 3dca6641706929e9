//! Scrapes `/metrics` and parses the body line by line, checking the rules that all formats share.
#![expect(clippy::expect_used, reason = "a test fails where it cannot continue")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::wire::get;

/// The values of the parameter `format`.
pub const FORMATS: [&str; 3] = ["openmetrics", "prometheus", "mixed"];

/// A family: its samples, and its HELP and TYPE.
#[derive(Debug)]
pub struct Family {
    /// The name in TYPE, in OpenMetrics without `_total` and `_info`.
    pub name: String,
    pub kind: String,
    /// The text of HELP, with its escapes.
    pub help: String,
    /// Series, spelled as in the body, and their values.
    pub samples: Vec<(String, f64)>,
}

/// A body with a valid form.
#[derive(Debug)]
pub struct Body {
    /// The unchanged text.
    pub text: String,
    pub families: Vec<Family>,
    /// `starlink_info` in line protocol.
    pub info_lines: Vec<String>,
}

impl Body {
    /// The value of a series.
    pub fn value(&self, series: &str) -> Option<f64> {
        let samples = self.families.iter().flat_map(|family| &family.samples);
        let mut samples = samples.filter(|(known, _)| known == series);
        samples.next().map(|(_, value)| *value)
    }

    /// The family of that name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// All series that begin with this text, with their values.
    pub fn beginning(&self, beginning: &str) -> BTreeMap<&str, f64> {
        let samples = self.families.iter().flat_map(|family| &family.samples);
        let samples = samples.filter(|(series, _)| series.starts_with(beginning));
        samples
            .map(|(series, value)| (series.as_str(), *value))
            .collect()
    }

    /// Whether any series begins with this text.
    pub fn has(&self, beginning: &str) -> bool {
        !self.beginning(beginning).is_empty()
    }

    /// A family of counters: the value of the last label, and the count, without those at 0.
    pub fn moved(&self, name: &str) -> BTreeMap<String, f64> {
        let samples = self.beginning(&format!("{name}{{"));
        let moved = samples.into_iter().filter(|(_, value)| *value > 0.0);
        let label = |series: &str| series.rsplit('"').nth(1).unwrap().to_owned();
        moved
            .map(|(series, value)| (label(series), value))
            .collect()
    }

    /// The numbers of failed polls by reason, without zeros.
    pub fn poll_failures(&self) -> BTreeMap<String, f64> {
        self.moved(POLL_FAILURES)
    }
}

const POLL_FAILURES: &str = "starlink_exporter_poll_failures_total";

/// The series that counts the polls that failed for a reason.
pub fn poll_failures(reason: &str) -> String {
    format!(r#"{POLL_FAILURES}{{account="default",reason="{reason}"}}"#)
}

/// Scrapes in a format.
pub async fn scrape(address: SocketAddr, format: &str) -> Body {
    let answer = get(address, &format!("/metrics?format={format}"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    read(&answer.body, format)
}

/// Reads a body.
pub fn read(text: &str, format: &str) -> Body {
    let is_open = format == "openmetrics";
    let lines = match is_open {
        true => text.strip_suffix("# EOF\n").expect("# EOF at the end"),
        false => text,
    };
    let lines = match format {
        "mixed" => without_comment(lines),
        _ => lines,
    };
    let lines = lines.strip_suffix('\n').expect("a final newline");
    let mut body = Body {
        text: text.to_owned(),
        families: Vec::new(),
        info_lines: Vec::new(),
    };
    let mut known = Known::default();
    let mut help = None;
    for line in lines.split('\n') {
        let in_line_protocol = line.starts_with("starlink_info,");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(help.is_none(), "HELP without TYPE: {line}");
            help = Some(rest.split_once(' ').expect("HELP has a text"));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("TYPE has a type");
            let (helped, help) = help.take().expect("HELP stands before TYPE");
            assert_eq!(helped, name, "HELP and TYPE belong together");
            assert!(help.ends_with('.'), "HELP is a sentence: {help}");
            known.family(name);
            body.families.push(Family {
                name: name.to_owned(),
                kind: kind.to_owned(),
                help: help.to_owned(),
                samples: Vec::new(),
            });
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let family = body.families.last().expect("UNIT follows TYPE");
            let (name, unit) = rest.split_once(' ').expect("UNIT has a unit");
            assert!(
                is_open && family.samples.is_empty() && family.name == name,
                "{line}"
            );
            assert!(name.ends_with(&format!("_{unit}")), "{line}");
        } else if format == "mixed" && in_line_protocol {
            known.line(line, body.families.len());
            body.info_lines.push(line.to_owned());
        } else {
            let family = body
                .families
                .last_mut()
                .expect("TYPE stands before samples");
            let (series, value) = sample(line, family, is_open);
            known.series(&series);
            family.samples.push((series, value));
        }
    }
    let is_empty = |family: &Family| family.samples.is_empty();
    assert!(!body.families.iter().any(is_empty), "a family has samples");
    body
}

/// The text after the first line of the mixed format, which is a comment.
fn without_comment(text: &str) -> &str {
    let (comment, rest) = text.split_once('\n').expect("a first line");
    assert!(comment.starts_with("# starlink_info "), "{comment}");
    for said in ["line protocol", "?format=prometheus"] {
        assert!(comment.contains(said), "{comment}");
    }
    rest
}

/// Names and series that must not occur twice.
#[derive(Default)]
struct Known {
    families: BTreeSet<String>,
    series: BTreeSet<String>,
    /// The number of families before the lines in line protocol.
    lines_after: Option<usize>,
}

impl Known {
    fn family(&mut self, name: &str) {
        assert!(
            self.families.insert(name.to_owned()),
            "{name} in several pieces"
        );
    }

    fn series(&mut self, series: &str) {
        assert!(self.series.insert(series.to_owned()), "{series} twice");
    }

    fn line(&mut self, line: &str, families: usize) {
        let after = *self.lines_after.get_or_insert(families);
        assert_eq!(after, families, "starlink_info in several pieces");
        // Measurement and tags end at the first space that is not escaped.
        let mut escaped = false;
        let end = line.find(|character: char| {
            let is_end = character == ' ' && !escaped;
            escaped = character == '\\' && !escaped;
            is_end
        });
        self.series(&line[..end.expect("fields follow the tags")]);
    }
}

/// A sample's series and value, if it belongs to the family.
fn sample(line: &str, family: &Family, is_open: bool) -> (String, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
    assert!(
        series.ends_with('}') || !series.contains([' ', '{']),
        "a sample has no timestamp: {line}"
    );
    let name = series.split('{').next().unwrap_or_default();
    let suffixes: &[&str] = match (family.kind.as_str(), is_open) {
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        ("counter", true) => &["_total"],
        ("info", true) => &["_info"],
        ("counter" | "gauge", _) => &[""],
        (kind, _) => panic!("{kind} is no type of this format: {line}"),
    };
    let belongs = name
        .strip_prefix(&*family.name)
        .is_some_and(|suffix| suffixes.contains(&suffix));
    assert!(
        belongs,
        "a sample of {} among those of {}",
        name, family.name
    );
    let value: f64 = value.parse().expect("a value is a number");
    assert!(value.is_finite(), "{line}");
    (series.to_owned(), value)
}

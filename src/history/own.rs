//! Follows what the exporter itself knows, from one scrape of it to the next.
//!
//! The inventory of a large account has more series than its stream, so a scrape is read in chunks, and only the compressed names of
//! its series are remembered.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::mem;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::STALE;
use super::encode::series::{Message, Metadata, MetricType, Point};
use super::labels::{INSTANCE, NAME};
use super::names::NameFilter;

/// The metadata of a family of a scrape.
#[derive(Debug)]
struct Described {
    metric_type: MetricType,
    help: Box<str>,
    unit: &'static str,
}

impl Described {
    fn metadata(&self) -> Metadata<'_> {
        Metadata {
            metric_type: self.metric_type,
            help: &self.help,
            unit: self.unit,
        }
    }
}

/// The series of the scrapes of a destination.
#[derive(Debug)]
pub struct OwnSeries {
    instance: Arc<str>,
    names: NameFilter,
    /// Whether the destination gets a metric, by name.
    kept: HashMap<Box<str>, bool>,
    hasher: RandomState,
    /// The series of the last scrape: its text with 0 as all values, compressed.
    last: Vec<u8>,
}

/// A scrape that is being read.
#[derive(Debug)]
pub struct OwnScrape<'s> {
    series: &'s mut OwnSeries,
    time: i64,
    lines: Lines,
    /// The hashes of its series. If two have the same, which is improbable, one may lack a marker.
    found: HashSet<u64>,
    /// The next [`OwnSeries::last`].
    next: ZlibEncoder<Vec<u8>>,
}

/// Samples of one time, of which each is in a series of its own.
#[derive(Debug, Clone)]
pub struct OwnSet {
    instance: Arc<str>,
    time: i64,
    /// Name and labels, as in the text format.
    samples: Vec<(Box<str>, Arc<Described>, f64)>,
}

impl OwnSeries {
    /// Series that bear the label `instance` with this value, unless it is empty.
    #[must_use]
    pub fn new(instance: &str, names: NameFilter) -> Self {
        Self {
            instance: instance.into(),
            names,
            kept: HashMap::new(),
            hasher: RandomState::new(),
            last: Vec::new(),
        }
    }

    /// Begins a scrape at a time in milliseconds since 1970. If it is dropped before its end, the series of the scrape before are still the
    /// last ones.
    pub fn scrape(&mut self, time: i64) -> OwnScrape<'_> {
        OwnScrape {
            series: self,
            time,
            lines: Lines::default(),
            found: HashSet::new(),
            next: ZlibEncoder::new(Vec::new(), Compression::fast()),
        }
    }

    /// Stale markers for all series of the last scrape.
    pub fn end(&mut self, time: i64) -> OwnSet {
        let set = self.ended(time, &HashSet::new());
        self.last.clear();
        set
    }

    /// Stale markers for the series of the last scrape that are not among these.
    fn ended(&self, time: i64, found: &HashSet<u64>) -> OwnSet {
        let mut lines = Lines::default();
        let mut samples = Vec::new();
        let text = BufReader::new(ZlibDecoder::new(self.last.as_slice()));
        // The text is this process's own, and complete.
        for line in text.lines().map_while(Result::ok) {
            if let Some((key, _)) = lines.read(&line)
                && !found.contains(&self.hasher.hash_one(key))
            {
                samples.push((key.into(), Arc::clone(&lines.family), STALE));
            }
        }
        self.set(samples, time)
    }

    fn set(&self, samples: Vec<(Box<str>, Arc<Described>, f64)>, time: i64) -> OwnSet {
        OwnSet {
            instance: Arc::clone(&self.instance),
            time,
            samples,
        }
    }

    fn keeps(&mut self, name: &str) -> bool {
        if let Some(kept) = self.kept.get(name) {
            return *kept;
        }
        let kept = self.names.keeps(name);
        self.kept.insert(name.into(), kept);
        kept
    }
}

impl OwnScrape<'_> {
    /// The samples of a chunk of whole lines in the Prometheus text format. Lines that are not valid are left out.
    pub fn chunk(&mut self, text: &str) -> OwnSet {
        let mut samples = Vec::new();
        for line in text.lines() {
            // Writing to a vector cannot fail.
            if let Some((key, value)) = self.lines.read(line) {
                if self.series.keeps(name_of(key)) {
                    self.found.insert(self.series.hasher.hash_one(key));
                    let _ = writeln!(self.next, "{key} 0");
                    samples.push((key.into(), Arc::clone(&self.lines.family), value));
                }
            } else if line.starts_with('#') {
                let _ = writeln!(self.next, "{line}");
            }
        }
        self.series.set(samples, self.time)
    }

    /// Ends the scrape. Series of the scrape before that it lacks end with a stale marker.
    #[must_use]
    pub fn finish(self) -> OwnSet {
        let set = self.series.ended(self.time, &self.found);
        self.series.last = self.next.finish().unwrap_or_default();
        set
    }
}

/// Reads the lines of a scrape.
#[derive(Debug)]
struct Lines {
    /// The last `# HELP`, unescaped.
    help: String,
    /// The family of the samples that follow.
    family: Arc<Described>,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            help: String::new(),
            family: Arc::new(Described::unknown()),
        }
    }
}

impl Lines {
    /// The name and labels of a sample, as in the text, and its value; `None` if the line is not a sample.
    fn read<'l>(&mut self, line: &'l str) -> Option<(&'l str, f64)> {
        if let Some(comment) = line.strip_prefix("# HELP ") {
            let help = comment.split_once(' ').map_or("", |(_, help)| help);
            self.help = unescape(help).into_owned();
        } else if let Some(comment) = line.strip_prefix("# TYPE ") {
            self.family = Arc::new(Described::of(comment, &mem::take(&mut self.help)));
        }
        sample(line)
    }
}

impl OwnSet {
    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether it has no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Parts of at most `most` samples, for several requests.
    pub fn parts(&self, most: usize) -> impl Iterator<Item = Self> {
        let parts = self.samples.chunks(most.max(1));
        parts.map(|samples| Self {
            samples: samples.to_vec(),
            instance: Arc::clone(&self.instance),
            time: self.time,
        })
    }

    /// Writes all samples.
    pub(super) fn write(&self, message: &mut impl Message) {
        for (key, family, value) in &self.samples {
            let labels = labels_of(key);
            let labels = labels.iter().map(|(name, value)| (*name, &**value));
            let own = [(NAME, name_of(key)), (INSTANCE, &*self.instance)];
            let labels = own.into_iter().chain(labels);
            let labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
            let point = Point {
                time: self.time,
                value: *value,
            };
            message.labelled(&labels, family.metadata(), &[point]);
        }
    }
}

impl Described {
    fn unknown() -> Self {
        Self {
            metric_type: MetricType::Unspecified,
            help: "".into(),
            unit: "",
        }
    }

    /// `type_line` is the name and the type.
    fn of(type_line: &str, help: &str) -> Self {
        let (name, metric_type) = type_line.split_once(' ').unwrap_or((type_line, ""));
        let base = name.strip_suffix("_total").unwrap_or(name);
        Self {
            metric_type: match metric_type {
                "counter" => MetricType::Counter,
                // The text format has no type of its own for them.
                "gauge" if name.ends_with("_info") => MetricType::Info,
                "gauge" => MetricType::Gauge,
                "histogram" => MetricType::Histogram,
                _ => MetricType::Unspecified,
            },
            help: help.into(),
            unit: match base {
                _ if base.ends_with("_seconds") => "seconds",
                _ if base.ends_with("_bytes") => "bytes",
                _ => "",
            },
        }
    }
}

/// The name and labels of a sample, as in the text, and its value.
fn sample(line: &str) -> Option<(&str, f64)> {
    let (key, value) = line.rsplit_once(' ')?;
    let is_whole = key.ends_with('}') || !key.contains(['{', ' ']);
    Some((key, value.parse().ok()?)).filter(|_| is_whole && !line.starts_with('#'))
}

/// The name of a sample.
fn name_of(key: &str) -> &str {
    key.split_once('{').map_or(key, |(name, _)| name)
}

/// The labels of a sample, unescaped.
fn labels_of(key: &str) -> Vec<(&str, Cow<'_, str>)> {
    let mut labels = Vec::new();
    let mut rest = key.split_once('{').map_or("", |(_, labels)| labels);
    while let Some((name, value)) = rest.split_once("=\"") {
        let mut is_escaped = false;
        let end = value.find(|character| {
            let is_end = character == '"' && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            is_end
        });
        let Some((value, after)) = end.and_then(|end| value.split_at_checked(end)) else {
            break;
        };
        labels.push((name.trim_start_matches(','), unescape(value)));
        rest = after.strip_prefix('"').unwrap_or_default();
    }
    labels
}

/// A text without the escapes of the text format.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                other => plain.extend(other),
            },
            other => plain.push(other),
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn lines_are_split_into_name_labels_and_value() {
        type Labels = &'static [(&'static str, &'static str)];
        type Parsed = Option<(&'static str, Labels, f64)>;
        let cases: &[(&str, Parsed)] = &[
            ("starlink_up 1", Some(("starlink_up", &[], 1.0))),
            (
                r#"a{b="c",d=""} -0.5"#,
                Some(("a", &[("b", "c"), ("d", "")], -0.5)),
            ),
            (
                r#"a{b="x\"y\\",c="1\n2 =\"} 3"} 1e+300"#,
                Some(("a", &[("b", "x\"y\\"), ("c", "1\n2 =\"} 3")], 1e300)),
            ),
            (
                r#"a{le="+Inf"} +Inf"#,
                Some(("a", &[("le", "+Inf")], f64::INFINITY)),
            ),
            ("# HELP a 1", None),
            ("a", None),
            ("a b 1", None),
            (r#"a{b="c" 1"#, None),
            ("a x", None),
            ("", None),
        ];
        for (line, expected) in cases {
            let found = sample(line);
            assert_eq!(found.is_some(), expected.is_some(), "{line}");
            if let (Some((key, value)), Some((name, labels, expected))) = (found, expected) {
                let found = labels_of(key);
                let found: Vec<_> = found
                    .iter()
                    .map(|(name, value)| (*name, &**value))
                    .collect();
                assert_eq!((name_of(key), &*found), (*name, *labels), "{line}");
                assert_eq!(value.to_bits(), expected.to_bits(), "{line}");
            }
        }
    }

    #[test]
    fn series_that_vanish_end() {
        let mut series = OwnSeries::new("host", NameFilter::default());
        let values = |set: &OwnSet| {
            let values = set.samples.iter();
            let values = values.map(|(key, _, value)| (key.to_string(), value.to_bits()));
            values.collect::<BTreeMap<_, _>>()
        };
        let expected = |samples: &[(&str, f64)]| {
            let samples = samples.iter();
            samples
                .map(|(key, value)| ((*key).to_owned(), value.to_bits()))
                .collect::<BTreeMap<_, _>>()
        };
        let text = "# HELP a Help.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\nb 3\n";
        let first = expected(&[("a{x=\"1\"}", 1.0), ("a{x=\"2\"}", 2.0), ("b", 3.0)]);
        let scrape = |series: &mut OwnSeries, text: &str, time| {
            let mut scrape = series.scrape(time);
            // In two chunks.
            let (head, tail) = text.split_at(text.find('\n').map_or(0, |end| end + 1));
            let mut set = scrape.chunk(head);
            set.samples.extend(scrape.chunk(tail).samples);
            set.samples.extend(scrape.finish().samples);
            assert_eq!(set.time, time);
            set
        };
        assert_eq!(values(&scrape(&mut series, text, 1)), first);
        // A scrape that is not finished changes nothing.
        series.scrape(2).chunk("c 1\n");
        let second = expected(&[("a{x=\"1\"}", 5.0), ("a{x=\"2\"}", STALE), ("b", STALE)]);
        let found = scrape(&mut series, "a{x=\"1\"} 5\n", 2);
        assert_eq!(values(&found), second);
        let help = found
            .samples
            .iter()
            .find(|(key, ..)| **key == *"a{x=\"2\"}");
        assert_eq!(&*help.unwrap().1.help, "Help.");
        let last = expected(&[("a{x=\"1\"}", STALE)]);
        assert_eq!(values(&series.end(3)), last);
        assert!(series.end(4).is_empty());
        let set = scrape(&mut series, text, 5);
        let parts: Vec<_> = set.parts(2).map(|part| part.len()).collect();
        assert_eq!(parts, [2, 1]);
    }

    #[test]
    fn metadata_comes_from_the_comments() {
        for (line, help, metric_type, unit) in [
            ("a_seconds gauge", "x", MetricType::Gauge, "seconds"),
            ("a_bytes_total counter", "", MetricType::Counter, "bytes"),
            ("a_info gauge", "", MetricType::Info, ""),
            ("a histogram", "", MetricType::Histogram, ""),
            ("a", "", MetricType::Unspecified, ""),
        ] {
            let found = Described::of(line, help);
            let found = (&*found.help, found.metric_type, found.unit);
            assert_eq!(found, (help, metric_type, unit), "{line}");
        }
    }
}

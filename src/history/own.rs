//! Follows what the exporter itself knows, from one scrape of it to the next.
//!
//! The inventory of a large account has more series than its stream, so a scrape is read in chunks, and only the compressed names of
//! its series are remembered.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Cursor, Write};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
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

/// The series of the last scrape of a destination. Clones are cheap.
#[derive(Debug, Clone)]
pub struct OwnSeries {
    instance: Arc<str>,
    names: Arc<NameFilter>,
    hasher: RandomState,
    /// The text of the scrape with 0 as all values, compressed.
    last: Bytes,
}

/// A scrape that is being read.
#[derive(Debug)]
pub struct OwnScrape {
    before: OwnSeries,
    time: i64,
    lines: Lines,
    /// Whether the destination gets a metric, by name.
    kept: HashMap<Box<str>, bool>,
    /// The hashes of its series. If two have the same, which is improbable, one may lack a marker.
    found: HashSet<u64>,
    /// The next [`OwnSeries::last`].
    last: ZlibEncoder<Vec<u8>>,
}

/// The stale markers of series that ended.
#[derive(Debug)]
pub struct OwnMarkers {
    before: OwnSeries,
    time: i64,
    lines: Lines,
    /// The hashes of the series that have not ended.
    found: HashSet<u64>,
    text: BufReader<ZlibDecoder<Cursor<Bytes>>>,
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
    /// Series that bear the label `instance` with this value, unless it is empty. Nothing was scraped yet.
    #[must_use]
    pub fn new(instance: Arc<str>, names: Arc<NameFilter>) -> Self {
        Self {
            instance,
            names,
            hasher: RandomState::new(),
            last: Bytes::new(),
        }
    }

    /// Begins the next scrape, at a time in milliseconds since 1970.
    #[must_use]
    pub fn scrape(&self, time: i64) -> OwnScrape {
        OwnScrape {
            before: self.clone(),
            time,
            lines: Lines::default(),
            kept: HashMap::new(),
            found: HashSet::new(),
            last: ZlibEncoder::new(Vec::new(), Compression::fast()),
        }
    }

    /// The series of both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut last = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut found = HashSet::new();
        for text in [&self.last, &other.last] {
            let text = ZlibDecoder::new(Cursor::new(text.clone()));
            // The comments of the family, until they are written.
            let mut comments = String::new();
            for line in BufReader::new(text).lines().map_while(Result::ok) {
                if line.starts_with("# HELP ") {
                    comments.clear();
                }
                match sample(&line) {
                    None => comments += &format!("{line}\n"),
                    Some((key, _)) if found.insert(self.hasher.hash_one(key)) => {
                        // Writing to a vector cannot fail.
                        let _ = writeln!(last, "{}{line}", mem::take(&mut comments));
                    }
                    Some(_) => {}
                }
            }
        }
        Self {
            last: last.finish().unwrap_or_default().into(),
            ..self.clone()
        }
    }

    /// Stale markers for all series.
    #[must_use]
    pub fn end(self, time: i64) -> OwnMarkers {
        self.ended(time, HashSet::new())
    }

    /// Stale markers for the series that are not among these.
    fn ended(self, time: i64, found: HashSet<u64>) -> OwnMarkers {
        let text = Cursor::new(self.last.clone());
        OwnMarkers {
            before: self,
            time,
            lines: Lines::default(),
            found,
            text: BufReader::new(ZlibDecoder::new(text)),
        }
    }

    /// A set without samples.
    #[must_use]
    pub fn empty_set(&self, time: i64) -> OwnSet {
        OwnSet {
            instance: Arc::clone(&self.instance),
            time,
            samples: Vec::new(),
        }
    }
}

impl OwnScrape {
    /// Appends the samples of a chunk of whole lines in the Prometheus text format. Lines that are not valid are left out.
    pub fn chunk(&mut self, text: &str, set: &mut OwnSet) {
        for line in text.lines() {
            // Writing to a vector cannot fail.
            if let Some((key, value)) = self.lines.read(line) {
                if keeps(&mut self.kept, &self.before.names, name_of(key)) {
                    self.found.insert(self.before.hasher.hash_one(key));
                    let _ = writeln!(self.last, "{key} 0");
                    let family = Arc::clone(&self.lines.family);
                    set.samples.push((key.into(), family, value));
                }
            } else if line.starts_with('#') {
                let _ = writeln!(self.last, "{line}");
            }
        }
    }

    /// The series of the chunks so far.
    #[must_use]
    pub fn so_far(&mut self) -> OwnSeries {
        // Writing to a vector cannot fail.
        let _ = self.last.flush();
        OwnSeries {
            last: self.last.get_ref().clone().into(),
            ..self.before.clone()
        }
    }

    /// Ends the scrape: its series, and the markers of those of the scrape before that it lacks.
    #[must_use]
    pub fn finish(self) -> (OwnSeries, OwnMarkers) {
        let series = OwnSeries {
            last: self.last.finish().unwrap_or_default().into(),
            ..self.before.clone()
        };
        (series, self.before.ended(self.time, self.found))
    }
}

/// Whether a metric is sent. The filter is asked once for each name.
fn keeps(kept: &mut HashMap<Box<str>, bool>, names: &NameFilter, name: &str) -> bool {
    if let Some(kept) = kept.get(name) {
        return *kept;
    }
    let keeps = names.keeps(name);
    kept.insert(name.into(), keeps);
    keeps
}

impl OwnMarkers {
    /// Appends markers until the set has `most` samples. Returns whether there may be more.
    pub fn read(&mut self, most: usize, set: &mut OwnSet) -> bool {
        let mut line = String::new();
        while set.len() < most {
            line.clear();
            // The text is this process's own, and complete.
            if !matches!(self.text.read_line(&mut line), Ok(1..)) {
                return false;
            }
            if let Some((key, _)) = self.lines.read(line.trim_end_matches('\n'))
                && !self.found.contains(&self.before.hasher.hash_one(key))
            {
                let family = Arc::clone(&self.lines.family);
                set.samples.push((key.into(), family, STALE));
            }
        }
        true
    }

    /// A set of this time without samples.
    #[must_use]
    pub fn empty_set(&self) -> OwnSet {
        self.before.empty_set(self.time)
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

    /// The series of a sample: its name and labels, as in the text format.
    #[must_use]
    pub fn series(&self, at: usize) -> Option<&str> {
        self.samples.get(at).map(|(key, ..)| &**key)
    }

    /// Keeps the samples of these series, by name and labels.
    pub fn retain(&mut self, keeps: impl Fn(&str) -> bool) {
        self.samples.retain(|(key, ..)| keeps(key));
    }

    /// Takes the first samples out, at most so many.
    #[must_use]
    pub fn take(&mut self, most: usize) -> Self {
        let end = most.min(self.len());
        Self {
            samples: self.samples.drain(..end).collect(),
            instance: Arc::clone(&self.instance),
            time: self.time,
        }
    }

    /// Writes all samples.
    pub(super) fn write(&self, message: &mut impl Message) {
        for (key, family, value) in &self.samples {
            let labels = labels_of(key);
            let labels = labels.iter().map(|(name, value)| (*name, &**value));
            let own = [(NAME, name_of(key)), (INSTANCE, &*self.instance)];
            let labels = own.into_iter().chain(labels);
            let mut labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
            labels.sort_unstable();
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
        let new = OwnSeries::new("host".into(), Arc::default());
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
        let scrape = |series: &OwnSeries, text: &str, time| {
            let mut scrape = series.scrape(time);
            let mut set = series.empty_set(time);
            // In two chunks.
            let (head, tail) = text.split_at(text.find('\n').map_or(0, |end| end + 1));
            scrape.chunk(head, &mut set);
            scrape.chunk(tail, &mut set);
            let (series, mut markers) = scrape.finish();
            // One marker at a time.
            while markers.read(set.len() + 1, &mut set) {}
            (series, set)
        };
        let (series, set) = scrape(&new, text, 1);
        assert_eq!(values(&set), first);
        let second = expected(&[("a{x=\"1\"}", 5.0), ("a{x=\"2\"}", STALE), ("b", STALE)]);
        let (series, found) = scrape(&series, "a{x=\"1\"} 5\n", 2);
        assert_eq!(values(&found), second);
        let mut samples = found.samples.iter();
        let help = samples.find(|(key, ..)| **key == *"a{x=\"2\"}");
        assert_eq!(&*help.unwrap().1.help, "Help.");
        let mut markers = series.end(3);
        let mut last = markers.empty_set();
        assert!(!markers.read(usize::MAX, &mut last));
        assert_eq!(values(&last), expected(&[("a{x=\"1\"}", STALE)]));
        assert_eq!(last.time, 3);
        assert!(!new.end(4).read(usize::MAX, &mut last));
        assert_eq!(last.len(), 1);
        let mut set = set;
        let parts: Vec<_> = [2, 2, 2].map(|most| set.take(most).len()).into();
        assert_eq!(parts, [2, 1, 0]);
    }

    #[test]
    fn the_series_of_two_scrapes_are_those_of_both_once_each() {
        let new = OwnSeries::new("host".into(), Arc::default());
        let scrape = |text: &str| {
            let mut scrape = new.scrape(1);
            scrape.chunk(text, &mut new.empty_set(1));
            (scrape.so_far(), scrape.finish().0)
        };
        let (part, _) = scrape("# HELP a Help.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n");
        let (_, other) =
            scrape("# HELP a Help.\n# TYPE a gauge\na{x=\"2\"} 1\na{x=\"3\"} 2\nb 1\n");
        let both = part.with(&other);
        for both in [&both, &both.with(&part)] {
            let mut markers = both.clone().end(3);
            let mut set = markers.empty_set();
            while markers.read(usize::MAX, &mut set) {}
            let keys: Vec<_> = set.samples.iter().map(|(key, ..)| &**key).collect();
            assert_eq!(keys, ["a{x=\"1\"}", "a{x=\"2\"}", "a{x=\"3\"}", "b"]);
            assert!(
                set.samples[..3]
                    .iter()
                    .all(|(_, family, _)| &*family.help == "Help.")
            );
        }
        assert!(!new.with(&new).end(1).read(1, &mut new.empty_set(1)));
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

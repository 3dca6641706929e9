//! Messages of remote write 2.0: `io.prometheus.write.v2.Request`, in which series refer to a table of texts.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::super::families::{Family, FamilyId};
use super::super::labels::{DestinationLabels, NAME};
use super::samples::{samples, samples_length};
use super::series::{Message, Metadata, MetricType, Point, merged};
use super::varint;
use crate::telemetry::catalogue::DEVICE_LABELS;

/// `Request.symbols`, a string.
const SYMBOL: u8 = 4 << 3 | 2;
/// `Request.timeseries`, a message.
const TIMESERIES: u8 = 5 << 3 | 2;
/// `TimeSeries.labels_refs`, packed integers.
const LABELS_REFS: u8 = 1 << 3 | 2;
/// `TimeSeries.metadata`, a message.
const METADATA: u8 = 5 << 3 | 2;
/// `Metadata.type`, an integer.
const TYPE: u8 = 1 << 3;
/// `Metadata.help_ref`, an integer.
const HELP_REF: u8 = 3 << 3;
/// `Metadata.unit_ref`, an integer.
const UNIT_REF: u8 = 4 << 3;

/// The number of a text in the table.
type Symbol = u32;

/// The texts of a request. The first one is empty.
#[derive(Debug, Default)]
struct Symbols {
    /// The fields of the request.
    fields: Vec<u8>,
    /// Where the texts are in `fields`.
    texts: Vec<Range<usize>>,
    by_text: HashTable<Symbol>,
    hasher: DefaultHashBuilder,
}

impl Symbols {
    fn clear(&mut self) {
        self.fields.clear();
        self.texts.clear();
        self.by_text.clear();
        self.get("");
    }

    /// The number of a text, which is added if it is new.
    fn get(&mut self, text: &str) -> Symbol {
        let Self {
            fields,
            texts,
            by_text,
            hasher,
        } = self;
        let hash = hasher.hash_one(text.as_bytes());
        let bytes_of = |symbol: Symbol| {
            let range = texts.get(symbol as usize).cloned();
            range
                .and_then(|range| fields.get(range))
                .unwrap_or_default()
        };
        let is_it = |symbol: &Symbol| bytes_of(*symbol) == text.as_bytes();
        if let Some(known) = by_text.find(hash, is_it) {
            return *known;
        }
        // A request has far fewer texts than 2^32.
        let symbol = Symbol::try_from(texts.len()).unwrap_or(Symbol::MAX);
        by_text.insert_unique(hash, symbol, |symbol| hasher.hash_one(bytes_of(*symbol)));
        fields.push(SYMBOL);
        varint::push_length(fields, text.len());
        let start = fields.len();
        fields.extend_from_slice(text.as_bytes());
        texts.push(start..fields.len());
        symbol
    }
}

/// A family of the request.
#[derive(Debug, Clone, Copy)]
struct FamilySymbols {
    name: Symbol,
    metadata: MetadataSymbols,
}

/// The metadata of a series.
#[derive(Debug, Clone, Copy)]
struct MetadataSymbols {
    metric_type: MetricType,
    help: Symbol,
    unit: Symbol,
}

/// A request that is being written.
#[derive(Debug)]
pub(super) struct V2 {
    symbols: Symbols,
    /// The fields `timeseries`.
    series: Vec<u8>,
    out: Vec<u8>,
    /// The labels of the destination.
    destination: Vec<(Box<str>, Box<str>)>,
    name: Symbol,
    /// The labels of the destination whose names are before `__name__`, as references.
    before: Vec<u8>,
    /// All other labels of the current device, but `__name__`, as references.
    after: Vec<u8>,
    /// The labels of a series, as references.
    references: Vec<u8>,
    /// By family; `None` until the request has the family.
    families: Vec<Option<FamilySymbols>>,
}

impl V2 {
    pub(super) fn new(labels: &DestinationLabels) -> Self {
        let own = |(name, value): (&str, &str)| (name.into(), value.into());
        Self {
            symbols: Symbols::default(),
            series: Vec::new(),
            out: Vec::new(),
            destination: labels.iter().map(own).collect(),
            name: 0,
            before: Vec::new(),
            after: Vec::new(),
            references: Vec::new(),
            families: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self) {
        self.symbols.clear();
        self.series.clear();
        self.families.clear();
        self.before.clear();
        self.name = self.symbols.get(NAME);
        for (name, value) in self.destination.iter().filter(|(name, _)| **name < *NAME) {
            reference(&mut self.symbols, &mut self.before, name, value);
        }
    }

    /// The request. Its texts come first, because some receivers resolve references while they read.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.out.clear();
        self.out.extend_from_slice(&self.symbols.fields);
        self.out.extend_from_slice(&self.series);
        &self.out
    }

    fn family(&mut self, id: FamilyId, family: &Family) -> FamilySymbols {
        let index = id as usize;
        if let Some(Some(known)) = self.families.get(index) {
            return *known;
        }
        let symbols = FamilySymbols {
            name: self.symbols.get(&family.name),
            metadata: self.metadata(family.into()),
        };
        if self.families.len() <= index {
            self.families.resize(index + 1, None);
        }
        self.families[index] = Some(symbols);
        symbols
    }

    fn metadata(&mut self, metadata: Metadata<'_>) -> MetadataSymbols {
        MetadataSymbols {
            metric_type: metadata.metric_type,
            help: self.symbols.get(metadata.help),
            unit: self.symbols.get(metadata.unit),
        }
    }
}

impl Message for V2 {
    fn device(&mut self, id: &str, device_type: &str) {
        let Self {
            symbols,
            destination,
            after,
            ..
        } = self;
        after.clear();
        let [type_name, id_name] = DEVICE_LABELS;
        let destination = destination.iter().map(|(name, value)| (&**name, &**value));
        let mut destination = destination.filter(|(name, _)| *name > NAME).peekable();
        // `deviceID` is before `device_type`.
        for own @ (name, value) in [(id_name, id), (type_name, device_type)] {
            while let Some((name, value)) = destination.next_if(|before| *before < own) {
                reference(symbols, after, name, value);
            }
            if !value.is_empty() {
                reference(symbols, after, name, value);
            }
        }
        for (name, value) in destination {
            reference(symbols, after, name, value);
        }
    }

    fn series(&mut self, id: FamilyId, family: &Family, points: &[Point]) {
        let FamilySymbols { name, metadata } = self.family(id, family);
        self.references.clear();
        self.references.extend_from_slice(&self.before);
        varint::push(&mut self.references, self.name.into());
        varint::push(&mut self.references, name.into());
        self.references.extend_from_slice(&self.after);
        series(&mut self.series, &self.references, metadata, points);
    }

    fn labelled(&mut self, labels: &[(&str, &str)], metadata: Metadata<'_>, points: &[Point]) {
        let metadata = self.metadata(metadata);
        self.references.clear();
        for (name, value) in merged(labels, &self.destination) {
            reference(&mut self.symbols, &mut self.references, name, value);
        }
        series(&mut self.series, &self.references, metadata, points);
    }
}

/// Appends the references of a label.
fn reference(symbols: &mut Symbols, out: &mut Vec<u8>, name: &str, value: &str) {
    varint::push(out, symbols.get(name).into());
    varint::push(out, symbols.get(value).into());
}

/// Appends a series with these labels.
#[inline]
fn series(out: &mut Vec<u8>, references: &[u8], metadata: MetadataSymbols, points: &[Point]) {
    let MetadataSymbols {
        metric_type,
        help,
        unit,
    } = metadata;
    let [help, unit] = [help, unit].map(u64::from);
    let has_unit = unit != 0;
    let mut metadata_length = 2 + 1 + varint::length(help);
    if has_unit {
        metadata_length += 1 + varint::length(unit);
    }
    let length = 1
        + varint::length(references.len() as u64)
        + references.len()
        + samples_length(points)
        + 1
        + varint::length(metadata_length as u64)
        + metadata_length;
    out.push(TIMESERIES);
    varint::push_length(out, length);
    out.push(LABELS_REFS);
    varint::push_length(out, references.len());
    out.extend_from_slice(references);
    samples(out, points);
    out.push(METADATA);
    varint::push_length(out, metadata_length);
    out.extend_from_slice(&[TYPE, metric_type as u8, HELP_REF]);
    varint::push(out, help);
    if has_unit {
        out.push(UNIT_REF);
        varint::push(out, unit);
    }
}

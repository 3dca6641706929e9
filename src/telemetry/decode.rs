//! Decodes the bytes of an answer to rows and column names, in one pass.
//!
//! The rows precede the column names in the text, so cells are kept unchanged and interpreted later. Invalid JSON or a wrong envelope
//! invalidates the answer; other errors invalidate only a cell or a row.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use thiserror::Error;

use super::batch::{Cell, Element, ElementKind, List, Place, Rows, Span, Text};
use super::bounds::{
    LONGEST_NAME, MOST_ALERT_NAMES, MOST_CELLS, MOST_COLUMNS, MOST_ELEMENTS, MOST_NAME_BYTES,
    MOST_ROWS, MOST_TYPES, NAME_OVERHEAD,
};
use super::faults::CellFault;
use super::json::{JsonError, Kind, Number, Reader, StringToken, unescape};

/// Why an answer is invalid.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Invalid JSON, for example of a truncated answer.
    #[error("the answer is not the JSON that was expected")]
    Json(#[from] JsonError),
    /// HTML.
    #[error("the answer looks like a web page")]
    WebPage,
    /// JSON of another shape.
    #[error("the answer has no {0}")]
    Missing(&'static str),
    /// A member that determines the meaning of the others occurs twice.
    #[error("the answer has more than one {0}")]
    Repeated(&'static str),
    /// Positions are 32-bit numbers.
    #[error("the answer has {0} bytes, more than 4 GiB")]
    TooLong(usize),
}

/// Column names by device type code.
type Columns = BTreeMap<String, Vec<Option<String>>>;

/// Names by code.
type Names = BTreeMap<String, String>;

/// The names of the metadata's members.
#[derive(Default)]
struct Enums {
    device_types: Option<Names>,
    alerts: BTreeMap<String, Names>,
}

/// The columns and codes of an answer, within [`super::bounds`]. Absent parts are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Column names by device type code. A name that is not a string is `None`, and its column is ignored.
    pub columns: BTreeMap<String, Vec<Option<String>>>,
    /// Names of the device type codes.
    pub device_types: Option<BTreeMap<String, String>>,
    /// Names of the alert codes, by device type code.
    pub alerts: BTreeMap<String, BTreeMap<String, String>>,
    /// The number of names of columns, types and alerts that exceed the limits.
    pub left_out: usize,
}

/// Decodes the body of a 200 answer.
///
/// # Errors
/// The body is not valid JSON, does not have `data` and `data.values` exactly once, or has `data.columnNamesByDeviceType` more than
/// once.
pub fn decode(body: Vec<u8>) -> Result<(Rows, Metadata), DecodeError> {
    if u32::try_from(body.len()).is_err() {
        return Err(DecodeError::TooLong(body.len()));
    }
    // An invalid byte makes only its string unreadable: it becomes U+FFFD, which is rejected in strings.
    let (body, repaired) = match String::from_utf8(body) {
        Ok(body) => (body, false),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
    };
    let mut decoder = Decoder {
        reader: Reader::new(&body),
        repaired,
        rows: Rows::default(),
        room: MOST_NAME_BYTES,
        left_out: 0,
    };
    let metadata = decoder.answer().map_err(|error| match error {
        DecodeError::Json(_) if body.trim_start().starts_with('<') => DecodeError::WebPage,
        error => error,
    })?;
    let mut rows = decoder.rows;
    rows.body = body.into();
    Ok((rows, metadata))
}

struct Decoder<'t> {
    reader: Reader<'t>,
    /// Whether invalid bytes were replaced.
    repaired: bool,
    rows: Rows,
    /// The remaining bytes for names.
    room: usize,
    /// The number of names that are left out.
    left_out: usize,
}

impl<'t> Decoder<'t> {
    fn answer(&mut self) -> Result<Metadata, DecodeError> {
        let mut columns = None;
        let mut enums = Enums::default();
        self.reader.begin_object()?;
        let mut first = true;
        while let Some(key) = self.reader.next_key(&mut first)? {
            match self.key(key).as_deref().unwrap_or_default() {
                "data" if columns.is_some() => {
                    return Err(DecodeError::Repeated("member `data`"));
                }
                "data" => columns = Some(self.data()?),
                "metadata" => enums = self.metadata()?,
                _ => {
                    self.reader.skip()?;
                }
            }
        }
        self.reader.end()?;
        Ok(Metadata {
            columns: columns.ok_or(DecodeError::Missing("member `data`"))?,
            device_types: enums.device_types,
            alerts: enums.alerts,
            left_out: self.left_out,
        })
    }

    fn data(&mut self) -> Result<Columns, DecodeError> {
        let mut columns = None;
        let mut has_values = false;
        self.reader.begin_object()?;
        let mut first = true;
        while let Some(key) = self.reader.next_key(&mut first)? {
            match self.key(key).as_deref().unwrap_or_default() {
                "values" if has_values => {
                    return Err(DecodeError::Repeated("member `data.values`"));
                }
                "values" => {
                    has_values = true;
                    self.values()?;
                }
                "columnNamesByDeviceType" if columns.is_some() => {
                    let member = "member `data.columnNamesByDeviceType`";
                    return Err(DecodeError::Repeated(member));
                }
                "columnNamesByDeviceType" => columns = Some(self.column_names()?),
                _ => {
                    self.reader.skip()?;
                }
            }
        }
        if has_values {
            Ok(columns.unwrap_or_default())
        } else {
            Err(DecodeError::Missing("member `data.values`"))
        }
    }

    /// The content of a string; `None` if it cannot be read.
    fn key(&self, token: StringToken) -> Option<Cow<'t, str>> {
        let content = self.valid(&token)?;
        if !token.escaped {
            return Some(content.into());
        }
        let mut name = String::new();
        unescape(content, &mut name).then(|| name.into())
    }

    /// The column names by type. A type without a valid list has none.
    fn column_names(&mut self) -> Result<Columns, JsonError> {
        if self.reader.kind()? == Kind::Null {
            self.reader.null()?;
            return Ok(Columns::new());
        }
        let mut columns = Columns::new();
        self.reader.begin_object()?;
        self.members(|decoder, code| {
            if decoder.is(Kind::Array)? && decoder.admits(&columns, code, MOST_TYPES) {
                let names = decoder.list_of_names()?;
                columns.insert(code.to_owned(), names);
            }
            Ok(())
        })?;
        Ok(columns)
    }

    /// A list of strings; `None` for elements that are not readable strings.
    fn list_of_names(&mut self) -> Result<Vec<Option<String>>, JsonError> {
        let mut names = Vec::new();
        self.reader.begin_array()?;
        let mut more = self.reader.first_element();
        while more {
            if names.len() < MOST_COLUMNS {
                let name = self.name()?;
                names.push(name.and_then(|name| self.kept(name)));
            } else {
                self.reader.skip()?;
                self.left_out += 1;
            }
            more = self.reader.another_element()?;
        }
        Ok(names)
    }

    /// The enums. Invalid parts are ignored, because an answer is useful without names.
    fn metadata(&mut self) -> Result<Enums, JsonError> {
        let mut enums = Enums::default();
        if !self.is(Kind::Object)? {
            self.reader.skip()?;
            return Ok(enums);
        }
        self.reader.begin_object()?;
        self.members(|decoder, key| {
            if key == "enums" && decoder.is(Kind::Object)? {
                decoder.reader.begin_object()?;
                decoder.members(|decoder, key| decoder.one_enum(key, &mut enums))?;
            }
            Ok(())
        })?;
        Ok(enums)
    }

    fn one_enum(&mut self, key: &str, enums: &mut Enums) -> Result<(), JsonError> {
        match key {
            "DeviceType" => enums.device_types = self.names(MOST_TYPES)?,
            "AlertsByDeviceType" if self.is(Kind::Object)? => {
                self.reader.begin_object()?;
                self.members(|decoder, code| {
                    if decoder.admits(&enums.alerts, code, MOST_TYPES) {
                        let names = decoder.names(MOST_ALERT_NAMES)?;
                        let names = names.map(|names| (code.to_owned(), names));
                        enums.alerts.extend(names);
                    }
                    Ok(())
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// An object of at most this many strings; other values are ignored. `None` if it is not an object.
    fn names(&mut self, most: usize) -> Result<Option<Names>, JsonError> {
        if !self.is(Kind::Object)? {
            return Ok(None);
        }
        let mut names = Names::new();
        self.reader.begin_object()?;
        self.members(|decoder, code| {
            if decoder.admits(&names, code, most)
                && let Some(name) = decoder.name()?
                && let Some(name) = decoder.kept(name)
            {
                names.insert(code.to_owned(), name);
            }
            Ok(())
        })?;
        Ok(Some(names))
    }

    /// A readable string, or `None` for any other value.
    fn name(&mut self) -> Result<Option<Cow<'t, str>>, JsonError> {
        if self.reader.kind()? != Kind::String {
            self.reader.skip()?;
            return Ok(None);
        }
        let token = self.reader.string()?;
        Ok(self.key(token))
    }

    /// Whether there is room for one more code, or for a new meaning of a known one; counted if not.
    fn admits<V>(&mut self, known: &BTreeMap<String, V>, code: &str, most: usize) -> bool {
        let cost = code.len() + NAME_OVERHEAD;
        let fits = code.len() <= LONGEST_NAME
            && cost <= self.room
            && (known.len() < most || known.contains_key(code));
        if fits {
            self.room -= cost;
        } else {
            self.left_out += 1;
        }
        fits
    }

    /// The name, if there is room for it; counted if not.
    fn kept(&mut self, name: Cow<'t, str>) -> Option<String> {
        let cost = name.len() + NAME_OVERHEAD;
        if name.len() > LONGEST_NAME || cost > self.room {
            self.left_out += 1;
            return None;
        }
        self.room -= cost;
        Some(name.into_owned())
    }

    /// Calls `each` with the name of every member of the current object, positioned at its value. Values that `each` does not read are
    /// skipped, as are members whose names cannot be read.
    fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let mut first = true;
        while let Some(token) = self.reader.next_key(&mut first)? {
            // Peeked first, so that the position is that of the value and not of white space before it.
            self.reader.kind()?;
            let value = self.reader.position();
            if let Some(key) = self.key(token) {
                each(self, &key)?;
            }
            if self.reader.position() == value {
                self.reader.skip()?;
            }
        }
        Ok(())
    }

    /// Whether the next value is of this kind.
    fn is(&mut self, kind: Kind) -> Result<bool, JsonError> {
        Ok(self.reader.kind()? == kind)
    }

    /// All rows within the limits. `null` is an empty answer.
    fn values(&mut self) -> Result<(), JsonError> {
        if self.reader.kind()? == Kind::Null {
            return self.reader.null();
        }
        self.reader.begin_array()?;
        let mut more = self.reader.first_element();
        while more {
            let has_room = self.rows.received() < MOST_ROWS && self.rows.cells.len() < MOST_CELLS;
            if !has_room {
                self.reader.skip()?;
                self.rows.beyond += 1;
            } else if self.reader.kind()? == Kind::Array {
                self.row()?;
            } else {
                self.reader.skip()?;
                self.rows.malformed += 1;
            }
            more = self.reader.another_element()?;
        }
        Ok(())
    }

    fn row(&mut self) -> Result<(), JsonError> {
        let start = self.rows.cells.len();
        let begin = self.reader.remaining();
        self.reader.begin_array()?;
        let mut more = self.reader.first_element();
        while more {
            if self.rows.cells.len() - start < MOST_COLUMNS {
                let cell = self.cell()?;
                self.rows.cells.push(cell);
            } else {
                // Cells beyond the last column.
                self.reader.skip()?;
            }
            more = self.reader.another_element()?;
        }
        let count = self.rows.cells.len() - start;
        if self.rows.spans.is_empty() {
            self.expect_rows_like(count, begin - self.reader.remaining());
        }
        self.rows.spans.push(Span {
            first: position(start),
            count: position(count),
        });
        Ok(())
    }

    /// Reserves memory for all rows, estimated from the first one with its `cells` in `bytes`, because growing by doubling could need twice
    /// the memory. Called once for each answer, and limited like the rows; memory that is not written is not resident.
    fn expect_rows_like(&mut self, cells: usize, bytes: usize) {
        let rows = self.reader.remaining() / bytes;
        let rows = (rows + rows / 8).min(MOST_ROWS);
        self.rows.spans.reserve(rows);
        self.rows.cells.reserve((rows * cells).min(MOST_CELLS));
    }

    fn cell(&mut self) -> Result<Cell, JsonError> {
        Ok(match self.reader.kind()? {
            Kind::Null => {
                self.reader.null()?;
                Cell::Absent
            }
            Kind::Bool => Cell::Bool(self.reader.bool()?),
            Kind::Number => match self.reader.number()?.1 {
                Number::Integer(integer) => Cell::Integer(integer),
                Number::Float(float) => Cell::Float(float),
                Number::TooLarge => Cell::Unreadable(CellFault::Number),
            },
            Kind::String => {
                let token = self.reader.string()?;
                match self.text(token) {
                    Some(text) if text.length == 0 => Cell::Absent,
                    Some(text) => Cell::Text(text),
                    None => Cell::Unreadable(CellFault::Text),
                }
            }
            Kind::Array => self.list()?,
            Kind::Object => {
                self.reader.skip()?;
                Cell::Unreadable(CellFault::Shape)
            }
        })
    }

    fn list(&mut self) -> Result<Cell, JsonError> {
        let start = self.rows.elements.len();
        self.reader.begin_array()?;
        let mut more = self.reader.first_element();
        let mut is_cut = false;
        while more {
            if self.rows.elements.len() >= MOST_ELEMENTS {
                self.reader.skip()?;
                is_cut = true;
            } else if let Some(element) = self.element()? {
                self.rows.elements.push(element);
            }
            more = self.reader.another_element()?;
        }
        let count = self.rows.elements.len() - start;
        Ok(if is_cut {
            self.rows.elements.truncate(start);
            Cell::Unreadable(CellFault::Limit)
        } else if count == 0 {
            Cell::Absent
        } else {
            Cell::List(List {
                first: position(start),
                count: position(count),
            })
        })
    }

    fn element(&mut self) -> Result<Option<Element>, JsonError> {
        let kind = self.reader.kind()?;
        if kind == Kind::String {
            let token = self.reader.string()?;
            let text = self.text(token);
            return Ok(Some(Element {
                kind: text.map_or(ElementKind::Unreadable, |_| ElementKind::Text),
                text: text.unwrap_or(NO_TEXT),
            }));
        }
        let (kind, span) = match kind {
            Kind::Number => {
                let (span, number) = self.reader.number()?;
                match number {
                    Number::Integer(_) => (ElementKind::Integer, span),
                    Number::Float(_) | Number::TooLarge => (ElementKind::Float, span),
                }
            }
            Kind::Bool => (ElementKind::Bool, self.reader.skip()?),
            Kind::Null => {
                self.reader.null()?;
                return Ok(None);
            }
            Kind::String | Kind::Array | Kind::Object => {
                self.reader.skip()?;
                (ElementKind::Unreadable, 0..0)
            }
        };
        Ok(Some(Element {
            kind,
            text: Text::in_body(span),
        }))
    }

    /// The raw content of a string in the answer; `None` if it contained invalid UTF-8.
    fn valid(&self, token: &StringToken) -> Option<&'t str> {
        let content = self.reader.slice(token.span.clone());
        let is_repaired = self.repaired && content.contains(char::REPLACEMENT_CHARACTER);
        (!is_repaired).then_some(content)
    }

    /// The text of a string; `None` if it cannot be read.
    fn text(&mut self, token: StringToken) -> Option<Text> {
        // Nearly every string has no escapes.
        if !token.escaped && !self.repaired {
            return Some(Text::in_body(token.span));
        }
        let content = self.valid(&token)?;
        if !token.escaped {
            return Some(Text::in_body(token.span));
        }
        let start = self.rows.unescaped.len();
        unescape(content, &mut self.rows.unescaped).then(|| Text {
            start: position(start),
            length: position(self.rows.unescaped.len() - start),
            place: Place::Unescaped,
        })
    }
}

impl Text {
    fn in_body(span: Range<usize>) -> Self {
        Self {
            start: position(span.start),
            length: position(span.len()),
            place: Place::Body,
        }
    }
}

const NO_TEXT: Text = Text {
    start: 0,
    length: 0,
    place: Place::Body,
};

/// A position as 32-bit number. The length of the answer was checked, and the numbers of cells, elements and bytes do not exceed it.
/// A repaired body may be up to three times longer than the received one; saturating makes its end unreadable, but not wrong.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

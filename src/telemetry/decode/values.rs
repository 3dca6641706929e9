//! Decodes the rows of an answer to cells, without interpreting them.
//!
//! This is the hot path: an answer has millions of cells. Functions take the input and the rows as separate references, so that the
//! state of the parser is one indirection away.

use std::ops::Range;

use super::input::Input;
use crate::telemetry::bounds::{MOST_CELLS, MOST_COLUMNS, MOST_ELEMENTS, MOST_ROWS};
use crate::telemetry::faults::CellFault;
use crate::telemetry::json::{JsonError, Kind, Number, StringToken, unescape};
use crate::telemetry::rows::{Buffer, Cell, Element, ElementKind, List, Rows, Span, Text};

/// Decodes `data.values` within the limits. `null` is an answer without rows.
pub(super) fn read(input: &mut Input<'_>, rows: &mut Rows) -> Result<(), JsonError> {
    if input.is(Kind::Null)? {
        return input.reader.null();
    }
    input.reader.begin_array()?;
    let mut more = input.reader.first_element();
    while more {
        let has_room = rows.received() < MOST_ROWS && rows.cells.len() < MOST_CELLS;
        if !has_room {
            input.reader.skip()?;
            rows.beyond += 1;
        } else if input.is(Kind::Array)? {
            read_row(input, rows)?;
        } else {
            input.reader.skip()?;
            rows.malformed += 1;
        }
        more = input.reader.another_element()?;
    }
    Ok(())
}

fn read_row(input: &mut Input<'_>, rows: &mut Rows) -> Result<(), JsonError> {
    let start = rows.cells.len();
    let begin = input.reader.remaining();
    input.reader.begin_array()?;
    let mut more = input.reader.first_element();
    while more {
        if rows.cells.len() - start < MOST_COLUMNS {
            let cell = read_cell(input, rows)?;
            rows.cells.push(cell);
        } else {
            // No column can have this cell.
            input.reader.skip()?;
        }
        more = input.reader.another_element()?;
    }
    let count = rows.cells.len() - start;
    if rows.spans.is_empty() {
        reserve(input, rows, count, begin - input.reader.remaining());
    }
    rows.spans.push(Span {
        first: position(start),
        count: position(count),
    });
    Ok(())
}

/// Reserves memory for all rows, estimated from the first one with its `cells` in `bytes`, because growing by doubling could need twice
/// the memory. Called once for each answer, and limited like the rows; memory that is not written is not resident.
fn reserve(input: &Input<'_>, rows: &mut Rows, cells: usize, bytes: usize) {
    let count = input.reader.remaining() / bytes;
    let count = (count + count / 8).min(MOST_ROWS);
    rows.spans.reserve(count);
    rows.cells.reserve((count * cells).min(MOST_CELLS));
}

fn read_cell(input: &mut Input<'_>, rows: &mut Rows) -> Result<Cell, JsonError> {
    Ok(match input.reader.kind()? {
        Kind::Null => {
            input.reader.null()?;
            Cell::Absent
        }
        Kind::Bool => Cell::Bool(input.reader.bool()?),
        Kind::Number => match input.reader.number()?.1 {
            Number::Integer(integer) => Cell::Integer(integer),
            Number::Float(float) => Cell::Float(float),
            Number::TooLarge => Cell::Unreadable(CellFault::Number),
        },
        Kind::String => {
            let token = input.reader.string()?;
            match text(input, rows, token) {
                Some(text) if text.length == 0 => Cell::Absent,
                Some(text) => Cell::Text(text),
                None => Cell::Unreadable(CellFault::Text),
            }
        }
        Kind::Array => read_list(input, rows)?,
        Kind::Object => {
            input.reader.skip()?;
            Cell::Unreadable(CellFault::Shape)
        }
    })
}

fn read_list(input: &mut Input<'_>, rows: &mut Rows) -> Result<Cell, JsonError> {
    let start = rows.elements.len();
    input.reader.begin_array()?;
    let mut more = input.reader.first_element();
    let mut is_cut = false;
    while more {
        if rows.elements.len() >= MOST_ELEMENTS {
            input.reader.skip()?;
            is_cut = true;
        } else if let Some(element) = read_element(input, rows)? {
            rows.elements.push(element);
        }
        more = input.reader.another_element()?;
    }
    let count = rows.elements.len() - start;
    Ok(if is_cut {
        rows.elements.truncate(start);
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

/// The next element of a list; `None` for null.
fn read_element(input: &mut Input<'_>, rows: &mut Rows) -> Result<Option<Element>, JsonError> {
    let kind = input.reader.kind()?;
    if kind == Kind::String {
        let token = input.reader.string()?;
        let text = text(input, rows, token);
        return Ok(Some(Element {
            kind: text.map_or(ElementKind::Unreadable, |_| ElementKind::Text),
            text: text.unwrap_or(NO_TEXT),
        }));
    }
    let (kind, span) = match kind {
        Kind::Number => {
            let (span, number) = input.reader.number()?;
            match number {
                Number::Integer(_) => (ElementKind::Integer, span),
                Number::Float(_) | Number::TooLarge => (ElementKind::Float, span),
            }
        }
        Kind::Bool => (ElementKind::Bool, input.reader.skip()?),
        Kind::Null => {
            input.reader.null()?;
            return Ok(None);
        }
        Kind::String | Kind::Array | Kind::Object => {
            input.reader.skip()?;
            (ElementKind::Unreadable, 0..0)
        }
    };
    Ok(Some(Element {
        kind,
        text: in_body(span),
    }))
}

/// The text of a string; `None` if it is not valid text.
fn text(input: &Input<'_>, rows: &mut Rows, token: StringToken) -> Option<Text> {
    // Nearly all strings have no escapes.
    if !token.escaped && !input.repaired {
        return Some(in_body(token.span));
    }
    let content = input.raw(&token)?;
    if !token.escaped {
        return Some(in_body(token.span));
    }
    let start = rows.unescaped.len();
    unescape(content, &mut rows.unescaped).then(|| Text {
        start: position(start),
        length: position(rows.unescaped.len() - start),
        buffer: Buffer::Unescaped,
    })
}

fn in_body(span: Range<usize>) -> Text {
    Text {
        start: position(span.start),
        length: position(span.len()),
        buffer: Buffer::Body,
    }
}

const NO_TEXT: Text = Text {
    start: 0,
    length: 0,
    buffer: Buffer::Body,
};

/// A position as a 32-bit number. The length of the answer was checked, and the numbers of cells, elements and bytes do not exceed it.
/// A repaired body may be up to three times longer than the received one; saturating makes its end unreadable, but not wrong.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

//! The rows of an answer as they were decoded: cells without a meaning yet.

use std::sync::Arc;

use super::faults::CellFault;

/// A text of an answer, read with [`Rows::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// Byte offset into the buffer.
    pub(super) start: u32,
    /// Length in bytes.
    pub(super) length: u32,
    pub(super) buffer: Buffer,
}

/// Where the bytes of a text are. Most texts have no escapes and are not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Buffer {
    /// In [`Rows::body`].
    Body,
    /// In [`Rows::unescaped`].
    Unescaped,
}

/// One value of a row. Null, the empty string and the empty list are all [`Cell::Absent`], because all rules treat them alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// Nothing was reported.
    Absent,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction and exponent, within `i64`. H3 indices and timestamps need all bits.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string that is not empty.
    Text(Text),
    /// A list with at least one element that is not null.
    List(List),
    /// An object, a string with a lone surrogate, a number beyond `f64`.
    Unreadable(CellFault),
}

/// The elements of a list cell, read with [`Rows::elements`]; nulls are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// One element of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// The kind of the value.
    pub kind: ElementKind,
    /// The content of a string; a number or boolean as in the answer; else empty.
    pub text: Text,
}

/// The kinds of list elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A string.
    Text,
    /// An object, a list, or a string that cannot be read.
    Unreadable,
}

/// The range of a row's cells among all cells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// The rows of an answer, in order. All cells share one allocation, all list elements another, so that a row costs none.
#[derive(Debug, Default)]
pub struct Rows {
    /// The text of the answer.
    pub(super) body: Arc<String>,
    /// The content of all strings with escapes, unescaped.
    pub(super) unescaped: String,
    /// The cells of all rows.
    pub(super) cells: Vec<Cell>,
    /// The elements of all lists.
    pub(super) elements: Vec<Element>,
    /// Where the cells of each row are.
    pub(super) spans: Vec<Span>,
    /// How many entries of `data.values` are not lists.
    pub(super) malformed: usize,
    /// How many entries of `data.values` were not read because of the limits.
    pub(super) beyond: usize,
}

impl Rows {
    /// The cells of each row, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Cell]> {
        self.spans
            .iter()
            .map(|span| part(&self.cells, span.first, span.count))
    }

    /// The cells of one row; empty if the row does not exist.
    #[must_use]
    pub fn row(&self, index: usize) -> &[Cell] {
        self.spans
            .get(index)
            .map_or(&[], |span| part(&self.cells, span.first, span.count))
    }

    /// The text of the answer.
    #[must_use]
    pub fn body(&self) -> Arc<String> {
        Arc::clone(&self.body)
    }

    /// The number of entries of `data.values`, including those that are not lists or exceed the limit.
    #[must_use]
    pub fn received(&self) -> usize {
        self.spans.len() + self.malformed + self.beyond
    }

    /// The number of entries of `data.values` that were not read because of the limits of rows and cells.
    #[must_use]
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// The number of cells of all rows.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// The number of elements of all lists.
    #[must_use]
    pub fn list_elements(&self) -> usize {
        self.elements.len()
    }

    /// The number of entries of `data.values` that are not lists.
    #[must_use]
    pub fn malformed(&self) -> usize {
        self.malformed
    }

    /// The type code of a row: its first cell, if that is a text.
    #[must_use]
    pub fn code(&self, cells: &[Cell]) -> Option<&str> {
        match cells.first() {
            Some(&Cell::Text(code)) => Some(self.text(code)),
            _ => None,
        }
    }

    /// The content of a text.
    #[must_use]
    pub fn text(&self, text: Text) -> &str {
        let whole = match text.buffer {
            Buffer::Body => &self.body,
            Buffer::Unescaped => &self.unescaped,
        };
        let start = text.start as usize;
        whole
            .get(start..start + text.length as usize)
            .unwrap_or_default()
    }

    /// The elements of a list.
    #[must_use]
    pub fn elements(&self, list: List) -> &[Element] {
        part(&self.elements, list.first, list.count)
    }
}

fn part<T>(all: &[T], first: u32, count: u32) -> &[T] {
    let first = first as usize;
    all.get(first..first + count as usize).unwrap_or_default()
}

//! Errors of a names file. Messages have the line, but do not quote it.

use std::path::PathBuf;

use thiserror::Error;

use crate::files::FileError;

/// Why a names file cannot be used.
#[derive(Debug, Error)]
pub enum NamesError {
    /// It cannot be read.
    #[error("{} {source}", .path.display().to_string().escape_debug())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// It contains a mistake.
    #[error("{} {fault}", .path.display().to_string().escape_debug())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The mistake and its line.
        fault: Fault,
    },
}

/// A mistake and its line.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct Fault {
    /// The line on which the record begins, counted from 1.
    pub line: usize,
    /// The mistake.
    pub problem: Problem,
}

/// A mistake in a names file. The messages say how to correct it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The file is not valid UTF-8.
    #[error("this is not UTF-8: save the file as CSV in UTF-8")]
    NotText,
    /// The header lacks a column.
    #[error("no column {0}: the first line must name the columns, for example deviceID,name,group")]
    NoColumn(&'static str),
    /// The header has a column twice.
    #[error("duplicate column {0}: remove one")]
    ColumnTwice(&'static str),
    /// The number of cells differs from the header's.
    #[error(
        "{found} cells, but the header has {expected}: use as many separators as in the header, and double quotes around a text that contains one"
    )]
    Cells {
        /// The number of cells.
        found: usize,
        /// The number of cells of the header.
        expected: usize,
    },
    /// A double quote is not closed.
    #[error(
        "a quoted text is not closed: end it with a double quote, and write a double quote within it twice"
    )]
    NeverClosed,
    /// A required cell is empty.
    #[error("{0} is empty: each line has a deviceID and a name; group may be empty")]
    Empty(&'static str),
    /// A cell is too long.
    #[error("{0} is too long: {max} bytes at most", max = super::limits::LONGEST_CELL)]
    TooLong(&'static str),
    /// A device has two names.
    #[error("duplicate deviceID (first on line {first})")]
    Twice {
        /// The line of the first one.
        first: usize,
    },
    /// Too many lines.
    #[error("too many lines: {} devices at most", super::limits::MOST_NAMES)]
    TooMany,
    /// A record with too many cells.
    #[error("too many cells: {} at most", super::limits::MOST_CELLS)]
    TooManyCells,
    /// A record that is too long.
    #[error(
        "the cells are longer than {} KiB together: perhaps a double quote is not closed",
        super::limits::LONGEST_RECORD >> 10
    )]
    LongRecord,
}

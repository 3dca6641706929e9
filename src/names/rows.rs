//! Reads the records of a CSV text. Records are limited in size, so that a text that is not CSV does not use much memory.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::error::{Fault, Problem};
use super::limits::{LONGEST_RECORD, MOST_CELLS};

/// A sentinel record after the text: if a quoted cell contains it, the quote was never closed, which the CSV parser does not report.
const END: &[u8] = b"\n\0\n";

/// The records of a text, except blank ones.
pub(super) struct Rows<'t> {
    text: &'t [u8],
    reader: Reader,
    /// The position in the text followed by [`END`].
    position: usize,
    /// The start of the last record.
    start: usize,
    /// The concatenated cells of the last record, and the end of each.
    cells: Box<[u8]>,
    ends: Box<[usize]>,
    count: usize,
}

impl<'t> Rows<'t> {
    /// The records of a text with this separator.
    pub(super) fn of(text: &'t str, separator: u8) -> Self {
        Self {
            text: text.as_bytes(),
            reader: ReaderBuilder::new().delimiter(separator).build(),
            position: 0,
            start: 0,
            cells: vec![0; LONGEST_RECORD].into(),
            ends: vec![0; MOST_CELLS].into(),
            count: 0,
        }
    }

    /// Advances to the next record that is not blank. Returns false at the end.
    ///
    /// # Errors
    /// The error of the whole record, after which nothing more can be read.
    pub(super) fn advance(&mut self) -> Result<bool, Fault> {
        loop {
            self.start = self.position;
            self.read()?;
            let is_last = self.position >= self.text.len() + END.len();
            let is_end = self.count == 1 && self.cell(0) == "\0";
            let is_blank = (0..self.count).all(|at| self.cell(at).is_empty());
            match is_last {
                true if is_end => return Ok(false),
                true => return Err(self.fault(Problem::NeverClosed)),
                false if is_blank => {}
                false => return Ok(true),
            }
        }
    }

    fn read(&mut self) -> Result<(), Fault> {
        let (mut written, mut count) = (0, 0);
        loop {
            let input = match self.text.get(self.position..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => END
                    .get(self.position.saturating_sub(self.text.len())..)
                    .unwrap_or_default(),
            };
            let (result, read, bytes, ends) =
                self.reader
                    .read_record(input, &mut self.cells[written..], &mut self.ends[count..]);
            self.position += read;
            written += bytes;
            count += ends;
            match result {
                ReadRecordResult::InputEmpty if read > 0 => {}
                // The text and the sentinel record are read completely.
                ReadRecordResult::InputEmpty | ReadRecordResult::End | ReadRecordResult::Record => {
                    self.count = count;
                    return Ok(());
                }
                ReadRecordResult::OutputFull => return Err(self.fault(Problem::LongRecord)),
                ReadRecordResult::OutputEndsFull => return Err(self.fault(Problem::TooManyCells)),
            }
        }
    }

    /// The number of cells of the last record.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A cell of the last record without surrounding white space; empty if it is absent.
    pub(super) fn cell(&self, at: usize) -> &str {
        let bytes = self.cells.get(self.range(at)).unwrap_or_default();
        // The text is valid UTF-8, and separators and quotes do not split characters.
        std::str::from_utf8(bytes).unwrap_or_default().trim()
    }

    fn range(&self, at: usize) -> Range<usize> {
        if at >= self.count {
            return 0..0;
        }
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[at]
    }

    /// A problem of the last record.
    pub(super) fn fault(&self, problem: Problem) -> Fault {
        // Blank lines before a record belong to it.
        let rest = self.text.get(self.start..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        Fault {
            line: line(self.text, self.start + blank.count()),
            problem,
        }
    }
}

/// The line of a position.
pub(super) fn line(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

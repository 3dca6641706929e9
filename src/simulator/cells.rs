//! Writes a row as JSON text, cell by cell: a poll can request 65,000 rows, too many for a tree of values.

use std::fmt::{Display, Write};

/// Builds a row. Strings are written without escaping, because the simulator uses none that need it.
#[derive(Debug)]
pub(super) struct Cells {
    text: String,
    written: usize,
    /// The index of the cell that is written as null.
    null_at: Option<usize>,
}

impl Cells {
    /// Begins a row with the three cells that all rows share.
    pub(super) fn new(
        device_type: &str,
        timestamp_ns: u64,
        device_id: &str,
        null_at: Option<usize>,
    ) -> Self {
        let mut cells = Self {
            text: String::with_capacity(256),
            written: 0,
            null_at,
        };
        cells.text.push('[');
        cells
            .text(device_type)
            .integer(timestamp_ns)
            .text(device_id);
        cells
    }

    /// A string.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.cell(|text| {
            text.push('"');
            text.push_str(value);
            text.push('"');
        })
    }

    /// An integer of any width.
    pub(super) fn integer(&mut self, value: impl itoa::Integer) -> &mut Self {
        self.cell(|text| text.push_str(itoa::Buffer::new().format(value)))
    }

    /// A number with at most three digits after the point; a whole number is written without a point, as Starlink does.
    pub(super) fn decimal(&mut self, value: f64) -> &mut Self {
        let thousandths = (value * 1000.0).round() as i64;
        if thousandths % 1000 == 0 {
            return self.integer(thousandths / 1000);
        }
        self.cell(|text| put(text, thousandths as f64 / 1000.0))
    }

    /// A boolean.
    pub(super) fn flag(&mut self, value: bool) -> &mut Self {
        self.cell(|text| text.push_str(if value { "true" } else { "false" }))
    }

    /// Null.
    pub(super) fn null(&mut self) -> &mut Self {
        self.cell(|text| text.push_str("null"))
    }

    /// A list of numbers.
    pub(super) fn numbers(&mut self, values: impl IntoIterator<Item = u32>) -> &mut Self {
        self.list(values, put)
    }

    /// A list of strings.
    pub(super) fn texts(&mut self, values: impl IntoIterator<Item = String>) -> &mut Self {
        self.list(values, |text, value| {
            text.push('"');
            text.push_str(&value);
            text.push('"');
        })
    }

    /// Ends the row.
    pub(super) fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }

    fn list<T>(
        &mut self,
        values: impl IntoIterator<Item = T>,
        write: impl Fn(&mut String, T),
    ) -> &mut Self {
        self.cell(|text| {
            text.push('[');
            for (index, value) in values.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(text, value);
            }
            text.push(']');
        })
    }

    fn cell(&mut self, write: impl FnOnce(&mut String)) -> &mut Self {
        if self.written > 0 {
            self.text.push(',');
        }
        if self.null_at == Some(self.written) {
            self.text.push_str("null");
        } else {
            write(&mut self.text);
        }
        self.written += 1;
        self
    }
}

fn put(text: &mut String, value: impl Display) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_json() {
        let mut cells = Cells::new("u", 7, "ut1", None);
        cells
            .decimal(12.25)
            .decimal(-3.0)
            .decimal(0.0001)
            .integer(-1)
            .flag(true)
            .null()
            .numbers([66, 82])
            .numbers([])
            .texts(["a".to_owned(), "b".to_owned()]);
        assert_eq!(
            cells.finish(),
            r#"["u",7,"ut1",12.25,-3,0,-1,true,null,[66,82],[],["a","b"]]"#
        );
    }

    #[test]
    fn a_cell_can_be_blanked() {
        let mut cells = Cells::new("u", 7, "ut1", Some(3));
        cells.integer(5).flag(false);
        assert_eq!(cells.finish(), r#"["u",7,"ut1",null,false]"#);
    }
}

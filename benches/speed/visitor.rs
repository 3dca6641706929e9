//! The reference for the crate's own reader: a typed `serde_json` visitor that reads the rows of an answer.
//!
//! It fills the same flat lists in one pass. It is less tolerant: a number beyond `f64` or a lone surrogate is an error of the whole answer,
//! and the spelling of list elements is not kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A cell, as large as the crate's.
#[derive(PartialEq)]
pub enum Cell {
    /// Null, or an empty text or list.
    Absent,
    /// A boolean.
    Bool(bool),
    /// A number without a fraction.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A text: where it begins in the answer, or among the texts with escapes, and its length.
    Text(u32, u32, bool),
    /// A list: its first element, and how many there are.
    List(u32, u32),
    /// An object, or a list in a list.
    Unreadable,
}

/// The rows of an answer.
#[derive(Default)]
pub struct Rows {
    /// The cells of all rows.
    pub cells: Vec<Cell>,
    elements: Vec<Cell>,
    unescaped: String,
    spans: Vec<(u32, u32)>,
}

/// Reads the rows of an answer.
///
/// # Errors
/// It is not JSON, or a cell cannot be read.
pub fn rows(body: &str) -> serde_json::Result<Rows> {
    let mut rows = Rows::default();
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let place = Filled {
        rows: &mut rows,
        begin: body.as_ptr() as usize,
    };
    Answer(place).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(rows)
}

struct Filled<'r> {
    rows: &'r mut Rows,
    /// The address of the answer's first byte, from which the positions of texts are calculated.
    begin: usize,
}

impl Filled<'_> {
    fn again(&mut self) -> Filled<'_> {
        Filled {
            rows: &mut *self.rows,
            begin: self.begin,
        }
    }
}

macro_rules! seed {
    ($name:ident, $output:ty, $method:ident) => {
        struct $name<'r>(Filled<'r>);

        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = $output;

            fn deserialize<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<$output, D::Error> {
                deserializer.$method(self)
            }
        }
    };
}

seed!(Answer, (), deserialize_map);
seed!(Data, (), deserialize_map);
seed!(Values, (), deserialize_seq);
seed!(Row, (), deserialize_seq);
seed!(OneCell, Cell, deserialize_any);

macro_rules! member {
    ($name:ident, $key:literal, $inner:ident) => {
        impl<'de> Visitor<'de> for $name<'_> {
            type Value = ();

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    match &*key {
                        $key => map.next_value_seed($inner(self.0.again()))?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(())
            }
        }
    };
}

member!(Answer, "data", Data);
member!(Data, "values", Values);

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Row(self.0.again()))?.is_some() {}
        Ok(())
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a row")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let start = self.0.rows.cells.len();
        while let Some(cell) = seq.next_element_seed(OneCell(self.0.again()))? {
            self.0.rows.cells.push(cell);
        }
        let count = self.0.rows.cells.len() - start;
        self.0.rows.spans.push((start as u32, count as u32));
        Ok(())
    }
}

impl<'de> Visitor<'de> for OneCell<'_> {
    type Value = Cell;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a cell")
    }

    fn visit_unit<E: Error>(self) -> Result<Cell, E> {
        Ok(Cell::Absent)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Cell, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Cell::Integer(value),
            Err(_) => Cell::Float(value as f64),
        })
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cell, E> {
        let start = text.as_ptr() as usize - self.0.begin;
        Ok(match text.len() {
            0 => Cell::Absent,
            length => Cell::Text(start as u32, length as u32, false),
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cell, E> {
        let start = self.0.rows.unescaped.len();
        self.0.rows.unescaped.push_str(text);
        Ok(Cell::Text(start as u32, text.len() as u32, true))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Cell, A::Error> {
        let start = self.0.rows.elements.len();
        while let Some(element) = seq.next_element_seed(OneCell(self.0.again()))? {
            match element {
                Cell::Absent => {}
                Cell::List(..) => self.0.rows.elements.push(Cell::Unreadable),
                element => self.0.rows.elements.push(element),
            }
        }
        let count = self.0.rows.elements.len() - start;
        Ok(match count {
            0 => Cell::Absent,
            count => Cell::List(start as u32, count as u32),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Unreadable)
    }
}

//! Interprets the cells of a row. No other module does.
//!
//! A row has an [`Identity`] and [`Reading`]s, one for each cell that has a value. Numbers are final. Texts, alerts, addresses and locations
//! are returned raw, and interpreted by a method of their own: most are equal to those of the device's previous row, and need not be
//! interpreted if the caller compares them first.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::catalogue::AddressKind;
use super::faults::CellFault;
use super::ip::Address;
use super::location;
use super::rows::{Cell, ElementKind, List, Rows};
use super::schema::{Column, Field, TypeSchema};
use super::values::{LongNumbers, decimal};

/// A row and the columns of its type.
#[derive(Debug, Clone, Copy)]
pub struct Row<'b> {
    rows: &'b Rows,
    schema: &'b Arc<TypeSchema>,
    cells: &'b [Cell],
}

/// The device and the time of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'b> {
    /// `DeviceId`, as Starlink spells it. Never empty.
    pub device_id: &'b str,
    /// `UtcTimestampNs`: nanoseconds since 1970. Any integer; the fleet checks its range.
    pub reported: i64,
}

impl<'b> Identity<'b> {
    /// The identifier of an IP allocation's terminal: the allocation's own without a leading `ip-`. `None` if that is empty.
    #[must_use]
    pub fn terminal(self) -> Option<&'b str> {
        let id = self.device_id;
        let terminal = id.strip_prefix("ip-").unwrap_or(id);
        (!terminal.is_empty()).then_some(terminal)
    }
}

/// Why a row has no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFault {
    /// Its `DeviceId` is not a string, or is empty.
    DeviceId,
    /// Its `UtcTimestampNs` is not an integer.
    Timestamp,
}

/// The meaning of one cell.
#[derive(Debug, Clone, Copy)]
pub enum Reading<'b> {
    /// A number or a boolean (1 or 0) of a field.
    Number(&'b Field, f64),
    /// A string or a list of a field. [`RawText::interpret`] decides whether it is a number, a text or nothing.
    Text(&'b Field, RawText<'b>),
    /// A cell of an IP allocation, which is a text even if it looks like a number.
    Info(&'b Field, RawInfo<'b>),
    /// An H3 index.
    Location(&'b Field, RawLocation),
    /// The active alerts of a column.
    Alerts(RawAlerts<'b>),
    /// The addresses of an IP allocation.
    Addresses(AddressKind, RawAddresses<'b>),
    /// A cell that cannot be read.
    Fault(CellFault),
}

impl<'b> Row<'b> {
    /// A row of `rows` with these cells. `schema` holds the columns that its own answer gives for its type.
    #[must_use]
    pub fn new(rows: &'b Rows, schema: &'b Arc<TypeSchema>, cells: &'b [Cell]) -> Self {
        Self {
            rows,
            schema,
            cells,
        }
    }

    /// The columns of the row's type.
    #[must_use]
    pub fn schema(&self) -> &'b Arc<TypeSchema> {
        self.schema
    }

    /// The device and the time of the row.
    ///
    /// # Errors
    /// The identifier or the timestamp is not valid. If neither is, the fault is that of the identifier.
    pub fn identity(&self) -> Result<Identity<'b>, IdentityFault> {
        let id = self.schema.identifier.and_then(|at| self.cells.get(at));
        let Some(&Cell::Text(id)) = id else {
            return Err(IdentityFault::DeviceId);
        };
        let reported = self.reported().ok_or(IdentityFault::Timestamp)?;
        Ok(Identity {
            device_id: self.rows.text(id),
            reported,
        })
    }

    /// `UtcTimestampNs`; `None` if it is not an integer.
    #[must_use]
    pub fn reported(&self) -> Option<i64> {
        match self.cells.get(self.schema.timestamp?) {
            Some(&Cell::Integer(reported)) => Some(reported),
            _ => None,
        }
    }

    /// The meaning of each cell, with the index of its column. Absent cells and ignored columns are left out.
    #[inline]
    pub fn readings(self) -> impl Iterator<Item = (usize, Reading<'b>)> {
        let columns = self.schema.columns.iter().zip(self.cells).enumerate();
        columns.filter_map(move |(index, (column, &cell))| Some((index, self.read(column, cell)?)))
    }

    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "a gauge is an f64")]
    fn read(self, column: &'b Column, cell: Cell) -> Option<Reading<'b>> {
        Some(match (column, cell) {
            (_, Cell::Absent) | (Column::Ignored, _) => return None,
            (Column::Field(field), Cell::Float(value)) => Reading::Number(field, value),
            (Column::Field(field), Cell::Integer(value)) => Reading::Number(field, value as f64),
            (Column::Field(field), Cell::Bool(value)) => {
                Reading::Number(field, f64::from(u8::from(value)))
            }
            (_, Cell::Unreadable(fault)) => Reading::Fault(fault),
            (Column::Field(field), Cell::Text(text)) => {
                Reading::Text(field, RawText::Plain(self.rows.text(text)))
            }
            (Column::Field(field), Cell::List(list)) => {
                Reading::Text(field, RawText::List(self.rows, list))
            }
            (Column::Info(field), _) => Reading::Info(field, RawInfo(self.rows, cell)),
            (Column::Location(field), _) => {
                Reading::Location(field, RawLocation::of(self.rows, cell))
            }
            (Column::Alerts(_), _) => Reading::Alerts(RawAlerts {
                rows: self.rows,
                schema: self.schema,
                cell,
            }),
            (Column::Addresses(kind), _) => Reading::Addresses(
                *kind,
                RawAddresses {
                    rows: self.rows,
                    kind: *kind,
                    cell,
                },
            ),
        })
    }
}

/// A string or a list of a field.
#[derive(Debug, Clone, Copy)]
pub enum RawText<'b> {
    /// A string, which is not empty.
    Plain(&'b str),
    /// A list with at least one element.
    List(&'b Rows, List),
}

/// The meaning of a string or a list of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Interpreted<'b> {
    /// A list of empty strings.
    Absent,
    /// A finite decimal number and nothing else.
    Number(f64),
    /// Any other text; of a list, the elements with `;` between them.
    Text(Cow<'b, str>),
}

impl<'b> RawText<'b> {
    /// Decides the meaning. `numbers` limits the cost of the long numbers of an answer.
    ///
    /// # Errors
    /// It is a list with an element that cannot be read.
    pub fn interpret(self, numbers: &mut LongNumbers) -> Result<Interpreted<'b>, CellFault> {
        let text: Cow<'b, str> = match self {
            Self::Plain(text) => text.into(),
            Self::List(rows, list) => joined(rows, list)?.into(),
        };
        Ok(match decimal(&text, numbers) {
            Some(number) => Interpreted::Number(number),
            None if text.is_empty() => Interpreted::Absent,
            None => Interpreted::Text(text),
        })
    }
}

/// A cell of an IP allocation that is not in a column of addresses.
#[derive(Debug, Clone, Copy)]
pub struct RawInfo<'b>(&'b Rows, Cell);

impl<'b> RawInfo<'b> {
    /// The cell as text: numbers in the shortest decimal notation, booleans as `true` or `false`, a list as its elements with `;` between
    /// them. `None` if that is empty.
    ///
    /// # Errors
    /// It is a list with an element that cannot be read.
    pub fn text(self) -> Result<Option<Cow<'b, str>>, CellFault> {
        let Self(rows, cell) = self;
        let text: Cow<'b, str> = match cell {
            Cell::Absent => return Ok(None),
            Cell::Unreadable(fault) => return Err(fault),
            Cell::Bool(value) => if value { "true" } else { "false" }.into(),
            Cell::Integer(value) => value.to_string().into(),
            Cell::Float(value) => value.to_string().into(),
            Cell::Text(text) => rows.text(text).into(),
            Cell::List(list) => joined(rows, list)?.into(),
        };
        Ok((!text.is_empty()).then_some(text))
    }
}

/// The elements of a list with `;` between them.
fn joined(rows: &Rows, list: List) -> Result<String, CellFault> {
    let mut text = String::new();
    for (index, element) in rows.elements(list).iter().enumerate() {
        if element.kind == ElementKind::Unreadable {
            return Err(CellFault::Shape);
        }
        if index > 0 {
            text.push(';');
        }
        text.push_str(rows.text(element.text));
    }
    Ok(text)
}

/// A cell of `H3CellId`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawLocation {
    /// The H3 index; `None` if the cell contains none. It need not be the index of an H3 cell; [`location::centre`] checks that.
    pub index: Option<NonZeroU64>,
    /// The value of the field's gauge: any integer, even one that is not the index of an H3 cell.
    pub number: Option<f64>,
}

impl RawLocation {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is an f64; the location is computed from all bits"
    )]
    fn of(rows: &Rows, cell: Cell) -> Self {
        let number = match cell {
            Cell::Integer(integer) => Some(integer as f64),
            _ => None,
        };
        Self {
            index: location::index(rows, cell).and_then(NonZeroU64::new),
            number,
        }
    }
}

/// The active alerts of a column.
#[derive(Debug, Clone, Copy)]
pub struct RawAlerts<'b> {
    rows: &'b Rows,
    schema: &'b TypeSchema,
    cell: Cell,
}

/// An active alert.
#[derive(Debug, Clone, Copy)]
pub struct Alert<'a> {
    /// Its code; an integer in decimal notation.
    pub code: &'a str,
    schema: &'a TypeSchema,
}

impl Alert<'_> {
    /// Its name, fit for a metric's name: the one in the enum, or the code itself.
    #[must_use]
    pub fn name(self) -> Arc<str> {
        self.schema.alert(self.code)
    }
}

impl RawAlerts<'_> {
    /// Calls `take` with each active alert and each fault, in the order of the cell.
    pub fn each(self, mut take: impl FnMut(Result<Alert<'_>, CellFault>)) {
        let Self { rows, schema, cell } = self;
        let mut active = |code: &str| take(Ok(Alert { code, schema }));
        match cell {
            Cell::Absent => {}
            Cell::Integer(code) => active(itoa::Buffer::new().format(code)),
            Cell::Text(code) => active(rows.text(code)),
            Cell::List(list) => {
                for element in rows.elements(list) {
                    let code = rows.text(element.text);
                    match element.kind {
                        ElementKind::Text if code.is_empty() => {}
                        ElementKind::Integer | ElementKind::Text => {
                            take(Ok(Alert { code, schema }));
                        }
                        _ => take(Err(CellFault::Alert)),
                    }
                }
            }
            Cell::Bool(_) | Cell::Float(_) => take(Err(CellFault::Alert)),
            Cell::Unreadable(fault) => take(Err(fault)),
        }
    }
}

/// The addresses of a column of an IP allocation; a bare string is a list of one.
#[derive(Debug, Clone, Copy)]
pub struct RawAddresses<'b> {
    rows: &'b Rows,
    kind: AddressKind,
    cell: Cell,
}

impl RawAddresses<'_> {
    /// Calls `take` with each address of the column's IP version and each fault, in the order of the cell. Addresses may be repeated.
    pub fn each(self, mut take: impl FnMut(Result<Address, CellFault>)) {
        let Self { rows, kind, cell } = self;
        let address = |text| {
            let address = Address::parse(rows.text(text));
            let of_version = address.filter(|address| kind.matches(*address));
            of_version.ok_or(CellFault::Address)
        };
        match cell {
            Cell::Absent => {}
            Cell::Text(text) => take(address(text)),
            Cell::List(list) => {
                let elements = rows.elements(list).iter();
                elements.for_each(|element| take(address(element.text)));
            }
            Cell::Bool(_) | Cell::Integer(_) | Cell::Float(_) => take(Err(CellFault::Address)),
            Cell::Unreadable(fault) => take(Err(fault)),
        }
    }
}

#[cfg(test)]
mod tests;

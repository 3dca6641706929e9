//! The limits of an answer, applied while it is decoded. With them, a hostile answer uses no more memory than an ordinary one of the same
//! length.

/// Rows of an answer: Starlink's own maximum. Further ones are rejected.
pub const MOST_ROWS: usize = 65_000;

/// Device types for which an answer may have columns or names. Further ones are left out.
pub const MOST_TYPES: usize = 64;

/// Columns of a type, and cells of a row. Further ones are left out.
pub const MOST_COLUMNS: usize = 1024;

/// Cells of all rows together. Rows that begin beyond it are rejected.
pub const MOST_CELLS: usize = MOST_ROWS * 128;

/// Elements of all lists together. Lists beyond it cannot be read.
pub const MOST_ELEMENTS: usize = 4 << 20;

/// Alert codes of a type that may have names. Further ones are named by their codes.
pub const MOST_ALERT_NAMES: usize = 4096;

/// The longest name in bytes. A column with a longer name is ignored; a longer name of a type or an alert is left out.
pub const LONGEST_NAME: usize = 256;

/// The memory of all names of an answer in bytes, including [`NAME_OVERHEAD`] for each.
pub const MOST_NAME_BYTES: usize = 8 << 20;

/// The memory of a name in addition to its bytes.
pub const NAME_OVERHEAD: usize = 64;

//! The limits of a names file and its parts.

/// The most bytes of the file.
pub(super) const LONGEST_FILE: u64 = 128 << 20;

/// The most devices that may have names.
pub(super) const MOST_NAMES: usize = 1_000_000;

/// The most bytes of an ID, a name or a group.
pub(super) const LONGEST_CELL: usize = 1024;

/// The most cells of a record.
pub(super) const MOST_CELLS: usize = 1024;

/// The most bytes of a record's cells.
pub(super) const LONGEST_RECORD: usize = 64 * 1024;

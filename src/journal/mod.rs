//! The journal of an account: every answer of its stream, on disk before the next poll, until each destination has received its rows.
//!
//! A journal is a directory of [`segment`] files that consist of checksummed [`record`]s, numbered in ascending order. A [`Log`] appends
//! to it and reads it; [`Cursors`] are the positions of the destinations; [`retention`] decides which segments are deleted. All of these
//! are synchronous and access files only through [`Storage`], so that tests run them on a storage that loses and tears writes.
//!
//! Nothing that was written is ever changed: a segment that could not be written or synced is closed, and the next record begins a new
//! one. A segment ends at its first record that cannot be read, and the numbers that are missing are reported as gaps.

pub mod cursors;
pub mod directory;
pub mod files;
pub mod flow;
pub mod intake;
pub mod log;
pub mod memory;
pub mod moved;
pub mod numbers;
pub mod payload;
pub mod record;
pub mod retention;
pub mod segment;
pub mod storage;
#[cfg(test)]
mod tests;

pub use self::cursors::{Cursor, Cursors};
pub use self::directory::{DirectoryError, JournalDirectory};
pub use self::files::{Deleted, JournalFiles, Start};
pub use self::flow::{Effect, Flow};
pub use self::intake::{Answer, Intake};
pub use self::log::{
    AppendError, AsideReason, Durability, Gap, LeftAside, Log, OpenError, Read, SegmentLimits,
};
pub use self::memory::{Memory, MemoryBudget};
pub use self::moved::MovedDevice;
pub use self::numbers::Numbers;
pub use self::record::{Header, Kind, Record, Torn};
pub use self::storage::{Disk, Storage};

//! The fleet as bytes, for a process that comes after this one.
//!
//! Integers and floats are little-endian. Texts and lists follow their length, which has 32 bits. Values that can be computed from
//! others are not stored: presences follow from ages, and places from H3 indices. Moments are stored unchanged, because the next
//! process continues the clock of this one.
//!
//! First come the accounts, each with its name and its stream time, then the tables with their lanes and devices. A device names its
//! account by its place in the list. The first version of the form had one stream time and no accounts.

mod read;
mod write;

use thiserror::Error;

use crate::telemetry::bounds::LONGEST_NAME;
use crate::time::Moment;

pub use self::write::Frozen;

/// No moment lies later than a thousand years after the clock's start: sums with durations stay far from overflow.
const LAST_MOMENT: Moment = Moment::from_millis(1000 * 366 * 86_400 * 1000);

/// The longest name of a lane: a column's, and what is put before it.
const LONGEST_LANE: usize = LONGEST_NAME + 16;

/// The longest name of a type: one of an enum, and what makes it unique.
const LONGEST_TYPE_NAME: usize = 4 * LONGEST_NAME;

/// The longest name of an account.
const LONGEST_ACCOUNT: usize = 63;

/// With less room than this it is not worth looking for more.
const LEAST_ROOM: usize = 64 * 1024;

/// A device is in it.
const DEVICE: u8 = 1;

/// An allocation is in it.
const ALLOCATION: u8 = 2;

/// Just one row of the device has counted. Files of earlier builds never say so, and earlier builds do not look.
const NEW: u8 = 4;

/// Four bytes of an address follow.
const IPV4: u8 = 4;

/// Sixteen bytes of an address follow.
const IPV6: u8 = 6;

/// In the place of a prefix length.
const NO_PREFIX: u8 = u8::MAX;

/// In the place of an account's number, from 1.
const NO_ACCOUNT: u32 = 0;

/// The versions of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Without accounts: no device has one.
    WithoutAccounts,
    /// With accounts, as [`Frozen::write`] writes it.
    WithAccounts,
}

/// Why bytes are no fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DumpError {
    /// They end too early.
    #[error("it is truncated")]
    End,
    /// They go on behind the end.
    #[error("it has bytes after its end")]
    Rest,
    /// A value that no fleet has.
    #[error("{0} is not valid")]
    Value(&'static str),
}

#[cfg(test)]
mod tests;

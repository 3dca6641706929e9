//! Writes the fleet as bytes (a dump), and reads it in a later process: the content of the state file without its header.
//!
//! Integers and floats are little-endian. Texts and lists are preceded by their length in 32 bits. Values that can be computed from
//! others are not stored: presences are computed from ages, and locations from H3 indices. Moments are stored unchanged, because the
//! next process continues the clock of this one.
//!
//! The accounts come first, each with its name and its stream time, then the tables with their lanes and devices. A device refers to its
//! account by the account's position in the list. The inventories come last: the position of the account, and the inventory as JSON, with a
//! digest of the client ID. The
//! first version of the format had one stream time and no accounts, the second no inventories.

mod input;
mod inventories;
mod read;
mod write;

use thiserror::Error;

use crate::telemetry::bounds::LONGEST_NAME;
use crate::time::Moment;

pub use self::write::Frozen;

/// The latest valid moment: a thousand years after the clock's start, so that sums with durations do not overflow.
const LAST_MOMENT: Moment = Moment::from_millis(1000 * 366 * 86_400 * 1000);

/// The longest name of a lane: that of a column, with its prefix.
const LONGEST_LANE: usize = LONGEST_NAME + 16;

/// The longest name of a type: one of an enum, with the suffix that makes it unique.
const LONGEST_TYPE_NAME: usize = 4 * LONGEST_NAME;

/// The longest name of an account.
const LONGEST_ACCOUNT: usize = 63;

/// In bytes. If less memory for values is left, it counts as used up, so that it is not computed again for every value.
const LEAST_ROOM: usize = 64 * 1024;

/// A flag of a slot: it has a device.
const DEVICE: u8 = 1;

/// A flag of a slot: it has an allocation.
const ALLOCATION: u8 = 2;

/// A flag of a slot: only one row of the device was accepted. Earlier builds neither write nor read it.
const NEW: u8 = 4;

/// A flag of a slot: only last known values of the device are known. Earlier builds neither write nor read it.
const LAST_KNOWN: u8 = 8;

/// The kind of an address: four bytes follow.
const IPV4: u8 = 4;

/// The kind of an address: sixteen bytes follow.
const IPV6: u8 = 6;

/// The prefix length of an address without one.
const NO_PREFIX: u8 = u8::MAX;

/// The position of the account of a device without one. Positions of accounts begin at 1.
const NO_ACCOUNT: u32 = 0;

/// The versions of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Without accounts: no device has one.
    WithoutAccounts,
    /// With accounts, without inventories.
    WithAccounts,
    /// With accounts and inventories: the version that [`Frozen::write`] writes.
    WithInventories,
}

/// Why bytes are not a valid dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DumpError {
    /// The bytes end before the last value.
    #[error("unexpected end of data")]
    Truncated,
    /// There are bytes after the last value.
    #[error("unexpected data after the end")]
    Trailing,
    /// A value is not valid; its kind is named.
    #[error("invalid {0}")]
    Invalid(&'static str),
}

#[cfg(test)]
mod tests;

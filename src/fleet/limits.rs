//! The limits of a fleet, which hold for any input from outside.

/// 2019-01-01 00:00:00 UTC in nanoseconds since 1970: Starlink launched its first satellites for customers that year.
const START_OF_2019: i64 = 1_546_300_800 * 1_000_000_000;

/// Limits far above those of ordinary streams. A cell, an element of one or a row that exceeds a limit is left out and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Devices of all types together, including those with only an IP allocation (`MAX_DEVICES`).
    pub devices: usize,
    /// Device types.
    pub types: usize,
    /// Accounts, including removed ones whose devices still exist.
    pub accounts: usize,
    /// Bytes of a type's code or an identifier. Starlink's have about 30.
    pub identifier: usize,
    /// Gauges of a type, and as many info fields. Starlink documents about 30 columns.
    pub lanes: usize,
    /// Bytes of all numbers, references to texts, and entries of alerts and allocations together. A full column of a million devices has
    /// about 8 MiB.
    pub values: usize,
    /// Bytes of an info field.
    pub text: usize,
    /// Bytes of all different info texts together.
    pub texts: usize,
    /// Active alerts of a device. Starlink documents fewer than 100.
    pub alerts: usize,
    /// Bytes of an alert's code.
    pub alert: usize,
    /// Bytes of all different alert names together. Each name is a metric family.
    pub alert_names: usize,
    /// Addresses of one kind of an allocation. Each position is a metric family.
    pub addresses: usize,
    /// The earliest `UtcTimestampNs`. An earlier one is not in nanoseconds, or is not a time.
    pub earliest: i64,
}

impl Limits {
    /// The limits of production.
    pub const STANDARD: Self = Self {
        devices: 1_000_000,
        types: 64,
        accounts: 1024,
        identifier: 1024,
        lanes: 1024,
        values: 512 * 1024 * 1024,
        text: 16 * 1024,
        texts: 256 * 1024 * 1024,
        alerts: 1024,
        alert: 256,
        alert_names: 4 * 1024 * 1024,
        addresses: 256,
        earliest: START_OF_2019,
    };
}

#[cfg(test)]
mod tests;

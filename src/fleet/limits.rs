//! How much a fleet takes at most, whatever Starlink sends: the one place that says so.

/// 2019-01-01 00:00:00 UTC in nanoseconds since 1970: Starlink launched its first satellites for customers that year.
const START_OF_2019: i64 = 1_546_300_800 * 1_000_000_000;

/// Bounds that no honest stream comes near. What exceeds one costs a cell, an element of one or a row, and is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Devices of all types together, those of which only an IP allocation is known included. `MAX_DEVICES`.
    pub devices: usize,
    /// Device types.
    pub types: usize,
    /// Bytes of a type's code or an identifier. Starlink's have some thirty.
    pub identifier: usize,
    /// Gauges that a type has values of, and as many info fields. Starlink documents some thirty columns.
    pub lanes: usize,
    /// Bytes of all numbers, of all places for texts, and of the entries of alerts and allocations together. Full columns for a million devices are some 8 MiB each.
    pub values: usize,
    /// Bytes of an info field.
    pub text: usize,
    /// Bytes of all different info texts together.
    pub texts: usize,
    /// Active alerts of a device. Starlink documents less than a hundred.
    pub alerts: usize,
    /// Bytes of an alert's code.
    pub alert: usize,
    /// Bytes of all different alert names together: each is a family.
    pub alert_names: usize,
    /// Addresses of one kind of an allocation: each place is a family.
    pub addresses: usize,
    /// The earliest `UtcTimestampNs`. A row with an earlier one has another unit than nanoseconds, or no time at all.
    pub earliest: i64,
}

impl Limits {
    /// Those of production.
    pub const STANDARD: Self = Self {
        devices: 1_000_000,
        types: 64,
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

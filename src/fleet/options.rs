//! The options of a fleet: which devices and values it keeps, for how long, and how many.

use std::time::Duration;

use super::limits::Limits;
use crate::telemetry::FieldFilter;

/// For how long the state from a row is kept. Each duration is at least a second; they are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Without a row for this time, a device is stale.
    pub stale_after: Duration,
    /// Without an allocation row for this time, the addresses of a terminal are removed.
    pub ip_stale_after: Duration,
    /// Without a row for this time, a device is forgotten.
    pub forget_after: Duration,
}

/// The options of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetOptions {
    /// Whether routers are kept.
    pub include_routers: bool,
    /// The filter for the fields of a state file. Batches are filtered already.
    pub fields: FieldFilter,
    /// The durations.
    pub retention: Retention,
    /// The limits of size.
    pub limits: Limits,
}

impl FleetOptions {
    /// The options of the default settings.
    pub const STANDARD: Self = Self {
        include_routers: false,
        fields: FieldFilter::EVERYTHING,
        retention: Retention {
            stale_after: Duration::from_secs(120),
            ip_stale_after: Duration::from_secs(900),
            forget_after: Duration::from_secs(86_400),
        },
        limits: Limits::STANDARD,
    };
}

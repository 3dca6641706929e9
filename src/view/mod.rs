//! The fleet as plain values for the status page and the JSON API: an overview, lists of devices, single devices. Pure: a snapshot,
//! names and a query in, values out.
//!
//! Values that are absent on `/metrics` are absent here too: a device that is not online has no numbers and alerts.

pub mod device;
pub mod list;
pub mod overview;
pub mod query;

use std::sync::Arc;

use crate::fleet::Snapshot;
use crate::names::Names;
use crate::time::Moment;

pub use self::device::{Device, DeviceDetail, DeviceState};
pub use self::list::{DevicePage, find, list};
pub use self::overview::{AlertCount, Dots, Overview, TypeCount};
pub use self::query::{DeviceQuery, Near, Order, QueryError, SortKey};

/// The data for lists and pages.
#[derive(Debug, Clone)]
pub struct NamedFleet {
    /// The fleet.
    pub snapshot: Arc<Snapshot>,
    /// The names of its devices.
    pub names: Arc<Names>,
    /// The current time.
    pub now: Moment,
}

#[cfg(test)]
mod tests;

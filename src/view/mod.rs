//! The fleet as the JSON API and the pages show it: an overview, lists of devices, one device. Pure: a snapshot, names and a query in,
//! plain values out.
//!
//! What is absent on `/metrics` is absent here: a device that is not online has no current numbers and alerts.

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

/// The fleet with the names of its devices, at one moment.
#[derive(Debug, Clone)]
pub struct NamedFleet {
    /// The fleet.
    pub snapshot: Arc<Snapshot>,
    /// The names of its devices.
    pub names: Arc<Names>,
    /// The moment.
    pub now: Moment,
}

#[cfg(test)]
mod tests;

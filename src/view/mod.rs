//! What people and programs see of the fleet besides metrics: its state at a glance, lists of devices, one device whole. Pure:
//! a snapshot, names and a query in, plain values out, which the JSON API and the pages both show.
//!
//! What is absent on `/metrics` is absent here: numbers and alerts of a device that is not online are gone, not frozen.

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

/// What is looked at.
#[derive(Debug, Clone)]
pub struct NamedFleet {
    /// The fleet.
    pub snapshot: Arc<Snapshot>,
    /// What its devices are called.
    pub names: Arc<Names>,
    /// When.
    pub now: Moment,
}

#[cfg(test)]
mod tests;

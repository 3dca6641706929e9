//! The fleet and the inventory as the JSON API and the pages show them: an overview, lists of devices, one device, lists of service lines
//! and data pools. Pure: a snapshot, names and a query in, plain values out.
//!
//! What is absent on `/metrics` is absent here: a device that is not online has no current numbers and alerts.

pub mod device;
pub mod line_query;
pub mod lines;
pub mod list;
pub mod overview;
mod page;
pub mod parameters;
pub mod pools;
pub mod query;
mod rank;
pub mod service_line;
pub mod values;

use std::sync::Arc;

use crate::fleet::Snapshot;
use crate::names::Names;
use crate::time::Moment;

pub use self::device::DeviceState;
pub use self::line_query::{LineKey, LineQuery};
pub use self::lines::{LinePage, lines};
pub use self::list::{DevicePage, find, list};
pub use self::overview::{AlertCount, Dots, Overview, TypeCount};
pub use self::parameters::{Order, QueryError, SortBy};
pub use self::pools::{PoolPage, PoolQuery, pools};
pub use self::query::{DeviceQuery, Near, SortKey, StateFilter};
pub use self::service_line::{DataUse, ServiceLine};
pub use self::values::{Device, DeviceDetail};

/// The fleet with the names of its devices, at one moment.
#[derive(Debug, Clone)]
pub struct NamedFleet {
    /// The fleet.
    pub snapshot: Arc<Snapshot>,
    /// The names of its devices.
    pub names: Arc<Names>,
    /// The moment.
    pub now: Moment,
    /// The same by the corrected clock, in seconds since 1970.
    pub unix_now: f64,
}

#[cfg(test)]
mod tests;

//! From records of the journal to requests of Prometheus remote write. Pure: no actors, no HTTP, no clock, no files.
//!
//! 1. [`History::read`] turns a record into a [`Slice`]: the samples of its rows at the times of the rows, and stale markers. Names, labels
//!    and values are those of `/metrics` in the Prometheus text format.
//! 2. An [`Encoder`] writes rows of slices as the body of a request in remote write 1.0 or 2.0, compressed with snappy.
//! 3. An [`OwnSeries`] follows the scrapes of what the exporter itself knows, and gives the [`OwnSet`]s to send.
//!
//! The same records give the same samples. Each account and destination has a [`History`] of its own, which remembers at most 200 bytes
//! of a typical device. What depends on the moment of sending is decided by the sender.

mod centres;
mod columns;
mod devices;
pub mod encode;
mod families;
mod info;
mod interner;
mod labels;
mod lists;
mod names;
mod options;
mod own;
mod read;
mod row;
mod rows;
mod slice;

pub use self::encode::{Encoder, Protocol, Request, TooLarge};
pub use self::families::{Family, FamilyId};
pub use self::info::Info;
pub use self::labels::{DestinationLabels, InvalidLabel, JOB, check_label};
pub use self::names::NameFilter;
pub use self::options::Options;
pub use self::own::{OwnMarkers, OwnScrape, OwnSeries, OwnSet};
pub use self::read::{Content, DeviceKey, History, Input};
pub use self::slice::{Counts, DeviceRow, InfoSample, Sample, Slice};

/// The value that ends a series: the NaN with these bits, which Prometheus calls a stale marker.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

#[cfg(test)]
mod tests;

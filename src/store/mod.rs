//! The one writer of the fleet: an actor that applies batches, lets devices age, and publishes snapshots for scrapes.

mod actor;
pub mod messages;
mod published;
mod row_watch;

pub use self::actor::MetricsStoreActor;
pub use self::published::{PinLimits, Published};

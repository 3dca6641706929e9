//! The store: an actor that is the only writer of the fleet. It applies batches, expires devices, and publishes snapshots.

mod actor;
mod listing_pace;
pub mod messages;
mod published;
mod row_watch;
#[cfg(test)]
mod tests;

pub use self::actor::MetricsStoreActor;
pub use self::published::{PinLimits, Published};

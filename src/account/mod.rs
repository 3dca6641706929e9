//! One service account of Starlink: its actors, and the poll loop that consumes its telemetry stream.

mod attempt;
mod cuts;
mod heard;
pub mod messages;
mod metadata;
mod poll_log;
mod stream;
mod token;
mod told;

pub use self::metadata::MetadataActor;
pub use self::stream::{Neighbours, StreamActor, StreamOptions};
pub use self::token::{TokenActor, TokenOptions};

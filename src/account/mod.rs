//! One service account of Starlink: its actors, and the poll loop that consumes its telemetry stream.

mod attempt;
mod columns;
mod cuts;
mod delivery;
mod failure_text;
mod handover;
mod heard;
pub mod messages;
mod metadata;
mod now;
mod offer;
mod poll_log;
mod poll_loop;
mod poll_record;
mod stream;
mod token;
mod token_record;
mod token_state;

pub use self::handover::Handover;
pub use self::metadata::MetadataActor;
pub use self::offer::{BatchId, Consumer, OfferAnswer, OfferBatch, StreamId, Takes};
pub use self::stream::{Peers, StreamActor, StreamOptions};
pub use self::token::{TokenActor, TokenOptions};

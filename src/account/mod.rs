//! One service account of Starlink: its actors, and the poll loop that consumes its telemetry stream.

mod accounts;
mod attempt;
mod columns;
mod cuts;
mod delivery;
#[cfg(feature = "fault-injection")]
mod directory;
mod failure_report;
mod failure_text;
mod handover;
mod heard;
mod inventory;
mod manager;
pub mod messages;
mod metadata;
mod metrics;
mod now;
mod offer;
mod paces;
mod peers;
mod poll_log;
mod poll_loop;
mod poll_record;
mod polling;
mod start;
mod startable;
mod stream;
mod token;
mod token_budget;
mod token_record;
mod token_state;
mod unstored;

pub use self::accounts::{AccountState, AccountStatus, Accounts, families};
#[cfg(feature = "fault-injection")]
pub use self::directory::Directory;
pub use self::failure_report::FailureReport;
pub use self::handover::Handover;
pub use self::inventory::{InventoryActor, InventorySettings, page_query};
pub use self::manager::{Exhausted, Inventories, Manager, NoThread, Register};
pub use self::metadata::MetadataActor;
pub use self::metrics::AccountMetrics;
pub use self::offer::{AnswerRoutes, BatchId, Consumer, OfferAnswer, OfferBatch, StreamId, Takes};
pub use self::start::{AccountActors, AccountContext};
pub use self::stream::StreamActor;
pub use self::token::{TokenActor, TokenOptions};
pub use self::token_budget::TokenBudget;
pub use self::unstored::Unstored;

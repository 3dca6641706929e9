//! Remote write: sends the rows of the journal to Prometheus, Mimir, VictoriaMetrics or Thanos.
//!
//! All parts are pure: they read neither a clock nor a socket.
//!
//! - [`Destination`] is where samples go, read by [`parse`] from `REMOTE_WRITE_FILE`, or made from [`Variables`];
//! - [`Shards`] decides which rows a request holds, and how far the cursor of the journal is;
//! - [`RequestState`] decides what follows from an answer, and [`Search`] finds the samples that a receiver refuses;
//! - [`Pace`] limits samples per second, and [`Scale`] decides the number of shards.

mod answer;
mod cost;
mod destination;
mod doubts;
mod duration;
mod entry;
mod error;
mod file;
mod foreign;
mod headers;
mod pace;
mod policy;
mod quarantine;
mod reasons;
mod receiver_url;
mod scale;
mod search;
mod secret_text;
mod section;
mod shards;
mod variables;

pub use self::answer::{Answer, Class, Hold, classify, excerpt};
pub use self::cost::{Cost, FleetSize};
pub use self::destination::{
    Authentication, Destination, ProtocolChoice, Secret, Tenant, TlsConfig, Window,
};
pub use self::doubts::doubts;
pub use self::duration::parse as duration;
pub use self::error::{DestinationsError, DestinationsErrors};
pub use self::file::{MOST_DESTINATIONS, parse};
pub use self::headers::written;
pub use self::pace::Pace;
pub use self::policy::{Action, HOLD, Moments, RequestState, Retry, TimeStreak, wait_to_retry};
pub use self::quarantine::Quarantine;
pub use self::reasons::{RowReason, SampleReason, TimeReason};
pub use self::receiver_url::ReceiverUrl;
pub use self::scale::{Load, Scale};
pub use self::search::{Found, Refusal, Search};
pub use self::secret_text::{LARGEST_SECRET, SecretError};
pub use self::shards::{Lane, Limits, Position, Request, Row, Selected, Shards};
pub use self::variables::Variables;

#[cfg(test)]
mod tests;

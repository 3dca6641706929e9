//! Time: one handle for all clocks and waits, and pure helpers that take time as an argument.
//!
//! Nothing else in the service reads a clock or waits for a time, with one exception: the limits of single connections
//! (`http`, `starlink`, `outgoing`) and of the end of the process are tokio's timers. Tests make a handle whose time they move.

mod backoff;
mod clock;
mod correction;
mod failure_log;
mod moment;
mod pacer;
mod pauses;
mod source;
mod throttle;

pub use self::backoff::{Backoff, InvalidBounds, Jitter};
pub use self::clock::{Clock, unix_nanos, unix_seconds};
pub use self::failure_log::{FailureLog, Recovered, Report};
pub use self::moment::Moment;
pub use self::pacer::Pacer;
pub use self::source::Hands;
pub use self::throttle::Throttle;

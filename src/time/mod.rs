//! Time: one handle for all clocks and waits, and pure helpers that take time as an argument.
//!
//! Nothing else in the service reads a clock or sets a timer. Tests make a handle whose time they move by hand.

mod backoff;
mod clock;
mod failure_log;
mod moment;
mod pacer;
mod throttle;

pub use self::backoff::{Backoff, InvalidBounds, Jitter};
pub use self::clock::{Clock, Hands, unix_seconds};
pub use self::failure_log::{FailureLog, Recovered, Report};
pub use self::moment::Moment;
pub use self::pacer::Pacer;
pub use self::throttle::Throttle;

//! Time: [`Clock`], the handle for all clocks and waits, and pure helpers that take the time as an argument.
//!
//! Only this module reads clocks and waits, with one exception: the time limits of single connections (`http`, `starlink`,
//! `outgoing`) and of the shutdown are tokio timers. In tests, [`Clock::manual`] gives a clock that the test moves.

mod backoff;
mod clock;
mod correction;
mod failure_log;
mod manual;
mod moment;
mod pacer;
mod pauses;
mod shared;
mod source;
mod throttle;

pub use self::backoff::{Backoff, InvalidBounds, Jitter};
pub use self::clock::{Clock, unix_nanos, unix_seconds};
pub use self::failure_log::{FailureLog, Recovered, Report};
pub use self::manual::ManualTime;
pub use self::moment::Moment;
pub use self::pacer::Pacer;
pub use self::throttle::Throttle;

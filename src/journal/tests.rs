//! Tests of the journal as a whole, on a simulated storage.

mod log;
mod model;
pub(super) mod simulated;

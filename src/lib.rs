//! t
pub mod exposition;
pub mod fleet;
pub mod telemetry;

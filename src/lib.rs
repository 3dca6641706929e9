//! t
pub mod telemetry;

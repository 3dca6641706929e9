//! The checks of the fuzz targets, and the independent parser that they use.
#![forbid(unsafe_code)]

pub mod bounds;
pub mod checks;

/// The independent parser of the integration tests.
#[allow(dead_code, reason = "shared with the integration tests")]
mod model;
mod pipeline;

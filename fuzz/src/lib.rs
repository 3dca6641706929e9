//! What the fuzz targets check, and the independent reader that they check it with.
#![forbid(unsafe_code)]

pub mod bounds;
pub mod checks;

/// The reader, and what it is written with, of the integration tests.
#[allow(dead_code, reason = "shared with the integration tests")]
mod model;

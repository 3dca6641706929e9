//! Decodes and interprets answers: from bytes to rows whose cells have a meaning. Pure: no actors, no HTTP, no clock.
//!
//! 1. [`decode()`] parses an answer to [`Rows`] of uninterpreted cells and to [`Metadata`]: the column names of each device type, and the
//!    names of type and alert codes.
//! 2. A [`SchemaCache`] resolves the metadata to a [`Schema`]: what each column means, and the names of its metrics.
//! 3. A [`Batch`] has both. A [`Row`] of it gives the [`Reading`]s of its cells.

pub mod batch;
pub mod bounds;
pub mod catalogue;
pub mod column_changes;
pub mod columns;
pub mod decode;
mod device_types;
mod digest;
pub mod faults;
pub mod fields;
pub mod ip;
pub mod json;
mod known_fields;
mod last_enums;
pub mod location;
pub mod metadata;
pub mod readings;
pub mod rows;
pub mod schema;
pub mod schema_cache;
mod shared_schemas;
pub mod values;

pub use batch::Batch;
pub use catalogue::AddressKind;
pub use decode::{DecodeError, decode};
pub use faults::{CellFault, CellFaults};
pub use fields::FieldFilter;
pub use last_enums::{FilledEnums, InvalidEnums, LastEnums};
pub use metadata::Metadata;
pub use readings::{Reading, Row};
pub use rows::{Cell, Rows};
pub use schema::{DeviceKind, Schema};
pub use schema_cache::SchemaCache;
pub use shared_schemas::SharedSchemas;

//! Decodes and interprets answers: from bytes to rows whose cells have a meaning. Pure: no actix, no awc, no clock.

pub mod batch;
pub mod bounds;
pub mod catalogue;
pub mod decode;
mod device_types;
pub mod faults;
pub mod fields;
pub mod ip;
pub mod json;
mod known_fields;
pub mod location;
pub mod readings;
pub mod schema;
pub mod values;

pub use batch::{Batch, Cell, Rows};
pub use catalogue::AddressKind;
pub use decode::{DecodeError, Metadata, decode};
pub use faults::{CellFault, CellFaults};
pub use fields::FieldFilter;
pub use readings::{Reading, Row};
pub use schema::{DeviceKind, Schema, SchemaCache};

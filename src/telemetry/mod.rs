//! From the bytes of an answer to rows with a meaning. Pure: no actix, no awc, no clock.

pub mod batch;
pub mod bounds;
pub mod catalogue;
pub mod decode;
pub mod fields;
pub mod ip;
pub mod json;
mod known_fields;
pub mod location;
pub mod schema;
pub mod values;

pub use batch::{Batch, Cell, CellFault, Rows};
pub use catalogue::AddressKind;
pub use decode::{DecodeError, Metadata, decode};
pub use fields::FieldFilter;
pub use schema::{DeviceKind, Schema, SchemaCache};

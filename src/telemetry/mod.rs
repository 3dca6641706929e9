//! From the bytes of an answer to rows with a meaning. Pure: no actix, no awc, no clock.

pub mod batch;
pub mod bounds;
pub mod decode;
pub mod fields;
pub mod ip;
pub mod json;
pub mod location;
pub mod schema;
pub mod values;

pub use batch::{Batch, Cell, CellFault, Rows};
pub use decode::{DecodeError, Metadata, decode};
pub use fields::FieldFilter;
pub use schema::{AddressKind, DeviceKind, Schema, SchemaCache};

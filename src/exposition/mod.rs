//! How the fleet and the exporter's own metrics are written. Pure: a snapshot in, bytes out.

mod help;
mod negotiate;
mod own;
mod telemetry;
mod text;

pub use self::negotiate::{Format, InfoFormat, UnknownFormat, negotiate, requested};
pub use self::own::OwnFamily;
pub use self::telemetry::Exposition;
pub use self::text::{Kind, escape_label};

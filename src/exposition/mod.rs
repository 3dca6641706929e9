//! Writes the fleet and the exporter's own metrics in the text formats. Pure: a snapshot in, bytes out.

mod devices;
mod layout;
mod lines;
mod negotiate;
mod number;
mod own;
mod pools;
mod rare;
mod section;
mod selection;
mod shard;
mod telemetry;
mod text;

pub use self::negotiate::{Format, InfoFormat, UnknownFormat, negotiate, requested};
pub use self::own::{OwnFamily, OwnSample};
pub use self::pools::families as pool_families;
pub use self::selection::{Collect, Selection, UnknownGroup};
pub use self::shard::{Shard, UnknownShard};
pub use self::telemetry::{Cursor, Exposition, Revoked, Telemetry, write_end};
pub use self::text::Kind;

//! Connections to the outside: TLS and proxies.

mod proxy;
mod tls;

pub(crate) use proxy::Way;
pub use proxy::{Exceptions, Proxy};
pub use tls::{TlsError, read_roots, tls_config};

/// The value of the header User-Agent.
pub(crate) const USER_AGENT: &str = concat!("starlink-telemetry/", env!("CARGO_PKG_VERSION"));

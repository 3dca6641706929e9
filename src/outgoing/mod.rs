//! Connections to the outside: every address of a host (RFC 8305), TLS, and proxies.
//!
//! [`Connector`] serves awc: it finds the addresses of a host or of its proxy ([`resolve`]), connects to the first that answers
//! ([`race`]), asks the proxy for a tunnel ([`proxy`]), sets up TLS ([`tls`]), and takes interim responses out of what comes
//! ([`stream`]). Nothing here knows what is sent.

mod authorities;
mod connector;
mod error;
mod exceptions;
mod interim;
mod proxy;
mod race;
mod resolve;
mod roots;
mod stream;
mod tls;

pub use authorities::{Authorities, AuthoritiesError};
pub(crate) use connector::Connector;
pub use connector::ConnectorOptions;
pub use error::{ConnectError, Peer, Tried, Via};
pub use exceptions::Exceptions;
pub use proxy::{Proxy, ProxyError};
pub use resolve::Resolver;
pub use tls::{TlsError, tls_config};

/// The value of the header User-Agent.
pub(crate) const USER_AGENT: &str = concat!("starlink-telemetry/", env!("CARGO_PKG_VERSION"));

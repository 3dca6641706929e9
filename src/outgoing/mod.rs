//! Outgoing connections: name resolution, Happy Eyeballs (RFC 8305), proxies, and TLS.
//!
//! [`Connector`] is the connector of the HTTP client, awc. It resolves the host or its proxy ([`resolve`]), connects to the first
//! address that accepts ([`race`]), asks the proxy for a tunnel ([`proxy`]), sets up TLS ([`tls`]), and removes interim responses
//! from the received bytes ([`stream`]). The module is independent of the requests that are sent.

mod authorities;
mod connector;
mod error;
mod interim;
mod no_proxy;
mod proxy;
mod race;
mod resolve;
mod retry_after;
mod roots;
mod stream;
mod target;
mod tls;
mod tls_files;

pub use authorities::{Authorities, AuthoritiesError};
pub use connector::ConnectorOptions;
pub(crate) use connector::{Connector, TlsOptions};
pub use error::{ConnectError, FailedAttempts, Peer, Route};
pub use no_proxy::NoProxy;
pub use proxy::{Proxy, ProxyError};
pub use resolve::Resolver;
pub(crate) use retry_after::retry_after;
pub(crate) use target::Target;
pub use tls::{TlsError, tls_config};
pub use tls_files::{TlsFiles, TlsFilesError};

/// The value of the header User-Agent.
pub(crate) const USER_AGENT: &str = concat!("starlink-telemetry/", env!("CARGO_PKG_VERSION"));

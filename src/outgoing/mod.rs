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
mod roots;
mod stream;
mod tls;

pub use authorities::{Authorities, AuthoritiesError};
pub(crate) use connector::Connector;
pub use connector::ConnectorOptions;
pub use error::{ConnectError, FailedAttempts, Peer, Route};
pub use no_proxy::NoProxy;
pub use proxy::{Proxy, ProxyError};
pub use resolve::Resolver;
pub use tls::{TlsError, tls_config};

/// The value of the header User-Agent.
pub(crate) const USER_AGENT: &str = concat!("starlink-telemetry/", env!("CARGO_PKG_VERSION"));

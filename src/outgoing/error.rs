//! Errors of connecting. Their texts name the host, its addresses, and the proxy if there is one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use super::race::Attempt;
use crate::text::io_reason;

/// The most addresses that an error lists; the rest is counted.
const MAX_SHOWN: usize = 8;

/// The host of a TCP connection, as error texts name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Name or address, as it was configured.
    pub host: String,
    /// Whether it is the proxy of `HTTPS_PROXY`.
    pub is_proxy: bool,
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, is_proxy } = self;
        match is_proxy {
            true => write!(formatter, "the proxy {host} (HTTPS_PROXY)"),
            false => formatter.write_str(host),
        }
    }
}

/// Why a connection could not be made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("cannot resolve {peer}: {reason}")]
    Resolve {
        /// The host that could not be resolved.
        peer: Peer,
        /// The error of the operating system.
        reason: String,
    },
    /// No name server responded in time.
    #[error("cannot resolve {peer}: no response within {} s", limit.as_secs_f64())]
    ResolveTimeout {
        /// The host that could not be resolved.
        peer: Peer,
        /// The time limit.
        limit: Duration,
    },
    /// No address of the host accepted the connection.
    #[error("cannot connect to {}", attempts.with(peer))]
    Unreachable {
        /// The host.
        peer: Peer,
        /// The failed attempts, one for each address.
        attempts: FailedAttempts,
    },
    /// The proxy did not open a tunnel.
    #[error(transparent)]
    Proxy(#[from] super::proxy::ProxyError),
    /// The TLS handshake failed.
    #[error("TLS with {host} failed ({route})")]
    Tls {
        /// The name that the certificate must be valid for.
        host: String,
        /// Whether the connection is direct or through a proxy.
        route: Route,
        /// The cause.
        source: io::Error,
    },
    /// The TLS handshake did not end in time.
    #[error("TLS with {host} did not begin within {} s ({route})", limit.as_secs_f64())]
    TlsTimeout {
        /// The name that the certificate must be valid for.
        host: String,
        /// Whether the connection is direct or through a proxy.
        route: Route,
        /// The time limit.
        limit: Duration,
    },
}

/// The route of a TLS connection.
#[derive(Debug)]
pub enum Route {
    /// Directly to this address.
    Address(SocketAddr),
    /// Through a tunnel of the proxy at this address.
    Proxy(SocketAddr),
    /// Not known, because the connection has ended already.
    Unknown,
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "at {address}"),
            Self::Proxy(address) => write!(formatter, "through the proxy at {address}"),
            Self::Unknown => formatter.write_str("the connection has ended"),
        }
    }
}

/// The attempts to connect to the addresses of a host, all failed.
#[derive(Debug)]
pub struct FailedAttempts {
    attempts: Vec<Attempt>,
    limit: Duration,
}

impl FailedAttempts {
    /// Combines the attempts with their common time limit.
    pub(super) fn new(attempts: Vec<Attempt>, limit: Duration) -> Self {
        Self { attempts, limit }
    }

    /// The attempts after the name of the host. The name is left out if it is the address of the only attempt.
    fn with(&self, peer: &Peer) -> String {
        let literal = peer.host.trim_matches(['[', ']']).parse().ok();
        match &self.attempts[..] {
            [only] if literal == Some(only.address.ip()) => {
                let peer = Peer {
                    host: only.address.to_string(),
                    ..peer.clone()
                };
                format!("{peer}: {}", self.reason(only))
            }
            _ => format!("{peer}: {self}"),
        }
    }

    fn reason(&self, attempt: &Attempt) -> String {
        match &attempt.failure {
            Some(failure) => io_reason(failure),
            None => format!("no response within {} s", self.limit.as_secs_f64()),
        }
    }
}

impl fmt::Display for FailedAttempts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.attempts.iter().take(MAX_SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let reason = self.reason(attempt);
            write!(formatter, "{separator}{}: {reason}", attempt.address)?;
        }
        match self.attempts.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(formatter, ", and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(address: &str, failure: Option<io::Error>) -> Attempt {
        let address = address.parse().unwrap();
        Attempt { address, failure }
    }

    #[test]
    fn a_configured_address_is_named_once() {
        for (host, address, is_proxy, expected) in [
            ("192.0.2.5", "192.0.2.5:443", false, "192.0.2.5:443"),
            (
                "[2001:db8::5]",
                "[2001:db8::5]:443",
                false,
                "[2001:db8::5]:443",
            ),
            (
                "192.0.2.5",
                "192.0.2.5:3128",
                true,
                "the proxy 192.0.2.5:3128 (HTTPS_PROXY)",
            ),
            (
                "localhost",
                "127.0.0.1:443",
                false,
                "localhost: 127.0.0.1:443",
            ),
        ] {
            let refused = io::Error::from_raw_os_error(111);
            let attempts = vec![attempt(address, Some(refused))];
            let error = ConnectError::Unreachable {
                peer: Peer {
                    host: host.to_owned(),
                    is_proxy,
                },
                attempts: FailedAttempts::new(attempts, Duration::from_secs(5)),
            };
            let expected = format!("cannot connect to {expected}: Connection refused");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn every_address_is_named_with_its_failure() {
        let refused = || Some(io::Error::from_raw_os_error(111));
        let peer = |is_proxy| Peer {
            host: "host.example".to_owned(),
            is_proxy,
        };
        let attempts = vec![
            attempt("[2001:db8::5]:443", None),
            attempt("192.0.2.5:443", refused()),
        ];
        let error = ConnectError::Unreachable {
            peer: peer(false),
            attempts: FailedAttempts::new(attempts, Duration::from_millis(2500)),
        };
        assert_eq!(
            error.to_string(),
            "cannot connect to host.example: [2001:db8::5]:443: no response within 2.5 s, \
             192.0.2.5:443: Connection refused"
        );
        let many = (1..=12).map(|port| attempt(&format!("192.0.2.5:{port}"), refused()));
        let error = ConnectError::Unreachable {
            peer: peer(true),
            attempts: FailedAttempts::new(many.collect(), Duration::from_secs(5)),
        };
        let text = error.to_string();
        assert!(text.starts_with("cannot connect to the proxy host.example (HTTPS_PROXY): "));
        assert!(
            text.ends_with("192.0.2.5:8: Connection refused, and 4 more"),
            "{text}"
        );
    }
}

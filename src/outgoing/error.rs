//! Why there is no connection, in words that name the host, its addresses, and the proxy where it is the proxy.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use super::race::Attempt;
use crate::text::io_reason;

/// More addresses than these are only counted.
const MOST_SHOWN: usize = 8;

/// The host that a connection is made to, as messages name it.
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

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name has no address, as far as the operating system knows.
    #[error("cannot resolve {peer}: {reason}")]
    Resolve {
        /// Whose name it is.
        peer: Peer,
        /// What the operating system says.
        reason: String,
    },
    /// No name server has answered.
    #[error("cannot resolve {peer}: no answer within {} s", limit.as_secs_f64())]
    ResolveTimeout {
        /// Whose name it is.
        peer: Peer,
        /// How long an answer was waited for.
        limit: Duration,
    },
    /// No address of the host took the connection.
    #[error("cannot connect to {}", tried.with(peer))]
    Unreachable {
        /// The host.
        peer: Peer,
        /// What became of each of its addresses.
        tried: Tried,
    },
    /// The proxy made no tunnel.
    #[error(transparent)]
    Proxy(#[from] super::proxy::ProxyError),
    /// The TLS handshake failed.
    #[error("TLS with {host} failed ({via})")]
    Tls {
        /// The name that the certificate must be valid for.
        host: String,
        /// What it was connected by.
        via: Via,
        /// What is wrong.
        source: io::Error,
    },
    /// The TLS handshake did not end.
    #[error("TLS with {host} did not begin within {} s ({via})", limit.as_secs_f64())]
    TlsTimeout {
        /// The name that the certificate must be valid for.
        host: String,
        /// What it was connected by.
        via: Via,
        /// How long it could take.
        limit: Duration,
    },
}

/// What a TLS connection goes through.
#[derive(Debug)]
pub enum Via {
    /// Straight to this address.
    Address(SocketAddr),
    /// A tunnel of the proxy at this address.
    Proxy(SocketAddr),
    /// The connection has ended already.
    Unknown,
}

impl fmt::Display for Via {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "at {address}"),
            Self::Proxy(address) => write!(formatter, "through the proxy at {address}"),
            Self::Unknown => formatter.write_str("the connection has ended"),
        }
    }
}

/// What became of each address that was tried.
#[derive(Debug)]
pub struct Tried {
    attempts: Vec<Attempt>,
    limit: Duration,
}

impl Tried {
    /// These attempts, which could go on for so long.
    pub(super) fn new(attempts: Vec<Attempt>, limit: Duration) -> Self {
        Self { attempts, limit }
    }

    /// The same behind the host's name, which is left out where it is the only address itself.
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
            None => format!("no answer within {} s", self.limit.as_secs_f64()),
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.attempts.iter().take(MOST_SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let reason = self.reason(attempt);
            write!(formatter, "{separator}{}: {reason}", attempt.address)?;
        }
        match self.attempts.len().saturating_sub(MOST_SHOWN) {
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
    fn an_address_that_was_configured_is_told_once() {
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
                tried: Tried::new(attempts, Duration::from_secs(5)),
            };
            let expected = format!("cannot connect to {expected}: Connection refused");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn every_address_is_told_with_what_became_of_it() {
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
            tried: Tried::new(attempts, Duration::from_millis(2500)),
        };
        assert_eq!(
            error.to_string(),
            "cannot connect to host.example: [2001:db8::5]:443: no answer within 2.5 s, \
             192.0.2.5:443: Connection refused"
        );
        let many = (1..=12).map(|port| attempt(&format!("192.0.2.5:{port}"), refused()));
        let error = ConnectError::Unreachable {
            peer: peer(true),
            tried: Tried::new(many.collect(), Duration::from_secs(5)),
        };
        let text = error.to_string();
        assert!(text.starts_with("cannot connect to the proxy host.example (HTTPS_PROXY): "));
        assert!(
            text.ends_with("192.0.2.5:8: Connection refused, and 4 more"),
            "{text}"
        );
    }
}

//! Listening sockets. A port is bound before anything else starts, and opened once everything is ready.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::text::io_reason;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why a port cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {}. {}", self.reason(), self.advice())]
pub struct ListenError {
    /// The address.
    address: SocketAddr,
    /// The setting of the port.
    port_setting: &'static str,
    /// The error of the operating system.
    cause: io::Error,
}

impl ListenError {
    fn family(&self) -> &'static str {
        match self.address.ip() {
            IpAddr::V4(_) => "IPv4",
            IpAddr::V6(_) => "IPv6",
        }
    }

    fn reason(&self) -> String {
        match self.cause.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine does not have this {} address", self.family())
            }
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ if is_family_missing(&self.cause) => {
                format!("this machine does not support {}", self.family())
            }
            _ => io_reason(&self.cause),
        }
    }

    fn advice(&self) -> String {
        let port = self.port_setting;
        match self.cause.kind() {
            io::ErrorKind::AddrNotAvailable => {
                "Set METRICS_ADDRESS to one that it has, or leave it unset for all of them."
                    .to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                format!("Set {port} to 1024 or above, or grant CAP_NET_BIND_SERVICE.")
            }
            _ if is_family_missing(&self.cause) => {
                "Set METRICS_ADDRESS to an address of the other family, or leave it unset."
                    .to_owned()
            }
            _ => format!("Set {port} or METRICS_ADDRESS."),
        }
    }
}

/// A bound port that accepts no connections yet.
pub struct Port {
    socket: Socket,
    address: SocketAddr,
    setting: &'static str,
}

impl Port {
    /// Binds to an address. `[::]` means all addresses of both families, regardless of the system's default (`bindv6only`); where
    /// there is no IPv6 it is 0.0.0.0. `setting` is the name of the port's setting, for the error.
    ///
    /// # Errors
    /// Why it cannot be bound, and what to do about it.
    pub fn take(address: SocketAddr, setting: &'static str) -> Result<Self, ListenError> {
        let refused = |address| {
            move |cause| ListenError {
                address,
                port_setting: setting,
                cause,
            }
        };
        let (socket, address) = match bind(address) {
            Err(cause) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&cause) => {
                let every_ipv4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
                bind(every_ipv4).map_err(refused(every_ipv4))?
            }
            bound => bound.map_err(refused(address))?,
        };
        Ok(Self {
            socket,
            address,
            setting,
        })
    }

    /// The address; for port 0, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to accept connections.
    ///
    /// # Errors
    /// Another process listens on the address.
    pub fn open(self) -> Result<TcpListener, ListenError> {
        match self.socket.listen(BACKLOG) {
            Ok(()) => Ok(self.socket.into()),
            Err(cause) => Err(self.error(cause)),
        }
    }

    fn error(&self, cause: io::Error) -> ListenError {
        ListenError {
            address: self.address,
            port_setting: self.setting,
            cause,
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // As the standard library does: on Unix this allows a restart at once, elsewhere it would share the port.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    let taken = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, taken))
}

/// Whether no interface has IPv6, or this process may not use it.
fn is_without_ipv6(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::AddrNotAvailable || is_family_missing(cause)
}

/// Whether the kernel does not support the family of the address, or a policy forbids it to this process.
#[cfg(unix)]
fn is_family_missing(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT].map(Errno::raw_os_error);
    cause
        .raw_os_error()
        .is_some_and(|code| missing.contains(&code))
}

#[cfg(not(unix))]
fn is_family_missing(_: &io::Error) -> bool {
    false
}

/// The addresses at which a client on the same machine reaches a service that listens on `address`: for "all addresses", the loopback
/// addresses, to be tried in this order.
#[must_use]
pub fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let addresses: Vec<IpAddr> = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => vec![v4],
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => vec![v4, v6],
        ip => vec![ip],
    };
    let port = address.port();
    addresses
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use rustix::io::Errno;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn all_addresses_are_those_of_both_families() {
        let port = Port::take(address("[::]:0"), "METRICS_PORT").unwrap();
        let here = port.address();
        let _listener = port.open().unwrap();
        assert_ne!(here.port(), 0);
        for to in reachable(here) {
            // The other family may be missing on the machine that runs the tests.
            match TcpStream::connect(to) {
                Ok(_) => {}
                Err(error) => assert!(to.is_ipv6() && is_without_ipv6(&error), "{to}: {error}"),
            }
        }
    }

    #[test]
    fn the_error_of_a_port_in_use_names_its_setting() {
        let first = Port::take(address("127.0.0.1:0"), "METRICS_PORT").unwrap();
        let here = first.address();
        let _listener = first.open().unwrap();
        let error = Port::take(here, "PROBES_PORT").map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {here}: address already in use. Set PROBES_PORT or METRICS_ADDRESS."
            )
        );
    }

    #[test]
    fn every_failure_says_what_to_do() {
        for (at, errno, expected) in [
            (
                "[2001:db8::1]:9100",
                Errno::AFNOSUPPORT,
                "cannot listen on [2001:db8::1]:9100: this machine does not support IPv6. \
                 Set METRICS_ADDRESS to an address of the other family, or leave it unset.",
            ),
            (
                "192.0.2.1:9100",
                Errno::ADDRNOTAVAIL,
                "cannot listen on 192.0.2.1:9100: this machine does not have this IPv4 address. \
                 Set METRICS_ADDRESS to one that it has, or leave it unset for all of them.",
            ),
            (
                "127.0.0.1:91",
                Errno::ACCESS,
                "cannot listen on 127.0.0.1:91: permission denied. \
                 Set METRICS_PORT to 1024 or above, or grant CAP_NET_BIND_SERVICE.",
            ),
            (
                "127.0.0.1:91",
                Errno::MFILE,
                "cannot listen on 127.0.0.1:91: Too many open files. \
                 Set METRICS_PORT or METRICS_ADDRESS.",
            ),
        ] {
            let error = ListenError {
                address: address(at),
                port_setting: "METRICS_PORT",
                cause: io::Error::from_raw_os_error(errno.raw_os_error()),
            };
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_service_on_all_addresses_is_reached_on_loopback() {
        for (listens, expected) in [
            ("0.0.0.0:9100", &["127.0.0.1:9100"][..]),
            ("[::]:9100", &["127.0.0.1:9100", "[::1]:9100"]),
            ("[::1]:9100", &["[::1]:9100"]),
            ("192.0.2.1:9100", &["192.0.2.1:9100"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|text| address(text)).collect();
            assert_eq!(reachable(address(listens)), expected, "{listens}");
        }
    }
}

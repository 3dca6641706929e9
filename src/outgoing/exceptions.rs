//! `NO_PROXY`: the hosts that are reached without the proxy.

use std::net::IpAddr;

use ipnet::IpNet;

/// Hosts that are reached without the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exceptions(Vec<Exception>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    /// Only on this port, if on one.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// Addresses of a network; a host that is a name is in none.
    Net(IpNet),
    /// The domain, and what is below it.
    Domain(String),
    /// Only what is below the domain, which begins with a dot.
    Below(String),
}

impl Exceptions {
    /// From a list with commas, semicolons or white space between entries: `*`, addresses, networks such as `10.0.0.0/8`, domains,
    /// which stand for what is below them too, `.domain` for what is below alone; each may end with `:port`. As in Go's
    /// `golang.org/x/net/http/httpproxy`. Gives also the entries that are none of these, which are left out.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let is_separator =
            |character: char| matches!(character, ',' | ';') || character.is_whitespace();
        let mut exceptions = Vec::new();
        let mut left_out = Vec::new();
        for entry in text.split(is_separator).filter(|entry| !entry.is_empty()) {
            match Exception::parse(entry) {
                Some(exception) => exceptions.push(exception),
                None => left_out.push(entry.to_owned()),
            }
        }
        (Self(exceptions), left_out)
    }

    pub(super) fn hold(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        self.0.iter().any(|exception| {
            let is_port = exception.port.is_none_or(|only| only == port);
            is_port && exception.hosts.hold(&host)
        })
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        if let Some(hosts) = Hosts::of_addresses(entry) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let hosts = Hosts::of_addresses(host).or_else(|| Hosts::of_names(host))?;
        Some(Self { hosts, port })
    }
}

impl Hosts {
    fn of_addresses(text: &str) -> Option<Self> {
        let text = text.trim_matches(['[', ']']);
        let address = || Some(IpNet::from(text.parse::<IpAddr>().ok()?));
        text.parse().ok().or_else(address).map(Self::Net)
    }

    fn of_names(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let name = name.strip_prefix('*').unwrap_or(&name);
        let is_name = |character: char| character.is_alphanumeric() || "-_.".contains(character);
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        Some(match name {
            below if below.starts_with('.') => Self::Below(below.to_owned()),
            name => Self::Domain(name.to_owned()),
        })
    }

    /// Whether the host, in lower case and without brackets, is one of these.
    fn hold(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Net(net) => host.parse().is_ok_and(|host: IpAddr| net.contains(&host)),
            Self::Domain(name) => match host.strip_suffix(name.as_str()) {
                Some(rest) => rest.is_empty() || rest.ends_with('.'),
                None => false,
            },
            Self::Below(name) => host.ends_with(name.as_str()) && host.len() > name.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_told_by_host_and_port() {
        for (list, host, expected) in [
            ("", "a.example", false),
            ("*", "a.example", true),
            ("*:443", "a.example", true),
            ("*:80", "a.example", false),
            ("example", "a.example", true),
            ("example", "example", true),
            ("EXAMPLE.", "a.Example", true),
            ("example", "counterexample", false),
            (".example", "a.example", true),
            (".example", "example", false),
            ("*.example", "a.b.example", true),
            ("x, a.example:443", "a.example", true),
            ("a.example:80", "a.example", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", "10.example", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3:80", "10.1.2.3", false),
            ("::1", "[::1]", true),
            ("[::1]:443", "[::1]", true),
            ("fd00::/8", "[fd12::1]", true),
        ] {
            let (exceptions, left_out) = Exceptions::parse(list);
            assert_eq!(exceptions.hold(host, 443), expected, "{list}: {host}");
            assert!(left_out.is_empty(), "{left_out:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_the_rest_holds() {
        for (list, expected) in [
            ("a b;10.0.0.0/8\tc , [::1]", &[][..]),
            (" ,; ", &[]),
            ("a,192.168.*,<local>,10.1.2.3", &["192.168.*", "<local>"]),
            (
                "a 172.16.0.0/255.240.0.0 10.0.0.0/8",
                &["172.16.0.0/255.240.0.0"],
            ),
            (
                "a;10.0.0.0/40;b:c;x/y;10.0.0.0/8",
                &["10.0.0.0/40", "b:c", "x/y"],
            ),
            ("http://a/", &["http://a/"]),
            (
                ":443 . ... .:443 *. *.:443 ** []",
                &[":443", ".", "...", ".:443", "*.", "*.:443", "**", "[]"],
            ),
        ] {
            let (exceptions, left_out) = Exceptions::parse(list);
            assert_eq!(left_out, expected, "{list}");
            let holds = ["a", "10.1.2.3"].map(|host| exceptions.hold(host, 443));
            assert!(holds == [true; 2] || holds == [false; 2], "{list}");
            assert_eq!(holds[0], list.starts_with('a'), "{list}");
        }
    }
}

//! `NO_PROXY`: the hosts that are reached without the proxy.

use std::net::IpAddr;

use ipnet::IpNet;

/// The parsed value of `NO_PROXY`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    /// The only port that the entry applies to; `None` for all ports.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// The addresses of a network. Host names never match, as they are not resolved.
    Net(IpNet),
    /// The domain and its subdomains.
    Domain(String),
    /// Only subdomains of the domain, which begins with a dot here.
    Subdomains(String),
}

impl NoProxy {
    /// Parses a list separated by commas, semicolons or white space. Entries are `*`, addresses, networks such as `10.0.0.0/8`,
    /// domains, which include their subdomains, and `.domain` for the subdomains alone; each may end with `:port`. The format is that
    /// of Go's `golang.org/x/net/http/httpproxy`. Also returns the invalid entries, which are ignored.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let is_separator =
            |character: char| matches!(character, ',' | ';') || character.is_whitespace();
        let mut entries = Vec::new();
        let mut invalid = Vec::new();
        for entry in text.split(is_separator).filter(|entry| !entry.is_empty()) {
            match Entry::parse(entry) {
                Some(parsed) => entries.push(parsed),
                None => invalid.push(entry.to_owned()),
            }
        }
        (Self(entries), invalid)
    }

    pub(super) fn matches(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        self.0.iter().any(|entry| {
            let is_port = entry.port.is_none_or(|only| only == port);
            is_port && entry.hosts.matches(&host)
        })
    }
}

impl Entry {
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
            below if below.starts_with('.') => Self::Subdomains(below.to_owned()),
            name => Self::Domain(name.to_owned()),
        })
    }

    /// Whether a host, in lower case and without brackets, is one of these.
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Net(net) => host.parse().is_ok_and(|host: IpAddr| net.contains(&host)),
            Self::Domain(name) => match host.strip_suffix(name.as_str()) {
                Some(rest) => rest.is_empty() || rest.ends_with('.'),
                None => false,
            },
            Self::Subdomains(name) => host.ends_with(name.as_str()) && host.len() > name.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_by_name_address_and_port() {
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
            let (no_proxy, invalid) = NoProxy::parse(list);
            assert_eq!(no_proxy.matches(host, 443), expected, "{list}: {host}");
            assert!(invalid.is_empty(), "{invalid:?}");
        }
    }

    #[test]
    fn invalid_entries_are_returned_and_the_others_are_used() {
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
            let (no_proxy, invalid) = NoProxy::parse(list);
            assert_eq!(invalid, expected, "{list}");
            let holds = ["a", "10.1.2.3"].map(|host| no_proxy.matches(host, 443));
            assert!(holds == [true; 2] || holds == [false; 2], "{list}");
            assert_eq!(holds[0], list.starts_with('a'), "{list}");
        }
    }
}

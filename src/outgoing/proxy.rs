//! The way out through an HTTP proxy: which connections take it, and the request for a tunnel (RFC 9110, section 9.3.6).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Connector, ConnectorService};
use awc::http::Uri;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::LocalBoxFuture;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

/// The longest head of an answer that a proxy may give.
const LONGEST_HEAD: usize = 8 * 1024;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// An HTTP proxy that makes tunnels, and whom it need not be asked for.
#[derive(Debug, Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// What the header Proxy-Authorization carries after `Basic`.
    credentials: Option<SecretString>,
    exceptions: Exceptions,
}

impl Proxy {
    /// From a URL `http://user:password@host:port`, user name and password percent-encoded where they need to be, both optional.
    ///
    /// # Errors
    /// What is wrong with the URL, in words that hold nothing of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        // curl and others take a bare host and port as well.
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        let url = url.map_err(|_| "(it is no URL)")?;
        if url.scheme() != "http" {
            return Err("(the proxy itself is spoken to without TLS, so its scheme is http)");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("(it goes on after the port)");
        }
        let host = url.host_str().ok_or("(it names no host)")?.to_owned();
        let is_open = url.username().is_empty() && url.password().is_none();
        let credentials = || {
            let user = percent_decode_str(url.username()).collect::<Vec<u8>>();
            let password = percent_decode_str(url.password().unwrap_or_default());
            let pair = [user, vec![b':'], password.collect()].concat();
            SecretString::from(BASE64_STANDARD.encode(pair))
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(80),
            credentials: (!is_open).then(credentials),
            exceptions: Exceptions::default(),
        })
    }

    /// The same, not to be asked for those hosts.
    #[must_use]
    pub fn except(self, exceptions: Exceptions) -> Self {
        Self { exceptions, ..self }
    }

    /// What no text may show: the password, and the header's value with it.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretString> {
        let Some(credentials) = &self.credentials else {
            return Vec::new();
        };
        let pair = BASE64_STANDARD.decode(credentials.expose_secret());
        let pair = pair.ok().and_then(|pair| String::from_utf8(pair).ok());
        let password = pair.as_deref().and_then(|pair| pair.split_once(':'));
        let password = password.map(|(_, password)| SecretString::from(password));
        password.into_iter().chain([credentials.clone()]).collect()
    }

    /// The host and port to ask for a tunnel to, if the way to the address leads through the proxy.
    fn target(&self, uri: &Uri) -> Option<String> {
        let host = uri.host()?;
        let port = uri.port_u16().unwrap_or(443);
        let is_meant = uri.scheme_str() == Some("https") && !self.exceptions.hold(host, port);
        is_meant.then(|| format!("{host}:{port}"))
    }

    async fn tunnel(&self, target: &str) -> Result<TcpStream, ProxyError> {
        let place = (self.host.trim_matches(['[', ']']), self.port);
        let mut stream = TcpStream::connect(place)
            .await
            .map_err(ProxyError::Unreachable)?;
        let authorization = match &self.credentials {
            Some(credentials) => format!(
                "Proxy-Authorization: Basic {}\r\n",
                credentials.expose_secret()
            ),
            None => String::new(),
        };
        let request = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {}\r\n{authorization}\r\n",
            super::USER_AGENT
        );
        stream.write_all(request.as_bytes()).await?;
        let status = read_status(&mut stream).await?;
        match status {
            200..=299 => Ok(stream),
            status => Err(ProxyError::Refused { status }),
        }
    }
}

/// Without the credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = match self.credentials {
            Some(_) => "(set)@",
            None => "",
        };
        write!(formatter, "http://{credentials}{}:{}", self.host, self.port)
    }
}

/// The status of the answer. The head of a good one must be all that has come: beyond it the tunnel begins, and in it we speak
/// first.
async fn read_status(stream: &mut TcpStream) -> Result<u16, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(HEAD_END) {
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Err(ProxyError::Closed);
        }
        head.extend_from_slice(&chunk[..length]);
        // The body of a refusal may come along; nobody reads it.
        if let Some(status @ 300..) = parse_status(&head) {
            return Ok(status);
        }
        let end = head.windows(HEAD_END.len()).position(|end| end == HEAD_END);
        if head.len() > LONGEST_HEAD || end.is_some_and(|end| end + HEAD_END.len() < head.len()) {
            return Err(ProxyError::NotHttp);
        }
    }
    parse_status(&head).ok_or(ProxyError::NotHttp)
}

/// The status of a head of which at least the first line is there.
fn parse_status(head: &[u8]) -> Option<u16> {
    let end = head.windows(2).position(|end| end == b"\r\n")?;
    let line = std::str::from_utf8(&head[..end]).ok()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    let status = rest.split(' ').nth(1)?;
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    is_status.then(|| status.parse().ok()).flatten()
}

/// Why there is no tunnel.
#[derive(Debug, Error)]
enum ProxyError {
    /// It does not listen there, or its name is unknown.
    #[error("the proxy of HTTPS_PROXY cannot be reached")]
    Unreachable(#[source] io::Error),
    /// It wants to know who asks.
    #[error("the proxy of HTTPS_PROXY refused the tunnel with {status}{}", advice(*.status))]
    Refused {
        /// What it answered.
        status: u16,
    },
    /// It is something else.
    #[error("what HTTPS_PROXY names does not answer like an HTTP proxy")]
    NotHttp,
    /// It ended the connection.
    #[error("the proxy of HTTPS_PROXY closed the connection before it answered")]
    Closed,
    /// The connection to it broke.
    #[error("the connection to the proxy of HTTPS_PROXY broke: {0}")]
    Broken(#[from] io::Error),
}

fn advice(status: u16) -> &'static str {
    match status {
        // 401 is what tinyproxy says to wrong ones.
        401 | 407 => ": check its user name and password",
        403 => ": it does not let this host through",
        502..=504 => ": it cannot reach the host itself",
        _ => "",
    }
}

/// Connects below TLS: straight, or through the proxy if there is one and it is meant.
#[derive(Clone)]
pub(crate) struct Way {
    straight: ConnectorService,
    proxy: Option<Rc<Proxy>>,
}

impl Way {
    pub(crate) fn new(proxy: Option<Proxy>) -> Self {
        Self {
            straight: Connector::default().service(),
            proxy: proxy.map(Rc::new),
        }
    }
}

impl Service<ConnectInfo<Uri>> for Way {
    type Response = Connection<Uri, TcpStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Neither way is ever busy.
        Poll::Ready(Ok(()))
    }

    fn call(&self, wanted: ConnectInfo<Uri>) -> Self::Future {
        let uri = wanted.request().clone();
        let proxy = self.proxy.clone();
        let tunnel = proxy.and_then(|proxy| Some((proxy.target(&uri)?, proxy)));
        let Some((target, proxy)) = tunnel else {
            return Box::pin(self.straight.call(wanted));
        };
        Box::pin(async move {
            match proxy.tunnel(&target).await {
                Ok(stream) => Ok(Connection::new(uri, stream)),
                Err(error) => Err(ConnectError::Io(io::Error::other(error))),
            }
        })
    }
}

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
    /// From a list with commas: `*`, addresses, networks such as `10.0.0.0/8`, domains, which stand for what is below them too,
    /// `.domain` for what is below alone; each may end with `:port`. As in Go's `golang.org/x/net/http/httpproxy`.
    ///
    /// # Errors
    /// What is wrong with the first entry that is none of these.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let entries = text.split(',').map(str::trim);
        entries
            .filter(|entry| !entry.is_empty())
            .map(Exception::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn hold(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        self.0.iter().any(|exception| {
            let is_port = exception.port.is_none_or(|only| only == port);
            is_port && exception.hosts.hold(&host)
        })
    }
}

impl Exception {
    fn parse(entry: &str) -> Result<Self, &'static str> {
        if let Some(hosts) = Hosts::of_addresses(entry) {
            return Ok(Self { hosts, port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse().map_err(|_| "(an entry has no port after :)")?;
                (host, Some(port))
            }
            None => (entry, None),
        };
        let hosts = match Hosts::of_addresses(host) {
            Some(hosts) => hosts,
            None => Hosts::of_names(host)?,
        };
        Ok(Self { hosts, port })
    }
}

impl Hosts {
    fn of_addresses(text: &str) -> Option<Self> {
        let text = text.trim_matches(['[', ']']);
        let address = || Some(IpNet::from(text.parse::<IpAddr>().ok()?));
        text.parse().ok().or_else(address).map(Self::Net)
    }

    fn of_names(text: &str) -> Result<Self, &'static str> {
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let name = name.strip_prefix('*').unwrap_or(&name);
        let is_name = |character: char| character.is_alphanumeric() || "-_.".contains(character);
        if !name.chars().all(is_name) {
            return Err("(an entry is neither a host, nor a domain, nor a network)");
        }
        Ok(match name {
            "" => Self::All,
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
    fn a_proxy_is_a_host_a_port_and_perhaps_credentials() {
        for (text, shown, credentials) in [
            ("http://proxy:3128", Ok("http://proxy:3128"), None),
            (" proxy:3128/ ", Ok("http://proxy:3128"), None),
            ("http://[::1]", Ok("http://[::1]:80"), None),
            (
                "http://user:pass%40word@proxy:1",
                Ok("http://(set)@proxy:1"),
                Some("user:pass@word"),
            ),
            (
                "http://user@proxy:1",
                Ok("http://(set)@proxy:1"),
                Some("user:"),
            ),
            ("https://proxy:1", Err("scheme is http"), None),
            ("socks5://proxy:1", Err("scheme is http"), None),
            ("http://proxy:1/path", Err("after the port"), None),
            ("http://", Err("no URL"), None),
            ("http://proxy:port", Err("no URL"), None),
        ] {
            match (Proxy::parse(text), shown) {
                (Ok(proxy), Ok(shown)) => {
                    assert_eq!(proxy.to_string(), shown, "{text}");
                    let encoded = proxy.credentials.as_ref().map(ExposeSecret::expose_secret);
                    let expected = credentials.map(|pair| BASE64_STANDARD.encode(pair));
                    assert_eq!(encoded, expected.as_deref(), "{text}");
                    assert!(!format!("{proxy:?}").contains("pass"));
                }
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
                (made, _) => panic!("{text}: {made:?}"),
            }
        }
    }

    #[test]
    fn exceptions_are_told_by_host_and_port() {
        for (list, host, expected) in [
            ("", "a.example", false),
            ("*", "a.example", true),
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
            let exceptions = Exceptions::parse(list).unwrap();
            assert_eq!(exceptions.hold(host, 443), expected, "{list}: {host}");
        }
        for list in ["a/b", "10.0.0.0/40", "a:b", "a b"] {
            assert!(Exceptions::parse(list).is_err(), "{list}");
        }
    }

    #[test]
    fn only_tls_goes_through_the_proxy() {
        let exceptions = Exceptions::parse("inside.example").unwrap();
        let proxy = Proxy::parse("proxy:1").unwrap().except(exceptions);
        for (uri, expected) in [
            ("https://a.example/x", Some("a.example:443")),
            ("https://a.example:8443/x", Some("a.example:8443")),
            ("https://[::1]/", Some("[::1]:443")),
            ("http://a.example/x", None),
            ("https://inside.example/x", None),
        ] {
            let target = proxy.target(&Uri::from_static(uri));
            assert_eq!(target.as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn the_status_stands_in_the_first_line() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407\r\nx: y\r\n\r\n", Some(407)),
            ("HTTP/1.1 2000 x\r\n\r\n", None),
            ("HTTP/1.1 +20 x\r\n\r\n", None),
            ("SSH-2.0-x\r\n\r\n", None),
            ("HTTP/1.1 200 half", None),
        ] {
            assert_eq!(parse_status(head.as_bytes()), expected, "{head:?}");
        }
    }
}

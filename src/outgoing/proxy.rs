//! The HTTP proxy of `HTTPS_PROXY`: parses its URL and asks it for a tunnel (CONNECT, RFC 9110, section 9.3.6).

use std::fmt;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use super::NoProxy;

/// The longest head of a proxy's response.
const MAX_HEAD: usize = 8 * 1024;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// An HTTP proxy that opens tunnels, and the hosts that are reached without it.
#[derive(Debug, Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// The value of the header Proxy-Authorization after `Basic`.
    credentials: Option<SecretString>,
    no_proxy: NoProxy,
}

impl Proxy {
    /// Parses a URL `http://user:password@host:port`. User name and password are optional and may be percent-encoded.
    ///
    /// # Errors
    /// The reason, without any part of the URL, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return Err("(it contains a control character)");
        }
        // curl and others accept a bare host and port too. A single word is more likely a mistake.
        if !text.contains("://") && !ends_with_port(text) {
            return Err("(it has no port)");
        }
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        let url = url.map_err(|_| "(it is not a URL)")?;
        if url.scheme() != "http" {
            return Err("(connections to the proxy itself have no TLS: its scheme must be http)");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("(it has a path, query or fragment)");
        }
        let host = url.host_str().ok_or("(it has no host)")?.to_owned();
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
            no_proxy: NoProxy::default(),
        })
    }

    /// Sets the hosts that are reached without the proxy.
    #[must_use]
    pub fn except(self, no_proxy: NoProxy) -> Self {
        Self { no_proxy, ..self }
    }

    /// The secrets to redact: the password, and the header's value, which contains it.
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

    /// Whether connections to the host and port go through the proxy.
    pub(super) fn is_for(&self, host: &str, port: u16) -> bool {
        !self.no_proxy.matches(host, port)
    }

    /// The name or address of the proxy; an IPv6 address is in brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Asks the proxy, connected by `stream`, for a tunnel to the host and port.
    pub(super) async fn tunnel(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        host: &str,
        port: u16,
    ) -> Result<(), ProxyError> {
        let target = format!("{host}:{port}");
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
        match read_status(stream).await? {
            200..=299 => Ok(()),
            status => Err(ProxyError::Refused { status }),
        }
    }
}

/// The URL without the credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = match self.credentials {
            Some(_) => "(set)@",
            None => "",
        };
        write!(formatter, "http://{credentials}{}:{}", self.host, self.port)
    }
}

fn ends_with_port(text: &str) -> bool {
    let port = text.trim_end_matches('/').rsplit_once(':');
    port.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// Reads the status of the proxy's response. After the head of a successful response the tunnel begins, in which the client speaks
/// first; so bytes after the head are an error.
async fn read_status(stream: &mut (impl AsyncRead + Unpin)) -> Result<u16, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(HEAD_END) {
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Err(ProxyError::Closed);
        }
        head.extend_from_slice(&chunk[..length]);
        // A refusal may have a body, which is ignored.
        if let Some(status @ 300..) = parse_status(&head) {
            return Ok(status);
        }
        let end = head.windows(HEAD_END.len()).position(|end| end == HEAD_END);
        if head.len() > MAX_HEAD || end.is_some_and(|end| end + HEAD_END.len() < head.len()) {
            return Err(ProxyError::NotHttp);
        }
    }
    parse_status(&head).ok_or(ProxyError::NotHttp)
}

/// The status, once the first line of the head is complete.
fn parse_status(head: &[u8]) -> Option<u16> {
    let end = head.windows(2).position(|end| end == b"\r\n")?;
    let line = std::str::from_utf8(&head[..end]).ok()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    let status = rest.split(' ').nth(1)?;
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    is_status.then(|| status.parse().ok()).flatten()
}

/// Why the proxy did not open a tunnel.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// It did not respond in time.
    #[error("the proxy of HTTPS_PROXY did not respond within {} s", limit.as_secs_f64())]
    Timeout {
        /// The time limit.
        limit: Duration,
    },
    /// It refused the tunnel.
    #[error("the proxy of HTTPS_PROXY refused the tunnel with {status}{}", advice(*.status))]
    Refused {
        /// The HTTP status of its response.
        status: u16,
    },
    /// It does not speak HTTP.
    #[error("the server named by HTTPS_PROXY does not respond like an HTTP proxy")]
    NotHttp,
    /// It closed the connection before it responded.
    #[error("the proxy of HTTPS_PROXY closed the connection before it responded")]
    Closed,
    /// The connection to it failed.
    #[error("the connection to the proxy of HTTPS_PROXY was lost: {0}")]
    Broken(#[from] io::Error),
}

fn advice(status: u16) -> &'static str {
    match status {
        // tinyproxy responds with 401 to wrong credentials.
        401 | 407 => ": check its user name and password",
        403 => ": it does not allow this host",
        502..=504 => ": it cannot reach the host itself",
        _ => "",
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
            ("https://proxy:1", Err("scheme must be http"), None),
            ("socks5://proxy:1", Err("scheme must be http"), None),
            ("http://proxy:1/path", Err("path, query or fragment"), None),
            ("http://", Err("not a URL"), None),
            ("http://proxy:port", Err("not a URL"), None),
            ("proxy", Err("no port"), None),
            ("proxy.example/", Err("no port"), None),
            ("[::1]", Err("no port"), None),
            ("user:word@proxy", Err("no port"), None),
            ("proxy:port", Err("no port"), None),
            ("proxy:80", Ok("http://proxy:80"), None),
            ("http://proxy", Ok("http://proxy:80"), None),
            ("http://pro\u{7}xy:1", Err("control character"), None),
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
    fn the_status_is_read_from_the_first_line() {
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

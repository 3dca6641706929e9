//! What awc is given of the URL of a request.

use url::{Position, Url};

/// The target of a request.
pub(crate) struct Target<'u> {
    /// The URL for awc. With TLS its scheme is `http`, because our connector sets up TLS.
    pub(crate) url: Url,
    /// The value of the header Host.
    pub(crate) host: &'u str,
    /// Whether the connection must be one with TLS.
    pub(crate) is_tls: bool,
}

impl<'u> Target<'u> {
    /// The target of a URL. Without a connector for TLS the URL is unchanged, so that awc rejects `https`.
    pub(crate) fn new(url: &'u Url, has_tls: bool) -> Self {
        let mut plain = url.clone();
        let port = url.port_or_known_default();
        // The scheme is changed first, because `Url` drops a port that is the default of the scheme.
        let is_tls = has_tls
            && url.scheme() == "https"
            && plain.set_scheme("http").is_ok()
            && plain.set_port(port).is_ok();
        Self {
            url: plain,
            host: &url[Position::BeforeHost..Position::AfterPort],
            is_tls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_tls_the_scheme_is_http_and_the_port_stays() {
        for (url, has_tls, expected, host, is_tls) in [
            (
                "https://a.example/x",
                true,
                "http://a.example:443/x",
                "a.example",
                true,
            ),
            (
                "https://a.example:80/",
                true,
                "http://a.example/",
                "a.example:80",
                true,
            ),
            ("https://[::1]:9/", true, "http://[::1]:9/", "[::1]:9", true),
            (
                "https://a.example/",
                false,
                "https://a.example/",
                "a.example",
                false,
            ),
            (
                "http://a.example/?b",
                true,
                "http://a.example/?b",
                "a.example",
                false,
            ),
        ] {
            let url: Url = url.parse().unwrap();
            let target = Target::new(&url, has_tls);
            let found = (target.url.as_str(), target.host, target.is_tls);
            assert_eq!(found, (expected, host, is_tls), "{url}");
        }
    }
}

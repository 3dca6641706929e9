//! One destination from the variables `REMOTE_WRITE_…`, whose texts the caller has read.

use std::path::PathBuf;

use url::Url;

use super::destination::{Authentication, Destination, Secret, Tenant, Window};
use super::entry::{is_here, is_tenant, url, window};
use super::secret_text::is_username;

/// The name of the destination.
const NAME: &str = "default";

/// The values of the variables, each `None` if it is not set.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// `REMOTE_WRITE_USERNAME`.
    pub username: Option<String>,
    /// `REMOTE_WRITE_PASSWORD_FILE`.
    pub password_file: Option<PathBuf>,
    /// `REMOTE_WRITE_BEARER_TOKEN_FILE`.
    pub bearer_token_file: Option<PathBuf>,
    /// `REMOTE_WRITE_TENANT`.
    pub tenant: Option<Tenant>,
    /// `REMOTE_WRITE_OUT_OF_ORDER_WINDOW`.
    pub out_of_order_window: Option<Window>,
}

impl Variables {
    /// Parses `REMOTE_WRITE_URL`.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn url(text: &str) -> Result<Url, &'static str> {
        url(text)
    }

    /// Parses `REMOTE_WRITE_USERNAME`: a text without a colon and control characters.
    #[must_use]
    pub fn username(text: &str) -> Option<String> {
        is_username(text).then(|| text.to_owned())
    }

    /// Parses `REMOTE_WRITE_TENANT`: `account`, or a name that can be the value of a header.
    #[must_use]
    pub fn tenant(text: &str) -> Option<Tenant> {
        match text {
            "account" => Some(Tenant::Account),
            _ => is_tenant(text).then(|| Tenant::Fixed(text.to_owned())),
        }
    }

    /// Parses `REMOTE_WRITE_OUT_OF_ORDER_WINDOW`: a duration in the notation of Prometheus, or `unlimited`.
    #[must_use]
    pub fn window(text: &str) -> Option<Window> {
        window(text)
    }

    /// The destination.
    ///
    /// # Errors
    /// What is wrong with the variables together; the texts name them.
    pub fn destination(self, url: Url) -> Result<Destination, &'static str> {
        let mut destination = Destination::new(NAME, url);
        destination.authentication = match (
            self.username,
            self.password_file,
            self.bearer_token_file,
        ) {
            (None, None, None) => Authentication::None,
            (Some(username), Some(path), None) => Authentication::Basic {
                username,
                password: Secret::File(path),
            },
            (None, None, Some(path)) => Authentication::Header {
                scheme: "Bearer".to_owned(),
                credentials: Secret::File(path),
            },
            (_, _, Some(_)) => {
                return Err(
                    "REMOTE_WRITE_BEARER_TOKEN_FILE is set together with REMOTE_WRITE_USERNAME or REMOTE_WRITE_PASSWORD_FILE: leave one of them empty",
                );
            }
            (_, _, None) => {
                return Err(
                    "REMOTE_WRITE_USERNAME and REMOTE_WRITE_PASSWORD_FILE belong together: set both, or neither",
                );
            }
        };
        let is_plain = destination.url.scheme() == "http" && !is_here(&destination.url);
        if is_plain && destination.authentication != Authentication::None {
            return Err(
                "with plain http the credentials can be intercepted: use https in REMOTE_WRITE_URL, or REMOTE_WRITE_FILE with allow_insecure: true",
            );
        }
        if is_plain && destination.url.has_secret() {
            return Err(
                "with plain http the query of REMOTE_WRITE_URL, which may have a secret, can be intercepted: use https, or REMOTE_WRITE_FILE with allow_insecure: true",
            );
        }
        destination.tenant = self.tenant.unwrap_or_default();
        if let Some(window) = self.out_of_order_window {
            destination.out_of_order_window = window;
        }
        Ok(destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_checked_together() {
        for (url, username, password, token, expected) in [
            ("http://a.example/", None, None, None, Ok(())),
            ("https://a.example/", Some("u"), Some("p"), None, Ok(())),
            ("https://a.example/", None, None, Some("t"), Ok(())),
            ("http://localhost:1/", None, None, Some("t"), Ok(())),
            (
                "http://a.example/",
                None,
                None,
                Some("t"),
                Err("plain http the credentials"),
            ),
            ("http://a.example/?db=fleet-a", None, None, None, Ok(())),
            ("http://127.0.0.1/?key=needle", None, None, None, Ok(())),
            ("https://a.example/?key=needle", None, None, None, Ok(())),
            (
                "http://a.example/?key=needle",
                None,
                None,
                None,
                Err("plain http the query of REMOTE_WRITE_URL"),
            ),
            (
                "https://a.example/",
                Some("u"),
                None,
                None,
                Err("belong together"),
            ),
            (
                "https://a.example/",
                None,
                Some("p"),
                None,
                Err("belong together"),
            ),
            (
                "https://a.example/",
                Some("u"),
                Some("p"),
                Some("t"),
                Err("BEARER"),
            ),
        ] {
            let variables = Variables {
                username: username.map(str::to_owned),
                password_file: password.map(PathBuf::from),
                bearer_token_file: token.map(PathBuf::from),
                ..Variables::default()
            };
            let destination = variables.destination(Variables::url(url).unwrap());
            match expected {
                Ok(()) => assert_eq!(&*destination.unwrap().name, "default", "{url}"),
                Err(part) => {
                    let error = destination.unwrap_err();
                    assert!(error.contains(part), "{error}");
                }
            }
        }
    }
}

//! A receiver of remote write, with all settings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::receiver_url::ReceiverUrl;
use crate::history::{JOB, NameFilter};

/// The header of a tenant, unless the destination names another one.
const TENANT_HEADER: &str = "X-Scope-OrgID";

/// Where samples are sent, and how. Two are equal if all their settings and fixed secrets are; lines are not compared.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The unique name: 1 to 63 of `a-z`, `0-9`, `_` and `-`, the first a letter or a digit.
    pub name: Arc<str>,
    /// The URL of the receiver, without user name and fragment.
    pub url: ReceiverUrl,
    /// Which version of the protocol is spoken.
    pub protocol: ProtocolChoice,
    /// The receiver's out-of-order window.
    pub out_of_order_window: Window,
    /// The most shards, 1 to 64.
    pub max_shards: u16,
    /// The most samples per second; 0 is no limit.
    pub max_samples_per_second: u64,
    /// The most samples in a request, 1 to 100,000.
    pub max_samples_per_send: u32,
    /// Which families are sent.
    pub names: NameFilter,
    /// The labels of each series, in addition to its own; no name that a metric of the exporter has.
    pub labels: BTreeMap<String, String>,
    /// The label `instance` of the exporter's own metrics; `None` for the name of the host.
    pub instance: Option<String>,
    /// Whether the exporter's own metrics are sent.
    pub own_metrics: bool,
    /// The tenant of requests.
    pub tenant: Tenant,
    /// The header that names the tenant.
    pub tenant_header: String,
    /// The settings of TLS.
    pub tls: TlsConfig,
    /// The credentials of requests.
    pub authentication: Authentication,
    /// Further headers of requests. Their values may be secrets.
    pub headers: Vec<(String, SecretString)>,
    /// The time limit of a request.
    pub remote_timeout: Duration,
    /// Whether another instance writes the same samples to the receiver.
    pub pair: bool,
    /// Whether credentials may be sent in plain http to another machine.
    pub allow_insecure: bool,
    /// The keys that name files, with their lines in `REMOTE_WRITE_FILE`, for errors.
    pub file_lines: Vec<(&'static str, usize)>,
}

/// Which version of the protocol a destination speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtocolChoice {
    /// 2.0, and 1.0 once the receiver did not understand it.
    #[default]
    Auto,
    /// Only 1.0.
    V1,
    /// Only 2.0.
    V2,
}

/// How old a sample may be, compared with the receiver's newest one, to be stored out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Samples of a series are only accepted in order if this is zero.
    Limited(Duration),
    /// Samples of any age are accepted, as by VictoriaMetrics.
    Unlimited,
}

impl Window {
    /// Whether any samples are accepted out of order.
    #[must_use]
    pub fn is_open(self) -> bool {
        self != Self::Limited(Duration::ZERO)
    }
}

/// The tenant of requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tenant {
    /// Requests name no tenant.
    #[default]
    None,
    /// All requests name this one.
    Fixed(String),
    /// Each request names the tenant of its account.
    Account,
}

/// A secret: a value, or a file that is read again when it changes.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The value.
    Value(SecretString),
    /// The path of the file.
    File(PathBuf),
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(one), Self::Value(other)) => one.expose_secret() == other.expose_secret(),
            (Self::File(one), Self::File(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Secret {}

/// The credentials of requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authentication {
    /// None.
    #[default]
    None,
    /// A user name and a password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// `Authorization: <scheme> <credentials>`.
    Header {
        /// The scheme, such as `Bearer`.
        scheme: String,
        /// The credentials.
        credentials: Secret,
    },
}

/// The settings of TLS. Certificates of receivers are always verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// The only certificate authorities that are trusted; `None` for those of the machine.
    pub ca_file: Option<PathBuf>,
    /// The certificate and the key of this client.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the receiver's certificate, if it is not the host of the URL.
    pub server_name: Option<String>,
}

impl Destination {
    /// A destination with the default of each setting.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, url: Url) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            protocol: ProtocolChoice::Auto,
            out_of_order_window: Window::Limited(Duration::ZERO),
            max_shards: 8,
            max_samples_per_second: 0,
            max_samples_per_send: 10_000,
            names: NameFilter::default(),
            labels: BTreeMap::from([(JOB.0.to_owned(), JOB.1.to_owned())]),
            instance: None,
            own_metrics: true,
            tenant: Tenant::None,
            tenant_header: TENANT_HEADER.to_owned(),
            tls: TlsConfig::default(),
            authentication: Authentication::None,
            headers: Vec::new(),
            remote_timeout: Duration::from_secs(30),
            pair: false,
            allow_insecure: false,
            file_lines: Vec::new(),
        }
    }

    /// Whether a family is sent. Meant to be called once for each name.
    #[must_use]
    pub fn sends(&self, family: &str) -> bool {
        self.names.keeps(family)
    }

    /// The file with the secret, and the key that names it.
    #[must_use]
    pub fn secret_file(&self) -> Option<(&'static str, &Path)> {
        let (key, secret) = match &self.authentication {
            Authentication::None => return None,
            Authentication::Basic { password, .. } => ("password_file", password),
            Authentication::Header { credentials, .. } => ("credentials_file", credentials),
        };
        match secret {
            Secret::File(path) => Some((key, path)),
            Secret::Value(_) => None,
        }
    }

    /// The secrets that are given as values, for the redactor: also those that the query of the URL may contain.
    #[must_use]
    pub fn secret_values(&self) -> Vec<SecretString> {
        let secret = match &self.authentication {
            Authentication::Basic {
                password: Secret::Value(value),
                ..
            }
            | Authentication::Header {
                credentials: Secret::Value(value),
                ..
            } => Some(value),
            _ => None,
        };
        let headers = self.headers.iter().map(|(_, value)| value);
        let given = secret.into_iter().chain(headers).cloned();
        given.chain(self.url.secrets()).collect()
    }

    /// The URL for logs and pages: without its query, which may contain secrets.
    #[must_use]
    pub fn shown_url(&self) -> String {
        self.url.shown()
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        let headers = |destination: &Self| -> Vec<(String, String)> {
            let headers = destination.headers.iter();
            headers
                .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
                .collect()
        };
        self.name == other.name
            && self.url == other.url
            && self.protocol == other.protocol
            && self.out_of_order_window == other.out_of_order_window
            && self.max_shards == other.max_shards
            && self.max_samples_per_second == other.max_samples_per_second
            && self.max_samples_per_send == other.max_samples_per_send
            && self.names == other.names
            && self.labels == other.labels
            && self.instance == other.instance
            && self.own_metrics == other.own_metrics
            && self.tenant == other.tenant
            && self.tenant_header == other.tenant_header
            && self.tls == other.tls
            && self.authentication == other.authentication
            && headers(self) == headers(other)
            && self.remote_timeout == other.remote_timeout
            && self.pair == other.pair
            && self.allow_insecure == other.allow_insecure
    }
}

impl Eq for Destination {}

/// Name and URL, without secrets.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "destination {}: url={}", self.name, self.shown_url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_texts_have_no_secret() {
        let url: Url = "http://127.0.0.1:1/write?key=needle".parse().unwrap();
        let mut destination = Destination::new("a", url);
        assert_eq!(destination.secret_values().len(), 2);
        let needle = || SecretString::from("needle");
        destination.headers = vec![("X-Key".to_owned(), needle())];
        destination.authentication = Authentication::Header {
            scheme: "Bearer".to_owned(),
            credentials: Secret::Value(needle()),
        };
        assert_eq!(
            destination.to_string(),
            "destination a: url=http://127.0.0.1:1/write"
        );
        assert!(!format!("{destination:?}").contains("needle"));
        assert_eq!(destination.secret_values().len(), 4);
    }
}

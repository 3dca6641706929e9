//! One entry of `REMOTE_WRITE_FILE`: checks the value of each key.

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use url::{Host, Url};

use super::destination::{Authentication, Destination, ProtocolChoice, Tenant, TlsConfig, Window};
use super::duration;
use super::secret_text::{is_header_value, is_username};
use super::section::{LONGEST, Section};
use crate::history::{InvalidLabel, NameFilter, check_label};

/// The keys of an entry.
pub(super) const KEYS: [&str; 21] = [
    "name",
    "url",
    "protocol",
    "out_of_order_window",
    "max_shards",
    "max_samples_per_second",
    "max_samples_per_send",
    "keep",
    "drop",
    "labels",
    "instance",
    "own_metrics",
    "tenant",
    "tenant_header",
    "tls_config",
    "basic_auth",
    "authorization",
    "headers",
    "remote_timeout",
    "pair",
    "allow_insecure",
];

pub(super) const TLS_KEYS: [&str; 4] = ["ca_file", "cert_file", "key_file", "server_name"];
pub(super) const BASIC_KEYS: [&str; 3] = ["username", "password", "password_file"];
pub(super) const AUTHORIZATION_KEYS: [&str; 3] = ["type", "credentials", "credentials_file"];

/// The keys that name files.
const FILE_KEYS: [(&str, &str); 5] = [
    ("tls_config", "ca_file"),
    ("tls_config", "cert_file"),
    ("tls_config", "key_file"),
    ("basic_auth", "password_file"),
    ("authorization", "credentials_file"),
];

const MOST_LABELS: usize = 20;
const LONGEST_LABEL: usize = 100;
const MOST_HEADERS: usize = 20;

/// Headers that the sender sets itself, or that would break requests. So do those that begin with `proxy-`.
const OWN_HEADERS: [&str; 14] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "retry-attempt",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-prometheus-remote-write-version",
];

impl Section<'_, '_> {
    /// The name; `None` if it is missing or not accepted.
    pub(super) fn name(&mut self) -> Option<Arc<str>> {
        if !self.is_given("name") {
            self.problems.add(self.line, "name is missing");
        }
        let accepted =
            "1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter or a digit";
        self.parsed("name", accepted, accepted_name)
    }

    /// Checks all keys of an entry but its name, so that all problems are reported together. `None` if there is no name or no URL.
    pub(super) fn destination(
        &mut self,
        name: Option<Arc<str>>,
        directory: &Path,
    ) -> Option<Destination> {
        if !self.is_given("url") {
            self.problems.add(self.line, "url is missing");
        }
        let url = self.url();
        // The other keys are checked even if there is no destination.
        let placeholder = || Url::parse("https://localhost/").ok();
        let mut destination = Destination::new(
            name.clone().unwrap_or_default(),
            url.clone().or_else(placeholder)?,
        );
        self.sending(&mut destination);
        self.selection(&mut destination);
        self.identity(&mut destination);
        self.access(&mut destination, directory);
        if url.is_some() {
            self.security(&destination);
        }
        (name.is_some() && url.is_some()).then_some(destination)
    }

    fn url(&mut self) -> Option<Url> {
        let text = self.text("url")?;
        let url = url(text.trim());
        if let Err(reason) = url {
            let what = format!(
                "url is not accepted ({reason}): give the URL of the receiver, such as https://prometheus.example/api/v1/write"
            );
            self.problem("url", what);
        }
        url.ok()
    }

    fn sending(&mut self, destination: &mut Destination) {
        let protocol = self.parsed("protocol", "auto, 1.0 or 2.0", |text| match text {
            "auto" => Some(ProtocolChoice::Auto),
            "1.0" => Some(ProtocolChoice::V1),
            "2.0" => Some(ProtocolChoice::V2),
            _ => None,
        });
        destination.protocol = protocol.unwrap_or(destination.protocol);
        let window = self.parsed(
            "out_of_order_window",
            "a duration such as 33h (what the receiver is set to), 0 or unlimited",
            window,
        );
        destination.out_of_order_window = window.unwrap_or(destination.out_of_order_window);
        if let Some(shards) = self.whole("max_shards", 1, 64) {
            destination.max_shards = u16::try_from(shards).unwrap_or(destination.max_shards);
        }
        if let Some(rate) = self.whole("max_samples_per_second", 0, 1_000_000_000) {
            destination.max_samples_per_second = rate;
        }
        if let Some(most) = self.whole("max_samples_per_send", 1, 100_000) {
            let most = u32::try_from(most).unwrap_or(destination.max_samples_per_send);
            destination.max_samples_per_send = most;
        }
        let timeout = self.parsed("remote_timeout", "a duration from 1s to 10m", |text| {
            let timeout = duration::parse(text)?;
            (1..=600).contains(&timeout.as_secs()).then_some(timeout)
        });
        destination.remote_timeout = timeout.unwrap_or(destination.remote_timeout);
        destination.pair = self.switch("pair").unwrap_or(false);
    }

    fn selection(&mut self, destination: &mut Destination) {
        let (keep, drop) = (self.expressions("keep"), self.expressions("drop"));
        destination.names = NameFilter::new(keep, drop);
        destination.own_metrics = self.switch("own_metrics").unwrap_or(true);
    }

    fn identity(&mut self, destination: &mut Destination) {
        let labels = &mut destination.labels;
        for (line, name, value) in self.texts("labels", MOST_LABELS) {
            match label(name) {
                Ok(()) if value.is_empty() => {
                    labels.remove(name);
                }
                Ok(()) => {
                    labels.insert(name.to_owned(), value.to_owned());
                }
                Err(reason) => self.problems.add(line, reason),
            }
        }
        destination.instance = self.parsed("instance", "a text", |text| {
            (!text.is_empty() && text.len() <= LONGEST).then(|| text.to_owned())
        });
        let tenant = self.parsed(
            "tenant",
            "account (each account has a tenant), or 1 to 150 printable ASCII characters without spaces",
            |text| match text {
                "account" => Some(Tenant::Account),
                _ => is_tenant(text).then(|| Tenant::Fixed(text.to_owned())),
            },
        );
        destination.tenant = tenant.unwrap_or_default();
        let accepted = "the name of an HTTP header that requests do not have anyway";
        let header = self.parsed("tenant_header", accepted, |text| {
            let is_accepted = is_header_name(text)
                && !is_own_header(text)
                && !text.eq_ignore_ascii_case("authorization");
            is_accepted.then(|| text.to_owned())
        });
        if let Some(header) = header {
            if !self.is_given("tenant") {
                let what =
                    "tenant_header has no effect without tenant: give tenant, or leave it out";
                self.problem("tenant_header", what);
            }
            destination.tenant_header = header;
        }
    }

    fn access(&mut self, destination: &mut Destination, directory: &Path) {
        destination.allow_insecure = self.switch("allow_insecure").unwrap_or(false);
        if self.is_given("basic_auth") && self.is_given("authorization") {
            let line = self
                .line_of("basic_auth")
                .max(self.line_of("authorization"));
            let what = "basic_auth and authorization are both given: leave one of them out";
            self.problems.add(line, what);
        }
        if let Some(mut part) = self.part("basic_auth", &BASIC_KEYS) {
            if !part.is_given("username") {
                part.problems.add(part.line, "username is missing");
            }
            let username = part.parsed("username", "a text without a colon", |text| {
                is_username(text).then(|| text.to_owned())
            });
            let password = part.secret("password", "password_file", directory);
            if let (Some(username), Some(password)) = (username, password) {
                destination.authentication = Authentication::Basic { username, password };
            }
        }
        if let Some(mut part) = self.part("authorization", &AUTHORIZATION_KEYS) {
            let accepted = "a scheme such as Bearer (for Basic, use basic_auth)";
            let scheme = part.parsed("type", accepted, |text| {
                let is_accepted = is_header_name(text) && !text.eq_ignore_ascii_case("basic");
                is_accepted.then(|| text.to_owned())
            });
            let is_scheme_accepted = scheme.is_some() || !part.is_given("type");
            let credentials = part.secret("credentials", "credentials_file", directory);
            if let (true, Some(credentials)) = (is_scheme_accepted, credentials) {
                let scheme = scheme.unwrap_or_else(|| "Bearer".to_owned());
                destination.authentication = Authentication::Header {
                    scheme,
                    credentials,
                };
            }
        }
        self.headers(destination);
        self.tls(destination, directory);
        destination.file_lines = self.lines_in_parts(&FILE_KEYS);
    }

    fn headers(&mut self, destination: &mut Destination) {
        for (line, name, value) in self.texts("headers", MOST_HEADERS) {
            let tenant = &destination.tenant_header;
            let has_tenant = destination.tenant != Tenant::None;
            let headers = &destination.headers;
            let reason = if !is_header_name(name) {
                "a name in headers is not that of an HTTP header"
            } else if name.eq_ignore_ascii_case("authorization") {
                "Authorization must not be in headers: use basic_auth or authorization"
            } else if is_own_header(name) {
                "a header in headers is set by the sender itself, or would break requests: leave it out"
            } else if has_tenant && name.eq_ignore_ascii_case(tenant) {
                "the header of the tenant is in headers, too: leave it out there"
            } else if headers
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
            {
                "a header is repeated in headers: leave one of them out"
            } else if !is_header_value(value) {
                "a value in headers is empty, or has other than printable ASCII characters"
            } else {
                let header = (name.to_owned(), SecretString::from(value));
                destination.headers.push(header);
                continue;
            };
            self.problems.add(line, reason);
        }
    }

    fn tls(&mut self, destination: &mut Destination, directory: &Path) {
        let Some(mut part) = self.part("tls_config", &TLS_KEYS) else {
            return;
        };
        let ca_file = part.path("ca_file", directory);
        let certificate = part.path("cert_file", directory);
        let key = part.path("key_file", directory);
        if part.is_given("cert_file") != part.is_given("key_file") {
            let what = "cert_file and key_file belong together: give both, or neither";
            part.problems.add(part.line, what);
        }
        let server_name = part.parsed("server_name", "the name of a host", |text| {
            let name = Host::parse(text).ok()?;
            (!text.is_empty()).then(|| name.to_string())
        });
        destination.tls = TlsConfig {
            ca_file,
            identity: certificate.zip(key),
            server_name,
        };
    }

    /// Checks that secrets do not leave the machine in plain text.
    fn security(&mut self, destination: &Destination) {
        if destination.url.scheme() == "https" {
            return;
        }
        if self.is_given("tls_config") {
            let what = "tls_config has no effect with plain http: use https, or leave it out";
            self.problem("tls_config", what);
        }
        let key = ["basic_auth", "authorization", "headers"]
            .into_iter()
            .find(|key| self.is_given(key));
        let secret = match key {
            None if destination.url.has_secret() => {
                Some("the query of url, which may have a secret,")
            }
            key => key,
        };
        if let Some(secret) = secret
            && !is_here(&destination.url)
            && !destination.allow_insecure
        {
            let what = format!(
                "with plain http, {secret} can be intercepted: use https, or set allow_insecure: true"
            );
            self.problem("url", what);
        }
    }
}

/// The name of a destination. It is strict, because it is used in labels and as a key of cursors.
pub(super) fn accepted_name(text: &str) -> Option<Arc<str>> {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    let is_accepted = text.len() <= 63
        && bytes.next().is_some_and(is_alphanumeric)
        && bytes.all(|byte| is_alphanumeric(byte) || b"_-".contains(&byte));
    is_accepted.then(|| text.into())
}

/// The URL of a receiver; the error is the reason.
pub(super) fn url(text: &str) -> Result<Url, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("it contains a control character");
    }
    let url = Url::parse(text).map_err(|_| "it is not an absolute URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its scheme is not http or https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it contains a user name or a password: use basic_auth");
    }
    if url.fragment().is_some() {
        return Err("it contains a fragment");
    }
    Ok(url)
}

/// Whether the host of a URL is this machine.
pub(super) fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A window: a duration or `unlimited`.
pub(super) fn window(text: &str) -> Option<Window> {
    match text {
        "unlimited" => Some(Window::Unlimited),
        _ => duration::parse(text).map(Window::Limited),
    }
}

/// Whether a text can be the value of the tenant's header.
pub(super) fn is_tenant(text: &str) -> bool {
    (1..=150).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a destination may have a label of this name; the error is the problem. Only names that the exporter has are shown.
fn label(name: &str) -> Result<(), String> {
    if name == "__replica__" {
        let what = "the label __replica__ makes receivers drop the samples of one instance: leave it out, and use pair: true";
        return Err(what.to_owned());
    }
    match check_label(name) {
        Ok(()) if name.len() <= LONGEST_LABEL => Ok(()),
        Err(InvalidLabel::Reserved) => {
            let instead = match name {
                "instance" => "use the key instance",
                _ => "use another name",
            };
            Err(format!(
                "the label {name} is one of the exporter's: {instead}"
            ))
        }
        _ => {
            let what = "a name in labels is not accepted: give 1 to 100 letters, digits and _, beginning with a letter or one _";
            Err(what.to_owned())
        }
    }
}

fn is_own_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    OWN_HEADERS.contains(&&*name) || name.starts_with("proxy-")
}

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=100).contains(&name.len()) && name.bytes().all(is_token)
}

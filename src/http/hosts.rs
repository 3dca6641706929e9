//! The host names under which the service answers. Protects against DNS rebinding, where a web page lets its own name resolve to the
//! service's address.

use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use super::probes;

/// The allowed names, or `None` if every host is allowed.
pub type OptionalHosts = Option<AllowedHosts>;

/// Names that are allowed in addition to addresses, `localhost` and the machine's own name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    names: Vec<String>,
    /// Domains whose subdomains are allowed.
    domains: Vec<String>,
}

impl AllowedHosts {
    /// Parses names separated by commas; `*.example.com` matches all subdomains.
    ///
    /// # Errors
    /// A name is invalid.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut allowed = Self::default();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let (names, name) = match entry.strip_prefix("*.") {
                Some(domain) => (&mut allowed.domains, domain),
                None => (&mut allowed.names, entry),
            };
            let is_of_a_name =
                |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
            if name.is_empty() || !name.chars().all(is_of_a_name) {
                return Err(
                    "(a host name contains only letters, digits, - and dots: no port, no URL)",
                );
            }
            names.push(normal(name));
        }
        match allowed == Self::default() {
            true => Err("(it contains no host name)"),
            false => Ok(allowed),
        }
    }

    /// Adds a name.
    #[must_use]
    pub fn and(mut self, name: &str) -> Self {
        if !name.is_empty() {
            self.names.push(normal(name));
        }
        self
    }

    /// Whether requests for this host (with or without a port) are allowed.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let name = normal(without_port(host));
        let is_below = |domain: &String| {
            let rest = name.strip_suffix(domain.as_str());
            rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        is_address(&name)
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.contains(&name)
            || self.domains.iter().any(is_below)
    }
}

/// Normalises a name: case and the trailing dot are ignored.
fn normal(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase()
}

fn without_port(host: &str) -> &str {
    let Some((name, port)) = host.rsplit_once(':') else {
        return host;
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    // An IPv6 address also contains colons; it is in brackets before a port.
    match is_port && (!name.contains(':') || name.ends_with(']')) {
        true => name,
        false => host,
    }
}

/// Whether a host is an address, which DNS rebinding cannot use.
fn is_address(name: &str) -> bool {
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    bare.unwrap_or(name).parse::<IpAddr>().is_ok()
}

/// The machine's own name; empty where the operating system gives none.
#[cfg(unix)]
#[must_use]
pub fn own_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// The machine's own name; empty where the operating system gives none.
#[cfg(not(unix))]
#[must_use]
pub fn own_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Refuses requests for hosts that are not allowed. Probes show states and reasons, but no secrets, and are answered under any name.
pub async fn check_host(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let hosts = request.app_data::<web::Data<OptionalHosts>>();
    let hosts = hosts.ok_or_else(|| ErrorInternalServerError("no list of hosts"))?;
    let is_probe = probes::PATHS.contains(&request.path());
    let is_allowed = match &***hosts {
        Some(allowed) if !is_probe => is_allowed(allowed, &request),
        _ => true,
    };
    if is_allowed {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let (request, _) = request.into_parts();
    let refusal = HttpResponse::build(StatusCode::MISDIRECTED_REQUEST)
        .content_type("text/plain; charset=utf-8")
        .body("This host name is not among ALLOWED_HOSTS.\n");
    Ok(ServiceResponse::new(request, refusal).map_into_right_body())
}

/// A browser always names the host, so a request without one is allowed.
fn is_allowed(allowed: &AllowedHosts, request: &ServiceRequest) -> bool {
    let mut named = request.headers().get_all(header::HOST);
    let is_header_allowed = named.all(|host| host.to_str().is_ok_and(|host| allowed.allows(host)));
    let target = request.uri().host();
    is_header_allowed && target.is_none_or(|host| allowed.allows(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_allowed_with_and_without_a_port() {
        let allowed = AllowedHosts::parse("Monitor.example.com, *.fleet.example,").unwrap();
        let allowed = allowed.and("vessel-7");
        for (host, expected) in [
            ("monitor.example.com", true),
            ("MONITOR.example.com.:9100", true),
            ("monitor.example.com:port", false),
            ("other.example.com", false),
            ("monitor.example.com.evil.example", false),
            ("a.fleet.example", true),
            ("a.b.fleet.example:443", true),
            ("fleet.example", false),
            (".fleet.example", false),
            ("evilfleet.example", false),
            ("vessel-7:9100", true),
            ("localhost:9100", true),
            ("x.localhost", true),
            ("localhost.evil.example", false),
            ("127.0.0.1", true),
            ("192.0.2.1:9100", true),
            ("[::1]:9100", true),
            ("[2001:db8::1]", true),
            ("192.0.2.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(allowed.allows(host), expected, "{host:?}");
        }
    }

    #[test]
    fn invalid_names_are_refused() {
        for text in [
            "", ",", "http://a", "a:9100", "*", "*.", "a b", "[::1]", "ä",
        ] {
            assert!(AllowedHosts::parse(text).is_err(), "{text:?}");
        }
    }
}

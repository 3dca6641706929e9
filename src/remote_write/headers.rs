//! The headers of requests, and what the headers of an answer say. Bodies are in the block format of snappy.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::destination::{Authentication, Destination, Tenant};

/// The headers in which a receiver of 2.0 says what it stored. One that is missing says 0; without any, 2.0 is not understood.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// The number of samples that were stored, from the names (in any case) and values of an answer's headers; `None` if it says nothing
/// about what was stored.
pub fn written<'h>(headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Option<u64> {
    let mut written = None;
    for (name, value) in headers {
        let Some(at) = WRITTEN.iter().position(|it| it.eq_ignore_ascii_case(name)) else {
            continue;
        };
        let samples = match at {
            0 => value.trim().parse().unwrap_or(0),
            _ => 0,
        };
        written = Some(written.unwrap_or(0).max(samples));
    }
    written
}

impl Authentication {
    /// The value of `Authorization`, with the current value of the secret; `None` if there are no credentials.
    #[must_use]
    pub fn header(&self, secret: &str) -> Option<SecretString> {
        let value = match self {
            Self::None => return None,
            Self::Basic { username, .. } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{secret}")))
            }
            Self::Header { scheme, .. } => format!("{scheme} {}", secret.trim()),
        };
        Some(value.into())
    }
}

impl Destination {
    /// The header of the tenant and its value, for a request with samples of an account with this tenant.
    #[must_use]
    pub fn tenant_of<'t>(&'t self, account: &'t str) -> Option<(&'t str, &'t str)> {
        let tenant = match &self.tenant {
            Tenant::None => return None,
            Tenant::Fixed(tenant) => tenant,
            Tenant::Account => account,
        };
        Some((&self.tenant_header, tenant))
    }

    /// Whether it takes the metrics of the process, which belong to no account.
    #[must_use]
    pub fn takes_process_metrics(&self) -> bool {
        self.own_metrics && self.tenant != Tenant::Account
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::destination::Secret;
    use super::*;

    #[test]
    fn any_of_the_headers_says_what_was_stored() {
        let samples = "X-Prometheus-Remote-Write-Samples-Written";
        let exemplars = "x-prometheus-remote-write-exemplars-written";
        for (headers, expected) in [
            (&[][..], None),
            (&[("Content-Length", "7")], None),
            (&[(samples, "7")], Some(7)),
            (&[(samples, " 7 "), (exemplars, "9")], Some(7)),
            (&[(exemplars, "9")], Some(0)),
            (&[(samples, "many")], Some(0)),
            (&[(samples, "-1")], Some(0)),
        ] {
            let found = written(headers.iter().copied());
            assert_eq!(found, expected, "{headers:?}");
        }
    }

    #[test]
    fn credentials_have_a_scheme() {
        let secret = || Secret::File("x".into());
        let basic = Authentication::Basic {
            username: "Aladdin".to_owned(),
            password: secret(),
        };
        let bearer = Authentication::Header {
            scheme: "Bearer".to_owned(),
            credentials: secret(),
        };
        // The example of RFC 7617, section 2.
        for (authentication, value, expected) in [
            (
                basic,
                "open sesame",
                Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ),
            (bearer, "token\n", Some("Bearer token")),
            (Authentication::None, "x", None),
        ] {
            let header = authentication.header(value);
            let header = header.as_ref().map(ExposeSecret::expose_secret);
            assert_eq!(header, expected);
        }
    }

    #[test]
    fn tenants_are_fixed_or_those_of_accounts() {
        for (tenant, header, takes_process_metrics) in [
            (Tenant::None, None, true),
            (Tenant::Fixed("fleet".to_owned()), Some("fleet"), true),
            (Tenant::Account, Some("north"), false),
        ] {
            let mut destination = Destination::new("a", "https://a.example/".parse().unwrap());
            destination.tenant = tenant;
            let expected = header.map(|header| ("X-Scope-OrgID", header));
            assert_eq!(destination.tenant_of("north"), expected);
            assert_eq!(destination.takes_process_metrics(), takes_process_metrics);
        }
    }
}

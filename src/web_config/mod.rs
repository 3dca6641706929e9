//! TLS, client certificates and passwords of the web server, configured by a file in the format of Prometheus's exporter-toolkit, which
//! is reloaded when it changes.

mod error;
mod failed_names;
mod file;
mod section;
mod tls;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::http::header::{HeaderName, HeaderValue};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use tracing::{info, warn};

use crate::files::{Change, FileError, FileReader, FileStates, WatchOptions, error_text, watch};
use crate::shares::{Client, Limits, Shares};
use crate::tasks::{Pool, Pulse};

use self::failed_names::FailedNames;
use self::file::{Fixed, Loaded};
use self::tls::{ClientAuth, Identity};
use self::users::{Known, Users, is_possible};

pub use self::error::WebConfigError;

/// Passwords are checked one at a time, because each check keeps a core busy. Up to 1,024 wait, up to eight of one client.
const CHECKS: Limits = Limits {
    units: 1,
    units_each: 1,
    waiting: 1024,
    waiting_each: 8,
};

/// Decides which requests are admitted, by the current web configuration.
#[derive(Debug)]
pub struct Gate {
    tls: Option<(Arc<Identity>, Arc<ServerConfig>)>,
    users: ArcSwap<Users>,
    fixed: Fixed,
    checks: Shares,
    failed_names: Arc<FailedNames>,
    /// The thread that checks passwords.
    pool: Pool,
}

/// The decision about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is admitted.
    Granted,
    /// Its credentials are missing or wrong.
    Refused,
    /// Too many requests wait for the check of a password.
    Busy,
}

impl Gate {
    /// Reads a web configuration, and all files that it names. Returns also the state of these files.
    ///
    /// # Errors
    /// The first problem.
    pub fn load(path: &Path) -> Result<(Self, FileStates), WebConfigError> {
        let mut reader = FileReader::default();
        let loaded = file::load(path, &mut reader)?;
        let wrong = |what: &str| WebConfigError::Wrong {
            path: path.to_owned(),
            line: 1,
            what: format!("client_ca_file: {what}"),
        };
        let no_thread = |error| WebConfigError::File {
            path: path.to_owned(),
            source: FileError::NoThread(error),
        };
        let tls = match (loaded.identity, &loaded.fixed.tls) {
            (Some(identity), Some((client_auth, min_version))) => {
                let identity = Arc::new(Identity::new(identity));
                let config = tls::server_config(Arc::clone(&identity), client_auth, *min_version);
                Some((identity, config.map_err(wrong)?))
            }
            _ => None,
        };
        let gate = Self {
            tls,
            users: ArcSwap::from_pointee(loaded.users),
            fixed: loaded.fixed,
            checks: Shares::new(CHECKS),
            failed_names: Arc::default(),
            pool: Pool::start("passwords", CHECKS.units).map_err(no_thread)?,
        };
        Ok((gate, reader.seen()))
    }

    /// The TLS configuration; `None` for plain HTTP.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref().map(|(_, config)| config)
    }

    /// Whether client certificates are required.
    #[must_use]
    pub fn demands_certificates(&self) -> bool {
        matches!(self.fixed.tls, Some((ClientAuth::Required(_), _)))
    }

    /// Whether clients are admitted without a password and without a certificate.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.users.load().is_empty() && !self.demands_certificates()
    }

    /// The headers that are added to every response.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fixed.headers
    }

    /// Decides about a client's request with this header Authorization. Passwords that have not matched before are checked one at a time
    /// on a separate thread. Clients take turns, and of one client, names whose last password was wrong come last.
    pub async fn admit(&self, client: Client, authorization: Option<&HeaderValue>) -> Admission {
        let users = self.users.load_full();
        if users.is_empty() {
            return Admission::Granted;
        }
        let credentials = authorization.and_then(credentials);
        let Some((name, password)) = credentials.filter(|(_, password)| is_possible(password))
        else {
            return Admission::Refused;
        };
        if users.recall(&name, &password) == Known::Good {
            return Admission::Granted;
        }
        let rank = self.failed_names.rank(&name);
        let Ok(turn) = self.checks.take(client, 1, rank).await else {
            return Admission::Busy;
        };
        let failed_names = Arc::clone(&self.failed_names);
        let verified = self.pool.run(move || {
            // Held until the check is done, even if the client has disconnected.
            let _held = turn;
            // An earlier request may have had the same password.
            let is_right =
                users.recall(&name, &password) == Known::Good || users.verify(&name, &password);
            failed_names.checked(&name, is_right);
            is_right
        });
        match verified.await {
            Ok(true) => Admission::Granted,
            Ok(false) | Err(_) => Admission::Refused,
        }
    }

    /// Warns of hashes with different costs. The first successful check of a cheap one is faster, which reveals that its user exists.
    pub fn warn_of_mixed_costs(&self, path: &Path) {
        if let Some((lowest, highest)) = self.users.load().mixed_costs() {
            let file = path.display();
            warn!(%file, lowest, highest, "password hashes have different bcrypt costs: each wrong password takes as long as the highest");
        }
    }

    /// Applies the changes that are possible while the service runs. Returns the others, which need a restart.
    fn apply(&self, path: &Path, loaded: Loaded) -> Vec<&'static str> {
        let mut rest = Vec::new();
        match (&self.tls, loaded.identity) {
            (Some((current, _)), Some(identity)) => current.replace(identity),
            (None, None) => {}
            _ => rest.push("whether TLS is used"),
        }
        if let (Some(before), Some(after)) = (&self.fixed.tls, &loaded.fixed.tls) {
            if before.0 != after.0 {
                rest.push("client_auth_type or client_ca_file");
            }
            if before.1 != after.1 {
                rest.push("min_version");
            }
        }
        if self.fixed.headers != loaded.fixed.headers {
            rest.push("headers");
        }
        let users = self.users.load();
        if loaded.users.is_empty() && !users.is_empty() {
            // A file that was emptied by mistake, or is just being saved, must not turn authentication off.
            rest.push("whether passwords are required");
        } else if !users.is_same(&loaded.users) {
            // Unchanged users are kept, with the passwords that have matched.
            self.users.store(Arc::new(loaded.users));
            self.warn_of_mixed_costs(path);
        }
        rest
    }
}

/// User name and password of a header (RFC 7617).
fn credentials(authorization: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = authorization.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut pair = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let password = pair.split_off(colon + 1);
    pair.pop();
    Some((String::from_utf8(pair).ok()?, password))
}

/// Reloads the web configuration, and the files that it names, when they change, without end.
pub async fn follow(path: PathBuf, gate: Arc<Gate>, watched: WatchOptions, pulse: Pulse) {
    let file = path.to_string_lossy().into_owned();
    let of = path.clone();
    let load = move |reader: &mut FileReader| file::load(&of, reader);
    watch(pulse, watched, load, error_text, |change| match change {
        Change::New(Err(error)) | Change::Same(Err(error)) => {
            warn!(%error, "cannot use the changed web configuration: the previous one stays in use");
        }
        Change::New(Ok(loaded)) => {
            let rest = gate.apply(&path, loaded);
            info!(%file, "web configuration reloaded: certificate, key and users");
            if !rest.is_empty() {
                let changed = rest.join(", ");
                warn!(%file, changed, "changes of the web configuration need a restart");
            }
        }
        Change::Same(Ok(_)) => info!(%file, "web configuration is unchanged"),
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_a_name_and_a_password() {
        let encoded = |pair: &[u8]| format!("Basic {}", BASE64_STANDARD.encode(pair));
        for (header, expected) in [
            (encoded(b"ann:apple"), Some(("ann", &b"apple"[..]))),
            (encoded(b"ann:a:b"), Some(("ann", b"a:b"))),
            (encoded(b"ann:"), Some(("ann", b""))),
            (encoded(b"ann:\xff"), Some(("ann", b"\xff"))),
            (encoded(b"\xff:x"), None),
            (encoded(b"ann"), None),
            (
                encoded(b"ann:apple")
                    .to_uppercase()
                    .replace("BASIC", "basic"),
                None,
            ),
            ("basic YTpi".to_owned(), Some(("a", b"b"))),
            ("Bearer YTpi".to_owned(), None),
            ("Basic".to_owned(), None),
            ("Basic ???".to_owned(), None),
        ] {
            let value = HeaderValue::from_str(&header).unwrap();
            let read = credentials(&value);
            let read = read
                .as_ref()
                .map(|(name, password)| (name.as_str(), password.as_slice()));
            assert_eq!(read, expected, "{header}");
        }
    }
}

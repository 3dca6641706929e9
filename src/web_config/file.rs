//! Parses the web configuration file, which has the format of Prometheus's exporter-toolkit.
//!
//! <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::http::header::{HeaderName, HeaderValue};
use rustls::sign::CertifiedKey;

use super::error::{Problem, WebConfigError};
use super::section::{Section, Text};
use super::tls::{self, ClientAuth, MinVersion, Mismatch};
use super::users::Users;
use crate::files;
use crate::text::yaml::{self, Node, Value};

/// The headers that may be set, and their accepted values (none: any value). These are those of exporter-toolkit.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// The content of the file and of the files that it names.
pub(super) struct Loaded {
    /// The server's certificate; `None` without TLS.
    pub(super) identity: Option<Arc<CertifiedKey>>,
    pub(super) users: Users,
    pub(super) fixed: Fixed,
}

/// The parts that cannot change while the service runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fixed {
    /// The parameters of TLS; `None` without TLS.
    pub(super) tls: Option<(ClientAuth, MinVersion)>,
    /// The headers that are added to every response.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Reads the file and the files that it names, whose paths are relative to its directory.
///
/// # Errors
/// The first problem, with its line.
pub(super) fn load(path: &Path, files: &mut files::FileReader) -> Result<Loaded, WebConfigError> {
    let bytes = files
        .read(path, files::SMALL)
        .map_err(|source| WebConfigError::File {
            path: path.to_owned(),
            source,
        })?;
    let reader = Reader {
        directory: path.parent().unwrap_or(Path::new("")),
        files,
    };
    reader
        .read(&bytes)
        .map_err(|Problem { line, what }| WebConfigError::Wrong {
            path: path.to_owned(),
            line,
            what,
        })
}

struct Reader<'p> {
    directory: &'p Path,
    files: &'p mut files::FileReader,
}

impl Reader<'_> {
    fn read(mut self, bytes: &[u8]) -> Result<Loaded, Problem> {
        let text = std::str::from_utf8(bytes).map_err(|error| Problem {
            line: 1 + newlines(&bytes[..error.valid_up_to()]),
            what: "this is not UTF-8".to_owned(),
        })?;
        let document = yaml::parse(text)?;
        if let Some((line, _)) = document.repeated.first() {
            return Err(Problem {
                line: *line,
                what: "duplicate key".to_owned(),
            });
        }
        let known = [
            "tls_server_config",
            "http_server_config",
            "basic_auth_users",
        ];
        let section = Section::of(&document.root, &known, &["rate_limit"])?;
        let headers = match section.get("http_server_config") {
            Some(node) => read_headers(node)?,
            None => Vec::new(),
        };
        let users = read_users(section.get("basic_auth_users"))?;
        let tls = match section.get("tls_server_config") {
            Some(node) => self.read_tls(node)?,
            None => None,
        };
        let (identity, tls) = match tls {
            Some((identity, client_auth, min_version)) => {
                (Some(identity), Some((client_auth, min_version)))
            }
            None => (None, None),
        };
        Ok(Loaded {
            identity,
            users,
            fixed: Fixed { tls, headers },
        })
    }

    /// `None` if the section is empty, as if it were missing.
    fn read_tls(
        &mut self,
        node: &Node,
    ) -> Result<Option<(Arc<CertifiedKey>, ClientAuth, MinVersion)>, Problem> {
        let known = [
            "cert_file",
            "key_file",
            "client_auth_type",
            "client_ca_file",
            "min_version",
        ];
        let elsewhere = [
            "cert",
            "key",
            "client_ca",
            "client_allowed_sans",
            "max_version",
            "cipher_suites",
            "prefer_server_cipher_suites",
            "curve_preferences",
        ];
        let section = Section::of(node, &known, &elsewhere)?;
        if section.entries.is_empty() {
            return Ok(None);
        }
        let certificate = section.required("cert_file")?;
        let key = section.required("key_file")?;
        let chain = self.file(&certificate)?;
        let key_bytes = self.file(&key)?;
        let identity =
            tls::certified_key(&chain, &key_bytes).map_err(|mismatch| match mismatch {
                Mismatch::Certificate(what) => certificate.problem(&format!("cert_file: {what}")),
                Mismatch::Key(what) => key.problem(&format!("key_file: {what}")),
            })?;
        let min_version = match section.text("min_version")? {
            None => MinVersion::Tls12,
            Some(entry) => match entry.text {
                "TLS12" => MinVersion::Tls12,
                "TLS13" => MinVersion::Tls13,
                "TLS10" | "TLS11" => {
                    let what = "min_version: this version is not safe and not supported: give TLS12 or TLS13";
                    return Err(entry.problem(what));
                }
                _ => return Err(entry.problem("min_version: give TLS12 or TLS13")),
            },
        };
        let client_auth = self.read_client_auth(&section)?;
        Ok(Some((identity, client_auth, min_version)))
    }

    fn read_client_auth(&mut self, section: &Section<'_>) -> Result<ClientAuth, Problem> {
        let kind = section.text("client_auth_type")?;
        let authorities = match section.text("client_ca_file")? {
            None => None,
            Some(entry) => {
                let text = self.file(&entry)?;
                let authorities = tls::authorities(&text)
                    .map_err(|what| entry.problem(&format!("client_ca_file: {what}")))?;
                Some((entry, authorities))
            }
        };
        let wrong = |what: &str| match &kind {
            Some(entry) => entry.problem(&format!("client_auth_type: {what}")),
            None => section.problem(what),
        };
        let needs = || {
            wrong("client_ca_file is required: the authorities that issue the client certificates")
        };
        let client_auth = match kind.as_ref().map(|entry| entry.text) {
            // RequestClientCert accepts any certificate or none, so it is the same as not requesting one.
            None | Some("NoClientCert" | "RequestClientCert") => match authorities {
                None => return Ok(ClientAuth::None),
                Some((entry, _)) => {
                    let what = "client_ca_file: without client_auth_type VerifyClientCertIfGiven or RequireAndVerifyClientCert no certificate is requested";
                    return Err(entry.problem(what));
                }
            },
            Some("VerifyClientCertIfGiven") => {
                ClientAuth::IfGiven(authorities.ok_or_else(needs)?.1)
            }
            Some("RequireAndVerifyClientCert") => {
                ClientAuth::Required(authorities.ok_or_else(needs)?.1)
            }
            Some("RequireAnyClientCert") => {
                let what = "any certificate would be accepted, even a self-signed one: give RequireAndVerifyClientCert";
                return Err(wrong(what));
            }
            Some(_) => {
                let what =
                    "give NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert";
                return Err(wrong(what));
            }
        };
        Ok(client_auth)
    }

    /// What a file holds that the configuration names.
    fn file(&mut self, entry: &Text<'_>) -> Result<Vec<u8>, Problem> {
        let path: PathBuf = self.directory.join(entry.text);
        self.files.read(&path, files::SMALL).map_err(|error| {
            let shown = path.display().to_string();
            entry.problem(&format!("{}: {} {error}", entry.key, shown.escape_debug()))
        })
    }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn read_users(node: Option<&Node>) -> Result<Users, Problem> {
    let none = Node {
        line: 1,
        value: Value::Null,
    };
    let node = node.unwrap_or(&none);
    let wrong = |line, what: &str| Problem {
        line,
        what: format!("basic_auth_users: {what}"),
    };
    let entries = match &node.value {
        Value::Null => &[],
        Value::Map(entries) => entries.as_slice(),
        _ => {
            return Err(wrong(
                node.line,
                "give user names, each with the bcrypt hash of its password",
            ));
        }
    };
    let mut pairs = Vec::new();
    for (name, hash) in entries {
        if name.contains(':') || name.is_empty() {
            return Err(wrong(
                hash.line,
                "a user name must not be empty or contain a colon",
            ));
        }
        let Value::Text(hash) = &hash.value else {
            return Err(wrong(hash.line, "a user has no bcrypt hash"));
        };
        pairs.push((name.clone(), hash.clone()));
    }
    Users::new(pairs).map_err(|bad| {
        let line = entries
            .get(bad.index)
            .map_or(node.line, |(_, hash)| hash.line);
        wrong(line, bad.what)
    })
}

fn read_headers(node: &Node) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    // The key http2 is accepted without effect, because HTTP/2 is not supported.
    let section = Section::of(node, &["headers", "http2"], &[])?;
    if let Some(entry) = section.text("http2")?
        && !["true", "false"].contains(&entry.text)
    {
        return Err(entry.problem("http2: give true or false"));
    }
    let Some(headers) = section.get("headers") else {
        return Ok(Vec::new());
    };
    let section = Section::of(headers, &HEADERS.map(|(name, _)| name), &[])?;
    let mut read = Vec::new();
    for (name, values) in HEADERS {
        let Some(entry) = section.text(name)? else {
            continue;
        };
        if !values.is_empty() && !values.contains(&entry.text) {
            return Err(entry.problem(&format!("{name}: give {}", values.join(" or "))));
        }
        match (
            HeaderName::try_from(name),
            HeaderValue::from_str(entry.text),
        ) {
            (Ok(name), Ok(value)) => read.push((name, value)),
            _ => {
                return Err(
                    entry.problem(&format!("{name}: the value must be one line of plain text"))
                );
            }
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.";

    fn read(text: &str) -> Result<Loaded, String> {
        let reader = Reader {
            directory: Path::new("/nowhere"),
            files: &mut files::FileReader::default(),
        };
        let problem = |Problem { line, what }| format!("{line}: {what}");
        reader.read(text.as_bytes()).map_err(problem)
    }

    #[test]
    fn an_empty_file_requires_no_authentication() {
        for text in [
            "",
            "tls_server_config:\n",
            "basic_auth_users: {}\nhttp_server_config:\n",
        ] {
            let loaded = read(text).unwrap();
            assert!(loaded.identity.is_none() && loaded.users.is_empty());
            assert_eq!(loaded.fixed, Fixed::default());
        }
    }

    #[test]
    fn users_and_headers_are_read() {
        let loaded = read(&format!(
            "basic_auth_users:\n  ann: {HASH}\nhttp_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n"
        ))
        .unwrap();
        assert!(!loaded.users.is_empty());
        let names: Vec<_> = loaded
            .fixed
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["strict-transport-security", "x-frame-options"]);
    }

    #[test]
    fn problems_have_their_line_and_no_hashes() {
        for (text, expected) in [
            (
                "\ntls_sever_config:\n",
                "2: unknown key tls_sever_config; use tls_server_config",
            ),
            (&format!("ann: {HASH}\n"), "1: unknown key ann"),
            (&format!("{HASH}: ann\n"), "1: an unknown key"),
            (
                &format!("basic_auth_users:\n  ann: {HASH}\n  ann: {HASH}\n"),
                "3: duplicate key",
            ),
            ("rate_limit: 1\n", "1: rate_limit is not supported"),
            ("tls_server_config: x\n", "1: expected keys"),
            (
                "tls_server_config:\n  cert_file: a\n",
                "1: key_file is missing",
            ),
            (
                "tls_server_config:\n  key_file: a\n",
                "1: cert_file is missing",
            ),
            (
                "tls_server_config:\n  max_version: TLS13\n",
                "2: max_version is not supported",
            ),
            (
                "tls_server_config:\n  cert_file: a.pem\n  key_file: b\n",
                "2: cert_file: /nowhere/a.pem cannot be read: No such file",
            ),
            (
                "tls_server_config:\n  cert_file: [a]\n",
                "2: cert_file: give one text",
            ),
            (
                &format!("basic_auth_users: {HASH}\n"),
                "1: basic_auth_users: give user names",
            ),
            (
                &format!("basic_auth_users:\n  - {HASH}\n"),
                "1: basic_auth_users: give user names",
            ),
            (
                "basic_auth_users:\n  ann: secret\n",
                "2: basic_auth_users: this is not a bcrypt hash",
            ),
            (
                "basic_auth_users:\n  ann:\n",
                "2: basic_auth_users: a user has no",
            ),
            (
                &format!("basic_auth_users:\n  'a:b': {HASH}\n"),
                "2: basic_auth_users: a user name",
            ),
            (
                "http_server_config:\n  headers:\n    X-Other: y\n",
                "3: unknown key X-Other",
            ),
            (
                "http_server_config:\n  headers:\n    X-Frame-Options: no\n",
                "3: X-Frame-Options: give deny",
            ),
            (
                "http_server_config:\n  headers:\n    X-XSS-Protection: \"a\\nb\"\n",
                "3: X-XSS-Protection: the value",
            ),
            (
                "http_server_config:\n  http2: x\n",
                "2: http2: give true or false",
            ),
            ("a: b: c\n", "1: "),
        ] {
            let problem = read(text).err().unwrap_or_default();
            assert!(problem.starts_with(expected), "{text}: {problem}");
            assert!(!problem.contains(HASH), "{problem}");
        }
    }
}

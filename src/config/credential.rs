//! A credential: a value in the settings, or a mounted file that may be replaced while the service runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tracing::{info, warn};

use crate::files::{Change, FileError, FileReader, FileStates, WatchOptions, watch};
use crate::tasks::Pulse;

/// The longest file of a credential, in bytes.
const LONGEST: u64 = 65_536;

/// A client ID or client secret. It always has a value, the last one that was read. Clones share it.
#[derive(Clone)]
pub struct Credential {
    value: Arc<ArcSwap<SecretString>>,
    file: Option<PathBuf>,
    /// The state of the file, if this credential follows it itself.
    seen: Option<FileStates>,
}

impl Credential {
    /// A constant credential.
    pub fn fixed(value: SecretString) -> Self {
        Self {
            value: Arc::new(ArcSwap::from_pointee(value)),
            file: None,
            seen: None,
        }
    }

    /// A credential from a file that the caller follows.
    pub(super) fn read_from(path: PathBuf, value: SecretString) -> Self {
        Self {
            file: Some(path),
            ..Self::fixed(value)
        }
    }

    /// Reads a credential from a file.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn from_file(path: PathBuf) -> Result<Self, CredentialError> {
        let mut reader = FileReader::default();
        let value = read(&path, &mut reader)?;
        Ok(Self {
            seen: Some(reader.seen()),
            ..Self::read_from(path, value)
        })
    }

    /// The last valid value.
    pub fn value(&self) -> Arc<SecretString> {
        self.value.load_full()
    }

    /// Identifies a service account, if this is a client ID: the value without white space around it. Two accounts with the same one
    /// would share one stream.
    #[must_use]
    pub fn identity(&self) -> String {
        self.value().expose_secret().trim().to_owned()
    }

    /// The file that holds it, if it is not fixed.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The state of the file when it was first read, if this credential follows it.
    pub fn seen(&self) -> Option<&FileStates> {
        self.seen.as_ref()
    }

    /// Reloads the value when its file changes, without end; a fixed one returns immediately. While the file has no valid credential, the
    /// last value stays in use.
    pub async fn follow(self, watched: WatchOptions, pulse: Pulse) {
        let Some(path) = self.file.clone() else {
            return;
        };
        let file = path.to_string_lossy().into_owned();
        let load = move |reader: &mut FileReader| read(&path, reader);
        let obstacle = |loaded: &Result<_, CredentialError>| {
            Some(format!("{file} {}", loaded.as_ref().err()?))
        };
        watch(pulse, watched, load, obstacle, |change| match change {
            Change::New(Ok(value)) => {
                self.value.store(Arc::new(value));
                info!(%file, "credential reloaded");
            }
            Change::Same(Ok(_)) => info!(%file, "credential is unchanged"),
            Change::New(Err(error)) | Change::Same(Err(error)) => {
                warn!(%file, %error, "cannot read a credential file: the last value stays in use");
            }
        })
        .await;
    }
}

/// Credentials are equal if their values and their files are.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        let (one, another) = (self.value(), other.value());
        one.expose_secret() == another.expose_secret() && self.file == other.file
    }
}

impl Eq for Credential {}

/// Shows the origin, not the value.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => write!(f, "(from file {})", path.to_string_lossy().escape_debug()),
            None => f.write_str("(set)"),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential{self}")
    }
}

/// Why a file has no valid credential. The texts are meant to follow the path.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file contains only white space.
    #[error("is empty")]
    Empty,
    /// The file is not valid UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
}

/// Reads the credential in a file, without the line ends that editors and `echo` append.
pub(super) fn read(path: &Path, reader: &mut FileReader) -> Result<SecretString, CredentialError> {
    let bytes = reader.read(path, LONGEST)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| CredentialError::NotText)?;
    parse(text).ok_or(CredentialError::Empty)
}

/// The credential in a text: everything except trailing line ends; `None` if that is only white space.
pub(super) fn parse(text: &str) -> Option<SecretString> {
    let text = text.trim_end_matches(['\n', '\r']);
    (!text.trim().is_empty()).then(|| SecretString::from(text))
}

/// Warnings about a credential that does not look like one of Starlink. They do not contain its value.
pub(super) fn doubts(credential: &SecretString) -> Vec<&'static str> {
    let text = credential.expose_secret();
    let trimmed = text.trim();
    let is_quoted = |quote| {
        let inner = trimmed.strip_prefix(quote);
        inner.is_some_and(|inner| inner.ends_with(quote))
    };
    let doubts = [
        (
            trimmed.len() < text.len(),
            "it begins or ends with white space, which is sent as a part of it: remove it if Starlink refuses the credentials",
        ),
        (
            is_quoted('\'') || is_quoted('"'),
            "it is in quotes, which are sent as a part of it: remove them if Starlink refuses the credentials",
        ),
        (
            trimmed.chars().any(char::is_control),
            "it contains a control character, such as a line break: credentials of Starlink have none",
        ),
        (
            !trimmed.is_ascii(),
            "it contains a character that is not ASCII: credentials of Starlink have none",
        ),
    ];
    let found = doubts.into_iter().filter(|(is_so, _)| *is_so);
    found.map(|(_, doubt)| doubt).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_trailing_line_ends_are_dropped() {
        for (text, expected) in [
            ("s3cret", Some("s3cret")),
            ("s3cret\n", Some("s3cret")),
            ("s3cret\r\n\n", Some("s3cret")),
            (" s3\ncret ", Some(" s3\ncret ")),
            ("", None),
            (" \n", None),
        ] {
            let credential = parse(text);
            assert_eq!(
                credential.as_ref().map(ExposeSecret::expose_secret),
                expected
            );
        }
    }

    #[test]
    fn files_without_a_valid_credential_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let long = vec![b'a'; 65_537];
        for (content, expected) in [
            (&b"first\n"[..], Ok("first")),
            (b"\xef\xbb\xbfsecond\r\n", Ok("second")),
            (b"\n", Err("is empty")),
            (b"\xef\xbb\xbf", Err("is empty")),
            (b"\xff\xfe", Err("is not UTF-8 text")),
            (&long, Err("is longer than 64 KiB")),
        ] {
            fs::write(&path, content).unwrap();
            let read = Credential::from_file(path.clone());
            let read = read.map(|read| read.value().expose_secret().to_owned());
            let read = read.map_err(|error| error.to_string());
            assert_eq!(read, expected.map(str::to_owned).map_err(str::to_owned));
        }
    }

    #[test]
    fn credentials_that_look_wrong_cause_warnings() {
        for (text, expected) in [
            ("0a1b-2c3d_4e5f!$#", &[][..]),
            ("it's", &[]),
            ("'", &[]),
            (" abc", &["white space"]),
            ("abc\t", &["white space"]),
            ("'abc'", &["in quotes"]),
            ("\"abc\" ", &["white space", "in quotes"]),
            ("'abc\"", &[]),
            ("abc\ndef", &["control character"]),
            ("abc\u{1b}", &["control character"]),
            ("geheimnis\u{e4}", &["not ASCII"]),
            ("abc\u{200b}def", &["not ASCII"]),
            ("\u{a0}abc", &["white space"]),
        ] {
            let doubts = doubts(&SecretString::from(text));
            assert_eq!(doubts.len(), expected.len(), "{text:?}: {doubts:?}");
            for (doubt, part) in doubts.iter().zip(expected) {
                assert!(doubt.contains(part) && !doubt.contains("abc"), "{doubt}");
            }
        }
    }

    #[test]
    fn a_fixed_value_needs_no_file() {
        let credential = Credential::fixed(SecretString::from("value"));
        assert_eq!(credential.value().expose_secret(), "value");
        assert_eq!(credential.file(), None);
    }

    #[test]
    fn debug_shows_no_value() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "needle").unwrap();
        let fixed = Credential::fixed(SecretString::from("needle"));
        assert_eq!(format!("{fixed:?}"), "Credential(set)");
        let from_file = Credential::from_file(path).unwrap();
        assert!(!format!("{from_file:?}").contains("needle"));
    }
}

//! A credential: a value in the settings, or a mounted file that may be replaced while the service runs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// A file longer than this, in bytes, holds no credential.
const LONGEST: u64 = 65_536;

/// Client ID or client secret. There always is a value: the one that was read last.
#[derive(Clone)]
pub struct Credential {
    value: SecretString,
    file: Option<PathBuf>,
}

impl Credential {
    /// A credential that never changes.
    pub fn fixed(value: SecretString) -> Self {
        Self { value, file: None }
    }

    /// A credential that a file holds.
    ///
    /// # Errors
    /// When the file gives no credential now.
    pub fn from_file(path: PathBuf) -> Result<Self, CredentialError> {
        Ok(Self {
            value: read(&path)?,
            file: Some(path),
        })
    }

    /// Reads the file again; to be called before each token request. A fixed value needs nothing.
    ///
    /// # Errors
    /// When the file gives no credential any more. The last good value stays: worth a WARN, no failure.
    pub fn refresh(&mut self) -> Result<(), CredentialError> {
        if let Some(path) = &self.file {
            self.value = read(path)?;
        }
        Ok(())
    }

    /// The last good value.
    pub fn value(&self) -> &SecretString {
        &self.value
    }

    /// The file that holds it, if it is not fixed.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => write!(f, "Credential(from file {path:?})"),
            None => f.write_str("Credential(set)"),
        }
    }
}

/// Why a file gives no credential; the texts continue the file's name.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file holds nothing but white space.
    #[error("is empty")]
    Empty,
    /// The file is longer than any credential.
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    /// The file holds bytes that are no text.
    #[error("is not UTF-8 text")]
    NotText,
}

/// The credential in a file, without the line ends that editors and `echo` put after it.
fn read(path: &Path) -> Result<SecretString, CredentialError> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        return Err(CredentialError::TooLong);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| CredentialError::NotText)?;
    parse(text).ok_or(CredentialError::Empty)
}

/// The credential in a text: all of it but trailing line ends; none in mere white space.
pub(super) fn parse(text: &str) -> Option<SecretString> {
    let text = text.trim_end_matches(['\n', '\r']);
    (!text.trim().is_empty()).then(|| SecretString::from(text))
}

/// What makes a credential look as if it were not what Starlink has issued; nothing of its value.
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
            "it holds a control character, such as a line end: credentials of Starlink have none",
        ),
        (
            !trimmed.is_ascii(),
            "it holds a character that is not ASCII: credentials of Starlink have none",
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
    fn a_file_is_read_again_and_its_last_good_value_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "first\n").unwrap();
        let mut credential = Credential::from_file(path.clone()).unwrap();
        assert_eq!(credential.value().expose_secret(), "first");

        fs::write(&path, "second").unwrap();
        credential.refresh().unwrap();
        assert_eq!(credential.value().expose_secret(), "second");

        let long = vec![b'a'; 65_537];
        for (content, expected) in [
            (&b"\n"[..], "is empty"),
            (b"\xff\xfe", "is not UTF-8 text"),
            (&long, "is longer than 65536 bytes"),
        ] {
            fs::write(&path, content).unwrap();
            let error = credential.refresh().unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(credential.value().expose_secret(), "second");
        }

        fs::remove_file(&path).unwrap();
        let error = credential.refresh().unwrap_err();
        assert!(matches!(error, CredentialError::Unreadable(_)));
        assert_eq!(credential.value().expose_secret(), "second");

        fs::write(&path, "third").unwrap();
        credential.refresh().unwrap();
        assert_eq!(credential.value().expose_secret(), "third");
    }

    #[test]
    fn a_credential_that_looks_wrong_is_doubted() {
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
        let mut credential = Credential::fixed(SecretString::from("value"));
        credential.refresh().unwrap();
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

//! What can be wrong with the settings: every message one line, none with a secret in it.

use std::path::PathBuf;
use std::str::Utf8Error;

use thiserror::Error;

use super::accounts::AccountsFileError;
use super::credential::CredentialError;
use crate::files::FileError;
use crate::names::NamesError;
use crate::outgoing::AuthoritiesError;
use crate::state_file::Unsuitable;
use crate::web_config::WebConfigError;

/// All that is wrong with the settings; `Display` gives one line for each problem.
#[derive(Debug, Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors {
    pub(super) problems: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
}

impl ConfigErrors {
    /// The problems, in the order of the settings; never none.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.problems.iter()
    }

    /// What is doubtful beside that.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// A setting that is accepted and probably not meant so. Its texts are fit to be shown: escaped, cut, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{setting}: {advice}")]
pub struct Warning {
    /// The variable, or where it stands.
    pub setting: String,
    /// What is doubtful about it, and what to do.
    pub advice: String,
}

/// One thing that is wrong. Its texts are fit to be shown: escaped, cut, without secrets.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A required setting is not set anywhere.
    #[error("{name} is not set: give {accepted}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What may be given.
        accepted: String,
    },
    /// A value is outside what its setting takes.
    #[error("{setting} is not accepted{reason}: give {accepted}")]
    Invalid {
        /// Variable, value (hidden where it is secret) and origin.
        setting: String,
        /// Why, where more than `accepted` can be said; else empty.
        reason: String,
        /// What may be given.
        accepted: String,
    },
    /// A credential is given twice.
    #[error(
        "{name} ({origin}) and {file_name} ({file_origin}) are both set: leave one of them empty"
    )]
    Conflict {
        /// The variable that holds the credential.
        name: &'static str,
        /// Where it is set.
        origin: String,
        /// The variable that names a file.
        file_name: &'static str,
        /// Where that is set.
        file_origin: String,
    },
    /// There are two descriptions of accounts.
    #[error(
        "ACCOUNTS_FILE ({origin}) and {also_set} are both set: describe the account in the file, or leave ACCOUNTS_FILE empty"
    )]
    AccountsTwice {
        /// Where `ACCOUNTS_FILE` is set.
        origin: String,
        /// The variables of the account that are set, and where.
        also_set: String,
    },
    /// The file of accounts cannot be used.
    #[error("ACCOUNTS_FILE: {source}")]
    Accounts {
        /// What is wrong with it, and where.
        source: AccountsFileError,
    },
    /// The file of a credential gives none.
    #[error("{setting} {source}: give {accepted}")]
    CredentialFile {
        /// Variable, path and origin.
        setting: String,
        /// What is wrong with the file.
        source: CredentialError,
        /// What may be given.
        accepted: String,
    },
    /// The web configuration cannot be used.
    #[error("WEB_CONFIG_FILE: {source}")]
    WebConfig {
        /// What is wrong with it, and where.
        source: WebConfigError,
    },
    /// The file of names cannot be used.
    #[error("NAMES_FILE: {source}")]
    Names {
        /// What is wrong with it, and where.
        source: NamesError,
    },
    /// The certificate authorities cannot be used.
    #[error("API_CA_FILE: {} {source}", .path.display().to_string().escape_debug())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: AuthoritiesError,
    },
    /// The state cannot be kept there.
    #[error("STATE_FILE: {} {source}", .path.display().to_string().escape_debug())]
    StateFile {
        /// Where it was to be kept.
        path: PathBuf,
        /// Why it cannot be.
        source: Unsuitable,
    },
    /// No probe could get in.
    #[error(
        "PROBES_PORT is not set, and WEB_CONFIG_FILE requires client certificates, which probes do not have: give {accepted}"
    )]
    ProbesShutOut {
        /// What may be given.
        accepted: String,
    },
    /// A source of settings cannot be read.
    #[error("{file} {source}; correct the path or the permissions")]
    Unreadable {
        /// The file, and where it is named.
        file: String,
        /// Why.
        source: FileError,
    },
    /// A source of settings cannot be understood.
    #[error("{file} is not understood{place}: give {accepted}")]
    Syntax {
        /// The file, and where it is named.
        file: String,
        /// The line, where it is known; else empty.
        place: String,
        /// What may be given.
        accepted: &'static str,
    },
    /// `.env` would make something else of a secret.
    #[error("{file} (line {line}): {name} contains {hazard}: put its value in single quotes")]
    Unquoted {
        /// The file.
        file: String,
        /// The line, from 1 on.
        line: usize,
        /// The variable.
        name: String,
        /// What is in it, and what that would mean.
        hazard: &'static str,
    },
    /// The configuration file contains YAML that is not supported.
    #[error("{file} line {line}: {what}")]
    Yaml {
        /// The file, and where it is named.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is not supported.
        what: &'static str,
    },
    /// The configuration file holds a key that is no setting.
    #[error("{file}: unknown setting {key}; {advice}")]
    UnknownKey {
        /// The file, and where it is named.
        file: String,
        /// The key, quoted.
        key: String,
        /// What to do.
        advice: String,
    },
    /// The layers could not be merged.
    #[error("the settings cannot be merged: {source}")]
    Merge {
        /// What the library says; no layer fails, so that it has nothing to quote.
        source: config::ConfigError,
    },
}

/// That a file holds bytes that are no text, and on which line the first of them stands.
pub(super) fn not_text(file: String, bytes: &[u8], error: Utf8Error) -> ConfigError {
    let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    ConfigError::Syntax {
        file,
        place: format!(" (line {line})"),
        accepted: "text in UTF-8",
    }
}

/// A text from outside, fit for one line of a message: quoted, escaped and cut to 100 characters.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_short_line() {
        for (text, expected) in [
            ("9100", r#""9100""#.to_owned()),
            ("a\nb\u{1b}[0m", r#""a\nb\u{1b}[0m""#.to_owned()),
            (&"é".repeat(100), format!("\"{}\"", "é".repeat(100))),
            (&"é".repeat(101), format!("\"{}\"…", "é".repeat(100))),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}

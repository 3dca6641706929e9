//! Errors of the settings. Each message is one line and contains no secret.

use std::path::PathBuf;
use std::str::Utf8Error;

use thiserror::Error;

use super::accounts_error::AccountsFileError;
use super::credential::CredentialError;
use super::recording::DestinationFileError;
use crate::files::FileError;
use crate::journal::DirectoryError;
use crate::names::NamesError;
use crate::outgoing::AuthoritiesError;
use crate::state_file::Unsuitable;
use crate::web_config::WebConfigError;

/// All errors of the settings; `Display` gives one line for each.
#[derive(Debug, Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors {
    pub(super) problems: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
}

impl ConfigErrors {
    /// The errors, in the order of the settings; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.problems.iter()
    }

    /// The warnings.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// A warning: the setting is accepted, but probably a mistake. Its texts can be shown: they are escaped, cut, and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{setting}: {advice}")]
pub struct Warning {
    /// The variable, or its origin.
    pub setting: String,
    /// The problem and the remedy.
    pub advice: String,
}

/// An error. Its texts can be shown: they are escaped, cut, and without secrets.
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
    /// A value is not accepted.
    #[error("{setting} is not accepted{reason}: give {accepted}")]
    Invalid {
        /// Variable, value (hidden if it is secret) and origin.
        setting: String,
        /// The reason, if it says more than `accepted`; else empty.
        reason: String,
        /// What may be given.
        accepted: String,
    },
    /// A credential is set both directly and by a file.
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
        /// The origin of that variable.
        file_origin: String,
    },
    /// Both `ACCOUNTS_FILE` and the variables of an account are set.
    #[error(
        "ACCOUNTS_FILE ({origin}) and {also_set} are both set: describe the account in the file, or leave ACCOUNTS_FILE empty"
    )]
    AccountsTwice {
        /// The origin of `ACCOUNTS_FILE`.
        origin: String,
        /// The variables of the account that are set, with their origins.
        also_set: String,
    },
    /// The accounts file cannot be used.
    #[error("ACCOUNTS_FILE: {source}")]
    Accounts {
        /// What is wrong with it, and where.
        source: AccountsFileError,
    },
    /// The file of a credential cannot be used.
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
    /// The names file cannot be used.
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
    /// The path cannot be used as state file.
    #[error("STATE_FILE: {} {source}", .path.display().to_string().escape_debug())]
    StateFile {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: Unsuitable,
    },
    /// Probes could not connect, because client certificates are required.
    #[error(
        "PROBES_PORT is not set, and WEB_CONFIG_FILE requires client certificates, which probes do not have: give {accepted}"
    )]
    ProbesShutOut {
        /// What may be given.
        accepted: String,
    },
    /// Destinations of remote write are configured, but no directory for the journal.
    #[error(
        "JOURNAL_DIR is not set, and {named} needs it to keep rows until they are sent: give {accepted}"
    )]
    NoJournal {
        /// The setting with the destinations.
        named: &'static str,
        /// What may be given.
        accepted: String,
    },
    /// The directory cannot be used for the journal.
    #[error("JOURNAL_DIR: {source}")]
    Journal {
        /// The directory, and what is wrong with it.
        source: DirectoryError,
    },
    /// The directory of the journal cannot be inspected.
    #[error("JOURNAL_DIR: {} {source}", .path.display().to_string().escape_debug())]
    JournalFile {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// Both `REMOTE_WRITE_FILE` and the variables of a destination are set.
    #[error(
        "REMOTE_WRITE_FILE ({origin}) and {also_set} are both set: describe the destination in the file, or leave REMOTE_WRITE_FILE empty"
    )]
    DestinationsTwice {
        /// The origin of `REMOTE_WRITE_FILE`.
        origin: String,
        /// The variables of the destination that are set, with their origins.
        also_set: String,
    },
    /// Variables of a destination are set without its URL.
    #[error("REMOTE_WRITE_URL is not set, without which {also_set} has no effect: give {accepted}")]
    NoUrl {
        /// The variables that are set, with their origins.
        also_set: String,
        /// What may be given.
        accepted: String,
    },
    /// The variables of a destination do not fit together.
    #[error("{what}")]
    Destination {
        /// The variables, and what to change.
        what: &'static str,
    },
    /// The destinations cannot be used.
    #[error("{setting}: {source}")]
    Destinations {
        /// The setting with the destinations.
        setting: &'static str,
        /// What is wrong, and where.
        source: DestinationFileError,
    },
    /// A source of settings cannot be read.
    #[error("{file} {source}; correct the path or the permissions")]
    Unreadable {
        /// The file, and where it is named.
        file: String,
        /// Why.
        source: FileError,
    },
    /// A source of settings has a syntax error.
    #[error("{file} is not understood{place}: give {accepted}")]
    Syntax {
        /// The file, and where it is named.
        file: String,
        /// The line if it is known, else empty.
        place: String,
        /// What may be given.
        accepted: &'static str,
    },
    /// dotenvy would change a secret in `.env`.
    #[error("{file} (line {line}): {name} contains {hazard}: put its value in single quotes")]
    Unquoted {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The variable.
        name: String,
        /// The character, and its meaning for dotenvy.
        hazard: &'static str,
    },
    /// The configuration file contains YAML that is not supported.
    #[error("{file} line {line}: {what}")]
    Yaml {
        /// The file, and where it is named.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The unsupported construct.
        what: &'static str,
    },
    /// The configuration file contains a key that is not a setting.
    #[error("{file}: unknown setting {key}; {advice}")]
    UnknownKey {
        /// The file, and where it is named.
        file: String,
        /// The key, quoted.
        key: String,
        /// The remedy.
        advice: String,
    },
    /// The layers could not be merged.
    #[error("the settings cannot be merged: {source}")]
    Merge {
        /// The error of the library. It quotes no value, because layers that are read already do not fail.
        source: config::ConfigError,
    },
}

/// The error for a file that is not valid UTF-8, with the line of the first invalid byte.
pub(super) fn not_text(file: String, bytes: &[u8], error: Utf8Error) -> ConfigError {
    let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    ConfigError::Syntax {
        file,
        place: format!(" (line {line})"),
        accepted: "text in UTF-8",
    }
}

/// Formats a text from outside for a message: quoted, escaped and cut to 100 characters.
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

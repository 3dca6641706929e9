//! Errors of a web configuration. No message quotes the file, because it contains password hashes.

use std::path::PathBuf;

use thiserror::Error;

use crate::files::FileError;
use crate::text::yaml;

/// A problem of the file, and its line from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) what: String,
}

impl From<yaml::Problem> for Problem {
    fn from(yaml::Problem { line, what }: yaml::Problem) -> Self {
        Self {
            line,
            what: what.to_owned(),
        }
    }
}

/// Why a web configuration cannot be used.
#[derive(Debug, Error)]
pub enum WebConfigError {
    /// The file cannot be read.
    #[error("{} {source}", .path.display().to_string().escape_debug())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// Its content is not accepted.
    #[error("{} line {line}: {what}", .path.display().to_string().escape_debug())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The problem, and the accepted values.
        what: String,
    },
}

//! Errors of the destinations of remote write. No message quotes a value, because the files contain secrets.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::files::FileError;
use crate::outgoing::TlsFilesError;
use crate::remote_write::{DestinationsError, SecretError};

/// A problem of `REMOTE_WRITE_FILE`, or of a file that a destination names.
#[derive(Debug, Error)]
pub enum DestinationFileError {
    /// The file of destinations cannot be read.
    #[error("{} {source}; correct the path or the permissions", .path.display().to_string().escape_debug())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// The content of the file of destinations is not accepted.
    #[error("{} {source}", .path.display().to_string().escape_debug())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        source: DestinationsError,
    },
    /// A file that a destination names cannot be used.
    #[error("{place}destination {destination}: {source}")]
    Named {
        /// Where it is named.
        place: Place,
        /// The name of the destination.
        destination: Arc<str>,
        /// What is wrong with it.
        source: Box<NamedFileError>,
    },
}

/// A line of `REMOTE_WRITE_FILE`; `None` for a variable, whose name is in the error. The text is meant to precede others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub(super) Option<(PathBuf, usize)>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((path, line)) => {
                let path = path.display().to_string();
                write!(f, "{} line {line}: ", path.escape_debug())
            }
            None => Ok(()),
        }
    }
}

/// Why a file that a destination names cannot be used. The texts begin with the key, or the variable, and the path.
#[derive(Debug, Error)]
pub enum NamedFileError {
    /// The file of a secret cannot be read.
    #[error("{key} {path:?} {source}")]
    File {
        /// The key or the variable.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// The file of a secret has no usable one.
    #[error("{key} {path:?} {source}")]
    Secret {
        /// The key or the variable.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: SecretError,
    },
    /// A certificate or a key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
}

/// All problems; at least one.
#[derive(Debug, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct DestinationFileErrors(pub(super) Vec<DestinationFileError>);

impl IntoIterator for DestinationFileErrors {
    type Item = DestinationFileError;
    type IntoIter = std::vec::IntoIter<DestinationFileError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

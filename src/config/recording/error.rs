//! Errors of the destinations of remote write. No message quotes a value, because the files contain secrets.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::config::credential::CredentialError;
use crate::files::FileError;
use crate::remote_write::DestinationsError;

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
    #[error("destination {destination}: {} {source}", .path.display().to_string().escape_debug())]
    Named {
        /// The name of the destination.
        destination: Arc<str>,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NamedFileError,
    },
}

/// Why a file that a destination names cannot be used. The texts are meant to follow the path.
#[derive(Debug, Error)]
pub enum NamedFileError {
    /// It has no credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The credential cannot be the value of a header.
    #[error("has characters that are not printable ASCII")]
    NotPrintable,
    /// It is a certificate or a key that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
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

//! Loads destinations, and checks the files that they name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::error::{DestinationFileError, DestinationFileErrors, NamedFileError};
use crate::config::credential;
use crate::files::{FileReader, FileStates, SMALL};
use crate::remote_write::{Authentication, Destination, parse};

/// A destination, and the state of the files that it names. Two are equal if the settings and the contents of the files are.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The settings.
    pub destination: Arc<Destination>,
    /// The states of its files.
    files: FileStates,
    /// Its secrets, also those in files.
    pub(super) secrets: Vec<SecretString>,
}

impl PartialEq for Configured {
    fn eq(&self, other: &Self) -> bool {
        self.destination == other.destination && self.files.is_same_content(&other.files)
    }
}

impl Eq for Configured {}

/// Reads the file of destinations, and the files that these name.
pub(super) fn load_file(
    path: &Path,
    reader: &mut FileReader,
) -> Result<Vec<Configured>, DestinationFileErrors> {
    let bytes = reader.read(path, SMALL).map_err(|source| {
        let path = path.to_owned();
        DestinationFileErrors(vec![DestinationFileError::Unreadable { path, source }])
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let destinations = parse(&bytes, directory).map_err(|errors| {
        let of = |source: &crate::remote_write::DestinationsError| DestinationFileError::Content {
            path: path.to_owned(),
            source: source.clone(),
        };
        DestinationFileErrors(errors.iter().map(of).collect())
    })?;
    check_all(destinations, reader)
}

/// Reads the files that destinations name.
pub(super) fn check_all(
    destinations: Vec<Destination>,
    reader: &mut FileReader,
) -> Result<Vec<Configured>, DestinationFileErrors> {
    let mut problems = Vec::new();
    let configured = destinations.into_iter().map(|destination| {
        let mark = reader.mark();
        let mut secrets: Vec<_> = destination.secret_values().cloned().collect();
        for path in destination.secret_files() {
            match secret(&destination, path, reader) {
                Ok(secret) => secrets.push(secret),
                Err(source) => problems.push(named(&destination, path, source)),
            }
        }
        for path in tls_files(&destination) {
            if let Err(source) = reader.read(path, SMALL) {
                problems.push(named(&destination, path, source.into()));
            }
        }
        Configured {
            destination: Arc::new(destination),
            files: reader.seen_since(mark),
            secrets,
        }
    });
    let configured = configured.collect();
    match problems.is_empty() {
        true => Ok(configured),
        false => Err(DestinationFileErrors(problems)),
    }
}

/// The secret in a file.
fn secret(
    destination: &Destination,
    path: &Path,
    reader: &mut FileReader,
) -> Result<SecretString, NamedFileError> {
    let secret = credential::read(path, reader)?;
    // A password is encoded, so it may have any characters.
    let is_header = matches!(destination.authentication, Authentication::Header { .. });
    let is_printable = |secret: &str| secret.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match is_header && !is_printable(secret.expose_secret()) {
        true => Err(NamedFileError::NotPrintable),
        false => Ok(secret),
    }
}

/// The certificates and keys that a destination names.
fn tls_files(destination: &Destination) -> impl Iterator<Item = &PathBuf> {
    let identity = destination.tls.identity.iter();
    let identity = identity.flat_map(|(certificate, key)| [certificate, key]);
    destination.tls.ca_file.iter().chain(identity)
}

fn named(destination: &Destination, path: &Path, source: NamedFileError) -> DestinationFileError {
    DestinationFileError::Named {
        destination: Arc::clone(&destination.name),
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
impl From<Destination> for Configured {
    /// A destination that names no files.
    fn from(destination: Destination) -> Self {
        Self {
            destination: Arc::new(destination),
            files: FileStates::default(),
            secrets: Vec::new(),
        }
    }
}

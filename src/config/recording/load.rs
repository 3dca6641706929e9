//! Loads destinations, and checks the files that they name.

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use super::super::table;
use super::error::{DestinationFileError, DestinationFileErrors, NamedFileError, Place};
use crate::files::{FileReader, SMALL};
use crate::outgoing::TlsFiles;
use crate::remote_write::{Destination, LARGEST_SECRET, parse};

/// A destination with its secrets. Two are equal if the settings are: a sender reads files that change by itself.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The settings.
    pub destination: Arc<Destination>,
    /// Its secrets, also those in files.
    pub(super) secrets: Vec<SecretString>,
}

impl PartialEq for Configured {
    fn eq(&self, other: &Self) -> bool {
        self.destination == other.destination
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
    check_all(destinations, Some(path), reader)
}

/// Reads the files that destinations of `file` name, or that variables do.
pub(super) fn check_all(
    destinations: Vec<Destination>,
    file: Option<&Path>,
    reader: &mut FileReader,
) -> Result<Vec<Configured>, DestinationFileErrors> {
    let mut problems = Vec::new();
    let configured = destinations.into_iter().map(|destination| {
        let mut secrets = destination.secret_values();
        match secret_in_file(&destination, file, reader) {
            Ok(secret) => secrets.extend(secret),
            Err((key, source)) => problems.push(named(&destination, file, Some(key), source)),
        }
        for error in tls_files(&destination).check(reader) {
            problems.push(named(&destination, file, error.key(), error.into()));
        }
        Configured {
            destination: Arc::new(destination),
            secrets,
        }
    });
    let configured = configured.collect();
    match problems.is_empty() {
        true => Ok(configured),
        false => Err(DestinationFileErrors(problems)),
    }
}

/// The secret in a file, if the destination names one; or what is wrong with the file of this key.
fn secret_in_file(
    destination: &Destination,
    file: Option<&Path>,
    reader: &mut FileReader,
) -> Result<Option<SecretString>, (&'static str, NamedFileError)> {
    let Some((key, path)) = destination.secret_file() else {
        return Ok(None);
    };
    let named_by = match (file, key) {
        (Some(_), _) => key,
        (None, "password_file") => table::REMOTE_WRITE_PASSWORD_FILE.name,
        (None, _) => table::REMOTE_WRITE_BEARER_TOKEN_FILE.name,
    };
    let path_of = || path.to_owned();
    let content = reader.read(path, LARGEST_SECRET).map_err(|source| {
        let (key, path) = (named_by, path_of());
        NamedFileError::File { key, path, source }
    });
    let secret = content.and_then(|content| {
        let secret = destination.authentication.secret_in(&content);
        secret.map_err(|source| {
            let (key, path) = (named_by, path_of());
            NamedFileError::Secret { key, path, source }
        })
    });
    secret.map(Some).map_err(|source| (key, source))
}

/// The certificates and the key that a destination names.
fn tls_files(destination: &Destination) -> TlsFiles<'_> {
    let tls = &destination.tls;
    let identity = tls.identity.as_ref();
    TlsFiles {
        ca_file: tls.ca_file.as_deref(),
        identity: identity.map(|(certificate, key)| (certificate.as_path(), key.as_path())),
    }
}

fn named(
    destination: &Destination,
    file: Option<&Path>,
    key: Option<&'static str>,
    source: NamedFileError,
) -> DestinationFileError {
    let mut lines = destination.file_lines.iter();
    let line = lines.find(|(known, _)| Some(*known) == key);
    let place = file
        .zip(line)
        .map(|(path, (_, line))| (path.to_owned(), *line));
    DestinationFileError::Named {
        place: Place(place),
        destination: Arc::clone(&destination.name),
        source: Box::new(source),
    }
}

#[cfg(test)]
impl From<Destination> for Configured {
    /// A destination that names no files.
    fn from(destination: Destination) -> Self {
        Self {
            destination: Arc::new(destination),
            secrets: Vec::new(),
        }
    }
}

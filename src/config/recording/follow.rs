//! Reads destinations again when their files change.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::doubts_of;
use super::error::DestinationFileErrors;
use super::load::{Configured, check_all, load_file};
use crate::files::{Change, FileReader, FileStates, WatchOptions, error_text, watch};
use crate::redaction::Redactor;
use crate::remote_write::Destination;
use crate::tasks::Pulse;

/// The files that destinations come from.
#[derive(Debug, Clone)]
pub struct DestinationFiles {
    source: Source,
    seen: FileStates,
}

/// What describes the destinations.
#[derive(Debug, Clone)]
enum Source {
    /// `REMOTE_WRITE_FILE`.
    File(PathBuf),
    /// The variables. Only the files that they name can change.
    Variables(Box<Destination>),
}

impl DestinationFiles {
    /// `REMOTE_WRITE_FILE`, not read yet.
    pub(super) fn of_file(path: PathBuf) -> Self {
        Self {
            source: Source::File(path),
            seen: FileStates::default(),
        }
    }

    /// The destination of the variables, whose files are not read yet.
    pub(super) fn of_variables(destination: Destination) -> Self {
        Self {
            source: Source::Variables(Box::new(destination)),
            seen: FileStates::default(),
        }
    }

    /// Reads the files for the first time.
    ///
    /// # Errors
    /// All problems.
    pub(super) fn load_first(self) -> Result<(Self, Vec<Configured>), DestinationFileErrors> {
        let mut reader = FileReader::default();
        let destinations = self.load(&mut reader)?;
        let seen = reader.seen();
        Ok((Self { seen, ..self }, destinations))
    }

    /// `REMOTE_WRITE_FILE`; `None` if variables describe the destination.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Variables(_) => None,
        }
    }

    /// The state of all files when the settings were read.
    #[must_use]
    pub fn seen(&self) -> &FileStates {
        &self.seen
    }

    fn load(&self, reader: &mut FileReader) -> Result<Vec<Configured>, DestinationFileErrors> {
        match &self.source {
            Source::File(path) => load_file(path, reader),
            Source::Variables(destination) => {
                check_all(vec![(**destination).clone()], None, reader)
            }
        }
    }
}

/// Follows the files of destinations, without end. `apply` gets each new list, once; its secrets are registered before. A file with a
/// mistake changes nothing.
pub async fn follow(
    files: DestinationFiles,
    redactor: Redactor,
    watched: WatchOptions,
    pulse: Pulse,
    mut apply: impl FnMut(Vec<Configured>),
) {
    let load = {
        let files = files.clone();
        move |reader: &mut FileReader| files.load(reader)
    };
    let file = files.path().map(|path| path.display().to_string());
    watch(pulse, watched, load, error_text, |change| match change {
        Change::New(Ok(destinations)) => {
            let count = destinations.len();
            info!(file, destinations = count, "destinations reloaded");
            register_secrets(&destinations, &redactor);
            for advice in doubts_of(&destinations) {
                warn!(file, advice, "a setting may be wrong");
            }
            apply(destinations);
        }
        Change::Same(Ok(_)) => info!(file, "destinations are unchanged"),
        Change::New(Err(error)) | Change::Same(Err(error)) => {
            warn!(%error, "cannot use the changed destinations: the previous ones stay in use");
        }
    })
    .await;
}

/// Registers the secrets of destinations with a redactor.
pub(in crate::config) fn register_secrets(destinations: &[Configured], redactor: &Redactor) {
    let secrets = destinations.iter().flat_map(|it| &it.secrets);
    redactor.register_credentials(secrets);
}

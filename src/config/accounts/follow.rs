//! Reads the accounts file again when it changes.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::defaults::Defaults;
use super::file::{self, Loaded};
use crate::config::account::Account;
use crate::config::accounts_error::AccountsFileErrors;
use crate::config::error::Warning;
use crate::files::{Change, FileReader, FileStates, WatchOptions, watch};
use crate::redaction::Redactor;
use crate::tasks::Pulse;

/// An accounts file that was read, and the values that are needed to read it again.
#[derive(Debug, Clone)]
pub struct AccountsFile {
    path: PathBuf,
    defaults: Defaults,
    seen: FileStates,
}

impl AccountsFile {
    pub(super) fn new(path: PathBuf, defaults: Defaults, seen: FileStates) -> Self {
        Self {
            path,
            defaults,
            seen,
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the file, and of the credential files that it names, when the settings were read.
    #[must_use]
    pub fn seen(&self) -> &FileStates {
        &self.seen
    }

    /// Reads the file, and the credential files that it names, whose paths are relative to its directory.
    ///
    /// # Errors
    /// All problems.
    pub fn load(&self, files: &mut FileReader) -> Result<Loaded, AccountsFileErrors> {
        file::load(&self.path, &self.defaults, files)
    }
}

/// Follows an accounts file, and the credential files that it names, without end. Calls `apply` once with each new list, after its
/// secrets are registered. A file that cannot be used changes nothing.
pub async fn follow(
    file: AccountsFile,
    redactor: Redactor,
    watched: WatchOptions,
    pulse: Pulse,
    mut apply: impl FnMut(Vec<Account>),
) {
    let path = file.path.to_string_lossy().into_owned();
    let load = move |reader: &mut FileReader| file.load(reader);
    watch(pulse, watched, load, ToString::to_string, |change| match change {
        Change::New(Ok(loaded)) => {
            Account::register_secrets(&loaded.accounts, &redactor);
            for Warning { setting, advice } in &loaded.warnings {
                warn!(setting, advice, "a setting may be wrong");
            }
            info!(file = %path, accounts = loaded.accounts.len(), "accounts reloaded");
            apply(loaded.accounts);
        }
        Change::Same(Ok(loaded)) => {
            info!(file = %path, accounts = loaded.accounts.len(), "accounts are unchanged");
        }
        Change::New(Err(error)) | Change::Same(Err(error)) => {
            warn!(%error, "cannot use the changed accounts file: the previous accounts stay in use");
        }
    })
    .await;
}

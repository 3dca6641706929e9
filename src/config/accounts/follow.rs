//! Reads the accounts file again when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::defaults::Defaults;
use super::file;
use super::loaded::{Loaded, Resolved};
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
    /// The accounts after the last reload. Clones share them.
    in_use: Arc<ArcSwap<Vec<Account>>>,
}

impl AccountsFile {
    /// The file from which the accounts `in_use` were read.
    pub(super) fn new(
        path: PathBuf,
        defaults: Defaults,
        seen: FileStates,
        in_use: Vec<Account>,
    ) -> Self {
        Self {
            path,
            defaults,
            seen,
            in_use: Arc::new(ArcSwap::from_pointee(in_use)),
        }
    }

    /// The same with another path.
    #[cfg(test)]
    pub(super) fn at(self, path: &Path) -> Self {
        let path = path.to_owned();
        Self { path, ..self }
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

    /// Reads the file, and the credential files that it names. Their paths are relative to its directory.
    ///
    /// # Errors
    /// All problems, except for credential files that cannot be used if nothing else is wrong.
    pub(super) fn load(&self, files: &mut FileReader) -> Result<Loaded, AccountsFileErrors> {
        file::load(&self.path, &self.defaults, files)
    }
}

/// Follows an accounts file, and the credential files that it names, without end. `apply` gets each new list, once; its secrets are
/// registered before. A file with a mistake changes nothing. An entry whose credential files cannot be used does not affect the others:
/// its account keeps its previous settings, or, if it is new, starts when the files can be used.
pub async fn follow(
    file: AccountsFile,
    redactor: Redactor,
    watched: WatchOptions,
    pulse: Pulse,
    mut apply: impl FnMut(Vec<Account>),
) {
    let load = {
        let file = file.clone();
        move |reader: &mut FileReader| file.load(reader)
    };
    let obstacle = |loaded: &Result<Loaded, AccountsFileErrors>| match loaded {
        Ok(loaded) => loaded.obstacle(),
        Err(error) => Some(error.to_string()),
    };
    watch(pulse, watched, load, obstacle, |change| {
        let (is_new, loaded) = match change {
            Change::New(loaded) => (true, loaded),
            Change::Same(loaded) => (false, loaded),
        };
        let resolved = loaded.and_then(|loaded| {
            if is_new {
                log_warnings(&loaded.warnings);
            }
            loaded.resolve(&file.in_use.load(), &file.path)
        });
        match resolved {
            Ok(resolved) => {
                log_resolved(&resolved, &file.path, is_new);
                if is_new {
                    Account::register_secrets(&resolved.accounts, &redactor);
                    file.in_use.store(Arc::new(resolved.accounts.clone()));
                    apply(resolved.accounts);
                }
            }
            Err(error) => {
                warn!(%error, "cannot use the changed accounts file: the previous accounts stay in use");
            }
        }
    })
    .await;
}

fn log_warnings(warnings: &[Warning]) {
    for Warning { setting, advice } in warnings {
        warn!(setting, advice, "a setting may be wrong");
    }
}

/// Logs a reload, and each entry that cannot be used, also if a reload was requested and nothing has changed.
fn log_resolved(resolved: &Resolved, path: &Path, is_new: bool) {
    let file = path.to_string_lossy();
    let accounts = resolved.accounts.len();
    match is_new {
        true => info!(%file, accounts, "accounts reloaded"),
        false => info!(%file, accounts, "accounts are unchanged"),
    }
    for entry in &resolved.kept {
        let (account, line, error) = (&*entry.name, entry.line(), entry.error());
        warn!(
            account,
            %file,
            line,
            error,
            "cannot use a credential file: the account keeps its previous settings"
        );
    }
    for entry in &resolved.left_out {
        let (account, line, error) = (&*entry.name, entry.line(), entry.error());
        warn!(
            account,
            %file,
            line,
            error,
            "cannot use a credential file: the account is left out until the file is corrected"
        );
    }
}

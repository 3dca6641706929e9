//! Reloads the accounts when their file changes.

use tracing::{info, warn};

use super::super::error::Warning;
use super::{Account, AccountsFile};
use crate::files::{Change, FileReader, WatchOptions, watch};
use crate::redaction::Redactor;
use crate::tasks::Pulse;

/// Follows a file of accounts, and the credential files that it names, for ever. `apply` gets each new list, once; its secrets are
/// registered before. A file that cannot be used changes nothing.
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

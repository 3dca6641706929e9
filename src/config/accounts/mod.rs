//! The service accounts: the one of the variables, or those of `ACCOUNTS_FILE`.

mod entry;
mod error;
mod file;
mod follow;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use url::Url;

pub use self::error::{AccountsFileError, AccountsFileErrors};
pub use self::follow::follow;

use super::account::{self, Account};
use super::error::{ConfigError, Warning};
use super::reader::Reader;
use super::table;
use crate::files::{self, FileStates};

/// The most accounts: each has threads of its own.
pub const MOST_ACCOUNTS: usize = 256;

/// At least one account, with unique names and client IDs.
#[derive(Debug, Clone)]
pub struct Accounts {
    list: Vec<Account>,
    file: Option<AccountsFile>,
}

impl Accounts {
    /// The accounts, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Account] {
        &self.list
    }

    /// The file that describes them, if it is not the variables.
    #[must_use]
    pub fn file(&self) -> Option<&AccountsFile> {
        self.file.as_ref()
    }

    /// One account that does not come from a file.
    pub(super) fn one(account: Account) -> Self {
        Self {
            list: vec![account],
            file: None,
        }
    }
}

/// A file of accounts that was read, and what is needed to read it again.
#[derive(Debug, Clone)]
pub struct AccountsFile {
    path: PathBuf,
    defaults: Defaults,
    seen: FileStates,
}

impl AccountsFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file and the credential files that it names were found to be when the settings were read.
    #[must_use]
    pub fn seen(&self) -> &FileStates {
        &self.seen
    }

    /// Reads the file, and the credential files that it names, whose paths are relative to its own place.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn load(&self, files: &mut files::FileReader) -> Result<Loaded, AccountsFileErrors> {
        file::load(&self.path, &self.defaults, files)
    }
}

/// What a file says.
#[derive(Debug, Default)]
pub struct Loaded {
    /// At least one account, in the order of the file.
    pub accounts: Vec<Account>,
    /// What is accepted and probably not meant so.
    pub warnings: Vec<Warning>,
}

/// What the variables say for entries of the file that say nothing else.
#[derive(Debug, Clone)]
struct Defaults {
    batch_size: Option<u32>,
    max_linger_ms: Option<u64>,
    polls_per_minute: u32,
    api_url: Url,
    token_url: Option<Url>,
    /// Whether plain http to other machines is allowed.
    is_insecure: bool,
}

/// The configured accounts; `None` if something is wrong with them.
pub(super) fn read(reader: &mut Reader) -> Option<Accounts> {
    let Some(origin) = reader.origin(&table::ACCOUNTS_FILE) else {
        return account::read(reader).map(Accounts::one);
    };
    let path = reader.read(&table::ACCOUNTS_FILE, |text| Ok(PathBuf::from(text)))?;
    let also_set = account::CREDENTIALS.iter().filter_map(|setting| {
        let origin = reader.origin(setting)?;
        Some(format!("{} ({origin})", setting.name))
    });
    let also_set = also_set.collect::<Vec<_>>().join(", ");
    if !also_set.is_empty() {
        reader.refuse(ConfigError::AccountsTwice { origin, also_set });
    }
    let defaults = read_defaults(reader)?;
    let mut files = files::FileReader::default();
    let loaded = match file::load(&path, &defaults, &mut files) {
        Ok(loaded) => loaded,
        Err(errors) => {
            for source in errors {
                reader.refuse(ConfigError::Accounts { source });
            }
            return None;
        }
    };
    for account in &loaded.accounts {
        reader.note_account(&account.to_string());
    }
    for Warning { setting, advice } in loaded.warnings {
        reader.warn(&setting, advice);
    }
    Some(Accounts {
        list: loaded.accounts,
        file: Some(AccountsFile {
            path,
            defaults,
            seen: files.seen(),
        }),
    })
}

fn read_defaults(reader: &mut Reader) -> Option<Defaults> {
    let batch_size = reader.whole_if_set(&table::BATCH_SIZE);
    let max_linger = reader.whole_if_set(&table::MAX_LINGER);
    let polls_per_minute = reader.whole(&table::POLLS_PER_MINUTE);
    let urls = account::read_urls(reader);
    Some(Defaults {
        batch_size: batch_size?,
        max_linger_ms: max_linger?,
        polls_per_minute: polls_per_minute?,
        api_url: urls.api?,
        token_url: urls.token,
        is_insecure: urls.is_insecure,
    })
}

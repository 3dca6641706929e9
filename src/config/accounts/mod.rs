//! The configured service accounts: one from `CLIENT_ID` and `CLIENT_SECRET`, or several from `ACCOUNTS_FILE`.

mod context;
mod defaults;
mod entry;
mod file;
mod follow;
mod loaded;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use self::file::MOST_ACCOUNTS;
pub use self::follow::{AccountsFile, follow};

use self::defaults::Defaults;
use super::account::{self, Account};
use super::error::{ConfigError, Warning};
use super::reader::Reader;
use super::table;
use crate::files;

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

    /// The file that they come from; `None` if they come from variables.
    #[must_use]
    pub fn file(&self) -> Option<&AccountsFile> {
        self.file.as_ref()
    }

    /// Accounts that do not come from a file; at least one.
    pub(super) fn fixed(list: Vec<Account>) -> Self {
        Self { list, file: None }
    }
}

/// The configured accounts; `None` if something is wrong with them.
pub(super) fn read(reader: &mut Reader) -> Option<Accounts> {
    let Some(origin) = reader.origin(&table::ACCOUNTS_FILE) else {
        return account::read(reader).map(|account| Accounts::fixed(vec![account]));
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
    let defaults = Defaults::read(reader)?;
    let mut files = files::FileReader::default();
    let loaded = file::load(&path, &defaults, &mut files);
    let (list, warnings) = match loaded.and_then(|loaded| loaded.complete(&path)) {
        Ok(complete) => complete,
        Err(errors) => {
            for source in errors {
                reader.refuse(ConfigError::Accounts { source });
            }
            return None;
        }
    };
    for account in &list {
        reader.note_entry(&account.to_string());
    }
    for Warning { setting, advice } in warnings {
        reader.warn(&setting, advice);
    }
    Some(Accounts {
        file: Some(AccountsFile::new(
            path,
            defaults,
            files.seen(),
            list.clone(),
        )),
        list,
    })
}

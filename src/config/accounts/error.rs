//! Errors of an accounts file. No message quotes a value, because the file contains secrets.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::files::FileError;

/// One thing that is wrong with the file.
#[derive(Debug, Error)]
pub enum AccountsFileError {
    /// It cannot be read.
    #[error("{} {source}; correct the path or the permissions", .path.display().to_string().escape_debug())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// Something in it is wrong.
    #[error("{} line {line}: {what}", .path.display().to_string().escape_debug())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what is accepted.
        what: String,
    },
    /// The problems behind the first ones.
    #[error("{} has {count} more problems", .path.display().to_string().escape_debug())]
    More {
        /// The file.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
}

/// All that is wrong with the file, in the order of its lines; never empty.
#[derive(Debug, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct AccountsFileErrors(Vec<AccountsFileError>);

impl IntoIterator for AccountsFileErrors {
    type Item = AccountsFileError;
    type IntoIter = std::vec::IntoIter<AccountsFileError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl AccountsFileErrors {
    /// The file cannot be read.
    pub(super) fn unreadable(path: &Path, source: FileError) -> Self {
        let path = path.to_owned();
        Self(vec![AccountsFileError::File { path, source }])
    }
}

/// Collects problems as they are found: all are counted, the first ones in the order of the lines are kept.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<(usize, String)>);

impl Problems {
    /// The most problems that are told one by one.
    const MOST_TOLD: usize = 30;

    pub(super) fn add(&mut self, line: usize, what: impl Into<String>) {
        self.0.push((line, what.into()));
    }

    /// Passes if there are no problems.
    pub(super) fn none(mut self, path: &Path) -> Result<(), AccountsFileErrors> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by_key(|(line, _)| *line);
        let count = self.0.len().saturating_sub(Self::MOST_TOLD);
        self.0.truncate(Self::MOST_TOLD);
        let wrong = |(line, what)| AccountsFileError::Wrong {
            path: path.to_owned(),
            line,
            what,
        };
        let mut errors: Vec<_> = self.0.into_iter().map(wrong).collect();
        if count > 0 {
            let path = path.to_owned();
            errors.push(AccountsFileError::More { path, count });
        }
        Err(AccountsFileErrors(errors))
    }
}

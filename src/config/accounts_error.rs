//! Errors of an accounts file. No message quotes a value, because the file contains secrets.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::files::FileError;

/// A problem of the file.
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
    /// Its content is not accepted.
    #[error("{} line {line}: {what}", .path.display().to_string().escape_debug())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The problem, and the accepted values.
        what: String,
    },
    /// Further problems, which are only counted.
    #[error("{} has {count} more problems", .path.display().to_string().escape_debug())]
    More {
        /// The file.
        path: PathBuf,
        /// The number of them.
        count: usize,
    },
}

/// All problems of the file, in the order of its lines; at least one.
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
    /// The error for a file that cannot be read.
    pub(super) fn unreadable(path: &Path, source: FileError) -> Self {
        let path = path.to_owned();
        Self(vec![AccountsFileError::File { path, source }])
    }
}

/// Collects problems in any order. The first ones in the order of the lines are reported one by one, the rest as a number.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<(usize, String)>);

impl Problems {
    /// The most problems that are reported one by one.
    const MOST_REPORTED: usize = 30;

    pub(super) fn add(&mut self, line: usize, what: impl Into<String>) {
        self.0.push((line, what.into()));
    }

    pub(super) fn add_all(&mut self, problems: impl IntoIterator<Item = (usize, String)>) {
        self.0.extend(problems);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The errors of the file at `path`. There must be a problem.
    pub(super) fn into_errors(mut self, path: &Path) -> AccountsFileErrors {
        self.0.sort_by_key(|(line, _)| *line);
        let count = self.0.len().saturating_sub(Self::MOST_REPORTED);
        self.0.truncate(Self::MOST_REPORTED);
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
        AccountsFileErrors(errors)
    }
}

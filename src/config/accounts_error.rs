//! Errors of an accounts file. No message quotes a value, because the file contains secrets.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::files::FileError;
use crate::text::Problems;

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

    /// The errors of the file at `path`. There must be a problem.
    pub(super) fn of(problems: Problems, path: &Path) -> Self {
        let (reported, count) = problems.into_reported();
        let wrong = |(line, what)| AccountsFileError::Wrong {
            path: path.to_owned(),
            line,
            what,
        };
        let mut errors: Vec<_> = reported.into_iter().map(wrong).collect();
        if count > 0 {
            let path = path.to_owned();
            errors.push(AccountsFileError::More { path, count });
        }
        Self(errors)
    }
}

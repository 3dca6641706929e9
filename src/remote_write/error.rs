//! Errors of `REMOTE_WRITE_FILE`. No message quotes a value, because the file contains secrets.

use thiserror::Error;

/// A problem of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DestinationsError {
    /// Its content is not accepted.
    #[error("line {line}: {what}")]
    Wrong {
        /// The line, from 1.
        line: usize,
        /// The problem, and the accepted values.
        what: String,
    },
    /// Further problems, which are only counted.
    #[error("{count} more problems")]
    More {
        /// The number of them.
        count: usize,
    },
}

/// All problems of the file, in the order of its lines; at least one. The texts are meant to follow the path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct DestinationsErrors(Vec<DestinationsError>);

impl DestinationsErrors {
    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &DestinationsError> {
        self.0.iter()
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

    /// The value if there is no problem, else the errors.
    pub(super) fn none_or<T>(mut self, value: T) -> Result<T, DestinationsErrors> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort_by_key(|(line, _)| *line);
        let count = self.0.len().saturating_sub(Self::MOST_REPORTED);
        self.0.truncate(Self::MOST_REPORTED);
        let wrong = |(line, what)| DestinationsError::Wrong { line, what };
        let mut errors: Vec<_> = self.0.into_iter().map(wrong).collect();
        if count > 0 {
            errors.push(DestinationsError::More { count });
        }
        Err(DestinationsErrors(errors))
    }
}

//! Errors of `REMOTE_WRITE_FILE`. No message quotes a value, because the file contains secrets.

use thiserror::Error;

use crate::text::Problems;

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
    /// The value if there is no problem, else the errors.
    pub(super) fn none_or<T>(problems: Problems, value: T) -> Result<T, Self> {
        if problems.is_empty() {
            return Ok(value);
        }
        let (reported, count) = problems.into_reported();
        let wrong = |(line, what)| DestinationsError::Wrong { line, what };
        let mut errors: Vec<_> = reported.into_iter().map(wrong).collect();
        if count > 0 {
            errors.push(DestinationsError::More { count });
        }
        Err(Self(errors))
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &DestinationsError> {
        self.0.iter()
    }
}

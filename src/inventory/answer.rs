//! The envelope of answers, and the pages of lists.

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// Why an answer cannot be read.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// It is not JSON, or not an envelope.
    #[error("the answer cannot be read")]
    Json(#[from] serde_json::Error),
    /// It has no content.
    #[error("the answer has no content")]
    NoContent,
    /// Every entry of a complete reading is invalid.
    #[error("all {0} entries are invalid")]
    NoEntry(usize),
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// The entries.
    pub entries: T,
    /// Whether no other page follows.
    pub is_last: bool,
    /// The number of entries that were left out, because they are invalid.
    pub rejected: usize,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// The content of an answer.
pub(super) fn content<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, AnswerError> {
    let envelope: Envelope<'a> = serde_json::from_slice(body)?;
    let content = envelope.content.ok_or(AnswerError::NoContent)?;
    Ok(serde_json::from_str(content.get())?)
}

/// Checks a complete reading with this number of entries, and of others that were left out: a new shape of the answers must not look like an
/// account without entries.
///
/// # Errors
/// [`AnswerError::NoEntry`]: all entries were left out.
pub fn check_reading(entries: usize, rejected: usize) -> Result<(), AnswerError> {
    match entries == 0 && rejected > 0 {
        true => Err(AnswerError::NoEntry(rejected)),
        false => Ok(()),
    }
}

/// The page of a list as Starlink sends it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPage<'a> {
    limit: Option<u64>,
    is_last_page: Option<bool>,
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

impl<'a> RawPage<'a> {
    /// Whether no other page follows. Without `isLastPage`, a page that is not full is the last. An empty page is the last in any case,
    /// so that an answer with a wrong `isLastPage` ends the list.
    pub(super) fn is_last(&self) -> bool {
        let is_full = self
            .limit
            .is_none_or(|limit| self.results.len() as u64 >= limit);
        self.results.is_empty() || self.is_last_page.unwrap_or(!is_full)
    }

    /// The number of entries, valid or not.
    pub(super) fn len(&self) -> usize {
        self.results.len()
    }

    /// The entries that can be read.
    pub(super) fn entries<T: Deserialize<'a>>(&self) -> Vec<T> {
        valid(&self.results)
    }
}

/// The entries of a list that can be read.
pub(super) fn valid<'a, T: Deserialize<'a>>(entries: &[&'a RawValue]) -> Vec<T> {
    let read = entries
        .iter()
        .map(|entry| serde_json::from_str(entry.get()));
    read.filter_map(Result::ok).collect()
}

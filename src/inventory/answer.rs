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
    /// Every entry of a list is invalid.
    #[error("all {} entries are invalid: {}", .0.entries, .0.example.as_deref().unwrap_or_default())]
    NoEntry(Rejected),
}

/// Entries that were left out because they are invalid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Their number.
    pub entries: usize,
    /// Why one of them is invalid, without its values.
    pub example: Option<String>,
}

impl Rejected {
    /// Adds an entry.
    pub(super) fn add(&mut self, why: impl FnOnce() -> String) {
        self.entries += 1;
        self.example.get_or_insert_with(why);
    }

    /// Adds entries whose key is empty or too long.
    pub(super) fn add_without_key(&mut self, entries: usize) {
        let example = (entries > 0).then(|| "its key is empty or too long".to_owned());
        self.append(Self { entries, example });
    }

    /// Adds those of the next page.
    pub fn append(&mut self, next: Self) {
        self.entries += next.entries;
        self.example = self.example.take().or(next.example);
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// The entries.
    pub entries: T,
    /// Whether no other page follows.
    pub is_last: bool,
    /// The entries that were left out because they are invalid.
    pub rejected: Rejected,
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
pub fn check_reading(entries: usize, rejected: &Rejected) -> Result<(), AnswerError> {
    match entries == 0 && rejected.entries > 0 {
        true => Err(AnswerError::NoEntry(rejected.clone())),
        false => Ok(()),
    }
}

/// The page of a list as Starlink sends it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPage<'a> {
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow)]
    is_last_page: Option<&'a RawValue>,
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

impl<'a> RawPage<'a> {
    /// Whether no other page follows. Without `isLastPage`, a page that is not full is the last. An empty page is the last in any case,
    /// so that an answer with a wrong `isLastPage` ends the list. A member of another type counts as absent.
    pub(super) fn is_last(&self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a page is short")]
        let length = self.results.len() as f64;
        let is_full = member::<f64>(self.limit).is_none_or(|limit| length >= limit);
        self.results.is_empty() || member(self.is_last_page).unwrap_or(!is_full)
    }

    /// The entries that can be read, and those that cannot.
    pub(super) fn entries<T: Deserialize<'a>>(&self) -> (Vec<T>, Rejected) {
        valid(&self.results)
    }
}

/// A member, if it has the expected type.
fn member<'a, T: Deserialize<'a>>(member: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(member?.get()).ok()
}

/// The entries of a list that can be read, and those that cannot.
pub(super) fn valid<'a, T: Deserialize<'a>>(entries: &[&'a RawValue]) -> (Vec<T>, Rejected) {
    let mut rejected = Rejected::default();
    let read = entries
        .iter()
        .filter_map(|&entry| read(entry, &mut rejected));
    (read.collect(), rejected)
}

/// An entry, unless it cannot be read.
pub(super) fn read<'a, T: Deserialize<'a>>(
    entry: &'a RawValue,
    rejected: &mut Rejected,
) -> Option<T> {
    let read = serde_json::from_str(entry.get());
    read.map_err(|error| rejected.add(|| without_values(&error.to_string())))
        .ok()
}

/// The message of a JSON error without its position, and without the value that it quotes, which may be a name or a serial number.
fn without_values(message: &str) -> String {
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(start, _)| start);
    if message.starts_with("missing field") {
        return message.to_owned();
    }
    let Some((start, expected)) = message.rsplit_once(", expected ") else {
        return "it cannot be read".to_owned();
    };
    let kind = start.split(['`', '"']).next().unwrap_or_default();
    format!("{}, expected {expected}", kind.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_invalid_entry_has_none_of_its_values() {
        #[derive(Debug, Deserialize)]
        struct Entry<'a> {
            #[serde(borrow)]
            _id: &'a str,
            _number: Option<f64>,
        }

        for (entry, expected) in [
            (r#"{}"#, "missing field `_id`"),
            (
                r#"{"_id":77}"#,
                "invalid type: integer, expected a borrowed string",
            ),
            (
                r#"{"_id":"a","_number":"KIT `7`, expected \"x\""}"#,
                "invalid type: string, expected f64",
            ),
            (r#""secret""#, "invalid type: string, expected struct Entry"),
            ("null", "invalid type: null, expected struct Entry"),
            (r#"{"_id":"a","_number":1e999}"#, "it cannot be read"),
        ] {
            let entry: Box<RawValue> = serde_json::from_str(entry).unwrap();
            let mut rejected = Rejected::default();
            assert!(read::<Entry<'_>>(&entry, &mut rejected).is_none());
            rejected.add_without_key(1);
            assert_eq!(rejected.entries, 2);
            assert_eq!(rejected.example.as_deref(), Some(expected), "{entry}");
        }
    }
}

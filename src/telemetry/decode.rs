//! Decodes the bytes of an answer to rows and column names, in one pass.
//!
//! The rows precede the column names in the text, so cells are kept unchanged and interpreted later. Invalid JSON or a wrong envelope
//! invalidates the answer; other errors invalidate only a cell or a row.

mod input;
mod names;
mod values;

use thiserror::Error;

use self::input::Input;
use self::names::{ColumnNames, Enums, NameDecoder};
use super::json::{JsonError, Reader};
use super::metadata::Metadata;
use super::rows::Rows;

/// Why an answer is invalid.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Invalid JSON, for example because the answer is truncated, or not the expected JSON.
    #[error("the answer is not the JSON that was expected")]
    Json(#[from] JsonError),
    /// The text begins with `<`, as HTML does.
    #[error("the answer looks like a web page")]
    WebPage,
    /// JSON without this member.
    #[error("the answer has no {0}")]
    Missing(&'static str),
    /// A member that determines the meaning of the others occurs twice.
    #[error("the answer has more than one {0}")]
    Repeated(&'static str),
    /// The answer has this many bytes. Positions in it are 32-bit numbers.
    #[error("the answer has {0} bytes, more than 4 GiB")]
    TooLong(usize),
}

/// Decodes the body of a 200 answer.
///
/// # Errors
/// The body is not valid JSON, does not have `data` and `data.values` exactly once, or has `data.columnNamesByDeviceType` more than
/// once.
pub fn decode(body: Vec<u8>) -> Result<(Rows, Metadata), DecodeError> {
    if u32::try_from(body.len()).is_err() {
        return Err(DecodeError::TooLong(body.len()));
    }
    // An invalid byte makes only its string unreadable: it becomes U+FFFD, which is rejected in strings.
    let (body, repaired) = match String::from_utf8(body) {
        Ok(body) => (body, false),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
    };
    let mut input = Input {
        reader: Reader::new(&body),
        repaired,
    };
    let mut rows = Rows::default();
    let metadata = decode_answer(&mut input, &mut rows).map_err(|error| match error {
        DecodeError::Json(_) if body.trim_start().starts_with('<') => DecodeError::WebPage,
        error => error,
    })?;
    rows.body = body.into();
    Ok((rows, metadata))
}

/// Decodes the whole answer: rows to `rows`, and everything else to the result.
fn decode_answer(input: &mut Input<'_>, rows: &mut Rows) -> Result<Metadata, DecodeError> {
    let mut names = NameDecoder::new();
    let mut columns = None;
    let mut enums = Enums::default();
    input.members(|input, key| {
        match key {
            "data" if columns.is_some() => return Err(DecodeError::Repeated("member `data`")),
            "data" => columns = Some(decode_data(input, rows, &mut names)?),
            "metadata" => enums = names.enums(input)?,
            _ => {}
        }
        Ok(())
    })?;
    input.reader.end()?;
    Ok(Metadata {
        columns: columns.ok_or(DecodeError::Missing("member `data`"))?,
        device_types: enums.device_types,
        alerts: enums.alerts,
        left_out: names.left_out,
    })
}

/// Decodes the member `data`: the rows, and the column names that it gives.
fn decode_data(
    input: &mut Input<'_>,
    rows: &mut Rows,
    names: &mut NameDecoder,
) -> Result<ColumnNames, DecodeError> {
    let mut columns = None;
    let mut has_values = false;
    input.members(|input, key| {
        match key {
            "values" if has_values => {
                return Err(DecodeError::Repeated("member `data.values`"));
            }
            "values" => {
                has_values = true;
                values::read(input, rows)?;
            }
            "columnNamesByDeviceType" if columns.is_some() => {
                let member = "member `data.columnNamesByDeviceType`";
                return Err(DecodeError::Repeated(member));
            }
            "columnNamesByDeviceType" => columns = Some(names.columns(input)?),
            _ => {}
        }
        Ok(())
    })?;
    if has_values {
        Ok(columns.unwrap_or_default())
    } else {
        Err(DecodeError::Missing("member `data.values`"))
    }
}

#[cfg(test)]
mod tests;

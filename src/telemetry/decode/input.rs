//! Reads JSON tokens and the content of their strings.

use std::borrow::Cow;

use crate::telemetry::json::{JsonError, Kind, Reader, StringToken, unescape};

/// The part of an answer that is not read yet.
pub(super) struct Input<'t> {
    pub(super) reader: Reader<'t>,
    /// Whether invalid UTF-8 was replaced. Then strings are checked for the replacement character.
    pub(super) repaired: bool,
}

impl<'t> Input<'t> {
    /// Whether the next value is of this kind.
    pub(super) fn is(&mut self, kind: Kind) -> Result<bool, JsonError> {
        Ok(self.reader.kind()? == kind)
    }

    /// The text between the quotes of a string, with its escapes; `None` if it contained invalid UTF-8.
    pub(super) fn raw(&self, token: &StringToken) -> Option<&'t str> {
        let content = self.reader.slice(token.span.clone());
        let is_repaired = self.repaired && content.contains(char::REPLACEMENT_CHARACTER);
        (!is_repaired).then_some(content)
    }

    /// The content of a string; `None` if it is not valid text.
    pub(super) fn content(&self, token: &StringToken) -> Option<Cow<'t, str>> {
        let content = self.raw(token)?;
        if !token.escaped {
            return Some(content.into());
        }
        let mut unescaped = String::new();
        unescape(content, &mut unescaped).then(|| unescaped.into())
    }

    /// The content of the next value if it is a string of valid text; `None` for any other value.
    pub(super) fn string(&mut self) -> Result<Option<Cow<'t, str>>, JsonError> {
        if !self.is(Kind::String)? {
            self.reader.skip()?;
            return Ok(None);
        }
        let token = self.reader.string()?;
        Ok(self.content(&token))
    }

    /// Reads the next value, which must be an object. Calls `each` with the name of every member, positioned at its value. Values that
    /// `each` does not read are skipped, as are members whose names are not valid text.
    pub(super) fn members<E: From<JsonError>>(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.reader.begin_object()?;
        let mut first = true;
        while let Some(token) = self.reader.next_key(&mut first)? {
            // Skips white space, so that the position is that of the value itself.
            self.reader.kind()?;
            let value = self.reader.position();
            if let Some(key) = self.content(&token) {
                each(self, &key)?;
            }
            if self.reader.position() == value {
                self.reader.skip()?;
            }
        }
        Ok(())
    }
}

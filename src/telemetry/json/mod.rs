//! A pull parser for a JSON text: strict, in one pass, without allocations.
//!
//! Answers are tens of megabytes of short cells, and an unreadable cell must invalidate only itself. Therefore the parser separates
//! the grammar (an error ends the answer) from the values of tokens (an error invalidates the cell), in one pass. Strings and digits,
//! which are most of an answer, are scanned in windows of eight bytes. Property tests compare it with `serde_json`, which accepts and
//! rejects the same texts.

mod nesting;
mod number;
mod unescape;
mod window;

use std::ops::Range;

use thiserror::Error;

use super::values::LongNumbers;

use self::nesting::Nesting;
pub use self::number::Number;
use self::number::{Decimal, Notation};
pub use self::unescape::unescape;
use self::window::{WINDOW, each, eight_digits, is_all_digits, leading_digits, plain_bytes};

/// The text is not JSON, or not the JSON that the caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected {expected} at byte {at}")]
pub struct JsonError {
    /// Byte offset into the text.
    pub at: usize,
    /// What would be valid there.
    pub expected: &'static str,
}

/// A string token: the bytes between its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringToken {
    /// The range of the content in the text, in bytes.
    pub span: Range<usize>,
    /// Whether the content has escapes, which [`unescape`] decodes.
    pub escaped: bool,
}

/// The kind of a value, which its first byte determines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// `[`
    Array,
    /// `{`
    Object,
}

/// Reads one JSON text from start to end.
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    /// The part that is not read yet.
    rest: &'t [u8],
    numbers: LongNumbers,
}

impl<'t> Reader<'t> {
    /// A reader at the start of `text`.
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            rest: text.as_bytes(),
            numbers: LongNumbers::default(),
        }
    }

    /// The part of the text at `span`, the range of a token of this reader.
    #[must_use]
    pub fn slice(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    /// The number of bytes that were read. [`Reader::kind`] reads the white space before a value.
    #[must_use]
    pub fn position(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// The number of bytes that are not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The kind of the next value, which is not consumed.
    ///
    /// # Errors
    /// No value begins here.
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        self.skip_whitespace();
        match self.rest {
            [b'"', ..] => Ok(Kind::String),
            [b'-' | b'0'..=b'9', ..] => Ok(Kind::Number),
            [b'[', ..] => Ok(Kind::Array),
            [b'{', ..] => Ok(Kind::Object),
            [b'n', ..] => Ok(Kind::Null),
            [b't' | b'f', ..] => Ok(Kind::Bool),
            _ => Err(self.expected("a value")),
        }
    }

    /// Consumes `[`.
    ///
    /// # Errors
    /// The next byte is a different one.
    pub fn begin_array(&mut self) -> Result<(), JsonError> {
        self.punctuation(b'[', "'['")
    }

    /// Whether a first element follows the opening bracket; consumes the closing bracket if not. If something else follows, reading the
    /// element fails.
    pub fn first_element(&mut self) -> bool {
        self.skip_whitespace();
        !self.consume(b']')
    }

    /// Whether another element follows the one that was read; consumes the comma before it, or the closing bracket. If a comma precedes the
    /// closing bracket, reading the element fails.
    ///
    /// # Errors
    /// Neither a comma nor the end of the array follows.
    pub fn another_element(&mut self) -> Result<bool, JsonError> {
        self.skip_whitespace();
        match self.rest {
            [b',', rest @ ..] => {
                self.rest = rest;
                Ok(true)
            }
            [b']', rest @ ..] => {
                self.rest = rest;
                Ok(false)
            }
            _ => Err(self.expected("',' or ']'")),
        }
    }

    /// Consumes `{`.
    ///
    /// # Errors
    /// The next byte is a different one.
    pub fn begin_object(&mut self) -> Result<(), JsonError> {
        self.punctuation(b'{', "'{'")
    }

    /// Consumes the next key of an object and its colon; `None` at the end of the object.
    ///
    /// # Errors
    /// Neither a key nor the end of the object follows.
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<StringToken>, JsonError> {
        self.skip_whitespace();
        if self.consume(b'}') {
            return Ok(None);
        }
        if !std::mem::take(first) && !self.consume(b',') {
            return Err(self.expected("',' or '}'"));
        }
        let key = self.string()?;
        self.punctuation(b':', "':'")?;
        Ok(Some(key))
    }

    /// Consumes `null`.
    ///
    /// # Errors
    /// The next byte is a different one.
    pub fn null(&mut self) -> Result<(), JsonError> {
        self.literal("null")
    }

    /// Consumes `true` or `false`.
    ///
    /// # Errors
    /// The next byte is a different one.
    pub fn bool(&mut self) -> Result<bool, JsonError> {
        self.skip_whitespace();
        if self.rest.starts_with(b"t") {
            self.literal("true").map(|()| true)
        } else {
            self.literal("false").map(|()| false)
        }
    }

    /// Consumes a string and checks its grammar (closed, no bare control character, no unknown escape), not its meaning:
    /// a lone surrogate is well-formed here.
    ///
    /// # Errors
    /// No well-formed string is here.
    #[inline(always)] // Inlined into the loop over the cells, strings and numbers are a third faster.
    pub fn string(&mut self) -> Result<StringToken, JsonError> {
        self.punctuation(b'"', "a string")?;
        let start = self.position();
        let mut escaped = false;
        loop {
            let plain = plain_bytes(self.window());
            if plain == WINDOW {
                // A branch of its own: advancing by a constant does not depend on the result of counting.
                self.advance(WINDOW);
                continue;
            }
            self.advance(plain);
            let end = self.position();
            if self.consume(b'"') {
                let span = start..end;
                return Ok(StringToken { span, escaped });
            }
            if !self.consume(b'\\') {
                return Err(self.expected("the rest of a string"));
            }
            escaped = true;
            self.escape()?;
        }
    }

    /// Consumes a number. Returns its range in the text, and its value.
    ///
    /// # Errors
    /// No well-formed number is here.
    #[inline(always)]
    pub fn number(&mut self) -> Result<(Range<usize>, Number), JsonError> {
        self.skip_whitespace();
        let start = self.position();
        let (negative, decimal, notation) = self.number_token()?;
        let span = start..self.position();
        let number = match decimal.value(negative, notation) {
            Some(number) => number,
            None => self.parsed(span.clone()),
        };
        Ok((span, number))
    }

    /// The value of any number, computed by the standard library.
    fn parsed(&mut self, span: Range<usize>) -> Number {
        match self.numbers.parse(self.text.get(span).unwrap_or_default()) {
            Some(float) if float.is_finite() => Number::Float(float),
            _ => Number::TooLarge,
        }
    }

    /// Consumes a number. Returns whether it is negative, its digits and its notation: much cheaper than computing its value.
    #[inline(always)]
    fn number_token(&mut self) -> Result<(bool, Decimal, Notation), JsonError> {
        let negative = self.consume(b'-');
        let mut decimal = Decimal::default();
        if !self.consume(b'0') {
            self.digits(&mut decimal)?;
        }
        let mut notation = Notation::Integer;
        if self.consume(b'.') {
            notation = Notation::Fraction(self.digits(&mut decimal)?);
        }
        if matches!(self.rest, [b'e' | b'E', ..]) {
            self.advance(1);
            if !self.consume(b'-') {
                self.consume(b'+');
            }
            self.digits(&mut Decimal::default())?;
            notation = Notation::Exponent;
        }
        Ok((negative, decimal, notation))
    }

    /// Consumes any value, and checks its grammar. Returns its range in the text.
    ///
    /// # Errors
    /// No well-formed value is here.
    pub fn skip(&mut self) -> Result<Range<usize>, JsonError> {
        self.skip_whitespace();
        let start = self.position();
        let mut nesting = Nesting::default();
        while self.skip_scalar_or_open(&mut nesting)? {}
        Ok(start..self.position())
    }

    /// Checks that only white space is left.
    ///
    /// # Errors
    /// Something else is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.expected("the end of the text"))
        }
    }

    /// Consumes a scalar with all closing brackets that follow it, or an opening bracket. Returns whether the outermost value continues.
    /// Not recursive, because a skipped value may be nested to any depth.
    fn skip_scalar_or_open(&mut self, nesting: &mut Nesting) -> Result<bool, JsonError> {
        match self.kind()? {
            Kind::Null => self.null()?,
            Kind::Bool => self.bool().map(|_| ())?,
            Kind::Number => self.number_token().map(|_| ())?,
            Kind::String => self.string().map(|_| ())?,
            Kind::Array => {
                self.begin_array()?;
                if self.first_element() {
                    nesting.push(false);
                    return Ok(true);
                }
            }
            Kind::Object => {
                self.begin_object()?;
                if self.next_key(&mut true)?.is_some() {
                    nesting.push(true);
                    return Ok(true);
                }
            }
        }
        while let Some(is_object) = nesting.innermost() {
            let more = if is_object {
                self.next_key(&mut false)?.is_some()
            } else {
                self.another_element()?
            };
            if more {
                return Ok(true);
            }
            nesting.pop();
        }
        Ok(false)
    }

    /// Consumes one or more decimal digits, and appends them to `decimal`. Returns their number.
    #[inline(always)]
    fn digits(&mut self, decimal: &mut Decimal) -> Result<usize, JsonError> {
        let before = self.rest.len();
        loop {
            let window = self.window();
            if !is_all_digits(window) {
                let (count, value) = leading_digits(window);
                decimal.append(count, value);
                self.advance(count);
                break;
            }
            decimal.append(WINDOW, eight_digits(window ^ each(b'0')));
            self.advance(WINDOW);
        }
        match before - self.rest.len() {
            0 => Err(self.expected("a digit")),
            count => Ok(count),
        }
    }

    /// Consumes an escape after its backslash.
    fn escape(&mut self) -> Result<(), JsonError> {
        match self.rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.advance(1),
            [b'u', ..] => {
                self.advance(1);
                for _ in 0..4 {
                    if !self.rest.first().is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.expected("a hexadecimal digit"));
                    }
                    self.advance(1);
                }
            }
            _ => return Err(self.expected("an escape")),
        }
        Ok(())
    }

    fn literal(&mut self, word: &'static str) -> Result<(), JsonError> {
        self.skip_whitespace();
        match self.rest.strip_prefix(word.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.expected(word)),
        }
    }

    fn punctuation(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.consume(byte) {
            Ok(())
        } else {
            Err(self.expected(expected))
        }
    }

    fn consume(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn skip_whitespace(&mut self) {
        // All white space, but no token, begins with a byte up to the blank. Compact texts have no white space.
        if matches!(self.rest, [..=b' ', ..]) {
            self.skip_some_whitespace();
        }
    }

    #[cold]
    fn skip_some_whitespace(&mut self) {
        while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// The next eight bytes, the first one lowest. Beyond the end of the text they are zeros, which end every token.
    fn window(&self) -> u64 {
        match self.rest.first_chunk() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => self
                .rest
                .iter()
                .rev()
                .fold(0, |window, byte| window << 8 | u64::from(*byte)),
        }
    }

    /// Consumes bytes of the window.
    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError {
            at: self.position(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests;

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
use self::number::{Decimal, Spelling};
pub use self::unescape::unescape;
use self::window::{WINDOW, each, eight_digits, is_all_digits, leading_digits, plain_bytes};

/// The text is not JSON, or not the JSON that the caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected {expected} at byte {at}")]
pub struct JsonError {
    /// Byte offset into the text.
    pub at: usize,
    /// What would have been right there.
    pub expected: &'static str,
}

/// A string token: the bytes between its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringToken {
    /// Where the content stands in the text.
    pub span: Range<usize>,
    /// Whether the content holds escapes, so that [`unescape`] must be asked for its meaning.
    pub escaped: bool,
}

/// The first byte of a value tells its kind.
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

/// Reads one JSON text from front to back.
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    /// What has not been read yet.
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

    /// The part of the text at `span`, which must come from a token of this reader.
    #[must_use]
    pub fn slice(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    /// How many bytes have been read. Looking at the kind of a value reads the white space before it.
    #[must_use]
    pub fn position(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// How many bytes have not been read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The kind of the next value, which is not consumed.
    ///
    /// # Errors
    /// When no value begins here.
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
    /// When something else stands here.
    pub fn begin_array(&mut self) -> Result<(), JsonError> {
        self.punctuation(b'[', "'['")
    }

    /// Whether a first element follows the bracket that was consumed; consumes the closing bracket if not. What is no element
    /// is refused by whatever reads it.
    pub fn first_element(&mut self) -> bool {
        self.skip_whitespace();
        !self.consume(b']')
    }

    /// Whether another element follows the one that was read; consumes the comma before it, or the closing bracket. A comma
    /// before the closing bracket is refused by whatever reads the element.
    ///
    /// # Errors
    /// When neither an element nor the end of the array follows.
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
    /// When something else stands here.
    pub fn begin_object(&mut self) -> Result<(), JsonError> {
        self.punctuation(b'{', "'{'")
    }

    /// The next key of an object with its colon consumed, or `None` at the object's end.
    ///
    /// # Errors
    /// When neither a key nor the end of the object follows.
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
    /// When something else stands here.
    pub fn null(&mut self) -> Result<(), JsonError> {
        self.literal("null")
    }

    /// Consumes `true` or `false`.
    ///
    /// # Errors
    /// When something else stands here.
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
    /// When no well-formed string stands here.
    #[inline(always)] // Inlined into the loop over the cells, strings and numbers are a third faster.
    pub fn string(&mut self) -> Result<StringToken, JsonError> {
        self.punctuation(b'"', "a string")?;
        let start = self.position();
        let mut escaped = false;
        loop {
            let plain = plain_bytes(self.window());
            if plain == WINDOW {
                // A constant, so that the processor need not wait for the count before it goes on.
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

    /// Consumes a number; gives its place in the text and its meaning.
    ///
    /// # Errors
    /// When no well-formed number stands here.
    #[inline(always)]
    pub fn number(&mut self) -> Result<(Range<usize>, Number), JsonError> {
        self.skip_whitespace();
        let start = self.position();
        let (negative, decimal, spelling) = self.spelled_number()?;
        let span = start..self.position();
        let number = match decimal.meaning(negative, spelling) {
            Some(number) => number,
            None => self.parsed(span.clone()),
        };
        Ok((span, number))
    }

    /// The meaning of any number.
    fn parsed(&mut self, span: Range<usize>) -> Number {
        match self.numbers.parse(self.text.get(span).unwrap_or_default()) {
            Some(float) if float.is_finite() => Number::Float(float),
            _ => Number::TooLarge,
        }
    }

    /// Consumes a number; gives its sign, its digits and its spelling, which is far cheaper than its meaning may be.
    #[inline(always)]
    fn spelled_number(&mut self) -> Result<(bool, Decimal, Spelling), JsonError> {
        let negative = self.consume(b'-');
        let mut decimal = Decimal::default();
        if !self.consume(b'0') {
            self.digits(&mut decimal)?;
        }
        let mut spelling = Spelling::Integer;
        if self.consume(b'.') {
            spelling = Spelling::Fraction(self.digits(&mut decimal)?);
        }
        if matches!(self.rest, [b'e' | b'E', ..]) {
            self.advance(1);
            if !self.consume(b'-') {
                self.consume(b'+');
            }
            self.digits(&mut Decimal::default())?;
            spelling = Spelling::Exponent;
        }
        Ok((negative, decimal, spelling))
    }

    /// Consumes any value, checking its grammar, and gives its place in the text.
    ///
    /// # Errors
    /// When no well-formed value stands here.
    pub fn skip(&mut self) -> Result<Range<usize>, JsonError> {
        self.skip_whitespace();
        let start = self.position();
        let mut nesting = Nesting::default();
        while self.skip_scalar_or_open(&mut nesting)? {}
        Ok(start..self.position())
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    /// When something is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.expected("the end of the text"))
        }
    }

    /// Consumes a scalar and all brackets that end behind it, or an opening bracket. Whether a value follows that belongs to the
    /// same outermost one. Not recursive: what is skipped may nest as deep as it likes.
    fn skip_scalar_or_open(&mut self, nesting: &mut Nesting) -> Result<bool, JsonError> {
        match self.kind()? {
            Kind::Null => self.null()?,
            Kind::Bool => self.bool().map(|_| ())?,
            Kind::Number => self.spelled_number().map(|_| ())?,
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

    /// Consumes one or more decimal digits, and appends them to `decimal`; gives how many.
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

    /// Consumes what follows a backslash.
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
        // No token begins with less than a blank, and compact texts have none.
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

    /// The next bytes, the first of them lowest; zeros, which end every token, where the text is over.
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

    /// Consumes bytes that were looked at.
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

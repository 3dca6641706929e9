//! A pull reader over one JSON text: strict about the grammar, one pass, nothing allocated.
//!
//! The stream's answers are tens of megabytes of short cells, and one unreadable cell must cost that cell alone. A reader that
//! separates the grammar (an error ends the answer) from the meaning of a token (an error costs its cell) gives both in one pass.
//! The property tests below hold it against `serde_json`, which accepts and rejects the same texts.

use std::ops::Range;

use thiserror::Error;

/// How deep arrays and objects may nest, as in `serde_json`: recursion must not meet the end of the stack.
const MAX_DEPTH: u8 = 127;

/// Powers of ten that an `f64` holds exactly; with a mantissa below 2^53 one multiplication or division rounds correctly
/// (Clinger, "How to read floating point numbers accurately", 1990).
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

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

/// What a number token means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// No fraction, no exponent, and within `i64`.
    Integer(i64),
    /// Anything else, correctly rounded.
    Float(f64),
    /// Beyond the range of `f64`.
    TooLarge,
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
    at: usize,
}

impl<'t> Reader<'t> {
    /// A reader at the start of `text`.
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The part of the text at `span`, which must come from a token of this reader.
    #[must_use]
    pub fn slice(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    /// How many bytes have been read. Looking at the kind of a value reads the white space before it.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The kind of the next value, which is not consumed.
    ///
    /// # Errors
    /// When no value begins here.
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        self.skip_whitespace();
        match self.byte() {
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            Some(b'n') => Ok(Kind::Null),
            Some(b't' | b'f') => Ok(Kind::Bool),
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

    /// Whether another element follows; consumes the comma before it, or the closing bracket.
    /// `first` is true before the first element and is cleared here.
    ///
    /// # Errors
    /// When neither an element nor the end of the array follows.
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        self.next_member(first, b']', "',' or ']'")
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
        if !self.next_member(first, b'}', "',' or '}'")? {
            return Ok(None);
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
        if self.byte() == Some(b't') {
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
    pub fn string(&mut self) -> Result<StringToken, JsonError> {
        self.punctuation(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(self.expected("the rest of a string")),
            }
        }
        let span = start..self.at;
        self.at += 1;
        Ok(StringToken { span, escaped })
    }

    /// Consumes a number; gives its place in the text and its meaning.
    ///
    /// # Errors
    /// When no well-formed number stands here.
    pub fn number(&mut self) -> Result<(Range<usize>, Number), JsonError> {
        self.skip_whitespace();
        let start = self.at;
        let negative = self.consume(b'-');
        let mut decimal = Decimal::default();
        if !self.consume(b'0') {
            self.digits(|digit| decimal.integer_digit(digit))?;
        }
        let mut integral = true;
        if self.consume(b'.') {
            integral = false;
            self.digits(|digit| decimal.fraction_digit(digit))?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            integral = false;
            let down = self.consume(b'-');
            if !down {
                self.consume(b'+');
            }
            let mut exponent = 0_i32;
            self.digits(|digit| {
                exponent = exponent.saturating_mul(10).saturating_add(i32::from(digit));
            })?;
            decimal.scale(if down { -exponent } else { exponent });
        }
        let span = start..self.at;
        let number = decimal.meaning(negative, integral, self.slice(span.clone()));
        Ok((span, number))
    }

    /// Consumes any value, checking its grammar, and gives its place in the text.
    ///
    /// # Errors
    /// When no well-formed value stands here, or it nests too deep.
    pub fn skip(&mut self) -> Result<Range<usize>, JsonError> {
        self.skip_whitespace();
        let start = self.at;
        self.skip_nested(MAX_DEPTH)?;
        Ok(start..self.at)
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    /// When something is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        match self.byte() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the text")),
        }
    }

    fn skip_nested(&mut self, depth: u8) -> Result<(), JsonError> {
        match self.kind()? {
            Kind::Null => self.null(),
            Kind::Bool => self.bool().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::String => self.string().map(drop),
            Kind::Array => {
                let depth = self.deeper(depth)?;
                self.begin_array()?;
                let mut first = true;
                while self.next_element(&mut first)? {
                    self.skip_nested(depth)?;
                }
                Ok(())
            }
            Kind::Object => {
                let depth = self.deeper(depth)?;
                self.begin_object()?;
                let mut first = true;
                while self.next_key(&mut first)?.is_some() {
                    self.skip_nested(depth)?;
                }
                Ok(())
            }
        }
    }

    fn deeper(&self, depth: u8) -> Result<u8, JsonError> {
        depth
            .checked_sub(1)
            .ok_or_else(|| self.expected("a shallower value"))
    }

    fn next_member(
        &mut self,
        first: &mut bool,
        close: u8,
        expected: &'static str,
    ) -> Result<bool, JsonError> {
        self.skip_whitespace();
        if self.consume(close) {
            return Ok(false);
        }
        if std::mem::take(first) {
            return Ok(true);
        }
        if !self.consume(b',') {
            return Err(self.expected(expected));
        }
        self.skip_whitespace();
        if self.byte() == Some(close) {
            return Err(self.expected("a value"));
        }
        Ok(true)
    }

    /// Consumes one or more decimal digits.
    fn digits(&mut self, mut each: impl FnMut(u8)) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            each(byte - b'0');
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected("a digit"));
        }
        Ok(())
    }

    /// Consumes what follows a backslash.
    fn escape(&mut self) -> Result<(), JsonError> {
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.byte().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.expected("a hexadecimal digit"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.expected("an escape")),
        }
        Ok(())
    }

    fn literal(&mut self, word: &'static str) -> Result<(), JsonError> {
        self.skip_whitespace();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.expected(word));
        }
        self.at += word.len();
        Ok(())
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
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError {
            at: self.at,
            expected,
        }
    }
}

/// A decimal number as it is read: `mantissa` × 10^`exponent`, while 19 digits hold it.
#[derive(Default)]
struct Decimal {
    mantissa: u64,
    digits: u8,
    exponent: i32,
}

impl Decimal {
    /// 19 digits always fit into a `u64`.
    const MAX_DIGITS: u8 = 19;

    fn integer_digit(&mut self, digit: u8) {
        self.digits = self.digits.saturating_add(1);
        if self.digits <= Self::MAX_DIGITS {
            self.mantissa = self.mantissa * 10 + u64::from(digit);
        }
    }

    fn fraction_digit(&mut self, digit: u8) {
        // Zeros before the first significant digit (0.00012) take no room in the mantissa.
        if self.mantissa != 0 || digit != 0 || self.digits != 0 {
            self.integer_digit(digit);
        }
        self.exponent = self.exponent.saturating_sub(1);
    }

    fn scale(&mut self, exponent: i32) {
        self.exponent = self.exponent.saturating_add(exponent);
    }

    fn meaning(&self, negative: bool, integral: bool, text: &str) -> Number {
        if integral && self.digits <= Self::MAX_DIGITS {
            let signed = i128::from(self.mantissa) * if negative { -1 } else { 1 };
            if let Ok(integer) = i64::try_from(signed) {
                return Number::Integer(integer);
            }
        }
        let float = self
            .exact(negative)
            .unwrap_or_else(|| text.parse().unwrap_or(f64::INFINITY));
        if float.is_finite() {
            Number::Float(float)
        } else {
            Number::TooLarge
        }
    }

    /// The fast path: mantissa and power of ten are both exact, so that one operation rounds once.
    #[expect(clippy::cast_precision_loss, reason = "the mantissa is below 2^53")]
    fn exact(&self, negative: bool) -> Option<f64> {
        if self.digits > Self::MAX_DIGITS || self.mantissa > 1 << 53 {
            return None;
        }
        let power = *POWERS_OF_TEN.get(usize::try_from(self.exponent.unsigned_abs()).ok()?)?;
        let mantissa = self.mantissa as f64;
        let magnitude = if self.exponent < 0 {
            mantissa / power
        } else {
            mantissa * power
        };
        Some(if negative { -magnitude } else { magnitude })
    }
}

/// Appends the meaning of an escaped string's content to `out`. `false` when it has none (a lone surrogate); `out` is then
/// as it was.
pub fn unescape(content: &str, out: &mut String) -> bool {
    let start = out.len();
    let readable = unescape_into(content, out).is_some();
    if !readable {
        out.truncate(start);
    }
    readable
}

fn unescape_into(mut content: &str, out: &mut String) -> Option<()> {
    while let Some((plain, escape)) = content.split_once('\\') {
        out.push_str(plain);
        let mut rest = escape.chars();
        match rest.next()? {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let (character, after) = unicode_escape(rest.as_str())?;
                out.push(character);
                rest = after.chars();
            }
            other => out.push(other),
        }
        content = rest.as_str();
    }
    out.push_str(content);
    Some(())
}

/// The character of `XXXX` or `XXXX\uYYYY`, and what follows.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
    let high = unit(text)?;
    let rest = text.get(4..)?;
    if let Some(character) = char::from_u32(u32::from(high)) {
        return Some((character, rest));
    }
    let low = rest.strip_prefix("\\u")?;
    let character = char::decode_utf16([high, unit(low)?]).next()?.ok()?;
    Some((character, low.get(4..)?))
}

#[cfg(test)]
mod tests;

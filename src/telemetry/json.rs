//! A pull reader over one JSON text: strict about the grammar, one pass, nothing allocated.
//!
//! The stream's answers are tens of megabytes of short cells, and one unreadable cell must cost that cell alone. A reader that
//! separates the grammar (an error ends the answer) from the meaning of a token (an error costs its cell) gives both in one pass.
//! Strings and digits, most of an answer, are looked at in windows of eight bytes.
//! The property tests below hold it against `serde_json`, which accepts and rejects the same texts.

use std::ops::Range;

use thiserror::Error;

use super::values::LongNumbers;

/// Powers of ten that an `f64` holds exactly; a mantissa up to 2^53 divided by one of them is rounded once, and correctly
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

/// The arrays and objects that have begun and not ended: a bit for each, which is set for objects.
#[derive(Default)]
struct Nesting {
    /// The innermost ones, the last one lowest.
    bits: u64,
    /// How many there are.
    depth: usize,
    /// The outer ones, 64 at a time.
    outer: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.bits >>= 1;
        if self.depth.is_multiple_of(64)
            && let Some(bits) = self.outer.pop()
        {
            self.bits = bits;
        }
    }
}

/// How many bytes are looked at together: those of a `u64`. One byte after the other would cost a branch each, and their
/// number, which varies from cell to cell, a wrong guess of the processor.
const WINDOW: usize = 8;

/// The same byte in each place of a window.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WINDOW])
}

/// How many bytes of a window come before the first whose highest bit is set in `marks`.
fn before_mark(marks: u64) -> usize {
    (marks & each(0x80)).trailing_zeros() as usize / 8
}

/// How many bytes of a window come before the first quote, backslash or control character.
///
/// A byte that is less than what is subtracted from it gets its highest bit set, and only bytes after it may be marked
/// wrongly, by what it borrows. Exchanging the quote (0x22) and the blank (0x20) puts the quote beside the control characters.
fn plain_bytes(window: u64) -> usize {
    let quote_or_control = (window ^ each(0x02)).wrapping_sub(each(0x21));
    let backslash = (window ^ each(b'\\')).wrapping_sub(each(1));
    before_mark((quote_or_control | backslash) & !window)
}

/// Marks the bytes that are no digits, given how far they are from the digit 0.
fn no_digits(values: u64) -> u64 {
    values | values.wrapping_add(each(0x7f - 9))
}

/// Whether a window holds digits alone.
fn is_all_digits(window: u64) -> bool {
    no_digits(window ^ each(b'0')) & each(0x80) == 0
}

/// How many bytes of a window come before the first that is no digit, and the number that they spell.
fn leading_digits(window: u64) -> (usize, u64) {
    let values = window ^ each(b'0');
    let count = before_mark(no_digits(values));
    // Zeros in front of the digits.
    (
        count,
        eight_digits(values.unbounded_shl(64 - 8 * count as u32)),
    )
}

/// The number that the values of eight digits make: neighbours are united, digits to pairs, pairs to fours, fours to eight.
fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// How a number is spelled.
enum Spelling {
    /// Without fraction and exponent.
    Integer,
    /// With so many digits in its fraction, and no exponent.
    Fraction(usize),
    /// With an exponent.
    Exponent,
}

/// The digits of a number, as one integer while a `u64` holds it.
#[derive(Default)]
struct Decimal {
    mantissa: u64,
    overflowed: bool,
}

impl Decimal {
    /// Appends `count` digits that spell `value`.
    fn append(&mut self, count: usize, value: u64) {
        const SHIFTS: [u64; WINDOW + 1] = [
            1,
            10,
            100,
            1_000,
            10_000,
            100_000,
            1_000_000,
            10_000_000,
            100_000_000,
        ];
        let (shifted, too_far) = self.mantissa.overflowing_mul(SHIFTS[count]);
        let (mantissa, too_much) = shifted.overflowing_add(value);
        self.mantissa = mantissa;
        self.overflowed |= too_far | too_much;
    }

    /// What the number means; `None` where the digits alone do not tell.
    #[inline(always)]
    fn meaning(&self, negative: bool, spelling: Spelling) -> Option<Number> {
        if self.overflowed {
            return None;
        }
        match spelling {
            Spelling::Integer if negative => 0_i64.checked_sub_unsigned(self.mantissa),
            Spelling::Integer => i64::try_from(self.mantissa).ok(),
            Spelling::Fraction(digits) => {
                let magnitude = divided(self.mantissa, digits)?;
                let float = if negative { -magnitude } else { magnitude };
                return Some(Number::Float(float));
            }
            Spelling::Exponent => None,
        }
        .map(Number::Integer)
    }
}

/// A mantissa with so many digits behind its point, correctly rounded; `None` where this way does not tell.
#[expect(clippy::cast_precision_loss, reason = "the mantissa is below 2^53")]
fn divided(mantissa: u64, digits: usize) -> Option<f64> {
    if mantissa >> 53 == 0
        && let Some(power) = POWERS_OF_TEN.get(digits)
    {
        // Both are exact, so that one operation rounds once.
        return Some(mantissa as f64 / power);
    }
    times_reciprocal(mantissa, *RECIPROCALS.get(digits)?)
}

/// 1 / 10^k is about `factor` × 2^-`exponent`; `factor` is rounded down, and has all of its 64 bits.
#[derive(Clone, Copy)]
struct Reciprocal {
    factor: u64,
    exponent: u32,
}

/// The reciprocals of 10^k for k from 0, as far as a power of 2 that fits into 128 bits gives 64 bits of them.
const RECIPROCALS: [Reciprocal; 28] = {
    let none = Reciprocal {
        factor: 0,
        exponent: 0,
    };
    let mut all = [none; 28];
    let mut power_of_five = 1_u128;
    let mut k = 0;
    while k < all.len() {
        let bits = (power_of_five - 1).checked_ilog2();
        let bits = if let Some(bits) = bits { bits + 1 } else { 0 };
        let exponent = 63 + bits;
        let factor = (1 << exponent) / power_of_five;
        all[k] = Reciprocal {
            factor: factor as u64,
            exponent: exponent + k as u32,
        };
        power_of_five *= 5;
        k += 1;
    }
    all
};

/// How many bits of 64 an `f64` does not hold, less the one to round by.
const REST: u32 = 64 - 54;

/// The product, correctly rounded, but for about one in 300 of which the bits that the factor lacks would decide (Lemire,
/// "Number parsing at a gigabyte per second", 2021, with 64 bits for 128).
#[expect(clippy::cast_precision_loss, reason = "53 bits are left, or 2^53")]
fn times_reciprocal(mantissa: u64, reciprocal: Reciprocal) -> Option<f64> {
    let normalising = mantissa.leading_zeros();
    let mantissa = u128::from(mantissa.checked_shl(normalising)?);
    let product = mantissa * u128::from(reciprocal.factor);
    // Both have their highest bit, so that the product has one of its two highest.
    let upper = (product >> 64) as u64;
    let missing = upper.leading_zeros();
    let upper = ((product << missing) >> 64) as u64;
    let (kept, rest) = (upper >> REST, upper & ((1 << REST) - 1));
    // What the factor lacks, and what stands in the lower half, is less than three in units of the upper half.
    let may_carry = rest >= (1 << REST) - 3;
    let may_be_half = kept & 1 == 1 && rest == 0;
    if may_carry || may_be_half {
        return None;
    }
    let rounded = ((kept + 1) >> 1) as f64;
    // Far from the smallest and the largest exponent there is. 1023 stands for 2^0.
    let exponent = 1023 + 64 + REST + 1 - normalising - missing - reciprocal.exponent;
    Some(rounded * f64::from_bits(u64::from(exponent) << 52))
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

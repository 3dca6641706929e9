//! Decodes texts that may hold encoded secrets: percent-encoding, JSON escapes, and base64.

use std::borrow::Cow;
use std::ops::Range;

/// How many layers of encoding are removed: an error message may quote a URL that contains a URL.
const MAX_LAYERS: usize = 2;

/// A decoded text, with the positions of its bytes in the original text.
pub(super) struct Decoded<'t> {
    bytes: Cow<'t, [u8]>,
    /// For each byte, where its encoding begins in the text; then the end of the last one. Empty if nothing was decoded.
    positions: Vec<usize>,
}

impl<'t> Decoded<'t> {
    /// The text itself, and its decodings with all orders of the layers of encoding.
    pub(super) fn views(text: &'t [u8]) -> Vec<Self> {
        let mut views = vec![Self {
            bytes: Cow::Borrowed(text),
            positions: Vec::new(),
        }];
        let mut from = 0;
        for _ in 0..MAX_LAYERS {
            let layer = from..views.len();
            from = layer.end;
            for index in layer {
                let decoders = [percent as Escape, json as Escape];
                let decoded = decoders.map(|escape| views[index].decode(escape));
                views.extend(decoded.into_iter().flatten());
            }
        }
        views
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The range of the original text that a range of the decoded bytes came from.
    pub(super) fn source(&self, range: Range<usize>) -> Range<usize> {
        let position = |index: usize| self.positions.get(index).copied().unwrap_or(index);
        position(range.start)..position(range.end)
    }

    /// Removes one layer of encoding; `None` if there is nothing to decode.
    fn decode(&self, escape: Escape) -> Option<Self> {
        if !self.bytes.iter().any(|byte| matches!(byte, b'%' | b'\\')) {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut positions = Vec::with_capacity(self.bytes.len() + 1);
        let mut index = 0;
        while let Some(rest) = self.bytes.get(index..).filter(|rest| !rest.is_empty()) {
            let (byte, length) = escape(rest).unwrap_or((rest[0], 1));
            positions.push(self.source(index..index).start);
            bytes.push(byte);
            index += length;
        }
        if bytes.len() == self.bytes.len() {
            return None;
        }
        positions.push(self.source(index..index).start);
        Some(Self {
            bytes: Cow::Owned(bytes),
            positions,
        })
    }
}

/// Decodes an escape at the beginning of the bytes: the byte, and the length of the escape.
type Escape = fn(&[u8]) -> Option<(u8, usize)>;

fn percent(bytes: &[u8]) -> Option<(u8, usize)> {
    match bytes {
        [b'%', high, low, ..] => Some((hex(&[*high, *low])?, 3)),
        _ => None,
    }
}

fn json(bytes: &[u8]) -> Option<(u8, usize)> {
    match bytes {
        [b'\\', b'u', b'0', b'0', high, low, ..] => {
            let byte = hex(&[*high, *low])?;
            byte.is_ascii().then_some((byte, 6))
        }
        [b'\\', byte @ (b'"' | b'\\' | b'/' | b'\''), ..] => Some((*byte, 2)),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number * 16 + u8::try_from(digit).ok()?)
    })
}

/// The runs of base64 characters of either alphabet, with the padding at their end.
pub(super) fn base64_runs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut index = 0;
    while index < bytes.len() {
        let count = |from: usize, is_part: fn(&u8) -> bool| {
            bytes[from..]
                .iter()
                .take_while(|byte| is_part(byte))
                .count()
        };
        let digits = count(index, |byte| sextet(*byte).is_some());
        let padding = count(index + digits, |byte| *byte == b'=');
        if digits >= 2 {
            runs.push(index..index + digits + padding.min(2));
        }
        index += (digits + padding).max(1);
    }
    runs
}

/// Decodes a run of base64; an incomplete byte at its end is dropped.
pub(super) fn decoded_base64(run: &[u8]) -> Vec<u8> {
    let sextets: Vec<u32> = run.iter().map_while(|byte| sextet(*byte)).collect();
    let mut bytes = Vec::with_capacity(sextets.len());
    for group in sextets.chunks(4) {
        let bits = (0..4).fold(0, |bits, index| {
            bits << 6 | group.get(index).copied().unwrap_or_default()
        });
        // Two digits encode one byte, three two, four three.
        bytes.extend(&bits.to_be_bytes()[1..group.len().max(1)]);
    }
    bytes
}

fn sextet(byte: u8) -> Option<u32> {
    let number = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(number.into())
}

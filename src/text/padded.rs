//! Texts that are appended often, copied in steps of a fixed size.

/// The size of a step, in bytes. A text that [`push_padded`] copies is followed by padding up to a multiple of it.
pub const PADDING: usize = 32;

/// Appends the first `length` bytes of a text whose length is a multiple of [`PADDING`]. Copies of a fixed size are several times
/// faster than one of `length` bytes; the padding is cut off afterwards.
pub fn push_padded(out: &mut Vec<u8>, text: &[u8], length: usize) {
    let end = out.len() + length;
    let (steps, _) = text.as_chunks::<PADDING>();
    for step in steps {
        out.extend_from_slice(step);
    }
    out.truncate(end);
}

/// A text with its padding.
#[derive(Debug)]
pub struct Padded {
    text: Vec<u8>,
    length: usize,
}

impl Padded {
    /// Adds the padding to a text.
    #[must_use]
    pub fn new(mut text: Vec<u8>) -> Self {
        let length = text.len();
        text.resize(length.next_multiple_of(PADDING), b' ');
        Self { text, length }
    }

    /// Appends the text without the padding.
    pub fn push(&self, out: &mut Vec<u8>) {
        push_padded(out, &self.text, self.length);
    }
}

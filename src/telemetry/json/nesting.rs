//! Tracks the nesting of arrays and objects.

/// The open arrays and objects: one bit for each, which is set for objects.
#[derive(Default)]
pub(super) struct Nesting {
    /// The innermost ones; the last opened is the lowest bit.
    bits: u64,
    /// The number of open ones.
    depth: usize,
    /// The outer ones, 64 in each element.
    outer: Vec<u64>,
}

impl Nesting {
    pub(super) fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    pub(super) fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }

    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.bits >>= 1;
        if self.depth.is_multiple_of(64)
            && let Some(bits) = self.outer.pop()
        {
            self.bits = bits;
        }
    }
}

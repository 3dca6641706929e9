//! One copy of each text, for as long as somebody holds it.

use std::collections::HashSet;
use std::sync::Arc;

/// Below this many texts it is not worth looking for those that nobody holds.
const SWEEP_FROM: usize = 1024;

/// Texts that repeat over the fleet: software versions, country codes, account numbers.
#[derive(Debug, Default)]
pub struct Interner {
    texts: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Interner {
    /// The one copy of a text.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= self.sweep_at {
            // Amortised: the next sweep comes when the number of texts has doubled.
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = SWEEP_FROM.max(self.texts.len() * 2);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_copy() {
        let mut interner = Interner::default();
        let (one, two) = (interner.intern("a"), interner.intern("a"));
        assert!(Arc::ptr_eq(&one, &two));
    }

    #[test]
    fn texts_that_nobody_holds_go() {
        let mut interner = Interner::default();
        let kept = interner.intern("kept");
        for number in 0..100 * SWEEP_FROM {
            interner.intern(&number.to_string());
        }
        assert!(interner.texts.len() <= SWEEP_FROM + 1);
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
    }
}

//! One copy of each text, for as long as somebody holds it.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

/// A shared text. Half as large as an `Arc<str>`, which counts where a fleet has millions of places for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Arc<Box<str>>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

/// Below this many texts it is not worth looking for those that nobody holds.
const SWEEP_FROM: usize = 1024;

/// Texts that repeat over the fleet: software versions, country codes, account numbers.
#[derive(Debug, Default)]
pub struct Interner {
    texts: HashSet<Text>,
    sweep_at: usize,
}

impl Interner {
    /// The one copy of a text.
    pub fn intern(&mut self, text: &str) -> Text {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() >= self.sweep_at {
            // Amortised: the next sweep comes when the number of texts has doubled.
            self.texts.retain(|text| Arc::strong_count(&text.0) > 1);
            self.sweep_at = SWEEP_FROM.max(self.texts.len() * 2);
        }
        let text = Text(Arc::new(text.into()));
        self.texts.insert(text.clone());
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
        assert!(Arc::ptr_eq(&one.0, &two.0));
    }

    #[test]
    fn texts_that_nobody_holds_go() {
        let mut interner = Interner::default();
        let kept = interner.intern("kept");
        for number in 0..100 * SWEEP_FROM {
            interner.intern(&number.to_string());
        }
        assert!(interner.texts.len() <= SWEEP_FROM + 1);
        assert!(Arc::ptr_eq(&kept.0, &interner.intern("kept").0));
    }
}

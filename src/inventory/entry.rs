//! Numbers of entries that may be absent, in little space.

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A finite number, or none: the bytes of an `f64`, so that it needs no alignment. A list may have a million entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number([u8; 8]);

impl Number {
    pub(super) fn get(self) -> Option<f64> {
        let number = f64::from_ne_bytes(self.0);
        number.is_finite().then_some(number)
    }

    /// A total order, in which an absent number is the least.
    pub(super) fn order(self, other: Self) -> Ordering {
        match (self.get(), other.get()) {
            (Some(one), Some(other)) => one.total_cmp(&other),
            (one, other) => one.is_some().cmp(&other.is_some()),
        }
    }
}

impl Default for Number {
    fn default() -> Self {
        Self(f64::NAN.to_ne_bytes())
    }
}

impl From<Option<f64>> for Number {
    fn from(number: Option<f64>) -> Self {
        number.map_or_else(Self::default, |number| Self(number.to_ne_bytes()))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_finite_or_none() {
        for (number, expected) in [
            (None, None),
            (Some(f64::NAN), None),
            (Some(f64::INFINITY), None),
            (Some(-0.5), Some(-0.5)),
            (Some(1_794_268_800.75), Some(1_794_268_800.75)),
        ] {
            let read = Number::from(number);
            assert_eq!(read.get(), expected, "{number:?}");
            let text = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<Number>(&text).unwrap(), read);
        }
        assert_eq!((size_of::<Number>(), align_of::<Number>()), (8, 1));
    }
}

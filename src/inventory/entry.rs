//! Numbers and dates of entries that may be absent, in little space.

use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A finite number, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(f64);

impl Number {
    pub(super) fn get(self) -> Option<f64> {
        self.0.is_finite().then_some(self.0)
    }
}

impl Default for Number {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl From<Option<f64>> for Number {
    fn from(number: Option<f64>) -> Self {
        number.map_or_else(Self::default, Self)
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

/// A date, in whole seconds since 1970 up to 2106, or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Date(Option<NonZeroU32>);

impl Date {
    pub(super) fn get(self) -> Option<f64> {
        self.0.map(|seconds| seconds.get().into())
    }
}

impl From<Option<f64>> for Date {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    fn from(seconds: Option<f64>) -> Self {
        let in_range = |seconds: &f64| (1.0..=u32::MAX.into()).contains(seconds);
        let seconds = seconds.filter(in_range).map(|seconds| seconds as u32);
        Self(seconds.and_then(NonZeroU32::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_seconds_of_a_range() {
        for (seconds, expected) in [
            (None, None),
            (Some(f64::NAN), None),
            (Some(-1.0), None),
            (Some(0.5), None),
            (Some(1_794_268_800.0), Some(1_794_268_800.0)),
            (Some(1_794_268_800.75), Some(1_794_268_800.0)),
            (Some(4_294_967_295.0), Some(4_294_967_295.0)),
            (Some(4_294_967_296.0), None),
        ] {
            assert_eq!(Date::from(seconds).get(), expected, "{seconds:?}");
        }
        assert_eq!(size_of::<Date>(), 4);
    }
}

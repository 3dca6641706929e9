//! The names of metrics that a destination gets (`keep` and `drop`).

use regex_lite::Regex;

/// Keeps names that match an expression of `keep`, or any name if there is none, and that match none of `drop`.
#[derive(Debug, Clone, Default)]
pub struct NameFilter {
    keep: Vec<Regex>,
    drop: Vec<Regex>,
}

impl NameFilter {
    /// A filter of these expressions, which are expected to be anchored. [`crate::telemetry::fields::anchored`] makes them so.
    #[must_use]
    pub fn new(keep: Vec<Regex>, drop: Vec<Regex>) -> Self {
        Self { keep, drop }
    }

    /// The expressions of `keep`.
    #[must_use]
    pub fn keep(&self) -> &[Regex] {
        &self.keep
    }

    /// Whether a metric is sent.
    #[must_use]
    pub fn keeps(&self, name: &str) -> bool {
        let matches = |list: &[Regex]| list.iter().any(|regex| regex.is_match(name));
        (self.keep.is_empty() || matches(&self.keep)) && !matches(&self.drop)
    }
}

/// Two are equal if the texts of their expressions are.
impl PartialEq for NameFilter {
    fn eq(&self, other: &Self) -> bool {
        let texts =
            |list: &[Regex]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };
        texts(&self.keep) == texts(&other.keep) && texts(&self.drop) == texts(&other.drop)
    }
}

impl Eq for NameFilter {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fields::anchored;

    #[test]
    fn names_are_kept_and_dropped() {
        let list = |texts: &[&str]| texts.iter().map(|text| anchored(text).unwrap()).collect();
        for (keep, drop, name, expected) in [
            (&[][..], &[][..], "starlink_up", true),
            (&["starlink_.*"], &[], "starlink_up", true),
            (&["starlink_.*"], &[], "process_threads", false),
            (&["up"], &[], "starlink_up", false),
            (&[], &["starlink_u.*"], "starlink_up", false),
            (&["starlink_.*", "x"], &["y"], "x", true),
            (&["starlink_.*"], &["y", ".*_up"], "starlink_up", false),
        ] {
            let filter = NameFilter::new(list(keep), list(drop));
            assert_eq!(filter.keeps(name), expected, "{keep:?} {drop:?} {name}");
        }
    }
}

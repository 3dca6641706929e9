//! The filter of Starlink's fields by name (`LOCATION`, `DROP_FIELDS`).

use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};

/// A field whose name contains one of these, in any case, contains a location.
const LOCATION_WORDS: [&str; 6] = [
    "latitude",
    "longitude",
    "altitude",
    "h3cell",
    "geohash",
    "location",
];

/// The fields that `LOCATION` and `DROP_FIELDS` keep. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FieldFilter {
    locations: bool,
    dropped: Option<Arc<[Dropped]>>,
}

/// An expression of `DROP_FIELDS`.
#[derive(Debug)]
struct Dropped {
    exact: Regex,
    /// The expression without regard to case; `None` if it cannot be derived safely.
    any_case: Option<Regex>,
}

impl From<Regex> for Dropped {
    fn from(exact: Regex) -> Self {
        let text = exact.as_str();
        let is_plain = !text.contains("[^") && !text.contains('\\');
        let any_case =
            is_plain.then(|| RegexBuilder::new(text).case_insensitive(true).build().ok());
        Self {
            any_case: any_case.flatten(),
            exact,
        }
    }
}

impl PartialEq for FieldFilter {
    fn eq(&self, other: &Self) -> bool {
        let texts = |filter: &Self| filter.expressions().map(str::to_owned).collect::<Vec<_>>();
        self.locations == other.locations && texts(self) == texts(other)
    }
}

impl Eq for FieldFilter {}

impl Default for FieldFilter {
    fn default() -> Self {
        Self::EVERYTHING
    }
}

impl FieldFilter {
    /// Keeps all fields.
    pub const EVERYTHING: Self = Self {
        locations: true,
        dropped: None,
    };

    /// Drops fields that contain a location, unless `locations` is true, and those whose whole name matches one of `dropped`.
    ///
    /// The expressions are expected to be anchored; [`anchored`] makes them so.
    #[must_use]
    pub fn new(locations: bool, dropped: Vec<Regex>) -> Self {
        Self {
            locations,
            dropped: (!dropped.is_empty())
                .then(|| dropped.into_iter().map(Dropped::from).collect()),
        }
    }

    /// Whether fields with a location are kept, unless `DROP_FIELDS` matches them.
    #[must_use]
    pub fn has_locations(&self) -> bool {
        self.locations
    }

    /// Whether a field is kept. `field` is its name as Starlink spells it.
    #[must_use]
    pub fn keeps(&self, field: &str) -> bool {
        let mut dropped = self.dropped();
        (self.locations || !is_location(field)) && !dropped.any(|drop| drop.exact.is_match(field))
    }

    /// Whether every field with this info key is kept. An info key is the name in lower case, so fields that differ only in case share it.
    /// False if that is not certain.
    #[must_use]
    pub fn keeps_key(&self, key: &str) -> bool {
        // Then the name differs from the key only in case.
        let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let may_drop = |drop: &Dropped| {
            let any_case = drop.any_case.as_ref();
            !is_plain || any_case.is_none_or(|drop| drop.is_match(key))
        };
        (self.locations || !is_location(key)) && !self.dropped().any(may_drop)
    }

    fn dropped(&self) -> impl Iterator<Item = &Dropped> {
        self.dropped.iter().flat_map(|dropped| dropped.iter())
    }

    /// The expressions, anchored.
    fn expressions(&self) -> impl Iterator<Item = &str> {
        self.dropped().map(|drop| drop.exact.as_str())
    }
}

/// Whether the name of a field, or its info key, is that of a location.
fn is_location(name: &str) -> bool {
    let name = name.to_lowercase();
    LOCATION_WORDS.iter().any(|word| name.contains(word))
}

/// The most bytes of an expression. Those for names need hundreds.
const LARGEST: usize = 64 << 10;

/// The expression that matches only whole names.
///
/// # Errors
/// The text is not a valid regular expression, or needs more than 64 KiB.
pub fn anchored(text: &str) -> Result<Regex, regex_lite::Error> {
    let regex = |text: &str| RegexBuilder::new(text).size_limit(LARGEST).build();
    // First checked without the brackets, which would make `a)(b` valid.
    regex(text)?;
    regex(&format!("^(?:{text})$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kept_or_left_out_by_name() {
        let filter = |locations, dropped: &[&str]| {
            let dropped = dropped.iter().map(|text| anchored(text).unwrap());
            FieldFilter::new(locations, dropped.collect())
        };
        for (filter, field, expected) in [
            (FieldFilter::default(), "GpsLatitude", true),
            (filter(false, &[]), "GpsLatitude", false),
            (filter(false, &[]), "ALTITUDE", false),
            (filter(false, &[]), "Lat", true),
            (filter(true, &["Lat"]), "Lat", false),
            (filter(true, &["Lat"]), "lat", true),
            (filter(true, &["Lat"]), "Latitude", true),
            (filter(true, &["Lat.*|.*Id"]), "Latitude", false),
            (filter(true, &["Lat.*|.*Id"]), "DishId", false),
            (filter(true, &["A", "B"]), "B", false),
            (filter(false, &["A"]), "A", false),
        ] {
            assert_eq!(filter.keeps(field), expected, "{field} {filter:?}");
        }
    }

    #[test]
    fn keys_are_kept_if_every_spelling_is_kept() {
        for (locations, dropped, key, expected) in [
            (true, None, "dishlatitude", true),
            (false, None, "dishlatitude", false),
            (true, Some("Account.*"), "site", true),
            (true, Some("Account.*"), "accountnumber", false),
            (true, Some("Account.*"), "site_name", false),
            (true, Some("[^x]"), "site", false),
            (true, Some(r"\w"), "site", false),
        ] {
            let dropped = dropped.map(|text| anchored(text).unwrap());
            let filter = FieldFilter::new(locations, dropped.into_iter().collect());
            assert_eq!(filter.keeps_key(key), expected, "{key} {filter:?}");
        }
    }

    #[test]
    fn invalid_expressions_are_rejected() {
        for text in ["a)(b", "(", "[", "a{2", "\\"] {
            assert!(anchored(text).is_err(), "{text}");
        }
    }
}

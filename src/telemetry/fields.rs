//! Which of Starlink's fields are left out everywhere, by their names.

use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};

/// A field whose name contains one of these, in any case, says where a device is.
const PLACES: [&str; 6] = [
    "latitude",
    "longitude",
    "altitude",
    "h3cell",
    "geohash",
    "location",
];

/// The fields that `LOCATION` and `DROP_FIELDS` leave. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FieldFilter {
    places: bool,
    dropped: Option<Arc<[Dropped]>>,
}

/// An expression of `DROP_FIELDS`.
#[derive(Debug)]
struct Dropped {
    exact: Regex,
    /// What matches a name in any case if the expression matches it in one; `None` where the expression might not allow that.
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
        let spelled = |filter: &Self| filter.expressions().map(str::to_owned).collect::<Vec<_>>();
        self.places == other.places && spelled(self) == spelled(other)
    }
}

impl Eq for FieldFilter {}

impl Default for FieldFilter {
    fn default() -> Self {
        Self::EVERYTHING
    }
}

impl FieldFilter {
    /// Leaves out nothing.
    pub const EVERYTHING: Self = Self {
        places: true,
        dropped: None,
    };

    /// Leaves out fields that say where a device is, unless `places`, and those whose whole name one of `dropped` matches.
    ///
    /// The expressions are expected to be anchored; [`anchored`] makes them so.
    #[must_use]
    pub fn new(places: bool, dropped: Vec<Regex>) -> Self {
        Self {
            places,
            dropped: (!dropped.is_empty())
                .then(|| dropped.into_iter().map(Dropped::from).collect()),
        }
    }

    /// Whether fields that say where a device is are kept, as far as `DROP_FIELDS` does not name them.
    #[must_use]
    pub fn has_locations(&self) -> bool {
        self.places
    }

    /// Whether a field is kept. `field` is its name as Starlink spells it.
    #[must_use]
    pub fn keeps(&self, field: &str) -> bool {
        let mut dropped = self.dropped();
        (self.places || !is_place(field)) && !dropped.any(|drop| drop.exact.is_match(field))
    }

    /// Whether every field with this info key is kept, whatever its spelling. Where that is not certain it is not.
    #[must_use]
    pub fn keeps_key(&self, key: &str) -> bool {
        // The only difference to the spelling is the case then.
        let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let may_drop = |drop: &Dropped| {
            let any_case = drop.any_case.as_ref();
            !is_plain || any_case.is_none_or(|drop| drop.is_match(key))
        };
        (self.places || !is_place(key)) && !self.dropped().any(may_drop)
    }

    fn dropped(&self) -> impl Iterator<Item = &Dropped> {
        self.dropped.iter().flat_map(|dropped| dropped.iter())
    }

    /// The expressions, anchored.
    fn expressions(&self) -> impl Iterator<Item = &str> {
        self.dropped().map(|drop| drop.exact.as_str())
    }
}

/// Whether a field's name, or the info key made from it, says where a device is.
fn is_place(name: &str) -> bool {
    let name = name.to_lowercase();
    PLACES.iter().any(|place| name.contains(place))
}

/// The expression that matches only whole names.
///
/// # Errors
/// When the text is no regular expression.
pub fn anchored(text: &str) -> Result<Regex, regex_lite::Error> {
    // Judged alone first: `a)(b` would be an expression within the brackets only.
    Regex::new(text)?;
    Regex::new(&format!("^(?:{text})$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kept_or_left_out_by_name() {
        let filter = |places, dropped: &[&str]| {
            let dropped = dropped.iter().map(|text| anchored(text).unwrap());
            FieldFilter::new(places, dropped.collect())
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
    fn keys_are_kept_where_no_spelling_is_left_out() {
        for (places, dropped, key, expected) in [
            (true, None, "dishlatitude", true),
            (false, None, "dishlatitude", false),
            (true, Some("Account.*"), "site", true),
            (true, Some("Account.*"), "accountnumber", false),
            (true, Some("Account.*"), "site_name", false),
            (true, Some("[^x]"), "site", false),
            (true, Some(r"\w"), "site", false),
        ] {
            let dropped = dropped.map(|text| anchored(text).unwrap());
            let filter = FieldFilter::new(places, dropped.into_iter().collect());
            assert_eq!(filter.keeps_key(key), expected, "{key} {filter:?}");
        }
    }

    #[test]
    fn what_is_no_expression_alone_is_none() {
        for text in ["a)(b", "(", "[", "a{2", "\\"] {
            assert!(anchored(text).is_err(), "{text}");
        }
    }
}

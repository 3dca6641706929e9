//! The labels that a destination adds to all series.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::telemetry::catalogue::DEVICE_LABELS;

/// The label that [`crate::history::OwnSeries`] sets, so that the series of two instances differ.
pub const INSTANCE: &str = "instance";

/// The label that a destination has by default, and its value.
pub const JOB: (&str, &str) = ("job", "starlink-telemetry");

/// The label with the name of the metric.
pub const NAME: &str = "__name__";

/// The labels of the metrics about the exporter and of the inventory, and the key that an info field named as a device would have.
const RESERVED: [&str; 33] = [
    "account",
    "account_name",
    "account_number",
    "actor",
    "category",
    "cause",
    "code",
    "currency",
    "data_pool",
    "destination",
    "deviceid",
    "dish_serial",
    "format",
    "group",
    INSTANCE,
    "kit_serial",
    "le",
    "name",
    "nickname",
    "operation",
    "part",
    "product",
    "public_ip",
    "reason",
    "region",
    "revision",
    "rustversion",
    "service_line",
    "state",
    "tail_number",
    "task",
    "terminal",
    "version",
];

/// Whether a metric of the exporter may have a label of this name, other than the keys of info fields, which come from Starlink. An info key
/// that equals a label of a destination gets the prefix `field_`.
fn is_reserved_label(name: &str) -> bool {
    RESERVED.contains(&name) || DEVICE_LABELS.contains(&name)
}

/// Why a label cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidLabel {
    /// It is not `[A-Za-z_][A-Za-z0-9_]*`, or begins with `__`.
    #[error("not a label name: letters, digits and _, no leading digit or __")]
    Name,
    /// The metrics have it.
    #[error("the metrics already have this label")]
    Reserved,
    /// An empty label is an absent one.
    #[error("an empty value (leave the label out)")]
    Empty,
}

/// Checks that a destination may add a label of this name.
///
/// # Errors
/// [`InvalidLabel::Name`] or [`InvalidLabel::Reserved`]
pub fn check_label(name: &str) -> Result<(), InvalidLabel> {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_word = name
        .bytes()
        .all(|byte| is_letter(byte) || byte.is_ascii_digit());
    let begins_with_letter = name.bytes().next().is_some_and(is_letter);
    if !is_word || !begins_with_letter || name.starts_with("__") {
        return Err(InvalidLabel::Name);
    }
    match is_reserved_label(name) {
        true => Err(InvalidLabel::Reserved),
        false => Ok(()),
    }
}

/// Labels that a destination adds to all series, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationLabels(BTreeMap<Arc<str>, Arc<str>>);

impl Default for DestinationLabels {
    /// `job="starlink-telemetry"`
    fn default() -> Self {
        let (name, value) = JOB;
        Self(BTreeMap::from([(name.into(), value.into())]))
    }
}

impl DestinationLabels {
    /// No labels.
    #[must_use]
    pub fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a label, or replaces the value of one.
    ///
    /// # Errors
    /// The name or the value is not allowed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidLabel> {
        check_label(name)?;
        if value.is_empty() {
            return Err(InvalidLabel::Empty);
        }
        self.0.insert(name.into(), value.into());
        Ok(())
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// An info key that equals no label: with the prefix `field_` where it does.
    #[must_use]
    pub(super) fn free_key(&self, key: &Arc<str>) -> Arc<str> {
        let mut free = Arc::clone(key);
        while self.0.contains_key(&free) {
            free = format!("field_{free}").into();
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_the_metrics_and_invalid_ones_are_rejected() {
        for (name, value, expected) in [
            ("site", "north", Ok(())),
            ("_x9", "é", Ok(())),
            ("Job", "a", Ok(())),
            ("", "a", Err(InvalidLabel::Name)),
            ("9x", "a", Err(InvalidLabel::Name)),
            ("a-b", "a", Err(InvalidLabel::Name)),
            ("é", "a", Err(InvalidLabel::Name)),
            ("__name__", "a", Err(InvalidLabel::Name)),
            ("deviceID", "a", Err(InvalidLabel::Reserved)),
            ("instance", "a", Err(InvalidLabel::Reserved)),
            ("account", "a", Err(InvalidLabel::Reserved)),
            ("site", "", Err(InvalidLabel::Empty)),
        ] {
            let mut labels = DestinationLabels::none();
            assert_eq!(labels.set(name, value), expected, "{name}");
            let added = labels.iter().collect::<Vec<_>>();
            assert_eq!(
                added,
                Vec::from_iter(expected.is_ok().then_some((name, value)))
            );
        }
    }

    #[test]
    fn info_keys_give_way_to_labels() {
        let mut labels = DestinationLabels::default();
        labels.set("field_job", "x").unwrap();
        for (key, expected) in [("job", "field_field_job"), ("site", "site")] {
            assert_eq!(&*labels.free_key(&key.into()), expected);
        }
    }

    /// The names of the labels in a line of the Prometheus text format.
    fn names(line: &str) -> Vec<&str> {
        let Some((_, labels)) = line.split_once('{') else {
            return Vec::new();
        };
        let parts = labels.split("=\"");
        let ends = parts.map(|part| part.rsplit(['{', ',']).next().unwrap_or(part));
        let is_name = |name: &&str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        ends.filter(is_name).collect()
    }

    #[test]
    fn labels_of_scrapes_are_reserved() {
        assert_eq!(names("a{b=\"c\",d=\"e,f\"} 1"), ["b", "d"]);
        for text in [
            include_str!("../../tests/golden/fleet.prometheus.txt"),
            include_str!("../../tests/golden/inventory.prometheus.txt"),
        ] {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            // The other labels of this family are fields of Starlink.
            let lines = lines.filter(|line| !line.starts_with("starlink_info{"));
            let mut count = 0;
            for line in lines {
                for name in names(line) {
                    assert!(is_reserved_label(name), "{name} of {line}");
                    count += 1;
                }
            }
            assert!(count > 100);
        }
    }
}

//! The labels that a destination adds to all series.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::telemetry::catalogue::DEVICE_LABELS;

/// The label that [`crate::history::OwnSeries`] sets, so that the series of two instances differ.
pub const INSTANCE: &str = "instance";

/// The label with the name of the metric.
pub const NAME: &str = "__name__";

/// The labels of the metrics about the exporter and of the inventory.
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
    "quantile",
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

/// Labels that a destination adds to all series, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationLabels(BTreeMap<Arc<str>, Arc<str>>);

impl Default for DestinationLabels {
    /// `job="starlink-telemetry"`
    fn default() -> Self {
        Self(BTreeMap::from([(
            "job".into(),
            "starlink-telemetry".into(),
        )]))
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
        let is_word = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let starts_with_digit = name.starts_with(|first: char| first.is_ascii_digit());
        if name.is_empty() || !is_word(name) || starts_with_digit || name.starts_with("__") {
            return Err(InvalidLabel::Name);
        }
        if RESERVED.contains(&name) || DEVICE_LABELS.contains(&name) {
            return Err(InvalidLabel::Reserved);
        }
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
}

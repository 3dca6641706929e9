//! The info fields of a device: the labels of `starlink_info` besides those of the device and the destination.

use std::sync::Arc;

/// Keys and values, by key. Each key occurs once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Info(Box<[(Arc<str>, Box<str>)]>);

impl Info {
    /// The fields, which are sorted by key and have each key once.
    pub(super) fn of<'f>(sorted: impl Iterator<Item = (&'f Arc<str>, &'f str)>) -> Self {
        let own = |(key, value): (&Arc<str>, &str)| (Arc::clone(key), value.into());
        Self(sorted.map(own).collect())
    }

    /// Whether it has no fields.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The keys with their values, for other infos.
    pub(super) fn shared(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.0.iter().map(|(key, value)| (key, &**value))
    }
}

//! The metadata of an answer: its column names, and the names of its codes.

use std::collections::BTreeMap;

/// The columns and codes of an answer, within [`super::bounds`]. Absent parts are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Column names by device type code. A name that is not a string is `None`, and its column is ignored.
    pub columns: BTreeMap<String, Vec<Option<String>>>,
    /// Names of the device type codes.
    pub device_types: Option<BTreeMap<String, String>>,
    /// Names of the alert codes, by device type code.
    pub alerts: BTreeMap<String, BTreeMap<String, String>>,
    /// The number of names of columns, types and alerts that exceed the limits.
    pub left_out: usize,
}

#[cfg(test)]
impl Metadata {
    /// Columns by device type code, without names of codes.
    pub(crate) fn of_columns(types: &[(&str, &[&str])]) -> Self {
        let name = |column: &&str| Some((*column).to_owned());
        let columns = types
            .iter()
            .map(|(code, columns)| ((*code).to_owned(), columns.iter().map(name).collect()));
        Self {
            columns: columns.collect(),
            ..Self::default()
        }
    }
}

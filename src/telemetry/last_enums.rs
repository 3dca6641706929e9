//! The names of codes that an answer lacks and an earlier one had, so that an answer that is stored can be interpreted alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::bounds::{MOST_NAME_BYTES, MOST_TYPES};
use super::metadata::Metadata;

/// The names of the last answers with names: those that [`super::SchemaCache`] uses for answers without.
#[derive(Debug, Default)]
pub struct LastEnums {
    device_types: Option<BTreeMap<String, String>>,
    alerts: BTreeMap<String, BTreeMap<String, String>>,
}

/// The names that an answer lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilledEnums {
    /// Names of the device type codes; `None` if the answer has them, or no answer had.
    device_types: Option<BTreeMap<String, String>>,
    /// Names of the alert codes, by the codes of device types for which the answer has columns and no names.
    alerts: BTreeMap<String, BTreeMap<String, String>>,
}

/// Bytes are not [`FilledEnums`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the names of codes cannot be read")]
pub struct InvalidEnums;

/// The longest encoding: each byte of a name may be escaped.
const LONGEST: usize = 6 * MOST_NAME_BYTES;

impl LastEnums {
    /// The names that an answer lacks; `None` if it lacks none that are known. Remembers the names that it has.
    pub fn complete(&mut self, metadata: &Metadata) -> Option<FilledEnums> {
        self.remember(metadata);
        let device_types = match metadata.device_types {
            Some(_) => None,
            None => self.device_types.clone(),
        };
        let mut alerts = BTreeMap::new();
        for code in metadata.columns.keys() {
            if !metadata.alerts.contains_key(code)
                && let Some(names) = self.alerts.get(code)
            {
                alerts.insert(code.clone(), names.clone());
            }
        }
        let is_any = device_types.is_some() || !alerts.is_empty();
        is_any.then_some(FilledEnums {
            device_types,
            alerts,
        })
    }

    fn remember(&mut self, metadata: &Metadata) {
        if metadata.device_types.is_some() && metadata.device_types != self.device_types {
            self.device_types.clone_from(&metadata.device_types);
        }
        for (code, names) in &metadata.alerts {
            if self.alerts.get(code) != Some(names) {
                self.alerts.insert(code.clone(), names.clone());
            }
        }
        if self.alerts.len() > MOST_TYPES {
            let (alerts, columns) = (&metadata.alerts, &metadata.columns);
            self.alerts
                .retain(|code, _| alerts.contains_key(code) || columns.contains_key(code));
        }
        // Both maps of an answer may be full.
        while self.alerts.len() > 2 * MOST_TYPES {
            self.alerts.pop_last();
        }
    }
}

impl FilledEnums {
    /// The names as JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Maps with texts as keys are always valid JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The names of an encoding.
    ///
    /// # Errors
    /// The bytes are too long, or not such JSON.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEnums> {
        if bytes.len() > LONGEST {
            return Err(InvalidEnums);
        }
        serde_json::from_slice(bytes).map_err(|_| InvalidEnums)
    }
}

impl Metadata {
    /// Adds the names that the answer lacks.
    pub fn fill(&mut self, filled: FilledEnums) {
        let FilledEnums {
            device_types,
            alerts,
        } = filled;
        if self.device_types.is_none() {
            self.device_types = device_types;
        }
        for (code, names) in alerts {
            self.alerts.entry(code).or_insert(names);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::SchemaCache;
    use super::*;

    type Names<'n> = &'n [(&'n str, &'n str)];

    fn names(names: Names<'_>) -> BTreeMap<String, String> {
        let names = names.iter();
        names
            .map(|(code, name)| ((*code).to_owned(), (*name).to_owned()))
            .collect()
    }

    /// An answer with columns of these types.
    fn answer(
        types: &[&str],
        device_types: Option<Names<'_>>,
        alerts: &[(&str, Names<'_>)],
    ) -> Metadata {
        let columns: Vec<_> = types.iter().map(|code| (*code, &["A"][..])).collect();
        let alerts = alerts.iter();
        Metadata {
            device_types: device_types.map(names),
            alerts: alerts
                .map(|(code, it)| ((*code).to_owned(), names(it)))
                .collect(),
            ..Metadata::of_columns(&columns)
        }
    }

    #[test]
    fn names_that_an_answer_lacks_are_the_last_ones() {
        let mut last = LastEnums::default();
        let whole = answer(
            &["u", "r"],
            Some(&[("u", "UserTerminal")]),
            &[("u", &[("1", "one")]), ("r", &[("2", "two")])],
        );
        let json = |filled: Option<FilledEnums>| {
            filled.map(|filled| String::from_utf8(filled.encode()).unwrap())
        };
        for (answer, expected) in [
            (answer(&["u"], None, &[]), None),
            (whole, None),
            (
                answer(&["u"], None, &[]),
                Some(r#"{"device_types":{"u":"UserTerminal"},"alerts":{"u":{"1":"one"}}}"#),
            ),
            (
                answer(&["r"], Some(&[]), &[("u", &[("1", "first")])]),
                Some(r#"{"device_types":null,"alerts":{"r":{"2":"two"}}}"#),
            ),
            (
                answer(&["u"], None, &[]),
                Some(r#"{"device_types":{},"alerts":{"u":{"1":"first"}}}"#),
            ),
            (answer(&["d"], Some(&[]), &[]), None),
        ] {
            let filled = last.complete(&answer);
            assert_eq!(json(filled).as_deref(), expected, "{answer:?}");
        }
    }

    #[test]
    fn names_are_forgotten_if_there_are_too_many() {
        let mut last = LastEnums::default();
        for number in 0..10 * MOST_TYPES {
            let code = format!("t{number}");
            let _ = last.complete(&answer(&[&code], None, &[(&code, &[("1", "one")])]));
            assert!(last.alerts.len() <= MOST_TYPES + 1);
        }
    }

    #[test]
    fn invalid_bytes_are_refused() {
        for bytes in [
            &b""[..],
            b"{}x",
            b"[]",
            br#"{"alerts":{"u":1}}"#,
            &[0; LONGEST + 1],
        ] {
            assert_eq!(FilledEnums::decode(bytes), Err(InvalidEnums));
        }
    }

    /// Codes and names of an answer: types with columns, names of types, and alerts by type.
    type Parts = (
        Vec<String>,
        Option<BTreeMap<String, String>>,
        BTreeMap<String, BTreeMap<String, String>>,
    );

    fn any_answer() -> impl Strategy<Value = Parts> {
        let map = || prop::collection::btree_map("[uri]", "[A-C\"]{0,2}", 0..3);
        (
            prop::collection::vec("[uri]", 0..3),
            prop::option::of(map()),
            prop::collection::btree_map("[uri]", map(), 0..3),
        )
    }

    proptest! {
        /// The filled answer alone has the meaning that the answer has after the earlier ones.
        #[test]
        fn a_filled_answer_can_be_interpreted_alone(answers in prop::collection::vec(any_answer(), 1..6)) {
            let mut cache = SchemaCache::default();
            let mut last = LastEnums::default();
            for (types, device_types, alerts) in answers {
                let types: Vec<_> = types.iter().map(String::as_str).collect();
                let mut metadata = answer(&types, None, &[]);
                (metadata.device_types, metadata.alerts) = (device_types, alerts);
                let expected = cache.resolve(&metadata).schema;
                if let Some(filled) = last.complete(&metadata) {
                    metadata.fill(FilledEnums::decode(&filled.encode()).unwrap());
                }
                let schema = SchemaCache::default().resolve(&metadata).schema;
                for code in types {
                    let (schema, expected) = (schema.get(code).unwrap(), expected.get(code).unwrap());
                    prop_assert_eq!(&schema.name, &expected.name);
                    prop_assert_eq!(&schema.alerts, &expected.alerts);
                }
            }
        }
    }
}

//! The values of the label `device_type`: a unique name for each type of an answer.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// The unique names of device types by code.
#[derive(Debug)]
pub(super) struct DeviceTypes {
    by_code: BTreeMap<Box<str>, Arc<str>>,
    /// The codes that the enum does not name.
    unnamed: BTreeSet<Box<str>>,
}

impl DeviceTypes {
    /// The names of all types of an answer: those in the enum `names`, and the other `codes` with columns, whose names are their codes.
    ///
    /// A name of several codes is given to the first code in byte order. The others get `_<code>` appended until the name is unique. The
    /// codes without a name come last, so that the names of the others depend only on the enum and not on the rows of an answer.
    pub(super) fn new<'c>(
        names: &BTreeMap<String, String>,
        codes: impl Iterator<Item = &'c str>,
    ) -> Self {
        let mut taken: HashSet<&str> = HashSet::new();
        let named = names.iter().filter(|(_, name)| !name.is_empty());
        let (firsts, others): (Vec<_>, Vec<_>) =
            named.partition(|(_, name)| taken.insert(name.as_str()));
        let mut unique = Unique {
            taken: taken.into_iter().map(str::to_owned).collect(),
            names: BTreeMap::new(),
        };
        for (code, name) in firsts {
            unique
                .names
                .insert(code.as_str().into(), name.as_str().into());
        }
        for (code, name) in others {
            unique.add(code, name);
        }
        let mut unnamed = BTreeSet::new();
        for code in codes {
            if !unique.names.contains_key(code) {
                unique.add(code, code);
                unnamed.insert(code.into());
            }
        }
        Self {
            by_code: unique.names,
            unnamed,
        }
    }

    /// The name that the enum gives to a type.
    pub(super) fn named(&self, code: &str) -> Option<Arc<str>> {
        let named = self.by_code.get(code);
        named.filter(|_| !self.unnamed.contains(code)).cloned()
    }

    /// The name of a type; its code if the answer has no such type.
    pub(super) fn of(&self, code: &str) -> Arc<str> {
        self.by_code
            .get(code)
            .map_or_else(|| code.into(), Arc::clone)
    }
}

/// Makes names unique.
struct Unique {
    taken: HashSet<String>,
    names: BTreeMap<Box<str>, Arc<str>>,
}

impl Unique {
    /// Adds a code with its name, to which `_<code>` is appended until no other code has it.
    fn add(&mut self, code: &str, name: &str) {
        let mut name = name.to_owned();
        while !self.taken.insert(name.clone()) {
            name.push('_');
            name.push_str(code);
        }
        self.names.insert(code.into(), name.into());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device_types(names: &[(&str, &str)], codes: &[&str]) -> DeviceTypes {
        let names = names.iter();
        let names = names.map(|(code, name)| ((*code).to_owned(), (*name).to_owned()));
        DeviceTypes::new(&names.collect(), codes.iter().copied())
    }

    #[test]
    fn a_shared_name_is_given_to_the_first_code() {
        type Pairs = &'static [(&'static str, &'static str)];
        // The enum, the codes with columns, and the names of some codes.
        let cases: &[(Pairs, &[&str], Pairs)] = &[
            (&[], &["u"], &[("u", "u")]),
            (
                &[("u", "UserTerminal"), ("r", "Router")],
                &["d", "u"],
                &[("u", "UserTerminal"), ("r", "Router"), ("d", "d")],
            ),
            (&[("u", "")], &["u"], &[("u", "u")]),
            (
                &[("b", "X"), ("a", "X"), ("c", "X")],
                &["c"],
                &[("a", "X"), ("b", "X_b"), ("c", "X_c")],
            ),
            // The name of a single code is never given to another one.
            (
                &[("a", "X"), ("b", "X"), ("c", "X_b")],
                &["a", "b", "c"],
                &[("a", "X"), ("b", "X_b_b"), ("c", "X_b")],
            ),
            // A code without a name is changed if its code equals a name of the enum.
            (&[("u", "d")], &["d", "u"], &[("u", "d"), ("d", "d_d")]),
            (
                &[("u", "d")],
                &["d", "d_d"],
                &[("u", "d"), ("d", "d_d"), ("d_d", "d_d_d_d")],
            ),
        ];
        for (names, codes, expected) in cases {
            let types = device_types(names, codes);
            for (code, name) in *expected {
                assert_eq!(&*types.of(code), *name, "{code} of {names:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn names_are_unique_and_those_of_the_enum_depend_only_on_it(
            names in prop::collection::btree_map("[a-c_]{0,3}", "[a-c_]{0,5}", 0..8),
            codes in prop::collection::btree_set("[a-c_]{0,3}", 0..8),
        ) {
            let alone = DeviceTypes::new(&names, std::iter::empty());
            let types = DeviceTypes::new(&names, codes.iter().map(String::as_str));
            let all: HashSet<_> = types.by_code.values().collect();
            prop_assert_eq!(all.len(), types.by_code.len());
            for (code, name) in &alone.by_code {
                prop_assert_eq!(name, &types.of(code));
            }
            for code in &codes {
                prop_assert!(types.by_code.contains_key(code.as_str()));
            }
        }
    }
}

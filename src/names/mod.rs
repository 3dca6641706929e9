//! Names of devices: those of a CSV file, which is reloaded when it changes, else those of the inventory.

mod bond;
mod device;
mod error;
mod file;
mod limits;
mod matching;
mod parse;
mod rows;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::bond::Bonds;
pub use self::device::{DeviceName, TableNames, name_of_listed};
pub use self::error::{Fault, NamesError, Problem};
pub use self::file::follow;
pub use self::matching::{Unmatched, match_devices};

/// The prefix of the IDs of terminals in telemetry. The management API, from which users copy IDs, leaves it out.
const TERMINAL_PREFIX: &str = "ut";

/// The prefix of the IDs of routers, in the spelling of keys.
const ROUTER_PREFIX: &str = "router-";

/// The name and the group of a device.
#[derive(Debug)]
pub struct Name {
    /// The device's name; never empty.
    pub name: Box<str>,
    /// Its group; empty if it has none. Groups are few, so their texts are shared.
    pub group: Arc<str>,
    /// Whether it has matched a device.
    is_matched: AtomicBool,
}

impl Name {
    /// A name that has matched no device yet.
    #[must_use]
    pub fn new(name: Box<str>, group: Arc<str>) -> Self {
        Self {
            name,
            group,
            is_matched: AtomicBool::new(false),
        }
    }
}

/// The names of devices from one version of the file.
#[derive(Debug, Default)]
pub struct Names {
    by_key: HashMap<Box<str>, Name>,
    generation: u64,
}

impl Names {
    /// The name of a device by its ID in Starlink's spelling. The ID may be in any case, and with or without `ut` or `Router-`, in the file
    /// as well as here; an entry that agrees with the ID in its prefix takes precedence.
    #[must_use]
    pub fn get(&self, device_id: &str) -> Option<&Name> {
        with_key(device_id, |key| {
            let found = self.by_key.get(key);
            found.or_else(|| match bare(key) {
                Some(bare) => self.by_key.get(bare),
                None => self.with_prefix(key),
            })
        })
    }

    /// The name of a terminal or a router by an ID without its prefix, from an entry with the prefix.
    fn with_prefix(&self, key: &str) -> Option<&Name> {
        if !is_identifier(key) {
            return None;
        }
        let mut prefixes = [TERMINAL_PREFIX, ROUTER_PREFIX].into_iter();
        prefixes.find_map(|prefix| self.by_key.get(&*format!("{prefix}{key}")))
    }

    /// The name of a terminal by the serial number of its kit or its dish, in any case.
    #[must_use]
    pub fn by_serial(&self, serial: &str) -> Option<&Name> {
        with_key(serial, |key| self.by_key.get(key))
    }

    /// The generation of the file: 0 without a file, 1 at first, and increased by each change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are no names: there is no file, or it has only its header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Parses the content of a names file, as generation 1.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        Ok(Self {
            by_key: parse::parse(text)?,
            generation: 1,
        })
    }

    /// Marks the names of devices with these IDs and serial numbers as matched, and counts the names that have matched no device so far.
    pub fn match_ids<I>(&self, ids_and_serials: I) -> Unmatched
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        for id in ids_and_serials {
            if let Some(name) = self.get(id.as_ref()) {
                name.is_matched.store(true, Ordering::Relaxed);
            }
        }
        let mut unmatched = Unmatched::default();
        for (key, name) in &self.by_key {
            if name.is_matched.load(Ordering::Relaxed) {
                continue;
            }
            unmatched.count += 1;
            // The first in alphabetical order, so that the example is the same each time.
            if unmatched
                .example
                .as_deref()
                .is_none_or(|first| **key < *first)
            {
                unmatched.example = Some(key.to_string());
            }
        }
        unmatched
    }
}

/// Calls `find` with the key of an ID or a serial number: in lower case, because files may have any case. Does not allocate for keys of
/// the usual length, because each scrape looks up every device.
fn with_key<T>(id: &str, find: impl FnOnce(&str) -> T) -> T {
    if !id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return find(id);
    }
    let mut buffer = [0; 64];
    let lower = buffer.get_mut(..id.len()).map(|lower| {
        lower.copy_from_slice(id.as_bytes());
        lower.make_ascii_lowercase();
        std::str::from_utf8(lower)
    });
    match lower {
        Some(Ok(lower)) => find(lower),
        _ => find(&id.to_ascii_lowercase()),
    }
}

/// The key without the prefix of terminals or routers, if it has one and an identifier after it.
fn bare(key: &str) -> Option<&str> {
    let prefixes = [TERMINAL_PREFIX, ROUTER_PREFIX].into_iter();
    let mut bare = prefixes.filter_map(|prefix| key.strip_prefix(prefix));
    bare.find(|rest| is_identifier(rest))
}

/// Whether a text looks like the ID of a terminal or a router without its prefix.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ids: &[&str]) -> Names {
        let lines: String = ids
            .iter()
            .map(|id| format!("{id},name of {id}\n"))
            .collect();
        Names::parse(format!("deviceID,name\n{lines}").as_bytes()).unwrap()
    }

    #[test]
    fn an_id_is_found_in_any_case_and_without_its_prefix() {
        const TERMINAL: &str = "ut01000000-00000000-00c0ffee";
        const ROUTER: &str = "Router-0100000000000000000BEEF5";
        for (written, device, is_found) in [
            (TERMINAL, TERMINAL, true),
            ("UT01000000-00000000-00C0FFEE", TERMINAL, true),
            ("01000000-00000000-00c0ffee", TERMINAL, true),
            ("01000000-00000000-00C0FFEE", TERMINAL, true),
            (ROUTER, ROUTER, true),
            ("router-0100000000000000000beef5", ROUTER, true),
            ("0100000000000000000BEEF5", ROUTER, true),
            ("0100000000000000000beef5", ROUTER, true),
            // Telemetry without the prefix, the file with or without it.
            (TERMINAL, "01000000-00000000-00c0ffee", true),
            (TERMINAL, "01000000-00000000-00C0FFEE", true),
            (ROUTER, "0100000000000000000BEEF5", true),
            ("0100000000000000000beef5", "0100000000000000000BEEF5", true),
            (ROUTER, "01000000-00000000-00c0ffee", false),
            ("01000000-00000000-00c0ffee", ROUTER, false),
            ("KIT00000001", TERMINAL, false),
            ("1", "ut-1", false),
            ("-1", "ut-1", false),
        ] {
            let found = names(&[written]).get(device).is_some();
            assert_eq!(found, is_found, "{written} for {device}");
        }
    }

    #[test]
    fn an_entry_with_the_prefix_goes_before_one_without() {
        for ids in [["0a", "ut0a"], ["ut0a", "0a"]] {
            let names = names(&ids);
            assert_eq!(&*names.get("ut0a").unwrap().name, "name of ut0a");
            assert_eq!(&*names.get("Router-0A").unwrap().name, "name of 0a");
            assert_eq!(&*names.get("0A").unwrap().name, "name of 0a");
        }
    }

    #[test]
    fn names_that_match_no_device_are_counted_with_an_example() {
        let names = names(&["UT0b", "0a", "kit1", "kit0"]);
        let unmatched = |count, example: Option<&str>| Unmatched {
            count,
            example: example.map(str::to_owned),
        };
        assert_eq!(names.match_ids([""; 0]), unmatched(4, Some("0a")));
        assert_eq!(
            names.match_ids(["ut0a", "ut99"]),
            unmatched(3, Some("kit0"))
        );
        // A match is permanent, because a name stays right when its device is forgotten.
        assert_eq!(names.match_ids(["ut0b"]), unmatched(2, Some("kit0")));
        assert_eq!(names.match_ids(["kit0", "kit1"]), unmatched(0, None));
    }
}

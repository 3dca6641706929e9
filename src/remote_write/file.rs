//! Reads `REMOTE_WRITE_FILE`: its list, and the constraints between entries.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::destination::Destination;
use super::entry::{AUTHORIZATION_KEYS, BASIC_KEYS, KEYS, TLS_KEYS};
use super::error::DestinationsErrors;
use super::section::{self, Section};
use crate::text::Problems;
use crate::text::yaml::{Document, Node, Value};

const EXAMPLE: &str = "remote_write: and a list with a name and a url for each destination";

/// The most destinations: each has a sender for each account.
pub const MOST_DESTINATIONS: usize = 16;

/// Parses the content of a file. Relative paths in it refer to `directory`. Files that it names are not read.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines.
pub fn parse(bytes: &[u8], directory: &Path) -> Result<Vec<Destination>, DestinationsErrors> {
    let mut problems = Problems::default();
    let document = problems.document(bytes, EXAMPLE);
    let destinations = document.map_or_else(Vec::new, |document| {
        destinations(&document, directory, &mut problems)
    });
    DestinationsErrors::none_or(problems, destinations)
}

fn destinations(
    document: &Document,
    directory: &Path,
    problems: &mut Problems,
) -> Vec<Destination> {
    for (line, key) in &document.repeated {
        let known = [&["remote_write"], KEYS.as_slice(), &TLS_KEYS, &BASIC_KEYS];
        let is_known =
            known.concat().contains(&key.as_str()) || AUTHORIZATION_KEYS.contains(&key.as_str());
        let name = if is_known { key } else { "a key" };
        problems.add(*line, format!("{name} is repeated: leave one of them out"));
    }
    let Some(items) = items(&document.root, problems) else {
        return Vec::new();
    };
    let mut lines: HashMap<Arc<str>, usize> = HashMap::new();
    let mut destinations = Vec::new();
    for item in items {
        let Some(mut section) = Section::new(item, "a destination", &KEYS, problems) else {
            continue;
        };
        let line = section.line_of_name();
        let name = section.name();
        destinations.extend(section.destination(name.clone(), directory));
        let Some(name) = name else { continue };
        match lines.get(&name) {
            Some(first) => {
                let what = format!(
                    "duplicate name (first on line {first}): give each destination a name of its own"
                );
                problems.add(line, what);
            }
            None => {
                lines.insert(name, line);
            }
        }
    }
    destinations
}

/// The list of entries, if there is one.
fn items<'n>(root: &'n Node, problems: &mut Problems) -> Option<&'n [Node]> {
    let entries = match &root.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => &[],
        Value::Text(_) | Value::List(_) => {
            let what = format!("expected the key remote_write: give {EXAMPLE}");
            problems.add(root.line, what);
            return None;
        }
    };
    for (key, node) in entries {
        if key != "remote_write" {
            problems.add(node.line, section::unknown(key, &["remote_write"]));
        }
    }
    let list = entries.iter().find(|(key, _)| key == "remote_write");
    let line = list.map_or(root.line, |(_, node)| node.line);
    match list.map(|(_, node)| &node.value) {
        Some(Value::List(items)) if items.len() > MOST_DESTINATIONS => {
            let what = format!("too many destinations: give {MOST_DESTINATIONS} at most");
            problems.add(items[MOST_DESTINATIONS].line, what);
            Some(&items[..MOST_DESTINATIONS])
        }
        Some(Value::List(items)) if !items.is_empty() => Some(items),
        Some(Value::Map(_) | Value::Text(_)) => {
            problems.add(line, format!("remote_write is not a list: give {EXAMPLE}"));
            None
        }
        Some(Value::List(_) | Value::Null) | None => {
            problems.add(line, format!("there are no destinations: give {EXAMPLE}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;

//! A mapping of the web configuration whose keys are known.

use super::error::Problem;
use crate::text::yaml::{Node, Value};

/// A mapping with known keys.
pub(super) struct Section<'n> {
    line: usize,
    pub(super) entries: &'n [(String, Node)],
}

/// A key whose value is a text.
pub(super) struct Text<'n> {
    line: usize,
    pub(super) key: &'n str,
    pub(super) text: &'n str,
}

impl<'n> Section<'n> {
    /// Checks that a node is a mapping of known keys. `elsewhere` are keys of exporter-toolkit that this exporter does not support.
    pub(super) fn of(node: &'n Node, known: &[&str], elsewhere: &[&str]) -> Result<Self, Problem> {
        let problem = |line, what: String| Problem { line, what };
        let list = known.join(", ");
        let entries = match &node.value {
            Value::Null => &[],
            Value::Map(entries) => entries.as_slice(),
            _ => {
                let what = format!("expected keys with values: {list}");
                return Err(problem(node.line, what));
            }
        };
        for (key, value) in entries {
            if elsewhere.contains(&key.as_str()) {
                let what = format!("{key} is not supported; use {list}");
                return Err(problem(value.line, what));
            }
            if !known.contains(&key.as_str()) {
                // An unknown key may be a misplaced hash, which must not be shown.
                let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
                let shown = match key.len() < 40 && key.bytes().all(is_word) {
                    true => format!("unknown key {key}"),
                    false => "an unknown key".to_owned(),
                };
                return Err(problem(value.line, format!("{shown}; use {list}")));
            }
        }
        Ok(Self {
            line: node.line,
            entries,
        })
    }

    /// The value of a key, if the mapping has it.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        let entry = self.entries.iter().find(|(known, _)| known == key);
        entry.map(|(_, node)| node)
    }

    /// The value of a key as a text; `None` if the key is missing or has no value.
    pub(super) fn text(&self, key: &str) -> Result<Option<Text<'n>>, Problem> {
        let Some((key, node)) = self.entries.iter().find(|(known, _)| known == key) else {
            return Ok(None);
        };
        let line = node.line;
        match &node.value {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(Text { line, key, text })),
            _ => Err(Problem {
                line,
                what: format!("{key}: give one text"),
            }),
        }
    }

    /// The value of a key that TLS requires.
    pub(super) fn required(&self, key: &str) -> Result<Text<'n>, Problem> {
        match self.text(key)? {
            Some(text) => Ok(text),
            None => Err(self.problem(&format!(
                "{key} is missing: TLS needs cert_file and key_file"
            ))),
        }
    }

    /// A problem on the line of the mapping.
    pub(super) fn problem(&self, what: &str) -> Problem {
        Problem {
            line: self.line,
            what: what.to_owned(),
        }
    }
}

impl Text<'_> {
    /// A problem on the line of the key.
    pub(super) fn problem(&self, what: &str) -> Problem {
        Problem {
            line: self.line,
            what: what.to_owned(),
        }
    }
}

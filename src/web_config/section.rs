//! A part of a web configuration with known keys.

use super::error::Problem;
use crate::text::yaml::{Node, Value};

/// A part of the file that holds known keys.
pub(super) struct Section<'n> {
    line: usize,
    pub(super) entries: &'n [(String, Node)],
}

/// A key with a text for its value.
pub(super) struct Text<'n> {
    line: usize,
    pub(super) key: &'n str,
    pub(super) text: &'n str,
}

impl<'n> Section<'n> {
    /// The keys of a mapping. `elsewhere` are keys that exporter-toolkit has and this exporter has not.
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
                // Anything may stand here by mistake, a hash as well.
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

    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        let entry = self.entries.iter().find(|(known, _)| known == key);
        entry.map(|(_, node)| node)
    }

    /// The text of a key; `None` if the key is missing or has no value.
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

    pub(super) fn required(&self, key: &str) -> Result<Text<'n>, Problem> {
        match self.text(key)? {
            Some(text) => Ok(text),
            None => Err(self.problem(&format!(
                "{key} is missing: TLS needs cert_file and key_file"
            ))),
        }
    }

    pub(super) fn problem(&self, what: &str) -> Problem {
        Problem {
            line: self.line,
            what: what.to_owned(),
        }
    }
}

impl Text<'_> {
    pub(super) fn problem(&self, what: &str) -> Problem {
        Problem {
            line: self.line,
            what: what.to_owned(),
        }
    }
}

//! A mapping of `REMOTE_WRITE_FILE` with known keys: typed values, and problems with their lines.

use std::path::{Path, PathBuf};

use regex_lite::Regex;
use secrecy::SecretString;

use super::destination::Secret;
use super::foreign;
use super::secret_text::{is_header_value, is_password};
use crate::telemetry::fields::anchored;
use crate::text::yaml::{Node, Value};
use crate::text::{Problems, nearest};

/// The longest text of a list or a mapping, in bytes.
pub(super) const LONGEST: usize = 1024;

/// The longest text of a key, such as a token, in bytes.
const LONGEST_TEXT: usize = 65_536;

const MOST_EXPRESSIONS: usize = 100;

/// A mapping with known keys, and where its problems go.
pub(super) struct Section<'n, 'p> {
    pub(super) line: usize,
    keys: Vec<(&'static str, &'n Node)>,
    pub(super) problems: &'p mut Problems,
}

impl<'n, 'p> Section<'n, 'p> {
    /// The known keys of a mapping that have a value; `None` if it is not a mapping. Unknown keys are problems. They are not shown,
    /// because they may be secrets, unless Prometheus has them.
    pub(super) fn new(
        node: &'n Node,
        what: &str,
        known: &[&'static str],
        problems: &'p mut Problems,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let list = known.join(", ");
            let message = format!("{what} must be a mapping: give keys with values: {list}");
            problems.add(node.line, message);
            return None;
        };
        let mut keys = Vec::new();
        for (key, value) in entries {
            match known.iter().find(|name| *name == key) {
                Some(_) if matches!(value.value, Value::Null) => {}
                Some(name) => keys.push((*name, value)),
                None => problems.add(value.line, unknown(key, known)),
            }
        }
        Some(Self {
            line: node.line,
            keys,
            problems,
        })
    }

    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        let found = self.keys.iter().find(|(name, _)| *name == key);
        found.map(|(_, node)| *node)
    }

    pub(super) fn is_given(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The line of the key `name`, or of the section without it.
    pub(super) fn line_of_name(&self) -> usize {
        self.line_of("name")
    }

    /// The line of a key, or of the section without it.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.get(key).map_or(self.line, |node| node.line)
    }

    /// The lines of those keys of parts that are given.
    pub(super) fn lines_in_parts(
        &self,
        keys: &[(&'static str, &'static str)],
    ) -> Vec<(&'static str, usize)> {
        let line = |(part, key): &(&'static str, &'static str)| {
            let Value::Map(entries) = &self.get(part)?.value else {
                return None;
            };
            let (_, node) = entries.iter().find(|(name, _)| name == key)?;
            Some((*key, node.line))
        };
        keys.iter().filter_map(line).collect()
    }

    pub(super) fn problem(&mut self, key: &str, what: impl Into<String>) {
        self.problems.add(self.line_of(key), what);
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<&'n str> {
        let node = self.get(key)?;
        match &node.value {
            Value::Text(text) if text.len() > LONGEST_TEXT => {
                self.problem(key, format!("{key} is too long"));
                None
            }
            Value::Text(text) => Some(text.as_str()),
            _ => {
                self.problem(
                    key,
                    format!("{key} must be a text, not a list or a mapping"),
                );
                None
            }
        }
    }

    /// The parsed text of a key; a problem if it is not accepted.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let value = parse(text.trim());
        if value.is_none() {
            self.problem(key, format!("{key} is not accepted: give {accepted}"));
        }
        value
    }

    pub(super) fn switch(&mut self, key: &'static str) -> Option<bool> {
        self.parsed(key, "true or false", |text| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    pub(super) fn whole(&mut self, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let accepted = format!("a whole number from {least} to {most}");
        self.parsed(key, &accepted, |text| {
            let number = text.parse::<u64>().ok()?;
            (least..=most).contains(&number).then_some(number)
        })
    }

    pub(super) fn part(
        &mut self,
        key: &'static str,
        known: &[&'static str],
    ) -> Option<Section<'n, '_>> {
        Section::new(self.get(key)?, key, known, self.problems)
    }

    /// The texts of a mapping with any keys, each with its line.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        most: usize,
    ) -> Vec<(usize, &'n str, &'n str)> {
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let Value::Map(entries) = &node.value else {
            self.problem(key, format!("{key} must be a mapping of names to texts"));
            return Vec::new();
        };
        if entries.len() > most {
            self.problem(
                key,
                format!("{key} has too many entries: give {most} at most"),
            );
        }
        let mut texts = Vec::new();
        for (name, value) in entries.iter().take(most) {
            match &value.value {
                Value::Text(text) if text.len() <= LONGEST => {
                    texts.push((value.line, name.as_str(), text.as_str()));
                }
                Value::Null => texts.push((value.line, name.as_str(), "")),
                _ => {
                    let what =
                        format!("a value of {key} must be a text of {LONGEST} bytes at most");
                    self.problems.add(value.line, what);
                }
            }
        }
        texts
    }

    pub(super) fn expressions(&mut self, key: &'static str) -> Vec<Regex> {
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let Value::List(items) = &node.value else {
            let what = format!("{key} must be a list of regular expressions on metric names");
            self.problem(key, what);
            return Vec::new();
        };
        if items.len() > MOST_EXPRESSIONS {
            let what = format!("{key} has too many expressions: give {MOST_EXPRESSIONS} at most");
            self.problem(key, what);
        }
        let mut expressions = Vec::new();
        for (item, number) in items.iter().take(MOST_EXPRESSIONS).zip(1..) {
            let expression = match &item.value {
                Value::Text(text) if text.len() <= LONGEST => {
                    // The reason does not quote the expression.
                    anchored(text).map_err(|error| error.to_string())
                }
                Value::Text(_) => Err(format!("it has more than {LONGEST} bytes")),
                _ => Err("it is no text".to_owned()),
            };
            match expression {
                Ok(expression) => expressions.push(expression),
                Err(why) => {
                    let what =
                        format!("item {number} of {key} is not a valid regular expression: {why}");
                    self.problems.add(item.line, what);
                }
            }
        }
        expressions
    }

    /// A secret: a value or a file, but not both.
    pub(super) fn secret(
        &mut self,
        value: &'static str,
        file: &'static str,
        directory: &Path,
    ) -> Option<Secret> {
        match (self.is_given(value), self.is_given(file)) {
            (true, true) => {
                let line = self.line_of(value).max(self.line_of(file));
                let what = format!("{value} and {file} are both given: leave one of them out");
                self.problems.add(line, what);
                None
            }
            (false, false) => {
                let what = format!("{value} is missing: give it, or the path of a file in {file}");
                self.problems.add(self.line, what);
                None
            }
            (true, false) => {
                let secret = match value {
                    // White space around it may belong to it.
                    "password" => self.password(),
                    _ => self.parsed(value, "printable ASCII characters", |text| {
                        is_header_value(text).then(|| text.into())
                    }),
                };
                secret.map(Secret::Value)
            }
            (false, true) => self.path(file, directory).map(Secret::File),
        }
    }

    fn password(&mut self) -> Option<SecretString> {
        let text = self.text("password")?;
        if !is_password(text) {
            let what = "password is not accepted: give at least one character, and no line break or other control character";
            self.problem("password", what);
            return None;
        }
        Some(text.into())
    }

    pub(super) fn path(&mut self, key: &'static str, directory: &Path) -> Option<PathBuf> {
        self.parsed(key, "the path of a file", |text| {
            (!text.is_empty()).then(|| directory.join(text))
        })
    }
}

/// The message about an unknown key.
pub(super) fn unknown(key: &str, known: &[&str]) -> String {
    if let Some(advice) = foreign::advice(key) {
        return format!("{key} is not supported: {advice}");
    }
    match nearest(key, known.iter().copied()) {
        Some(known) => format!("unknown key: did you mean {known}?"),
        None => format!("unknown key: use {}", known.join(", ")),
    }
}

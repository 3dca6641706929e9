//! Collects the problems of a file by their lines, and parses YAML files with them.

use super::yaml::{self, Document};

/// The problems of a file, in any order.
#[derive(Debug, Default)]
pub struct Problems(Vec<(usize, String)>);

impl Problems {
    /// The most problems that are reported one by one.
    const MOST_REPORTED: usize = 30;

    /// Adds a problem of a line, counted from 1.
    pub fn add(&mut self, line: usize, what: impl Into<String>) {
        self.0.push((line, what.into()));
    }

    /// Adds problems of lines.
    pub fn add_all(&mut self, problems: impl IntoIterator<Item = (usize, String)>) {
        self.0.extend(problems);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses a YAML file. If it is not UTF-8 or not valid, this is added as a problem, with what the file should contain.
    pub fn document(&mut self, bytes: &[u8], expected: &str) -> Option<Document> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let before = &bytes[..error.valid_up_to()];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                self.add(line, "this is not UTF-8: save the file as UTF-8");
                return None;
            }
        };
        match yaml::parse(text) {
            Ok(document) => Some(document),
            Err(yaml::Problem { line, what }) => {
                self.add(line, format!("{what}: give {expected}"));
                None
            }
        }
    }

    /// The first problems in the order of the lines, and the number of those that are left out.
    #[must_use]
    pub fn into_reported(mut self) -> (Vec<(usize, String)>, usize) {
        self.0.sort_by_key(|(line, _)| *line);
        let left_out = self.0.len().saturating_sub(Self::MOST_REPORTED);
        self.0.truncate(Self::MOST_REPORTED);
        (self.0, left_out)
    }
}

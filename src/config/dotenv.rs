//! Scans a `.env` file before it is interpreted: names with their lines, and secrets that dotenvy would change.

use super::table;

/// A variable of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    pub(super) name: &'a str,
    /// Why dotenvy would change its value, if it is a secret.
    pub(super) hazard: Option<&'static str>,
}

const VARIABLE: &str = "$, which starts a variable";
const COMMENT: &str = "#, which starts a comment";

/// The variables of a file, in order. Other lines are left to dotenvy.
pub(super) fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = None;
    for (index, line) in text.lines().enumerate() {
        // A quoted value may continue on further lines.
        let (value, begins) = match (open, assignment(line)) {
            (Some(_), _) => (line, false),
            (None, Some((name, value))) => {
                entries.push(Entry {
                    line: index + 1,
                    name,
                    hazard: None,
                });
                (value, true)
            }
            (None, None) => continue,
        };
        let scanned = scan(value, open, begins);
        open = scanned.open;
        if let Some(entry) = entries.last_mut().filter(|entry| is_secret(entry.name)) {
            entry.hazard = entry.hazard.or(scanned.hazard);
        }
    }
    entries
}

/// The name, and the text after the `=`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (left, value) = line.split_once('=')?;
    let left = left.trim();
    let name = match left.split_once(char::is_whitespace) {
        Some(("export", name)) => name.trim_start(),
        _ => left,
    };
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_.".contains(character);
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, value))
}

fn is_secret(name: &str) -> bool {
    let aliases = table::ALIASES.iter();
    let aliased = aliases.filter(|(_, names)| names.contains(&name));
    let settings = table::SETTINGS
        .into_iter()
        .filter(|setting| setting.name == name);
    aliased
        .map(|(setting, _)| *setting)
        .chain(settings)
        .any(|setting| setting.secret)
}

struct Scanned {
    hazard: Option<&'static str>,
    /// The quote that is not closed at the end of the line.
    open: Option<char>,
}

/// Parses a value as dotenvy does, up to the end of the line.
fn scan(value: &str, mut open: Option<char>, begins: bool) -> Scanned {
    let is_bare = begins && !value.trim_start().starts_with(['\'', '"']);
    let mut before = if begins { '=' } else { '\n' };
    let mut characters = value.chars();
    let mut hazard = None;
    while let Some(character) = characters.next() {
        match (open, character) {
            (Some('\''), '\'') | (Some('"'), '"') => open = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                characters.next();
            }
            (_, '$') => hazard = hazard.or(Some(VARIABLE)),
            (Some(_), _) => {}
            (None, '\'' | '"') => open = Some(character),
            (None, '#') if before == '=' => {
                return Scanned {
                    hazard: hazard.or(Some(COMMENT)),
                    open,
                };
            }
            (None, '#') if before.is_whitespace() => {
                let is_empty = value.trim_start().starts_with('#');
                let cut = (is_bare && !is_empty).then_some(COMMENT);
                return Scanned {
                    hazard: hazard.or(cut),
                    open,
                };
            }
            (None, _) => {}
        }
        before = character;
    }
    Scanned { hazard, open }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_dotenvy_changes_in_secrets_are_found() {
        for (value, expected) in [
            ("plain", None),
            ("ab#cd", None),
            ("'a$b #c'", None),
            ("'a$b' # a comment", None),
            ("\"ab\" # a comment", None),
            ("", None),
            ("  # nothing yet", None),
            ("a\\$b", None),
            ("\"a\\$b\"", None),
            ("a$b", Some(VARIABLE)),
            ("a$", Some(VARIABLE)),
            ("${HOME}x", Some(VARIABLE)),
            ("\"a$b\"", Some(VARIABLE)),
            ("'a'$b", Some(VARIABLE)),
            ("ab #cd", Some(COMMENT)),
            ("ab\t# cd", Some(COMMENT)),
            ("#cd", Some(COMMENT)),
        ] {
            for (name, is_secret) in [
                ("CLIENT_SECRET", true),
                ("export CLIENT_ID ", true),
                ("https_proxy", true),
                ("RUST_LOG", false),
                ("OTHER", false),
            ] {
                let text = format!("A=1\n{name}={value}\nB=2\n");
                let entries = entries(&text);
                assert_eq!(entries.len(), 3, "{text}");
                assert_eq!(entries[1].line, 2);
                let expected = expected.filter(|_| is_secret);
                assert_eq!(entries[1].hazard, expected, "{text}");
            }
        }
    }

    #[test]
    fn a_quoted_value_may_have_lines() {
        let text = "# X=1\nA='x\nCLIENT_ID=$y\n'\nnot a variable\nCLIENT_SECRET=\"a\n$b\"\nB=$c\n";
        let found: Vec<_> = entries(text)
            .into_iter()
            .map(|entry| (entry.line, entry.name, entry.hazard))
            .collect();
        let expected = [
            (2, "A", None),
            (6, "CLIENT_SECRET", Some(VARIABLE)),
            (8, "B", None),
        ];
        assert_eq!(found, expected);
    }
}

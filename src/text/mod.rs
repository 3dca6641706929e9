//! Helpers for text that depend on nothing else in this crate.

pub mod escape;
pub mod fnv;
mod nearest;
pub mod padded;
mod problems;
pub mod yaml;

pub use self::nearest::nearest;
pub use self::problems::Problems;

use std::io;

/// The text of an error, without the number of the operating system's error.
#[must_use]
pub fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// The most names in a list.
const MAX_NAMES: usize = 10;

/// The most characters of a listed name.
const MAX_NAME_CHARS: usize = 100;

/// A list of names from outside for a log line: the first ten, escaped and each cut after 100 characters, then the number of
/// those left out of `count`.
#[must_use]
pub fn listed(names: impl IntoIterator<Item = impl AsRef<str>>, count: usize) -> String {
    listed_within(MAX_NAME_CHARS, names, count)
}

/// [`listed`] with names that are cut after `longest` characters, for lines with several lists.
#[must_use]
pub fn listed_within(
    longest: usize,
    names: impl IntoIterator<Item = impl AsRef<str>>,
    count: usize,
) -> String {
    let mut list = String::new();
    let mut shown = 0;
    for name in names.into_iter().take(MAX_NAMES) {
        if shown > 0 {
            list.push_str(", ");
        }
        let mut printable = name.as_ref().escape_debug();
        list.extend(printable.by_ref().take(longest));
        if printable.next().is_some() {
            list.push('…');
        }
        shown += 1;
    }
    if count > shown {
        list.push_str(&format!(" and {} more", count - shown));
    }
    list
}

/// An error and its sources, on one line.
#[must_use]
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_limited_and_escaped() {
        let long = "x".repeat(101);
        for (names, count, expected) in [
            (vec![], 0, String::new()),
            (vec!["a", "b c"], 2, "a, b c".to_owned()),
            (vec!["a\nb"], 3, "a\\nb and 2 more".to_owned()),
            (
                vec!["a"; 12],
                12,
                format!("{}a and 2 more", "a, ".repeat(9)),
            ),
            (vec![&long], 1, format!("{}…", &long[1..])),
        ] {
            assert_eq!(listed(&names, count), expected);
        }
        let worst = "\u{e000}".repeat(10_000);
        assert!(listed(vec![worst; 1000], usize::MAX).len() < 2048);
    }
}

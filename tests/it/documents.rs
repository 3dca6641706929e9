//! Checks that the tests that docs/ cites exist, and that the destinations of remote write in docs/ are accepted.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use starlink_telemetry::remote_write::parse;

/// The texts of all files in a directory and its subdirectories with this extension, with their paths.
fn texts(directory: &Path, extension: &str) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(self::texts(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            let text = fs::read_to_string(&path).unwrap();
            texts.push((path.display().to_string(), text));
        }
    }
    texts
}

/// The names of all functions in a source text.
fn functions(source: &str) -> impl Iterator<Item = &str> {
    let names = source.split("fn ").skip(1);
    names.filter_map(|rest| rest.split(['(', '<']).next())
}

/// The tests that a document cites: the last segments of paths such as `state::a_test` in backticks, or only their beginnings, with `…` at
/// the end. A path that ends with `tests` cites a module.
fn cited(document: &str) -> impl Iterator<Item = &str> {
    let codes = document.split('`').skip(1).step_by(2);
    let is_path = |code: &&str| {
        let is_lower =
            |character: char| character.is_ascii_lowercase() || "0123456789_:…".contains(character);
        code.contains("::") && code.chars().all(is_lower)
    };
    let names = codes
        .filter(is_path)
        .filter_map(|code| code.rsplit("::").next());
    names.filter(|name| *name != "tests")
}

#[test]
fn the_tests_that_documents_cite_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = texts(&root.join("src"), "rs");
    sources.extend(texts(&root.join("tests"), "rs"));
    let existing: BTreeSet<_> = sources
        .iter()
        .flat_map(|(_, source)| functions(source))
        .collect();
    let documents = texts(&root.join("docs"), "md");
    let mut count = 0;
    for (path, document) in &documents {
        for name in cited(document) {
            let exists = match name.strip_suffix('…') {
                Some(beginning) => existing.iter().any(|name| name.starts_with(beginning)),
                None => existing.contains(name),
            };
            assert!(exists, "{path} cites {name}");
            count += 1;
        }
    }
    assert!(count > 50, "{count} citations");
}

/// The blocks of YAML in a document.
fn yaml(document: &str) -> impl Iterator<Item = &str> {
    let blocks = document.split("```yaml\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next())
}

#[test]
fn the_destinations_in_documents_are_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for (path, document) in texts(&root.join("docs"), "md") {
        for block in yaml(&document).filter(|block| block.starts_with("remote_write:")) {
            let parsed = parse(block.as_bytes(), root);
            assert!(parsed.is_ok(), "{path}: {parsed:?}:\n{block}");
            count += 1;
        }
    }
    assert!(count > 5, "{count} examples");
}

#[test]
fn every_key_of_a_destination_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/HISTORY.md")).unwrap();
    // The message about an unknown key has all that are known.
    let message = parse(b"remote_write: [{zzzzzzzz: 1}]", root)
        .unwrap_err()
        .to_string();
    let keys = message.split("unknown key: use ").nth(1).unwrap();
    let keys: Vec<_> = keys.split(';').next().unwrap().split(", ").collect();
    assert!(keys.len() > 10, "{message}");
    for key in keys {
        assert!(document.contains(&format!("| `{key}` |")), "{key}");
    }
}

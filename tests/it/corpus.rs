//! Runs the checks of the fuzz targets on their corpus (`fuzz/`), so that earlier findings are tested in every run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../../fuzz/src/checks.rs"]
#[allow(dead_code, reason = "the fuzzer bounds parts of it")]
mod checks;

/// Checks every file of a target's corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut played = 0;
    for file in std::fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let passed = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
        assert!(passed.is_ok(), "{}", path.display());
        played += 1;
    }
    assert!(played > 0, "{} is empty", directory.display());
}

#[test]
fn answers_in_the_corpus_can_be_scraped() {
    replay("batches", checks::batches);
}

#[test]
fn headers_in_the_corpus_are_negotiated() {
    replay("accept", checks::accept);
}

#[test]
fn targets_in_the_corpus_are_answered() {
    replay("query", checks::query);
}

#[test]
fn texts_in_the_corpus_are_escaped() {
    replay("escaping", checks::escaping);
}

#[test]
fn settings_in_the_corpus_are_read_or_refused() {
    replay("settings", checks::settings);
}

#[test]
fn states_in_the_corpus_are_read_or_refused() {
    replay("state", checks::state);
}

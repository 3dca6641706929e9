//! Helpers for text that depend on nothing else in this crate.

/// An error and what caused it, on one line.
#[must_use]
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

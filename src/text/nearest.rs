//! Finds the known name that a misspelt one most likely means.

/// The known name with the smallest edit distance to the unknown one: at most two edits, and at most a third of its length. Case and `-`
/// for `_` are ignored. Of equally near names the first in alphabetical order; `None` if none is near.
#[must_use]
pub fn nearest<'k>(unknown: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const MOST_EDITS: usize = 2;
    let unknown = unknown.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| {
            (
                strsim::osa_distance(&unknown, &name.to_ascii_lowercase()),
                name,
            )
        })
        .filter(|(distance, name)| *distance <= MOST_EDITS.min(name.len() / 3))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_name_is_found_for_a_misspelt_one() {
        let known = ["batch_size", "client_id", "max", "STALE_AFTER"];
        for (unknown, expected) in [
            ("batchsize", Some("batch_size")),
            ("BATCH-SIZE", Some("batch_size")),
            ("client_di", Some("client_id")),
            ("mux", Some("max")),
            ("mox1", None),
            ("stale_aftr", Some("STALE_AFTER")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(unknown, known), expected, "{unknown}");
        }
    }
}

//! The name that was probably meant by an unknown one.

/// The nearest of the known names, in any case and with `-` for `_`; `None` if none is near. The first in alphabetical order of equally
/// near ones.
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
    fn a_misspelt_name_finds_the_nearest() {
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

//! Files that are read again when they change: looked at again and again, and told about once.

use std::time::Duration;

use actix_rt::task::spawn_blocking;

/// What was found when files were looked at last: enough to tell whether there is something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// They held this; a digest. What they hold counts and not their times: a mounted ConfigMap changes by a symbolic link.
    Content(Vec<u8>),
    /// They could not be used; the reason.
    Trouble(String),
}

/// Looks at files every so often, for ever, and hands on what is new: `look` gives nothing where it finds what was seen last. What is new
/// is looked at once more, a quarter of the interval later, and counts if it is still the same: who saves a file may do so in several steps.
pub async fn watch<T: Send + 'static>(
    mut seen: Seen,
    interval: Duration,
    look: impl Fn(&Seen) -> Option<(Seen, T)> + Clone + Send + 'static,
    mut take: impl FnMut(T),
) {
    let mut candidate = None;
    loop {
        let wait = match candidate {
            None => interval,
            Some(_) => interval / 4,
        };
        actix_rt::time::sleep(wait).await;
        let (look, before) = (look.clone(), seen.clone());
        // Files may be far away, and long.
        let Ok(found) = spawn_blocking(move || look(&before)).await else {
            continue;
        };
        candidate = match found {
            Some((now, found)) if candidate.as_ref() == Some(&now) => {
                seen = now;
                take(found);
                None
            }
            found => found.map(|(now, _)| now),
        };
    }
}

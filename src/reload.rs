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

/// Looks at files every so often, for ever, and hands on what is new: `look` gives nothing where it finds what was seen last.
pub async fn watch<T: Send + 'static>(
    mut seen: Seen,
    interval: Duration,
    look: impl Fn(&Seen) -> Option<(Seen, T)> + Clone + Send + 'static,
    mut take: impl FnMut(T),
) {
    loop {
        actix_rt::time::sleep(interval).await;
        let (look, before) = (look.clone(), seen.clone());
        // Files may be far away, and long.
        if let Ok(Some((now, found))) = spawn_blocking(move || look(&before)).await {
            seen = now;
            take(found);
        }
    }
}

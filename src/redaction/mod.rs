//! Removes the secrets of the process from texts that come from outside, before they are logged or shown.
//!
//! A secret is found literally, percent-encoded (completely or in part, at most twice, `+` for a space), with JSON escapes, and
//! inside base64 at any alignment. Code that reads or receives a secret registers it with the [`Redactor`], whose clones share it.

mod decode;
mod secrets;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};

use self::decode::{Decoded, base64_runs, decoded_base64};
use self::secrets::{Kept, Secrets};

/// What a secret is replaced by.
const REDACTED: &str = "[redacted]";

/// How much of a text is searched, in bytes.
const SCANNED: usize = 16 * 1024;

/// How much of a text is returned, in bytes. It is so much less than [`SCANNED`] that a piece of a secret that begins within it
/// also ends within [`SCANNED`], in any encoding.
const SHOWN: usize = 8 * 1024;

/// Holds the secrets of the process and removes them from texts. Clones share the secrets.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Arc<ArcSwap<Secrets>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.secrets.load().len();
        write!(formatter, "Redactor({count} secrets)")
    }
}

impl Redactor {
    /// Registers a secret that is kept as long as the process runs, such as a proxy's password. Empty and blank ones are ignored.
    pub fn register(&self, secret: &SecretString) {
        self.add_all([secret], Kept::Forever);
    }

    /// Registers client IDs and client secrets of accounts. The number of former ones is limited, because accounts may change any number of
    /// times without a restart. One that is registered again counts as new.
    pub fn register_credentials<'s>(
        &self,
        credentials: impl IntoIterator<Item = &'s SecretString>,
    ) {
        self.add_all(credentials, Kept::Credential);
    }

    /// Registers a token; the oldest one is dropped if there are too many.
    pub fn register_token(&self, token: &SecretString) {
        self.add_all([token], Kept::Token);
    }

    /// Registers all at once, because each change rebuilds the index.
    fn add_all<'s>(&self, added: impl IntoIterator<Item = &'s SecretString>, kept: Kept) {
        let added = added.into_iter();
        let added = added.map(|secret| secret.expose_secret().trim().as_bytes());
        let added: Vec<Arc<[u8]>> = added
            .filter(|bytes| !bytes.is_empty())
            .map(Arc::from)
            .collect();
        let secrets = self.secrets.load();
        if added
            .iter()
            .all(|secret| secrets.is_registered(secret, kept))
        {
            return;
        }
        self.secrets.rcu(|secrets| secrets.with(&added, kept));
    }

    /// The first 8 KiB of the text, with every secret replaced by `[redacted]`.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let secrets = self.secrets.load();
        let scanned = &text[..text.floor_char_boundary(SCANNED)];
        let shown = text.floor_char_boundary(SHOWN);
        let found = match secrets.len() {
            0 => Vec::new(),
            _ => secret_ranges(&secrets, scanned),
        };
        if found.is_empty() {
            return Cow::Borrowed(&text[..shown]);
        }
        let mut clean = String::with_capacity(shown);
        let mut from = 0;
        for range in found {
            if range.start >= shown {
                break;
            }
            clean.push_str(&text[from..range.start]);
            clean.push_str(REDACTED);
            from = range.end;
        }
        clean.push_str(text.get(from..shown).unwrap_or_default());
        Cow::Owned(clean)
    }
}

/// The ranges of a text that hold secrets in any encoding: in order, without overlaps, on character boundaries.
fn secret_ranges(secrets: &Secrets, text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let shortest = secrets.shortest();
    for view in Decoded::views(text.as_bytes()) {
        secrets.find(view.bytes(), |range| found.push(view.source(range)));
        for run in base64_runs(view.bytes()) {
            let may_hold = run.len() * 3 / 4 >= shortest;
            if may_hold && holds_in_base64(secrets, &view.bytes()[run.clone()]) {
                found.push(view.source(run));
            }
        }
    }
    for range in &mut found {
        range.start = text.floor_char_boundary(range.start);
        range.end = text.ceil_char_boundary(range.end);
    }
    merged(found)
}

/// Whether a run of base64 characters holds a secret. It is decoded from each of its first four characters, because text before the
/// base64 may consist of the same characters.
fn holds_in_base64(secrets: &Secrets, run: &[u8]) -> bool {
    (0..4.min(run.len())).any(|skipped| {
        let mut is_found = false;
        // The ID and secret of a Basic authorization are percent-encoded inside (RFC 6749, section 2.3.1).
        for view in Decoded::views(&decoded_base64(&run[skipped..])) {
            secrets.find(view.bytes(), |_| is_found = true);
        }
        is_found
    })
}

fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

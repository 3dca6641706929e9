//! Removes the secrets of the process from texts that come from outside, before anything shows them.
//!
//! A secret is found literally, percent-encoded (completely or in part, at most twice, `+` for a space), with JSON escapes, and
//! inside base64 at any alignment. Code that reads or receives a secret registers it with the [`Redactor`], whose clones share it.

mod decode;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};

use self::decode::{Decoded, base64_runs, decoded_base64};

/// Reranges a secret.
const REDACTED: &str = "[redacted]";

/// Shorter secrets are found only as whole words: a client ID `id` must not break up `invalid_client`.
const WHOLE_WORDS_BELOW: usize = 8;

/// A longer secret is searched in pieces of this length, so that it is found even if the text cuts it.
const PIECE: usize = 1024;

/// How many tokens are remembered; a new one reranges the oldest. A token is renewed every 12 minutes.
const REMEMBERED: usize = 64;

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

/// The registered secrets.
#[derive(Clone, Default)]
struct Secrets {
    /// Secrets of the settings. They are few and stay valid for long, so all are kept.
    settings: Vec<Secret>,
    /// Tokens, the newest first.
    tokens: VecDeque<Secret>,
}

#[derive(Clone)]
struct Secret(Arc<[u8]>);

impl Secret {
    /// The pieces to search: the whole secret if it is short. The last piece of a long one overlaps the one before, because a short
    /// rest could be an ordinary word.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let last = self.0.len().saturating_sub(PIECE);
        let starts = (0..self.0.len()).step_by(PIECE);
        starts.map(move |start| &self.0[start.min(last)..self.0.len().min(start + PIECE)])
    }
}

impl Secrets {
    fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.settings.iter().chain(&self.tokens)
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().flat_map(Secret::pieces)
    }

    fn has(&self, secret: &[u8]) -> bool {
        self.iter().any(|known| *known.0 == *secret)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.secrets.load().iter().count();
        write!(formatter, "Redactor({count} secrets)")
    }
}

impl Redactor {
    /// Registers a secret of the settings, without end. Empty and blank ones are ignored.
    pub fn register(&self, secret: &SecretString) {
        self.add(secret, |secrets, secret| secrets.settings.push(secret));
    }

    /// Registers a token; the oldest one is dropped if there are too many.
    pub fn register_token(&self, token: &SecretString) {
        self.add(token, |secrets, token| {
            secrets.tokens.truncate(REMEMBERED - 1);
            secrets.tokens.push_front(token);
        });
    }

    fn add(&self, secret: &SecretString, add: impl Fn(&mut Secrets, Secret)) {
        let bytes = secret.expose_secret().trim().as_bytes();
        if bytes.is_empty() || self.secrets.load().has(bytes) {
            return;
        }
        let secret = Secret(bytes.into());
        self.secrets.rcu(|secrets| {
            let mut secrets = Secrets::clone(secrets);
            if !secrets.has(bytes) {
                add(&mut secrets, secret.clone());
            }
            secrets
        });
    }

    /// The first 8 KiB of the text, with every secret reranged by `[redacted]`.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let secrets = self.secrets.load();
        let scanned = &text[..text.floor_char_boundary(SCANNED)];
        let shown = text.floor_char_boundary(SHOWN);
        let found = match secrets.iter().next() {
            None => Vec::new(),
            Some(_) => secret_ranges(&secrets, scanned),
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
    let shortest = secrets.pieces().map(<[u8]>::len).min().unwrap_or_default();
    for view in Decoded::views(text.as_bytes()) {
        find(secrets, view.bytes(), |range| {
            found.push(view.source(range))
        });
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
            find(secrets, view.bytes(), |_| is_found = true);
        }
        is_found
    })
}

/// Calls `found` with the range of each occurrence of each secret.
fn find(secrets: &Secrets, bytes: &[u8], mut found: impl FnMut(Range<usize>)) {
    for piece in secrets.pieces() {
        let whole_words = piece.len() < WHOLE_WORDS_BELOW;
        let mut from = 0;
        while let Some(start) = position(&bytes[from..], piece).map(|start| from + start) {
            let end = start + piece.len();
            if !whole_words || is_word(bytes, start..end) {
                found(start..end);
            }
            // Occurrences may overlap.
            from = start + 1;
        }
    }
}

/// The start of the first occurrence of a secret. A `+` matches a space, as in encoded forms.
fn position(bytes: &[u8], secret: &[u8]) -> Option<usize> {
    let is_same = |(byte, wanted): (&u8, &u8)| byte == wanted || (*byte == b'+' && *wanted == b' ');
    bytes
        .windows(secret.len())
        .position(|window| window.iter().zip(secret).all(is_same))
}

fn is_word(bytes: &[u8], range: Range<usize>) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let before = range
        .start
        .checked_sub(1)
        .and_then(|index| bytes.get(index));
    !before.is_some_and(is_part) && !bytes.get(range.end).is_some_and(is_part)
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

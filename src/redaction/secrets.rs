//! The registered secrets, and where they are in a text.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Shorter secrets are found only as whole words: a client ID `id` must not break up `invalid_client`.
const WHOLE_WORDS_BELOW: usize = 8;

/// A longer secret is searched in pieces of this length, so that it is found even if the text cuts it.
pub(super) const PIECE: usize = 1024;

/// The most credentials that are kept, current and former: 8 for each of 512. One that is registered again counts as new.
pub(super) const CREDENTIALS: usize = 4096;

/// The most tokens that are kept: 4 for each of 256 accounts. A token is renewed every 12 minutes.
pub(super) const TOKENS: usize = 1024;

/// The registered secrets.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    /// Those that are kept as long as the process runs. They are few.
    settings: Vec<Secret>,
    /// Credentials of accounts, the newest first.
    credentials: VecDeque<Secret>,
    /// Tokens, the newest first.
    tokens: VecDeque<Secret>,
    index: Arc<Index>,
}

pub(super) type Secret = Arc<[u8]>;

/// How long a secret is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// As long as the process runs.
    Forever,
    /// Until [`CREDENTIALS`] others were registered.
    Credential,
    /// Until [`TOKENS`] others were registered.
    Token,
}

impl Secrets {
    pub(super) fn len(&self) -> usize {
        self.settings.len() + self.credentials.len() + self.tokens.len()
    }

    /// The length of the shortest piece.
    pub(super) fn shortest(&self) -> usize {
        self.index.shortest
    }

    /// Whether a secret is registered, and recently enough not to be dropped soon.
    pub(super) fn is_registered(&self, secret: &[u8], kept: Kept) -> bool {
        let is_recent = |known: &VecDeque<Secret>, most: usize| {
            let mut recent = known.iter().take(most / 2);
            recent.any(|known| **known == *secret)
        };
        match kept {
            Kept::Forever => self.settings.iter().any(|known| **known == *secret),
            Kept::Credential => is_recent(&self.credentials, CREDENTIALS),
            Kept::Token => is_recent(&self.tokens, TOKENS),
        }
    }

    /// These secrets and `added`.
    pub(super) fn with(&self, added: &[Secret], kept: Kept) -> Self {
        let mut secrets = self.clone();
        let mut are_new = false;
        for secret in added {
            are_new |= match kept {
                Kept::Forever => {
                    let is_new = !secrets.settings.contains(secret);
                    secrets.settings.extend(is_new.then(|| Arc::clone(secret)));
                    is_new
                }
                Kept::Credential => push_front(&mut secrets.credentials, secret, CREDENTIALS),
                Kept::Token => push_front(&mut secrets.tokens, secret, TOKENS),
            };
        }
        if are_new {
            let all = secrets.settings.iter();
            let all = all.chain(&secrets.credentials).chain(&secrets.tokens);
            secrets.index = Arc::new(Index::new(all));
        }
        secrets
    }

    /// Calls `found` with the range of each occurrence of each secret.
    pub(super) fn find(&self, bytes: &[u8], mut found: impl FnMut(Range<usize>)) {
        for start in 0..bytes.len() {
            for piece in self.index.candidates(&bytes[start..]) {
                let end = start + piece.len();
                let whole_words = piece.len() < WHOLE_WORDS_BELOW;
                if begins_with(&bytes[start..], piece)
                    && (!whole_words || is_word(bytes, start..end))
                {
                    found(start..end);
                }
            }
        }
    }
}

/// Puts a secret first and drops the last one if there are too many. Returns whether it is new.
fn push_front(known: &mut VecDeque<Secret>, secret: &Secret, most: usize) -> bool {
    let place = known.iter().position(|known| known == secret);
    if let Some(place) = place {
        known.remove(place);
    }
    known.truncate(most - 1);
    known.push_front(Arc::clone(secret));
    place.is_none()
}

/// The pieces of secrets by their first bytes, so that the time of a search does not grow with their number.
#[derive(Default)]
struct Index {
    /// Whether any piece begins with two bytes: a bit for each pair. Empty if there are no pieces.
    pairs: Vec<u64>,
    by_start: HashMap<[u8; 2], Vec<Piece>>,
    /// Pieces of one byte.
    single: Vec<Piece>,
    shortest: usize,
}

/// A part of a secret.
struct Piece {
    secret: Secret,
    range: Range<usize>,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        &self.secret[self.range.clone()]
    }
}

impl Index {
    fn new<'s>(secrets: impl Iterator<Item = &'s Secret>) -> Self {
        let mut index = Self {
            pairs: vec![0; 1 << 10],
            shortest: usize::MAX,
            ..Self::default()
        };
        for piece in secrets.flat_map(pieces) {
            let bytes = piece.bytes();
            index.shortest = index.shortest.min(bytes.len());
            match start(bytes) {
                Some(start) => {
                    let (word, bit) = place(start);
                    index.pairs[word] |= bit;
                    index.by_start.entry(start).or_default().push(piece);
                }
                None => index.single.push(piece),
            }
        }
        index
    }

    /// The pieces that a text may begin with.
    fn candidates(&self, text: &[u8]) -> impl Iterator<Item = &[u8]> {
        let start = start(text).filter(|start| {
            let (word, bit) = place(*start);
            self.pairs.get(word).is_some_and(|pairs| pairs & bit != 0)
        });
        let same_start = start.and_then(|start| self.by_start.get(&start));
        let same_start = same_start.into_iter().flatten();
        same_start.chain(&self.single).map(Piece::bytes)
    }
}

/// The pieces of a secret: all of it if it is short. The last piece of a long one overlaps the one before, because a short rest could
/// be an ordinary word.
fn pieces(secret: &Secret) -> impl Iterator<Item = Piece> {
    let last = secret.len().saturating_sub(PIECE);
    let starts = (0..secret.len()).step_by(PIECE);
    starts.map(move |start| Piece {
        secret: Arc::clone(secret),
        range: start.min(last)..secret.len().min(start + PIECE),
    })
}

/// The first two bytes, where a `+` is a space.
fn start(bytes: &[u8]) -> Option<[u8; 2]> {
    let space = |byte: u8| if byte == b'+' { b' ' } else { byte };
    bytes.first_chunk::<2>().map(|pair| pair.map(space))
}

/// The word and the bit of a pair of bytes.
fn place(pair: [u8; 2]) -> (usize, u64) {
    let number = usize::from(u16::from_le_bytes(pair));
    (number / 64, 1 << (number % 64))
}

/// Whether a text begins with a secret. A `+` matches a space, as in encoded forms.
fn begins_with(bytes: &[u8], secret: &[u8]) -> bool {
    let is_same = |(byte, wanted): (&u8, &u8)| byte == wanted || (*byte == b'+' && *wanted == b' ');
    bytes.len() >= secret.len() && bytes.iter().zip(secret).all(is_same)
}

fn is_word(bytes: &[u8], range: Range<usize>) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let before = range
        .start
        .checked_sub(1)
        .and_then(|index| bytes.get(index));
    !before.is_some_and(is_part) && !bytes.get(range.end).is_some_and(is_part)
}

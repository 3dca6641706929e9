//! Who may look: user names and bcrypt hashes, and what has been found to match them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use bcrypt::HashParts;
use ring::hmac;
use ring::rand::SystemRandom;

/// The highest cost of a hash. One more doubles the time: this one takes some seconds.
const HIGHEST_COST: u32 = 16;

/// The users and their passwords' hashes. Nothing of them is ever shown.
pub struct Users {
    users: BTreeMap<String, User>,
    /// The costliest hash: what an unknown user's password is compared with.
    decoy: Option<String>,
    /// Made anew for each set of users.
    key: hmac::Key,
}

struct User {
    hash: String,
    /// The password that has been found to match, authenticated by the key. Written once, by whoever has seen it match this very
    /// hash, and never replaced: no request, good or bad, can push another one out or get one in.
    matched: OnceLock<hmac::Tag>,
}

/// What is known of a pair of user and password without any work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It has been found to match before.
    Good,
    /// It has to be looked at.
    Unknown,
}

impl Users {
    /// From names and hashes.
    ///
    /// # Errors
    /// What is wrong with a hash, and whose it is by its place.
    pub fn new(hashes: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadHash> {
        let mut users = BTreeMap::new();
        let mut costliest = (0, None);
        for (index, (name, hash)) in hashes.into_iter().enumerate() {
            let parts: HashParts = hash.parse().map_err(|_| BadHash {
                index,
                what: "this is no bcrypt hash, such as htpasswd -nB prints",
            })?;
            if parts.get_cost() > HIGHEST_COST {
                return Err(BadHash {
                    index,
                    what: "this hash would keep a core busy for long: its cost may be 16 at most",
                });
            }
            if parts.get_cost() > costliest.0 {
                costliest = (parts.get_cost(), Some(hash.clone()));
            }
            let matched = OnceLock::new();
            users.insert(name, User { hash, matched });
        }
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| BadHash {
            index: 0,
            what: "the system gives no random numbers",
        })?;
        Ok(Self {
            users,
            decoy: costliest.1,
            key,
        })
    }

    /// Whether nobody is asked for a password.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether the same names have the same hashes, so that what was found to match still does.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        fn hashes(users: &Users) -> impl Iterator<Item = (&String, &String)> {
            users.users.iter().map(|(name, user)| (name, &user.hash))
        }
        hashes(self).eq(hashes(other))
    }

    /// Whether the pair has been found to match before: some microseconds. Compared in constant time.
    #[must_use]
    pub fn recall(&self, name: &str, password: &[u8]) -> Known {
        let matched = self.users.get(name).and_then(|user| user.matched.get());
        // The same work where nothing is known.
        let tag = hmac::sign(&self.key, b"");
        let tag = matched.unwrap_or(&tag);
        let is_same = hmac::verify(&self.key, &marked(password), tag.as_ref()).is_ok();
        match is_same && matched.is_some() {
            true => Known::Good,
            false => Known::Unknown,
        }
    }

    /// Whether the pair matches: as long as bcrypt takes, so not to be called where others wait. An unknown user takes as long as
    /// the costliest known one.
    #[must_use]
    pub fn verify(&self, name: &str, password: &[u8]) -> bool {
        let user = self.users.get(name);
        let Some(hash) = user.map(|user| &user.hash).or(self.decoy.as_ref()) else {
            return false;
        };
        let is_match = bcrypt::verify(password, hash).unwrap_or(false);
        let Some(user) = user.filter(|_| is_match) else {
            return false;
        };
        user.matched
            .get_or_init(|| hmac::sign(&self.key, &marked(password)));
        true
    }
}

/// Nobody's password is what nothing known is compared with: it begins with a mark.
fn marked(password: &[u8]) -> Vec<u8> {
    [b"password:", password].concat()
}

/// Only how many there are.
impl fmt::Debug for Users {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} users", self.users.len())
    }
}

/// A hash that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHash {
    /// Which, in the order in which they were given.
    pub index: usize,
    /// What is wrong.
    pub what: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cheapest cost.
    fn hash(password: &str) -> String {
        bcrypt::hash(password, 4).unwrap()
    }

    fn users() -> Users {
        let pairs = [("ann", "apple"), ("bob", "pear")];
        Users::new(pairs.map(|(name, password)| (name.to_owned(), hash(password)))).unwrap()
    }

    #[test]
    fn only_the_right_pair_matches() {
        let users = users();
        for (name, password, expected) in [
            ("ann", "apple", true),
            ("bob", "pear", true),
            ("ann", "pear", false),
            ("bob", "apple", false),
            ("ann", "", false),
            ("ann", "apple ", false),
            ("eve", "apple", false),
            ("", "", false),
        ] {
            assert_eq!(users.verify(name, password.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn the_same_users_have_the_same_hashes() {
        let of = |pairs: &[(&str, &str)]| {
            let hash = |text: &str| {
                bcrypt::hash_with_salt(text, 4, [1; 16])
                    .unwrap()
                    .to_string()
            };
            let pairs = pairs
                .iter()
                .map(|(name, text)| ((*name).to_owned(), hash(text)));
            Users::new(pairs.collect::<Vec<_>>()).unwrap_or_else(|bad| panic!("{}", bad.what))
        };
        let users = of(&[("ann", "apple"), ("bob", "pear")]);
        for (others, expected) in [
            (&[("bob", "pear"), ("ann", "apple")][..], true),
            (&[("ann", "apple")], false),
            (&[("ann", "apple"), ("bob", "plum")], false),
            (&[("ann", "apple"), ("eve", "pear")], false),
            (&[], false),
        ] {
            assert_eq!(users.is_same(&of(others)), expected, "{others:?}");
        }
    }

    #[test]
    fn only_what_has_matched_is_recalled() {
        let users = users();
        assert_eq!(users.recall("ann", b"apple"), Known::Unknown);
        for (name, password) in [("ann", "pear"), ("eve", "apple"), ("ann", "")] {
            assert!(!users.verify(name, password.as_bytes()));
            assert_eq!(users.recall(name, password.as_bytes()), Known::Unknown);
        }
        assert!(users.verify("ann", b"apple"));
        for (name, password, expected) in [
            ("ann", "apple", Known::Good),
            ("bob", "apple", Known::Unknown),
            ("eve", "apple", Known::Unknown),
            ("ann", "pear", Known::Unknown),
            ("ann", "", Known::Unknown),
        ] {
            assert_eq!(users.recall(name, password.as_bytes()), expected, "{name}");
        }
        assert!(!users.verify("ann", b"pear"));
        assert_eq!(users.recall("ann", b"apple"), Known::Good);
    }

    /// What is the same when two strings are put together is not the same pair.
    #[test]
    fn names_and_passwords_do_not_run_into_each_other() {
        let users = Users::new([
            ("a".to_owned(), hash("bc")),
            ("ab".to_owned(), hash("other")),
        ])
        .unwrap();
        assert!(users.verify("a", b"bc"));
        assert_eq!(users.recall("ab", b"c"), Known::Unknown);
        assert!(!users.verify("ab", b"c"));
    }

    #[test]
    fn an_unknown_user_is_compared_with_the_costliest_hash() {
        let costly = bcrypt::hash("x", 5).unwrap();
        let users = Users::new([
            ("a".to_owned(), hash("x")),
            ("b".to_owned(), costly.clone()),
        ])
        .unwrap();
        assert_eq!(users.decoy, Some(costly));
        assert!(!users.verify("nobody", b"x"), "though the hash matches");
    }

    #[test]
    fn hashes_of_other_kinds_are_refused() {
        for (hash, expected) in [
            ("apple", "no bcrypt hash"),
            ("", "no bcrypt hash"),
            ("$1$abc$def", "no bcrypt hash"),
            (
                "$2y$20$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.",
                "16 at most",
            ),
        ] {
            let error = Users::new([("a".to_owned(), hash.to_owned())]).unwrap_err();
            assert!(error.what.contains(expected), "{hash}: {}", error.what);
        }
    }

    /// The prefixes that htpasswd, Go and PHP write.
    #[test]
    fn every_usual_prefix_is_taken() {
        let made = hash("apple");
        for prefix in ["$2a$", "$2b$", "$2x$", "$2y$"] {
            let hash = format!("{prefix}{}", &made[4..]);
            let users = Users::new([("a".to_owned(), hash)]).unwrap();
            assert!(users.verify("a", b"apple"), "{prefix}");
        }
    }
}

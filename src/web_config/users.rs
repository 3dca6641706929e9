//! The users: names and bcrypt hashes, and a cache of passwords that have matched.

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::ops::Range;
use std::sync::OnceLock;

use bcrypt::HashParts;
use ring::hmac;
use ring::rand::SystemRandom;

/// The highest cost of a hash. One more doubles the time: this one takes some seconds.
const HIGHEST_COST: u32 = 16;

/// bcrypt reads so many bytes of a password; what follows would not matter.
const LONGEST_PASSWORD: usize = 72;

/// The users and their passwords' hashes. Nothing of them is ever shown.
pub struct Users {
    users: BTreeMap<String, User>,
    /// The costliest hash: what an unknown user's password is compared with.
    decoy: Option<User>,
    /// Made anew for each set of users.
    key: hmac::Key,
}

struct User {
    hash: String,
    cost: u32,
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
        let mut decoy: Option<User> = None;
        for (index, (name, hash)) in hashes.into_iter().enumerate() {
            let parts: HashParts = hash.parse().map_err(|_| BadHash {
                index,
                what: "this is not a bcrypt hash, as printed by htpasswd -nB",
            })?;
            if parts.get_cost() > HIGHEST_COST {
                return Err(BadHash {
                    index,
                    what: "the cost of this hash is too high: at most 16",
                });
            }
            let user = User {
                hash,
                cost: parts.get_cost(),
                matched: OnceLock::new(),
            };
            if decoy.as_ref().is_none_or(|decoy| decoy.cost < user.cost) {
                decoy = Some(User {
                    hash: user.hash.clone(),
                    cost: user.cost,
                    matched: OnceLock::new(),
                });
            }
            users.insert(name, user);
        }
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| BadHash {
            index: 0,
            what: "the system gives no random numbers",
        })?;
        Ok(Self { users, decoy, key })
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

    /// The lowest and the highest cost of the hashes, where they differ.
    #[must_use]
    pub fn mixed_costs(&self) -> Option<(u32, u32)> {
        let lowest = self.users.values().map(|user| user.cost).min()?;
        let highest = self.users.values().map(|user| user.cost).max()?;
        (lowest < highest).then_some((lowest, highest))
    }

    /// Whether the pair matches. Blocks for as long as bcrypt takes. A pair that does not match takes as long as the costliest hash
    /// does, whoever's it is, and whether the user exists or not.
    #[must_use]
    pub fn verify(&self, name: &str, password: &[u8]) -> bool {
        let known = self.users.get(name);
        let Some((compared, rest)) = self.work(name) else {
            return false;
        };
        if !is_possible(password) {
            return false;
        }
        let is_match = bcrypt::verify(password, &compared.hash).unwrap_or(false);
        if let Some(user) = known.filter(|_| is_match) {
            user.matched
                .get_or_init(|| hmac::sign(&self.key, &marked(password)));
            return true;
        }
        for cost in rest {
            // An error would be a wrong cost, which none is.
            black_box(bcrypt::hash_with_salt(password, cost, [0; 16]).ok());
        }
        false
    }

    /// The work that a name causes: the user whose hash is compared, and the costs of further hashes that are computed for their time
    /// alone. A cost of one more doubles the time, so those of `cost..costliest` take as long together as the difference.
    fn work(&self, name: &str) -> Option<(&User, Range<u32>)> {
        let decoy = self.decoy.as_ref()?;
        let compared = self.users.get(name).unwrap_or(decoy);
        Some((compared, compared.cost..decoy.cost))
    }
}

/// Whether bcrypt tells the password from every other: it reads 72 bytes, and repeats a shorter password with a NUL behind it.
#[must_use]
pub fn is_possible(password: &[u8]) -> bool {
    password.len() <= LONGEST_PASSWORD && !password.contains(&0)
}

/// The prefix keeps the tag of the empty text, which unknown users are compared with, from equalling any password's tag.
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
    fn every_wrong_password_costs_the_same() {
        let of = |costs: &[u32]| {
            let pairs = costs.iter().map(|cost| {
                let hash = bcrypt::hash_with_salt("x", *cost, [1; 16]).unwrap();
                (format!("cost-{cost}"), hash.to_string())
            });
            Users::new(pairs.collect::<Vec<_>>()).unwrap()
        };
        for (costs, mixed) in [
            (&[5][..], None),
            (&[4, 6], Some((4, 6))),
            (&[7, 4, 5], Some((4, 7))),
            (&[6, 6], None),
            (&[], None),
        ] {
            let users = of(costs);
            assert_eq!(users.mixed_costs(), mixed, "{costs:?}");
            let highest = costs.iter().max();
            let names = costs.iter().map(|cost| format!("cost-{cost}"));
            for name in names.chain(["nobody".to_owned()]) {
                let work = users.work(&name).map(|(compared, rest)| {
                    rest.map(|cost| 1_u64 << cost).sum::<u64>() + (1 << compared.cost)
                });
                assert_eq!(
                    work,
                    highest.map(|highest| 1 << highest),
                    "{costs:?} {name}"
                );
            }
            assert!(!users.verify("nobody", b"x"), "though the hash matches");
        }
    }

    #[test]
    fn what_bcrypt_does_not_see_is_refused() {
        let longest = "y".repeat(72);
        let pairs = [("ann", "apple"), ("bob", &longest), ("cat", "")];
        let pairs = pairs.map(|(name, password)| (name.to_owned(), hash(password)));
        let users = Users::new(pairs).unwrap();
        for (name, password, expected) in [
            ("ann", "apple", true),
            ("ann", "apple\0apple", false),
            ("ann", "apple\0", false),
            ("bob", &longest, true),
            ("bob", &format!("{longest}y"), false),
            ("bob", &format!("{longest}\0"), false),
            ("cat", "", true),
            ("cat", "\0", false),
        ] {
            assert_eq!(
                users.verify(name, password.as_bytes()),
                expected,
                "{password:?}"
            );
        }
    }

    #[test]
    fn hashes_of_other_kinds_are_refused() {
        for (hash, expected) in [
            ("apple", "not a bcrypt hash"),
            ("", "not a bcrypt hash"),
            ("$1$abc$def", "not a bcrypt hash"),
            (
                "$2y$20$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.",
                "at most 16",
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

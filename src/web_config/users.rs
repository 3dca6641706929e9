//! The users: names and bcrypt hashes, and a cache of passwords that have matched.

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::ops::Range;
use std::sync::OnceLock;

use bcrypt::HashParts;
use ring::hmac;
use ring::rand::SystemRandom;

/// The highest accepted cost of a hash, with which a check takes some seconds. Each step doubles the time.
const HIGHEST_COST: u32 = 16;

/// The most bytes of a password that bcrypt uses. It ignores further ones.
const LONGEST_PASSWORD: usize = 72;

/// The users and the hashes of their passwords, which are never shown.
pub struct Users {
    users: BTreeMap<String, User>,
    /// The user with the costliest hash, with which passwords of unknown users are compared.
    decoy: Option<User>,
    /// Authenticates passwords that matched. Generated for each set of users.
    key: hmac::Key,
}

struct User {
    hash: String,
    cost: u32,
    /// The tag of the password that matched this hash. It is written once, after a match, and never replaced, so no request can evict or
    /// insert another one.
    matched: OnceLock<hmac::Tag>,
}

/// What is known about a user name and password without computing a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The password matched before.
    Good,
    /// The password must be checked.
    Unknown,
}

impl Users {
    /// The users with these names and hashes.
    ///
    /// # Errors
    /// The first hash that is not accepted, by its index.
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

    /// Whether there are no users, so that no password is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether both have the same names with the same hashes, so that passwords that matched still match.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        fn hashes(users: &Users) -> impl Iterator<Item = (&String, &String)> {
            users.users.iter().map(|(name, user)| (name, &user.hash))
        }
        hashes(self).eq(hashes(other))
    }

    /// Whether the password matched before. Takes some microseconds, and compares in constant time.
    #[must_use]
    pub fn recall(&self, name: &str, password: &[u8]) -> Known {
        let matched = self.users.get(name).and_then(|user| user.matched.get());
        // Does the same work if no password has matched, so that the time does not reveal it.
        let tag = hmac::sign(&self.key, b"");
        let tag = matched.unwrap_or(&tag);
        let is_same = hmac::verify(&self.key, &marked(password), tag.as_ref()).is_ok();
        match is_same && matched.is_some() {
            true => Known::Good,
            false => Known::Unknown,
        }
    }

    /// The lowest and the highest cost of the hashes; `None` if all are equal.
    #[must_use]
    pub fn mixed_costs(&self) -> Option<(u32, u32)> {
        let lowest = self.users.values().map(|user| user.cost).min()?;
        let highest = self.users.values().map(|user| user.cost).max()?;
        (lowest < highest).then_some((lowest, highest))
    }

    /// Whether the password matches. Blocks for as long as bcrypt takes. A password that does not match takes as long as the costliest
    /// hash, whether the user exists or not, so that the time does not reveal which users exist.
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
            // The only error is an invalid cost; these costs are valid.
            black_box(bcrypt::hash_with_salt(password, cost, [0; 16]).ok());
        }
        false
    }

    /// The work of a check: the user whose hash is compared, and the costs of further hashes, which are computed only to spend time. Each
    /// step of the cost doubles the time, so the hashes of `cost..costliest` together take the difference.
    fn work(&self, name: &str) -> Option<(&User, Range<u32>)> {
        let decoy = self.decoy.as_ref()?;
        let compared = self.users.get(name).unwrap_or(decoy);
        Some((compared, compared.cost..decoy.cost))
    }
}

/// Whether bcrypt distinguishes the password from every other. It uses 72 bytes, and repeats a shorter password with a NUL after it.
#[must_use]
pub fn is_possible(password: &[u8]) -> bool {
    password.len() <= LONGEST_PASSWORD && !password.contains(&0)
}

/// The prefix keeps the tag of the empty text, which unknown users are compared with, from equalling any password's tag.
fn marked(password: &[u8]) -> Vec<u8> {
    [b"password:", password].concat()
}

/// Shows only the number of users.
impl fmt::Debug for Users {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} users", self.users.len())
    }
}

/// A hash that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHash {
    /// Its index in the order of the hashes.
    pub index: usize,
    /// The problem.
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
    fn only_passwords_that_matched_are_recalled() {
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

    /// Pairs with the same concatenation are different.
    #[test]
    fn pairs_with_the_same_concatenation_are_different() {
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
    fn all_wrong_passwords_take_the_same_work() {
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
            for name in names.chain(["unknown".to_owned()]) {
                let work = users.work(&name).map(|(compared, rest)| {
                    rest.map(|cost| 1_u64 << cost).sum::<u64>() + (1 << compared.cost)
                });
                assert_eq!(
                    work,
                    highest.map(|highest| 1 << highest),
                    "{costs:?} {name}"
                );
            }
            assert!(!users.verify("unknown", b"x"), "although the hash matches");
        }
    }

    #[test]
    fn passwords_that_bcrypt_would_cut_are_refused() {
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
    fn all_usual_prefixes_are_accepted() {
        let made = hash("apple");
        for prefix in ["$2a$", "$2b$", "$2x$", "$2y$"] {
            let hash = format!("{prefix}{}", &made[4..]);
            let users = Users::new([("a".to_owned(), hash)]).unwrap();
            assert!(users.verify("a", b"apple"), "{prefix}");
        }
    }
}

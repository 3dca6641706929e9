//! The URL of a receiver. Its query may contain secrets, such as the key of an API.

use std::fmt;
use std::ops::Deref;

use secrecy::SecretString;
use url::{Url, form_urlencoded};

/// Parameters of receivers whose values are no secrets, and words of ordinary texts.
const NOT_SECRET: [&str; 8] = [
    "bucket",
    "db",
    "extra_filters",
    "extra_filters[]",
    "extra_label",
    "org",
    "rp",
    "tenant",
];

/// A text of a query is no secret if it is shorter, in bytes: the redactor would remove ordinary words and numbers.
const SHORTEST_SECRET: usize = 6;

/// A URL that is shown without its query.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiverUrl(Url);

impl From<Url> for ReceiverUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl Deref for ReceiverUrl {
    type Target = Url;

    fn deref(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl ReceiverUrl {
    /// The URL without its query.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut url = self.0.clone();
        url.set_query(None);
        url.into()
    }

    /// The query, and the values in it, as they are written and decoded.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        let query = self.0.query().unwrap_or_default();
        let mut secrets = vec![query.to_owned()];
        for pair in query.split('&') {
            // A pair has one value.
            for (name, decoded) in form_urlencoded::parse(pair.as_bytes()) {
                if !NOT_SECRET.contains(&&*name) {
                    let written = pair.split_once('=').map_or(pair, |(_, value)| value);
                    secrets.extend([written.to_owned(), decoded.into_owned()]);
                }
            }
        }
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        secrets.dedup();
        secrets.into_iter().map(SecretString::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_query_is_secret_as_a_whole_and_in_its_values() {
        for (query, expected) in [
            ("", &[][..]),
            ("?", &[]),
            ("?a=1", &[]),
            ("?a=12345", &["a=12345"]),
            ("?needle", &["needle"]),
            ("?key=needle", &["key=needle", "needle"]),
            ("?db=starlink&rp=", &["db=starlink&rp="]),
            (
                "?db=starlink&key=a%20needle%2B&v=1",
                &[
                    "db=starlink&key=a%20needle%2B&v=1",
                    "a%20needle%2B",
                    "a needle+",
                ],
            ),
            (
                "?key=one+word=",
                &["key=one+word=", "one+word=", "one word="],
            ),
        ] {
            let url: Url = format!("http://127.0.0.1:1/write{query}").parse().unwrap();
            let values = ReceiverUrl::from(url).secrets();
            let values: Vec<_> = values.iter().map(ExposeSecret::expose_secret).collect();
            assert_eq!(values, expected, "{query}");
        }
    }

    #[test]
    fn debug_shows_no_query() {
        let url: Url = "http://127.0.0.1:1/write?key=needle".parse().unwrap();
        let url = ReceiverUrl::from(url);
        assert_eq!(format!("{url:?}"), "http://127.0.0.1:1/write");
    }
}

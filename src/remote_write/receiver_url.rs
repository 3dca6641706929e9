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

    /// The query, and the values in it that may be secrets, as they are written and decoded.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        let query = self.0.query().unwrap_or_default();
        let query = is_long(query).then(|| query.to_owned());
        let mut secrets: Vec<_> = query.into_iter().chain(self.secret_values()).collect();
        secrets.dedup();
        secrets.into_iter().map(SecretString::from).collect()
    }

    /// Whether the query may have a secret: the value of a parameter that is not known to be none.
    pub(super) fn has_secret(&self) -> bool {
        self.secret_values().next().is_some()
    }

    /// The values in the query that may be secrets, as they are written and decoded.
    fn secret_values(&self) -> impl Iterator<Item = String> {
        let query = self.0.query().unwrap_or_default();
        let values = query.split('&').flat_map(|pair| {
            // A pair has one value.
            let parameters = form_urlencoded::parse(pair.as_bytes());
            let secret = parameters.filter(|(name, _)| !NOT_SECRET.contains(&&**name));
            secret.flat_map(move |(_, decoded)| {
                let written = pair.split_once('=').map_or(pair, |(_, value)| value);
                [written.to_owned(), decoded.into_owned()]
            })
        });
        values.filter(|value| is_long(value))
    }
}

/// Whether a text of a query is long enough to be a secret.
fn is_long(text: &str) -> bool {
    text.len() >= SHORTEST_SECRET
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
    fn a_query_has_a_secret_unless_its_parameters_are_known_to_have_none() {
        for (query, expected) in [
            ("", false),
            ("?a=12345", false),
            ("?db=starlink&rp=", false),
            ("?extra_label=cluster=north", false),
            ("?needle", true),
            ("?token=needle", true),
            ("?db=starlink&api_key=needle", true),
            ("?key=ab%63def", true),
        ] {
            let url: Url = format!("http://127.0.0.1:1/write{query}").parse().unwrap();
            assert_eq!(ReceiverUrl::from(url).has_secret(), expected, "{query}");
        }
    }

    #[test]
    fn debug_shows_no_query() {
        let url: Url = "http://127.0.0.1:1/write?key=needle".parse().unwrap();
        let url = ReceiverUrl::from(url);
        assert_eq!(format!("{url:?}"), "http://127.0.0.1:1/write");
    }
}

//! Which settings an account's values come from, so that a remedy names those to change.

use std::sync::Arc;

/// The settings that an account's values come from. All texts are phrases that continue "check …".
///
/// A setting is a variable, in upper case, or a key of the account's entry in `ACCOUNTS_FILE`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The name of the entry; `None` without `ACCOUNTS_FILE`.
    entry: Option<Arc<str>>,
    client_id: &'static str,
    client_secret: &'static str,
    api_url: &'static str,
    token_url: &'static str,
    max_linger: &'static str,
    polls_per_minute: &'static str,
}

impl Origin {
    /// An account that the variables describe. Each credential is in its variable or in a file that the variable `…_FILE` names.
    #[must_use]
    pub const fn variables(is_id_in_file: bool, is_secret_in_file: bool) -> Self {
        Self {
            entry: None,
            client_id: either(is_id_in_file, "CLIENT_ID_FILE", "CLIENT_ID"),
            client_secret: either(is_secret_in_file, "CLIENT_SECRET_FILE", "CLIENT_SECRET"),
            api_url: "API_URL",
            token_url: "TOKEN_URL",
            max_linger: "MAX_LINGER",
            polls_per_minute: "POLLS_PER_MINUTE",
        }
    }

    /// An account in `ACCOUNTS_FILE`. For values without a key in its entry, the variables count.
    #[must_use]
    pub fn entry(name: Arc<str>, has_key: impl Fn(&str) -> bool) -> Self {
        let key = |key, other| either(has_key(key), key, other);
        Self {
            entry: Some(name),
            client_id: key("client_id_file", "client_id"),
            client_secret: key("client_secret_file", "client_secret"),
            api_url: key("api_url", "API_URL"),
            token_url: key("token_url", "TOKEN_URL"),
            max_linger: key("max_linger", "MAX_LINGER"),
            polls_per_minute: key("polls_per_minute", "POLLS_PER_MINUTE"),
        }
    }

    /// The client ID and the client secret.
    #[must_use]
    pub fn credentials(&self) -> String {
        self.named(&[self.client_id, self.client_secret])
    }

    /// The URL of the API.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.named(&[self.api_url])
    }

    /// The URL of the API and that of tokens.
    #[must_use]
    pub fn urls(&self) -> String {
        self.named(&[self.api_url, self.token_url])
    }

    /// The linger.
    #[must_use]
    pub fn max_linger(&self) -> String {
        self.named(&[self.max_linger])
    }

    /// The limit of polls.
    #[must_use]
    pub fn polls_per_minute(&self) -> String {
        self.named(&[self.polls_per_minute])
    }

    /// Names settings: first the keys of the entry, then variables.
    fn named(&self, settings: &[&'static str]) -> String {
        let is_key =
            |setting: &&&str| setting.starts_with(|first: char| first.is_ascii_lowercase());
        let keys: Vec<_> = settings.iter().filter(is_key).copied().collect();
        let variables = settings.iter().filter(|setting| !is_key(setting)).copied();
        let of_entry = match &self.entry {
            Some(name) if !keys.is_empty() => Some(format!(
                "{} of account {name} in ACCOUNTS_FILE",
                keys.join(" and ")
            )),
            _ => None,
        };
        let names = of_entry.into_iter().chain(variables.map(str::to_owned));
        names.collect::<Vec<_>>().join(" and ")
    }
}

const fn either(condition: bool, one: &'static str, other: &'static str) -> &'static str {
    if condition { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_named_where_they_are_set() {
        for (is_id_in_file, is_secret_in_file, variables, entry) in [
            (
                false,
                false,
                "CLIENT_ID and CLIENT_SECRET",
                "client_id and client_secret of account b in ACCOUNTS_FILE",
            ),
            (
                true,
                false,
                "CLIENT_ID_FILE and CLIENT_SECRET",
                "client_id_file and client_secret of account b in ACCOUNTS_FILE",
            ),
            (
                false,
                true,
                "CLIENT_ID and CLIENT_SECRET_FILE",
                "client_id and client_secret_file of account b in ACCOUNTS_FILE",
            ),
            (
                true,
                true,
                "CLIENT_ID_FILE and CLIENT_SECRET_FILE",
                "client_id_file and client_secret_file of account b in ACCOUNTS_FILE",
            ),
        ] {
            let origin = Origin::variables(is_id_in_file, is_secret_in_file);
            assert_eq!(origin.credentials(), variables);
            let origin = Origin::entry("b".into(), |key| match key {
                "client_id_file" => is_id_in_file,
                "client_secret_file" => is_secret_in_file,
                "client_id" => !is_id_in_file,
                "client_secret" => !is_secret_in_file,
                _ => false,
            });
            assert_eq!(origin.credentials(), entry);
        }
    }

    #[test]
    fn other_settings_are_keys_where_the_entry_has_them() {
        let variables = Origin::variables(false, true);
        let of_keys = |keys: &'static [&'static str]| {
            Origin::entry("b".into(), move |key| keys.contains(&key))
        };
        for (origin, urls, max_linger, polls) in [
            (
                variables,
                "API_URL and TOKEN_URL",
                "MAX_LINGER",
                "POLLS_PER_MINUTE",
            ),
            (
                of_keys(&[]),
                "API_URL and TOKEN_URL",
                "MAX_LINGER",
                "POLLS_PER_MINUTE",
            ),
            (
                of_keys(&["api_url", "max_linger"]),
                "api_url of account b in ACCOUNTS_FILE and TOKEN_URL",
                "max_linger of account b in ACCOUNTS_FILE",
                "POLLS_PER_MINUTE",
            ),
            (
                of_keys(&["token_url", "polls_per_minute"]),
                "token_url of account b in ACCOUNTS_FILE and API_URL",
                "MAX_LINGER",
                "polls_per_minute of account b in ACCOUNTS_FILE",
            ),
            (
                of_keys(&["api_url", "token_url"]),
                "api_url and token_url of account b in ACCOUNTS_FILE",
                "MAX_LINGER",
                "POLLS_PER_MINUTE",
            ),
        ] {
            assert_eq!(origin.urls(), urls);
            assert_eq!(origin.max_linger(), max_linger, "{urls}");
            assert_eq!(origin.polls_per_minute(), polls, "{urls}");
        }
    }
}

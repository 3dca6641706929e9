//! One entry of an accounts file: checks the value of each key.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::context::Context;
use crate::config::account::Account;
use crate::config::credential::{self, Credential};
use crate::config::error::Warning;
use crate::config::origin::Origin;
use crate::config::parse;
use crate::config::table::{self, Reason, Setting};

/// The keys of an entry.
pub(super) const ACCOUNT_KEYS: [&str; 11] = [
    "name",
    "client_id",
    "client_id_file",
    "client_secret",
    "client_secret_file",
    "batch_size",
    "max_linger",
    "polls_per_minute",
    "api_url",
    "token_url",
    "tenant",
];

const NAME: &str = "1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter or a digit";
const TENANT: &str = "1 to 150 printable ASCII characters without spaces";

/// Whether a text is a known key. Only known keys are shown, because other texts may be secrets.
pub(super) fn is_known(key: &str) -> bool {
    key == "accounts" || ACCOUNT_KEYS.contains(&key)
}

/// The accepted values of a key, as a text that continues "give …".
pub(super) fn accepted(key: &str) -> String {
    match key {
        "name" => NAME.to_owned(),
        "tenant" => TENANT.to_owned(),
        _ => match table::SETTINGS.iter().find(|setting| setting.key() == key) {
            Some(setting) => setting.accepts.describe(),
            None => "a text".to_owned(),
        },
    }
}

/// The known keys of an entry that have a value.
pub(super) struct Entry<'n> {
    /// The line of the entry.
    pub(super) line: usize,
    /// Key, line and value.
    pub(super) texts: Vec<(&'static str, usize, &'n str)>,
    /// Keys whose value is not a text. A problem was added for each.
    pub(super) refused: Vec<&'static str>,
}

/// The accepted values of an entry. A problem was added for each required value that is `None`.
pub(super) struct Draft {
    pub(super) name: Option<Arc<str>>,
    pub(super) client_id: Option<Credential>,
    client_secret: Option<Credential>,
    batch_size: Option<u32>,
    max_linger: Option<Duration>,
    polls_per_minute: Option<u32>,
    api_url: Option<Url>,
    token_url: Option<Url>,
    tenant: Option<String>,
    origin: Option<Origin>,
}

impl Draft {
    /// The account; `None` if a required value is missing.
    pub(super) fn complete(self) -> Option<Account> {
        Some(Account {
            name: self.name?,
            client_id: self.client_id?,
            client_secret: self.client_secret?,
            batch_size: self.batch_size?,
            max_linger: self.max_linger?,
            polls_per_minute: self.polls_per_minute?,
            api_url: self.api_url?,
            token_url: self.token_url,
            tenant: self.tenant,
            origin: self.origin?,
        })
    }
}

impl Entry<'_> {
    /// Checks all keys, so that all problems are reported together.
    pub(super) fn draft(&self, context: &mut Context<'_>) -> Draft {
        let defaults = context.defaults;
        let is_insecure = defaults.is_insecure;
        let api_url = |text: &str| parse::base_url(text, is_insecure);
        let token_url = |text: &str| parse::token_url(text, is_insecure);
        let name = self.parsed("name", context, |text| name(text).ok_or(""));
        if !self.is_given("name") {
            self.missing("name", &accepted("name"), context);
        }
        let has_key = |key: &str| self.is_given(key);
        Draft {
            origin: name.clone().map(|name| Origin::entry(name, has_key)),
            name,
            client_id: self.credential("client_id", "client_id_file", context),
            client_secret: self.credential("client_secret", "client_secret_file", context),
            batch_size: self.needed(&table::BATCH_SIZE, defaults.batch_size, context),
            max_linger: self
                .needed(&table::MAX_LINGER, defaults.max_linger_ms, context)
                .map(Duration::from_millis),
            polls_per_minute: self.needed(
                &table::POLLS_PER_MINUTE,
                Some(defaults.polls_per_minute),
                context,
            ),
            api_url: match self.is_given("api_url") {
                true => self.parsed("api_url", context, api_url),
                false => Some(defaults.api_url.clone()),
            },
            token_url: match self.is_given("token_url") {
                true => self.parsed("token_url", context, token_url),
                false => defaults.token_url.clone(),
            },
            tenant: self.parsed("tenant", context, tenant),
        }
    }

    /// The line and value of a key.
    pub(super) fn text(&self, key: &str) -> Option<(usize, &str)> {
        let found = self.texts.iter().find(|(known, ..)| *known == key);
        found.map(|(_, line, text)| (*line, *text))
    }

    /// Whether a key has a value, even one that is not accepted.
    fn is_given(&self, key: &str) -> bool {
        self.text(key).is_some() || self.refused.contains(&key)
    }

    /// The line of a key; that of the entry if it does not have the key.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.text(key).map_or(self.line, |(line, _)| line)
    }

    /// The value of a key, if there is one and it is accepted.
    fn parsed<T>(
        &self,
        key: &str,
        context: &mut Context<'_>,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        let (line, text) = self.text(key)?;
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(reason) => {
                let space = if reason.is_empty() { "" } else { " " };
                let accepted = accepted(key);
                let what = format!("{key} is not accepted{space}{reason}: give {accepted}");
                context.problems.add(line, what);
                None
            }
        }
    }

    /// A whole number that is required in the entry or in the variable of the same name.
    fn needed<T: TryFrom<u64>>(
        &self,
        setting: &Setting,
        default: Option<T>,
        context: &mut Context<'_>,
    ) -> Option<T> {
        let key = setting.key();
        if self.is_given(&key) {
            return self.parsed(&key, context, |text| setting.accepts.whole(text));
        }
        if default.is_none() {
            let (accepted, name) = (accepted(&key), setting.name);
            let accepted = format!("{accepted}, here or for all accounts in {name}");
            self.missing(&key, &accepted, context);
        }
        default
    }

    fn missing(&self, key: &str, accepted: &str, context: &mut Context<'_>) {
        let what = format!("{key} is missing: give {accepted}");
        context.problems.add(self.line, what);
    }

    /// A credential: a value or a file, but not both.
    fn credential(&self, fixed: &str, file: &str, context: &mut Context<'_>) -> Option<Credential> {
        let (line, key, credential) = match (self.text(fixed), self.text(file)) {
            (None, None) if self.is_given(fixed) || self.is_given(file) => return None,
            (None, None) => {
                let (one, other) = (accepted(fixed), accepted(file));
                self.missing(fixed, &format!("{one}, or in {file} {other}"), context);
                return None;
            }
            (Some((one, _)), Some((other, _))) => {
                let what = format!("{fixed} and {file} are both given: leave one of them out");
                context.problems.add(one.max(other), what);
                return None;
            }
            (Some((line, text)), None) => match credential::parse(text) {
                Some(value) => (line, fixed, Credential::fixed(value)),
                None => {
                    let what = format!("{fixed} is empty: give {}", accepted(fixed));
                    context.problems.add(line, what);
                    return None;
                }
            },
            (None, Some((line, text))) => {
                let path = context.directory.join(text.trim());
                match read_file(path, context) {
                    Ok(credential) => (line, file, credential),
                    Err(reason) => {
                        let what = format!("{file}: {reason}: give {}", accepted(file));
                        context.unusable_files.push((line, what));
                        return None;
                    }
                }
            }
        };
        for doubt in credential::doubts(&credential.value()) {
            context.warnings.push(Warning {
                setting: format!("ACCOUNTS_FILE line {line}, {key}"),
                advice: doubt.to_owned(),
            });
        }
        Some(credential)
    }
}

fn read_file(path: PathBuf, context: &mut Context<'_>) -> Result<Credential, String> {
    match credential::read(&path, context.files) {
        Ok(value) => Ok(Credential::read_from(path, value)),
        Err(error) => {
            let shown = path.display().to_string();
            Err(format!("{} {error}", shown.escape_debug()))
        }
    }
}

/// The name of an account. It is strict, because it is used in labels, paths and URLs.
fn name(text: &str) -> Option<Arc<str>> {
    const LONGEST: usize = 63;
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    let is_accepted = text.len() <= LONGEST
        && bytes.next().is_some_and(is_alphanumeric)
        && bytes.all(|byte| is_alphanumeric(byte) || b"_-".contains(&byte));
    is_accepted.then(|| text.into())
}

/// The tenant of an account, which is the value of an HTTP header.
fn tenant(text: &str) -> Result<String, Reason> {
    const LONGEST: usize = 150;
    let is_accepted = !text.is_empty()
        && text.len() <= LONGEST
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_accepted.then(|| text.to_owned()).ok_or("")
}

//! The settings of one service account: credentials, URLs, and the parameters of polls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::credential::Credential;
use super::origin::Origin;
use super::parse;
use super::reader::Reader;
use super::table::{self, Setting};
use crate::redaction::Redactor;

/// The name of the account that the variables `CLIENT_ID` … describe.
const DEFAULT_NAME: &str = "default";

/// The settings that hold the credentials of the one account that is not in `ACCOUNTS_FILE`.
pub(super) const CREDENTIALS: [&Setting; 4] = [
    &table::CLIENT_ID,
    &table::CLIENT_ID_FILE,
    &table::CLIENT_SECRET,
    &table::CLIENT_SECRET_FILE,
];

/// A service account of Starlink. Two are equal if all their settings and credentials are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The unique name of the account: 1 to 63 of `a-z`, `0-9`, `_` and `-`, the first a letter or a digit.
    pub name: Arc<str>,
    /// The service account's client ID.
    pub client_id: Credential,
    /// The service account's client secret.
    pub client_secret: Credential,
    /// The most rows in one answer, 1 to 65000.
    pub batch_size: u32,
    /// How long Starlink may wait for a full answer, 0 to 65 s.
    pub max_linger: Duration,
    /// The most polls in any minute, 1 to 240.
    pub polls_per_minute: u32,
    /// Base URL of the API, without user name, query or fragment, and without the API's version.
    pub api_url: Url,
    /// The token URL, if it is set.
    pub token_url: Option<Url>,
    /// The tenant of the account's samples, if it is not the name. Valid as the value of an HTTP header.
    pub tenant: Option<String>,
    /// The settings that its values come from.
    pub origin: Origin,
}

impl Account {
    /// Registers the secrets of accounts with a redactor.
    pub fn register_secrets(accounts: &[Self], redactor: &Redactor) {
        let credentials = accounts
            .iter()
            .flat_map(|account| [&account.client_id, &account.client_secret]);
        let values: Vec<_> = credentials.map(Credential::value).collect();
        redactor.register_credentials(values.iter().map(Arc::as_ref));
    }

    /// The URL of the stream.
    pub fn stream_url(&self) -> Url {
        self.below_api("/v2/telemetry/stream")
    }

    /// The URL below which the requests of the management API are.
    pub fn management_url(&self) -> Url {
        self.below_api("/v2")
    }

    /// The token URLs, one or two: the second is tried if the first issues no token.
    ///
    /// Starlink's guides document `/api/public/auth/connect/token`, its OIDC discovery document `/api/auth/connect/token`.
    pub fn token_urls(&self) -> Vec<Url> {
        const TOKEN: &str = "/auth/connect/token";
        if let Some(url) = &self.token_url {
            return vec![url.clone()];
        }
        let mut urls = vec![self.below_api(TOKEN)];
        if let Some(parent) = self.api_path().strip_suffix("/public") {
            urls.push(self.at(&format!("{parent}{TOKEN}")));
        }
        urls
    }

    fn below_api(&self, path: &str) -> Url {
        self.at(&format!("{}{path}", self.api_path()))
    }

    fn api_path(&self) -> &str {
        self.api_url.path().trim_end_matches('/')
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.api_url.clone();
        url.set_path(path);
        url
    }
}

/// Shows everything except secrets, on one line.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            client_id,
            client_secret,
            batch_size,
            max_linger,
            polls_per_minute,
            api_url,
            token_url,
            tenant,
            origin: _,
        } = self;
        let max_linger = max_linger.as_millis();
        write!(
            f,
            "account {name}: client_id={client_id} client_secret={client_secret} batch_size={batch_size} max_linger={max_linger} polls_per_minute={polls_per_minute} api_url={}",
            shown_base(api_url)
        )?;
        if let Some(url) = token_url {
            write!(f, " token_url={url}")?;
        }
        if let Some(tenant) = tenant {
            write!(f, " tenant={tenant}")?;
        }
        Ok(())
    }
}

fn shown_base(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// The settings of the API's location.
pub(super) struct Urls {
    /// The base URL; `None` if it is not accepted.
    pub(super) api: Option<Url>,
    pub(super) token: Option<Url>,
    /// Whether plain http to other machines is allowed.
    pub(super) is_insecure: bool,
}

pub(super) fn read_urls(reader: &mut Reader) -> Urls {
    // An invalid switch is an error. What it controls counts as allowed, so that it does not cause a second error.
    let is_insecure = reader.read(&table::ALLOW_INSECURE_API, parse::switch);
    let is_insecure = is_insecure.unwrap_or(true);
    let base_url = |text: &str| parse::base_url(text, is_insecure);
    Urls {
        api: reader.read_shown(&table::API_URL, base_url, |_, url| shown_base(url)),
        token: reader.read(&table::TOKEN_URL, |text| {
            parse::token_url(text, is_insecure)
        }),
        is_insecure,
    }
}

/// Reads the account of the variables; `None` if something is wrong with it.
pub(super) fn read(reader: &mut Reader) -> Option<Account> {
    let client_id = reader.credential(&table::CLIENT_ID, &table::CLIENT_ID_FILE);
    let client_secret = reader.credential(&table::CLIENT_SECRET, &table::CLIENT_SECRET_FILE);
    reader.note(&table::ACCOUNTS_FILE, "", "not set");
    let batch_size = reader.whole(&table::BATCH_SIZE);
    let max_linger = reader.whole(&table::MAX_LINGER);
    let polls_per_minute = reader.whole(&table::POLLS_PER_MINUTE);
    let urls = read_urls(reader);
    let (client_id, client_secret) = (client_id?, client_secret?);
    Some(Account {
        name: DEFAULT_NAME.into(),
        origin: Origin::variables(client_id.file().is_some(), client_secret.file().is_some()),
        client_id,
        client_secret,
        batch_size: batch_size?,
        max_linger: Duration::from_millis(max_linger?),
        polls_per_minute: polls_per_minute?,
        api_url: urls.api?,
        token_url: urls.token,
        tenant: None,
    })
}

/// A simulated account of the demo.
#[derive(Debug)]
pub struct DemoAccount {
    /// The name of the account.
    pub name: &'static str,
    /// The base URL of its simulator.
    pub api_url: Url,
    /// The client ID that the simulator accepts.
    pub client_id: SecretString,
    /// The client secret that the simulator accepts.
    pub client_secret: SecretString,
}

/// The accounts of the demo, with small batches and a short linger, independent of the settings. The settings of the first
/// one are shown as the effective ones, and a line for each further one.
pub(super) fn demo(reader: &mut Reader, accounts: Vec<DemoAccount>) -> Vec<Account> {
    const BATCH_SIZE: u32 = 1000;
    const MAX_LINGER_MS: u32 = 500;
    const POLLS_PER_MINUTE: u32 = 200;
    let first_url = accounts.first().map_or("", |first| first.api_url.as_str());
    for (setting, shown) in [
        (&table::CLIENT_ID, "(set)"),
        (&table::CLIENT_SECRET, "(set)"),
        (&table::ACCOUNTS_FILE, ""),
        (&table::BATCH_SIZE, &BATCH_SIZE.to_string()),
        (&table::MAX_LINGER, &MAX_LINGER_MS.to_string()),
        (&table::POLLS_PER_MINUTE, &POLLS_PER_MINUTE.to_string()),
        (&table::ALLOW_INSECURE_API, "false"),
        (&table::API_URL, first_url),
        (&table::TOKEN_URL, ""),
    ] {
        reader.note(setting, shown, "demo");
    }
    let of_demo = |demo: DemoAccount| Account {
        name: demo.name.into(),
        client_id: Credential::fixed(demo.client_id),
        client_secret: Credential::fixed(demo.client_secret),
        batch_size: BATCH_SIZE,
        max_linger: Duration::from_millis(MAX_LINGER_MS.into()),
        polls_per_minute: POLLS_PER_MINUTE,
        api_url: demo.api_url,
        token_url: None,
        tenant: None,
        origin: Origin::variables(false, false),
    };
    let accounts: Vec<Account> = accounts.into_iter().map(of_demo).collect();
    for further in accounts.iter().skip(1) {
        reader.note_entry(&further.to_string());
    }
    accounts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(api_url: &str, token_url: Option<&str>) -> Account {
        let fixed = || Credential::fixed(SecretString::from("x"));
        Account {
            name: "a".into(),
            client_id: fixed(),
            client_secret: fixed(),
            batch_size: 1,
            max_linger: Duration::ZERO,
            polls_per_minute: 1,
            api_url: api_url.parse().unwrap(),
            token_url: token_url.map(|url| url.parse().unwrap()),
            tenant: None,
            origin: Origin::variables(false, false),
        }
    }

    #[test]
    fn the_stream_is_below_the_api() {
        for (api_url, expected) in [
            (
                "https://starlink.com/api/public",
                "https://starlink.com/api/public/v2/telemetry/stream",
            ),
            (
                "https://starlink.com/api/public/",
                "https://starlink.com/api/public/v2/telemetry/stream",
            ),
            (
                "http://127.0.0.1:8080",
                "http://127.0.0.1:8080/v2/telemetry/stream",
            ),
        ] {
            assert_eq!(account(api_url, None).stream_url().as_str(), expected);
        }
    }

    #[test]
    fn a_public_api_has_a_second_token_url() {
        for (api_url, token_url, expected) in [
            (
                "https://starlink.com/api/public/",
                None,
                &[
                    "https://starlink.com/api/public/auth/connect/token",
                    "https://starlink.com/api/auth/connect/token",
                ][..],
            ),
            (
                "http://[::1]:1/public",
                None,
                &[
                    "http://[::1]:1/public/auth/connect/token",
                    "http://[::1]:1/auth/connect/token",
                ],
            ),
            (
                "http://[::1]:1/republic",
                None,
                &["http://[::1]:1/republic/auth/connect/token"],
            ),
            (
                "http://[::1]:1",
                None,
                &["http://[::1]:1/auth/connect/token"],
            ),
            (
                "https://starlink.com/api/public",
                Some("https://example.com/token"),
                &["https://example.com/token"],
            ),
        ] {
            let urls = account(api_url, token_url).token_urls();
            let urls: Vec<&str> = urls.iter().map(Url::as_str).collect();
            assert_eq!(urls, expected, "{api_url}");
        }
    }
}

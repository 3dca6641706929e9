//! The service account: who asks Starlink, for how much, and where.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::credential::Credential;
use super::parse;
use super::reader::Reader;
use super::table;

/// A service account and the place in the telemetry stream that it holds.
#[derive(Clone, Debug)]
pub struct Account {
    /// The service account's client ID.
    pub client_id: Credential,
    /// The service account's client secret.
    pub client_secret: Credential,
    /// Most rows in one answer, 1 to 65000.
    pub batch_size: u32,
    /// How long Starlink may wait for a full answer, 0 to 65 s.
    pub max_linger: Duration,
    /// Base URL of the API, without user name, query or fragment, and without the API's version.
    pub api_url: Url,
    /// Where tokens are asked for, if that is set.
    pub token_url: Option<Url>,
}

impl Account {
    /// Where the stream is polled.
    pub fn stream_url(&self) -> Url {
        self.below_api("/v2/telemetry/stream")
    }

    /// Where tokens are asked for: the first, and if that gives none the next one. Never empty, at most two.
    ///
    /// Starlink's guides name `/api/public/auth/connect/token`, its OIDC discovery document `/api/auth/connect/token`.
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

/// The configured account; none when something is wrong with it.
pub(super) fn read(reader: &mut Reader) -> Option<Account> {
    let client_id = reader.credential(&table::CLIENT_ID, &table::CLIENT_ID_FILE);
    let client_secret = reader.credential(&table::CLIENT_SECRET, &table::CLIENT_SECRET_FILE);
    let batch_size = reader.whole(&table::BATCH_SIZE);
    let max_linger = reader.whole(&table::MAX_LINGER);
    // A switch that is not understood is told; what depends on it is taken for allowed, so as not to be told as well.
    let is_insecure = reader.read(&table::ALLOW_INSECURE_API, parse::switch);
    let is_insecure = is_insecure.unwrap_or(true);
    let base_url = |text: &str| parse::base_url(text, is_insecure);
    let show = |_: &str, url: &Url| url.as_str().trim_end_matches('/').to_owned();
    let api_url = reader.read_shown(&table::API_URL, base_url, show);
    let token_url = reader.read(&table::TOKEN_URL, |text| {
        parse::token_url(text, is_insecure)
    });
    Some(Account {
        client_id: client_id?,
        client_secret: client_secret?,
        batch_size: batch_size?,
        max_linger: Duration::from_millis(max_linger?),
        api_url: api_url?,
        token_url,
    })
}

/// The account of a demonstration: answers are small and soon, whatever is configured.
pub(super) fn demo(
    reader: &mut Reader,
    api_url: Url,
    client_id: SecretString,
    client_secret: SecretString,
) -> Account {
    const BATCH_SIZE: u32 = 1000;
    const MAX_LINGER_MS: u32 = 500;
    for (setting, shown) in [
        (&table::CLIENT_ID, "(set)"),
        (&table::CLIENT_SECRET, "(set)"),
        (&table::BATCH_SIZE, &BATCH_SIZE.to_string()),
        (&table::MAX_LINGER, &MAX_LINGER_MS.to_string()),
        (&table::ALLOW_INSECURE_API, "false"),
        (&table::API_URL, api_url.as_str()),
        (&table::TOKEN_URL, ""),
    ] {
        reader.note(setting, shown, "demo");
    }
    Account {
        client_id: Credential::fixed(client_id),
        client_secret: Credential::fixed(client_secret),
        batch_size: BATCH_SIZE,
        max_linger: Duration::from_millis(MAX_LINGER_MS.into()),
        api_url,
        token_url: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(api_url: &str, token_url: Option<&str>) -> Account {
        let fixed = || Credential::fixed(SecretString::from("x"));
        Account {
            client_id: fixed(),
            client_secret: fixed(),
            batch_size: 1,
            max_linger: Duration::ZERO,
            api_url: api_url.parse().unwrap(),
            token_url: token_url.map(|url| url.parse().unwrap()),
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
    fn tokens_have_a_second_place_where_the_api_is_public() {
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

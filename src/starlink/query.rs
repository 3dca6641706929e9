//! The requests of the management API. No other method and no other path is ever used.

use std::borrow::Cow;

use url::Url;

/// A request that reads, below `{API_URL}/v2`. Pages count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// `GET account`.
    Account,
    /// `GET user-terminals`.
    Terminals {
        /// The page, with [`Query::PAGE_SIZE`] entries.
        page: u32,
    },
    /// `GET service-lines`.
    ServiceLines {
        /// The page, with [`Query::PAGE_SIZE`] entries.
        page: u32,
    },
    /// `POST data-usage/query`: the current billing cycle of the active service lines.
    DataUsage {
        /// The page.
        page: u32,
        /// The most entries of a page, at most [`Query::USAGE_PAGE_SIZE`].
        limit: u32,
    },
    /// `GET billing/balance`.
    Balance,
    /// `POST telemetry/query`: the last values of terminals.
    LastKnown {
        /// The JSON body, which names the terminals.
        body: String,
    },
}

impl Query {
    /// The most entries of a page that Starlink sends without being asked for a number.
    pub const PAGE_SIZE: u32 = 100;

    /// The most entries of a page about data use.
    pub const USAGE_PAGE_SIZE: u32 = 250;

    /// The path of the request below `{API_URL}/v2`.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Terminals { .. } => "user-terminals",
            Self::ServiceLines { .. } => "service-lines",
            Self::DataUsage { .. } => "data-usage/query",
            Self::Balance => "billing/balance",
            Self::LastKnown { .. } => "telemetry/query",
        }
    }

    /// The URL of the request below `base`, which is [`Account::management_url`](crate::config::Account::management_url).
    #[must_use]
    pub fn url(&self, base: &Url) -> Url {
        let path = self.path();
        let mut url = base.clone();
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
        match self {
            Self::Terminals { page } | Self::ServiceLines { page } => {
                url.set_query(Some(&format!("page={page}")));
            }
            Self::DataUsage { page, limit } => {
                url.set_query(Some(&format!("page={page}&limit={limit}")));
            }
            Self::Account | Self::Balance | Self::LastKnown { .. } => {}
        }
        url
    }

    /// The JSON body of a POST request; `None` for a GET request.
    #[must_use]
    pub fn body(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::DataUsage { .. } => {
                Some(r#"{"previousBillingCycles":0,"activeServiceLinesOnly":true}"#.into())
            }
            Self::LastKnown { body } => Some(body.into()),
            Self::Account | Self::Terminals { .. } | Self::ServiceLines { .. } | Self::Balance => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_method_path_and_query() {
        let base: Url = "https://starlink.com/api/public/v2".parse().unwrap();
        let body = "{}".to_owned();
        for (query, url, is_post) in [
            (Query::Account, "account", false),
            (Query::Terminals { page: 0 }, "user-terminals?page=0", false),
            (
                Query::ServiceLines { page: 12 },
                "service-lines?page=12",
                false,
            ),
            (
                Query::DataUsage {
                    page: 1,
                    limit: 250,
                },
                "data-usage/query?page=1&limit=250",
                true,
            ),
            (Query::Balance, "billing/balance", false),
            (Query::LastKnown { body }, "telemetry/query", true),
        ] {
            assert_eq!(query.url(&base).as_str(), format!("{base}/{url}"));
            assert_eq!(query.body().is_some(), is_post, "{query:?}");
        }
    }
}

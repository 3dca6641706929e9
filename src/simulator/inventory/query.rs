//! The parameters and bodies of requests of the management API: exactly the known ones are accepted.

use serde::Deserialize;
use url::form_urlencoded;

use super::{InventoryOptions, Part};

/// Starlink's highest `limit` of a page of data use.
const HIGHEST_LIMIT: usize = 250;

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) struct WantedPage {
    /// From 0.
    pub page: usize,
    /// The entries of a page; at least one.
    pub size: usize,
}

impl WantedPage {
    /// The page of a query such as `page=1`.
    ///
    /// # Errors
    /// The reason of the rejection: a parameter that the part does not have, or a value out of range.
    pub(in crate::simulator) fn parse(
        part: Part,
        query: &str,
        options: &InventoryOptions,
    ) -> Result<Self, String> {
        let has_pages = matches!(part, Part::Terminals | Part::ServiceLines | Part::DataUsage);
        let mut wanted = Self {
            page: 0,
            size: options.page_size.max(1),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let number: Result<usize, _> = value.parse();
            match (&*name, number) {
                ("page", Ok(page)) if has_pages => wanted.page = page,
                ("limit", Ok(limit)) if part == Part::DataUsage => {
                    if !(1..=HIGHEST_LIMIT).contains(&limit) {
                        return Err(format!("limit must be between 1 and {HIGHEST_LIMIT}"));
                    }
                    wanted.size = limit.min(options.usage_page_size.max(1));
                }
                _ => return Err(format!("invalid parameter {name}={value}")),
            }
        }
        Ok(wanted)
    }
}

/// The body of `data-usage/query`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::simulator) struct UsageQuery {
    pub previous_billing_cycles: u32,
    pub active_service_lines_only: bool,
}

/// The body of `telemetry/query`. Without IDs, all devices are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::simulator) struct TelemetryQuery {
    pub include_user_terminals: bool,
    pub user_terminal_ids: Vec<String>,
    pub include_routers: bool,
    pub router_ids: Vec<String>,
}

/// Parses a body, which must be an object with known members only.
///
/// # Errors
/// The reason of the rejection.
pub(in crate::simulator) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

//! Tries the requests of the inventory for `check-config --connect`. They change nothing, and take no rows of the stream.

use secrecy::SecretString;
use starlink_telemetry::account::page_query;
use starlink_telemetry::config::{Account, InventoryScope};
use starlink_telemetry::inventory::{AnswerError, Bounds, Parsed, Part};
use starlink_telemetry::starlink::{Client, PollFailure, Query};
use starlink_telemetry::text::with_sources;

/// Requests each part that is read. Returns a line for each result.
pub(super) async fn try_parts(
    client: &Client,
    account: &Account,
    bearer: &SecretString,
    scope: InventoryScope,
) -> Vec<String> {
    let is_read = |part: &Part| *part != Part::Balance || scope.balance;
    let mut lines = Vec::new();
    for part in Part::ALL.into_iter().filter(is_read) {
        let name = part.name();
        let result = try_part(client, account, bearer, part).await;
        lines.push(match result {
            Ok(()) => format!("inventory: {name} can be read"),
            Err(why) => format!("inventory: {name} cannot be read: {why}"),
        });
    }
    lines
}

async fn try_part(
    client: &Client,
    account: &Account,
    bearer: &SecretString,
    part: Part,
) -> Result<(), String> {
    let query = match page_query(part, 0) {
        // One entry is enough.
        Query::DataUsage { page, .. } => Query::DataUsage { page, limit: 1 },
        query => query,
    };
    let base = account.management_url();
    let body = client
        .query(&base, &query, bearer)
        .await
        .map_err(|error| match error.reason() {
            PollFailure::Forbidden => format!(
                "the service account needs the permission \"{}\"",
                part.permission()
            ),
            _ => with_sources(&error),
        })?;
    check(part, &body).map_err(|error| with_sources(&error))
}

/// Whether the answer has the expected shape, and the service can use its entries.
fn check(part: Part, body: &[u8]) -> Result<(), AnswerError> {
    // The time of the answer does not matter here.
    Parsed::parse(part, body, 0.0, &Bounds::STANDARD)?.check_entries()
}

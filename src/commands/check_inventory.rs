//! Tries the requests of the inventory for `check-config --connect`. They change nothing, and take no rows of the stream.

use secrecy::SecretString;
use starlink_telemetry::config::{Account, InventoryScope};
use starlink_telemetry::inventory::{
    AnswerError, Bounds, Lines, Part, Terminals, Usages, parse_account, parse_balances,
};
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
    let query = match part {
        Part::Account => Query::Account,
        Part::Terminals => Query::Terminals { page: 0 },
        Part::ServiceLines => Query::ServiceLines { page: 0 },
        Part::DataUsage => Query::DataUsage { page: 0, limit: 1 },
        Part::Balance => Query::Balance,
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
    parse(part, &body).map_err(|error| with_sources(&error))
}

/// Whether the answer has the expected shape.
fn parse(part: Part, body: &[u8]) -> Result<(), AnswerError> {
    let bounds = Bounds::STANDARD;
    match part {
        Part::Account => parse_account(body, &bounds).map(drop),
        Part::Terminals => Terminals::parse(body, &bounds).map(drop),
        Part::ServiceLines => Lines::parse(body, &bounds).map(drop),
        // The time of the answer does not matter here.
        Part::DataUsage => Usages::parse(body, 0.0, &bounds).map(drop),
        Part::Balance => parse_balances(body, &bounds).map(drop),
    }
}

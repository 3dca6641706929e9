//! The command `check-config`: prints the effective settings, warnings, optionally the results of requests to Starlink and to destinations, and a verdict.

use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::stream::{self, StreamExt};
use starlink_telemetry::app::client_options;
use starlink_telemetry::config::{Account, ConfigErrors, Origin, Settings, Sources};
use starlink_telemetry::starlink::{Client, Timeouts, Token, TokenError, TokenFailure};
use starlink_telemetry::text::with_sources;
use starlink_telemetry::time::Clock;
use url::Url;

use super::check_destinations;
use super::check_inventory::try_parts;
use super::check_journal;
use super::{EXIT_CONFIG, Failure, report};
use crate::console::{complain, print};

/// Prints the settings and the verdict, which is the last line.
pub(super) async fn execute(
    config_file: Option<PathBuf>,
    connect: bool,
) -> Result<ExitCode, Failure> {
    let settings = match Settings::from_sources(Sources::from_process(config_file)) {
        Ok(settings) => settings,
        Err(errors) => {
            complain(format!("{}\n{}", report(&errors), refused(&errors)));
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    let warnings = settings.warnings().iter();
    let lines = settings.effective().iter().cloned();
    let lines = lines.chain(check_destinations::lines(&settings));
    let lines = lines.chain(check_journal::lines(&settings));
    let lines = lines.chain(warnings.map(|warning| format!("WARN {warning}")));
    let mut output: String = lines.map(|line| line + "\n").collect();
    let valid = valid(settings.warnings().len());
    let outcome = match connect {
        true => {
            let accounts = try_accounts(&settings, &mut output).await?;
            let destinations = check_destinations::try_all(&settings, &mut output).await;
            both(accounts, destinations)
        }
        false => Ok(String::new()),
    };
    if let Ok(issued) = &outcome {
        output += &format!("OK: {valid}{issued}\n");
    }
    print(output)?;
    match outcome {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(refusal) => {
            complain(format!("FAILED: {valid}, but {refusal}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The most concurrent token requests, and the most concurrent requests to destinations.
pub(super) const CONCURRENT: usize = 8;

/// The most accounts, and the most destinations, that the verdict names.
const MOST_NAMED: usize = 10;

/// Whether both results are good, as a text that continues the verdict on the settings.
fn both(
    accounts: Result<String, String>,
    destinations: Result<String, String>,
) -> Result<String, String> {
    match (accounts, destinations) {
        (Ok(accounts), Ok(destinations)) => Ok(accounts + &destinations),
        (Err(accounts), Err(destinations)) => Err(format!("{accounts}, and {destinations}")),
        (Err(refusal), Ok(_)) | (Ok(_), Err(refusal)) => Err(refusal),
    }
}

/// The first names, and how many there are besides.
pub(super) fn named(names: &[&str]) -> String {
    let first = names.iter().take(MOST_NAMED).copied();
    let first = first.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The results of an account: of its token request, success or failure, and a line for each part of its inventory.
struct Tried {
    token: Result<String, String>,
    inventory: Vec<String>,
}

/// Requests a token and the parts of the inventory for each account, which does not take rows from its stream. Returns the result of the
/// token requests as a text that continues the verdict on the settings. Adds lines about the inventories and, with an accounts file, about
/// each account to `output`. A part that cannot be read is not a failure.
async fn try_accounts(
    settings: &Settings,
    output: &mut String,
) -> Result<Result<String, String>, Failure> {
    let client = client_options(settings, Timeouts::default(), Clock::system())?;
    let accounts = settings.accounts.list();
    let attempts = accounts.iter().map(|account| {
        let client = Client::new(client.clone());
        async move {
            let redact = |text: String| settings.redactor.redact(&text).into_owned();
            let token = request_token(&client, account).await;
            let inventory = match (&token, settings.inventory) {
                (Ok((token, _)), Some(scope)) => {
                    try_parts(&client, account, &token.bearer, scope).await
                }
                _ => Vec::new(),
            };
            Tried {
                token: token.map(|(_, issued)| issued).map_err(redact),
                inventory: inventory.into_iter().map(redact).collect(),
            }
        }
    });
    let outcomes: Vec<_> = stream::iter(attempts).buffered(CONCURRENT).collect().await;
    if settings.accounts.file().is_none() {
        let Some(only) = outcomes.into_iter().next() else {
            return Ok(Ok(String::new()));
        };
        output.extend(only.inventory.iter().map(|line| format!("{line}\n")));
        return Ok(match only.token {
            Ok(issued) => Ok(format!(", and {issued}")),
            Err(refusal) => Err(refusal),
        });
    }
    let mut refused = Vec::new();
    for (account, outcome) in accounts.iter().zip(&outcomes) {
        let name = &account.name;
        let line = match &outcome.token {
            Ok(issued) => format!("OK: account {name}: {issued}"),
            Err(refusal) => {
                refused.push(&**name);
                format!("FAILED: account {name}: {refusal}")
            }
        };
        *output += &(line + "\n");
        for line in &outcome.inventory {
            *output += &format!("account {name}: {line}\n");
        }
    }
    let count = accounts.len();
    if refused.is_empty() {
        return Ok(Ok(match count {
            1 => ", and the account was issued a token".to_owned(),
            _ => format!(", and all {count} accounts were issued a token"),
        }));
    }
    Ok(Err(format!(
        "no token was issued to {} of {count} accounts: {}",
        refused.len(),
        named(&refused)
    )))
}

fn valid(warnings: usize) -> String {
    match warnings {
        0 => "settings are valid".to_owned(),
        1 => "settings are valid, with 1 warning".to_owned(),
        many => format!("settings are valid, with {many} warnings"),
    }
}

fn refused(errors: &ConfigErrors) -> String {
    match errors.iter().count() {
        1 => "FAILED: 1 problem".to_owned(),
        many => format!("FAILED: {many} problems"),
    }
}

/// Requests a token. Returns it with the result, success or failure, as a text.
async fn request_token(client: &Client, account: &Account) -> Result<(Token, String), String> {
    let urls = account.token_urls();
    let (id, secret) = (account.client_id.value(), account.client_secret.value());
    let request =
        client.request_token_from(&urls, &id, &secret, TokenError::is_answer, async || {});
    match request.await {
        Ok((token, url)) => {
            let seconds = token.lifetime.as_secs();
            let issued = format!("{url} issued a token, which is valid for {seconds} s");
            Ok((token, issued))
        }
        Err(error) => Err(refusal(&error, &urls, &account.origin)),
    }
}

fn refusal(error: &TokenError, urls: &[Url], origin: &Origin) -> String {
    let urls: Vec<_> = urls.iter().map(Url::as_str).collect();
    let advice = match error.reason() {
        TokenFailure::Refused => format!(": check {}", origin.credentials()),
        TokenFailure::NotFound => format!(": check {}", origin.urls()),
        _ => String::new(),
    };
    let urls = urls.join(" or ");
    format!(
        "no token was issued by {urls}: {}{advice}",
        with_sources(error)
    )
}

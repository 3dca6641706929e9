//! `check-config`: the settings in force, what is doubtful about them, what Starlink says to the credentials if asked, and a verdict.

use std::path::PathBuf;
use std::process::ExitCode;

use starlink_telemetry::app::client_options;
use starlink_telemetry::config::{ConfigErrors, Settings, Sources};
use starlink_telemetry::starlink::{Client, Timeouts, TokenError, TokenFailure};
use starlink_telemetry::text::with_sources;
use starlink_telemetry::time::Clock;
use url::Url;

use super::{EXIT_CONFIG, Failure, told};
use crate::console::{complain, print};

/// Prints the settings and the verdict, which is the last line.
pub(super) async fn execute(
    config_file: Option<PathBuf>,
    connect: bool,
) -> Result<ExitCode, Failure> {
    let settings = match Settings::from_sources(Sources::from_process(config_file)) {
        Ok(settings) => settings,
        Err(errors) => {
            complain(format!("{}\n{}", told(&errors), refused(&errors)));
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    let warnings = settings.warnings().iter();
    let lines = settings.effective().iter().cloned();
    let lines = lines.chain(warnings.map(|warning| format!("WARN {warning}")));
    let mut report: String = lines.map(|line| line + "\n").collect();
    let valid = valid(settings.warnings().len());
    let outcome = match connect {
        true => ask_for_token(&settings).await?,
        false => Ok(String::new()),
    };
    if let Ok(issued) = &outcome {
        report += &format!("OK: {valid}{issued}\n");
    }
    print(report)?;
    match outcome {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(refusal) => {
            complain(format!("FAILED: {valid}, but {refusal}"));
            Ok(ExitCode::FAILURE)
        }
    }
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

/// What Starlink answered to a request for a token, good or bad, in words that go on after those on the settings.
async fn ask_for_token(settings: &Settings) -> Result<Result<String, String>, Failure> {
    let account = &settings.account;
    let client = Client::new(client_options(
        settings,
        Timeouts::default(),
        Clock::system(),
    )?);
    let urls = account.token_urls();
    let (id, secret) = (account.client_id.value(), account.client_secret.value());
    let asked = client.request_token_from(&urls, &id, &secret, TokenError::is_answer, || {});
    Ok(match asked.await {
        Ok((token, url)) => {
            let seconds = token.lifetime.as_secs();
            Ok(format!(
                ", and {url} issued a token, which is valid for {seconds} s"
            ))
        }
        Err(error) => {
            let refusal = refusal(&error, &urls);
            Err(settings.redactor.redact(&refusal).into_owned())
        }
    })
}

fn refusal(error: &TokenError, urls: &[Url]) -> String {
    let urls: Vec<_> = urls.iter().map(Url::as_str).collect();
    let advice = match error.reason() {
        TokenFailure::Refused => ": check CLIENT_ID and CLIENT_SECRET",
        TokenFailure::NotFound => ": check API_URL and TOKEN_URL",
        _ => "",
    };
    let urls = urls.join(" or ");
    format!(
        "no token was issued by {urls}: {}{advice}",
        with_sources(error)
    )
}

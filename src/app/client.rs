//! The options of the client of Starlink, from the settings.

use crate::config::Settings;
use crate::outgoing::{TlsError, tls_config};
use crate::starlink::{ClientOptions, Timeouts};
use crate::time::Clock;

/// The options of the client of Starlink. TLS is set up only if it is needed: a simulator on loopback needs no certificates.
///
/// # Errors
/// TLS is needed and cannot be set up.
pub fn client_options(
    settings: &Settings,
    timeouts: Timeouts,
    clock: Clock,
) -> Result<ClientOptions, TlsError> {
    let is_tls = settings.accounts.list().iter().any(|account| {
        let mut urls = account.token_urls();
        urls.push(account.stream_url());
        urls.iter().any(|url| url.scheme() == "https")
    });
    // A later version of the accounts file may have https URLs.
    let is_tls = is_tls || settings.accounts.file().is_some();
    Ok(ClientOptions {
        tls: match is_tls {
            true => Some(tls_config(settings.outgoing.authorities.as_ref())?),
            false => None,
        },
        proxy: settings.outgoing.proxy.clone(),
        timeouts,
        redactor: settings.redactor.clone(),
        clock,
        ..ClientOptions::default()
    })
}

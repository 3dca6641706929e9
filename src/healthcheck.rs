//! Asks a service on the same machine whether it is alive, over TLS or without.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use awc::error::SendRequestError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use thiserror::Error;

use crate::config::ProbesAddress;
use crate::http::reachable;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the service is not known to be alive.
#[derive(Debug, Error)]
pub enum Unhealthy {
    /// It says so itself.
    #[error("{url}: {status}: {reason}")]
    Failing {
        /// What was asked.
        url: String,
        /// What was answered.
        status: u16,
        /// With what reason.
        reason: String,
    },
    /// It takes connections and does not answer.
    #[error("{url}: no answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// What was asked.
        url: String,
    },
    /// It cannot be reached.
    #[error(
        "{}. Is the service running, with the same METRICS_ADDRESS, METRICS_PORT and PROBES_PORT?",
        tried.join("; ")
    )]
    Unreachable {
        /// What was asked, each with what the client says.
        tried: Vec<String>,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Asks `/livez`, on loopback where the service listens on all addresses: with IPv4, then with IPv6, until one is answered. Where TLS
/// may be spoken it is tried first. Needs an actix system.
///
/// # Errors
/// Why the service is not known to be alive.
pub async fn healthcheck(place: ProbesAddress) -> Result<(), Unhealthy> {
    let mut failures = Vec::new();
    for address in reachable(place.address) {
        match ask_at(address, place.may_be_tls).await {
            Err(Unhealthy::Unreachable { tried }) => failures.extend(tried),
            answered => return answered,
        }
    }
    Err(Unhealthy::Unreachable { tried: failures })
}

async fn ask_at(address: SocketAddr, may_be_tls: bool) -> Result<(), Unhealthy> {
    if may_be_tls {
        let connector = awc::Connector::new().rustls_0_23(tls()?);
        let client = awc::Client::builder()
            .connector(connector)
            .timeout(PATIENCE)
            .finish();
        match ask(&client, format!("https://{address}/livez")).await {
            Err(Unhealthy::Unreachable { .. }) => {}
            answered => return answered,
        }
    }
    let client = awc::Client::builder().timeout(PATIENCE).finish();
    ask(&client, format!("http://{address}/livez")).await
}

async fn ask(client: &awc::Client, url: String) -> Result<(), Unhealthy> {
    match client.get(&url).send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(mut answer) => {
            let status = answer.status().as_u16();
            let reason = answer.body().await.unwrap_or_default();
            let reason = String::from_utf8_lossy(&reason).trim_end().to_owned();
            Err(Unhealthy::Failing {
                url,
                status,
                reason,
            })
        }
        Err(SendRequestError::Timeout) => Err(Unhealthy::Silent { url }),
        Err(error) => Err(unreachable(url, &error)),
    }
}

fn unreachable(url: String, error: &SendRequestError) -> Unhealthy {
    let tried = vec![format!("{url}: {error}")];
    Unhealthy::Unreachable { tried }
}

/// TLS with a service whose certificate is made out to the names that others know it by, and may not be known here.
fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Takes any certificate. No secret is sent, and nothing that is answered is used but "alive" and "not alive": whoever could answer in
/// the service's place, on its own machine and port, has no need to be found out by this. Nothing else uses it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

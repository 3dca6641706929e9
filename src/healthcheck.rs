//! The client of the `healthcheck` command: requests `/livez` of a service on the same machine, with or without TLS.

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

/// The time limit of a request.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// Why the check failed.
#[derive(Debug, Error)]
pub enum Unhealthy {
    /// The service reports that it is not alive.
    #[error("{url}: {status}: {reason}")]
    Failing {
        /// The URL of the request.
        url: String,
        /// The status of the response.
        status: u16,
        /// The body of the response.
        reason: String,
    },
    /// The service accepts connections, but does not respond.
    #[error("{url}: no response within {} s", TIME_LIMIT.as_secs())]
    Silent {
        /// The URL of the request.
        url: String,
    },
    /// No connection could be made.
    #[error(
        "{}. Is the service running, with the same METRICS_ADDRESS, METRICS_PORT and PROBES_PORT?",
        tried.join("; ")
    )]
    Unreachable {
        /// The URLs that were tried, each with its error.
        tried: Vec<String>,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Requests `/livez`. If the service listens on all addresses, loopback is used: IPv4 first, then IPv6. TLS is tried first if it may
/// be on. Needs an actix system.
///
/// # Errors
/// [`Unhealthy`].
pub async fn healthcheck(target: ProbesAddress) -> Result<(), Unhealthy> {
    let mut failures = Vec::new();
    for address in reachable(target.address) {
        match request_at(address, target.may_be_tls).await {
            Err(Unhealthy::Unreachable { tried }) => failures.extend(tried),
            result => return result,
        }
    }
    Err(Unhealthy::Unreachable { tried: failures })
}

async fn request_at(address: SocketAddr, may_be_tls: bool) -> Result<(), Unhealthy> {
    if may_be_tls {
        let connector = awc::Connector::new().rustls_0_23(tls()?);
        let client = awc::Client::builder()
            .connector(connector)
            .timeout(TIME_LIMIT)
            .finish();
        match request(&client, format!("https://{address}/livez")).await {
            Err(Unhealthy::Unreachable { .. }) => {}
            result => return result,
        }
    }
    let client = awc::Client::builder().timeout(TIME_LIMIT).finish();
    request(&client, format!("http://{address}/livez")).await
}

async fn request(client: &awc::Client, url: String) -> Result<(), Unhealthy> {
    match client.get(&url).send().await {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(mut response) => {
            let status = response.status().as_u16();
            let reason = response.body().await.unwrap_or_default();
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

/// TLS settings that accept any certificate: the certificate is issued for the public names of the service, not for loopback.
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

/// Accepts any certificate. Used only for the health check, which sends no secret and uses only the status. A program that could
/// impersonate the service on its own machine and port would gain nothing by it.
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

//! The TLS settings of connections to Starlink: ring, the machine's root certificates, HTTP/1.1.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::server::VerifierBuilderError;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::authorities::{Authorities, Verifier};
use super::roots::machine_roots;

/// Why no TLS connection could ever be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nothing to check Starlink's certificate against.
    #[error(
        "no root certificates were found: install the package ca-certificates, or name a file in SSL_CERT_FILE"
    )]
    NoRoots,
    /// The crypto provider offers none of the protocol versions.
    #[error("the TLS library cannot be set up")]
    Setup(#[from] rustls::Error),
    /// The root certificates cannot be used together.
    #[error("the root certificates cannot be used")]
    Roots(#[from] VerifierBuilderError),
}

/// The settings, with the root certificates that the machine has now (those in `SSL_CERT_FILE` and `SSL_CERT_DIR` where one is
/// set, else the platform's) and the authorities, which may change. Reads files, so call it once.
///
/// # Errors
/// [`TlsError::NoRoots`] when no certificate can be used; single bad ones only give a warning.
pub fn tls_config(authorities: Option<&Authorities>) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = machine_roots();
    if let Some(error) = roots.error {
        let failures = roots.failures;
        tracing::warn!(failures, error, "cannot read some root certificates");
    }
    with_roots(roots.certificates, authorities)
}

fn with_roots(
    certificates: Vec<CertificateDer<'static>>,
    authorities: Option<&Authorities>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let (used, ignored) = roots.add_parsable_certificates(certificates);
    if ignored > 0 {
        tracing::warn!(used, ignored, "some root certificates are invalid");
    }
    if roots.is_empty() && authorities.is_none() {
        return Err(TlsError::NoRoots);
    }
    // Named here so that nothing depends on a provider for the whole process.
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = match authorities {
        None => builder.with_root_certificates(roots).with_no_client_auth(),
        Some(authorities) => {
            let verifier = Arc::new(Verifier::new(roots, authorities.clone())?);
            let mut config = builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth();
            // A session that is resumed is not verified again, also where its authority is trusted no more.
            config.resumption = Resumption::disabled();
            config
        }
    };
    // Not HTTP/2: awc's code for it writes request heads, the token among them, to its trace log.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_usable_root_the_error_says_what_to_install() {
        let damaged = CertificateDer::from(vec![0x30, 0x00]);
        for certificates in [vec![], vec![damaged]] {
            let error = with_roots(certificates, None).unwrap_err();
            assert!(error.to_string().contains("ca-certificates"), "{error}");
        }
    }
}

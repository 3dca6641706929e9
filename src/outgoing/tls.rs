//! The TLS settings of connections: ring, root certificates, HTTP/1.1.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::VerifierBuilderError;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::authorities::{Authorities, Certificates, Verifier};
use super::roots::machine_roots;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There are no root certificates to verify the certificates of servers with.
    #[error(
        "no root certificates were found: install the package ca-certificates, or name a file in SSL_CERT_FILE"
    )]
    NoRoots,
    /// The crypto provider supports none of the protocol versions.
    #[error("the TLS library cannot be set up")]
    Setup(#[from] rustls::Error),
    /// The root certificates cannot be used together.
    #[error("the root certificates cannot be used")]
    Roots(#[from] VerifierBuilderError),
}

/// The TLS settings, with the machine's root certificates as they are now (those of `SSL_CERT_FILE` and `SSL_CERT_DIR` if one is
/// set, else the platform's) and the authorities, which may change later. Reads files, so call it once.
///
/// # Errors
/// [`TlsError::NoRoots`] if no certificate can be used; single invalid ones only cause a warning.
pub fn tls_config(authorities: Option<&Authorities>) -> Result<Arc<ClientConfig>, TlsError> {
    with_roots(machine_certificates(), authorities, None)
}

/// The machine's root certificates. Reads files.
pub(super) fn machine_certificates() -> Certificates {
    let roots = machine_roots();
    if let Some(error) = roots.error {
        let failures = roots.failures;
        tracing::warn!(failures, error, "cannot read some root certificates");
    }
    roots.certificates
}

/// The certificates of this client, its own one first, and its private key.
pub(super) struct Identity {
    pub(super) chain: Certificates,
    pub(super) key: PrivateKeyDer<'static>,
}

/// The TLS settings with these root certificates, and the authorities in addition to them.
pub(super) fn with_roots(
    certificates: Certificates,
    authorities: Option<&Authorities>,
    identity: Option<Identity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let (used, ignored) = roots.add_parsable_certificates(certificates);
    if ignored > 0 {
        tracing::warn!(used, ignored, "some root certificates are invalid");
    }
    if roots.is_empty() && authorities.is_none() {
        return Err(TlsError::NoRoots);
    }
    // Given here so that nothing depends on the default provider of the process.
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match authorities {
        None => builder.with_root_certificates(roots),
        Some(authorities) => {
            let verifier = Arc::new(Verifier::new(roots, authorities.clone())?);
            let builder = builder.dangerous();
            builder.with_custom_certificate_verifier(verifier)
        }
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key)?,
    };
    if authorities.is_some() {
        // A resumed session is not verified again, not even if its authority has been removed.
        config.resumption = Resumption::disabled();
    }
    // Not HTTP/2: awc's implementation logs request heads, which contain the token, at trace level.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;

    use super::*;

    #[test]
    fn without_a_usable_root_the_error_says_what_to_install() {
        let damaged = CertificateDer::from(vec![0x30, 0x00]);
        for certificates in [vec![], vec![damaged]] {
            let error = with_roots(certificates, None, None).unwrap_err();
            assert!(error.to_string().contains("ca-certificates"), "{error}");
        }
    }
}

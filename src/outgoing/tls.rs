//! The TLS settings of connections to Starlink: ring, the machine's root certificates, HTTP/1.1.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

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
}

/// The settings, with the root certificates that the machine has now (those in `SSL_CERT_FILE` and `SSL_CERT_DIR` where one is
/// set, else the platform's) and the extra ones. Reads files, so call it once.
///
/// # Errors
/// [`TlsError::NoRoots`] when no certificate can be used; single bad ones only give a warning.
pub fn tls_config(extra: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.first() {
        let failures = found.errors.len();
        tracing::warn!(failures, %error, "cannot read some root certificates");
    }
    with_roots(found.certs.into_iter().chain(extra.iter().cloned()))
}

/// The certificates of a file in PEM form, to be trusted beside the machine's.
///
/// # Errors
/// Why they cannot be used, in words that hold nothing of the file.
pub fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let text = std::fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "(there is no such file)",
        ErrorKind::PermissionDenied => "(it may not be read)",
        _ => "(it cannot be read)",
    })?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| "(it is no text in PEM form)")?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|_| "(a certificate in it is damaged)")?;
    }
    if roots.is_empty() {
        return Err("(there is no certificate in it)");
    }
    Ok(certificates)
}

fn with_roots(
    certificates: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let (used, ignored) = roots.add_parsable_certificates(certificates);
    if ignored > 0 {
        tracing::warn!(used, ignored, "some root certificates are invalid");
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    // Named here so that nothing depends on a provider for the whole process.
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
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
            let error = with_roots(certificates).unwrap_err();
            assert!(error.to_string().contains("ca-certificates"), "{error}");
        }
    }
}

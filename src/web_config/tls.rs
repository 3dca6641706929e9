//! The TLS settings of the web server: its certificate, and the verification of client certificates.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

/// The accepted versions of [`MinVersion::Tls12`].
static FROM_TLS12: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// The accepted versions of [`MinVersion::Tls13`].
static FROM_TLS13: [&SupportedProtocolVersion; 1] = [&version::TLS13];

/// The oldest accepted version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MinVersion {
    Tls12,
    Tls13,
}

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => &FROM_TLS12,
            Self::Tls13 => &FROM_TLS13,
        }
    }
}

/// The certificate that clients must present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// None.
    None,
    /// None, or one that these authorities issued.
    IfGiven(Vec<CertificateDer<'static>>),
    /// One that these authorities issued.
    Required(Vec<CertificateDer<'static>>),
}

/// The server's certificate and key, which can be replaced. Each TLS handshake uses the current one.
pub(super) struct Identity(ArcSwap<CertifiedKey>);

impl Identity {
    pub(super) fn new(current: Arc<CertifiedKey>) -> Self {
        Self(ArcSwap::new(current))
    }

    /// Replaces the certificate. Open connections keep the old one.
    pub(super) fn replace(&self, current: Arc<CertifiedKey>) {
        self.0.store(current);
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Does not show the key.
impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity")
    }
}

/// The TLS configuration of the port, for HTTP/1.1.
///
/// # Errors
/// What is wrong with the authorities of client certificates.
pub(super) fn server_config(
    identity: Arc<Identity>,
    client_auth: &ClientAuth,
    min_version: MinVersion,
) -> Result<Arc<ServerConfig>, &'static str> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(min_version.versions())
        .map_err(|_| "the TLS library cannot be set up")?;
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::IfGiven(authorities) | ClientAuth::Required(authorities) => {
            let mut roots = RootCertStore::empty();
            // They were checked when they were read.
            roots.add_parsable_certificates(authorities.iter().cloned());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match client_auth {
                ClientAuth::Required(_) => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|_| "it contains no certificate")?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(identity);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if *client_auth != ClientAuth::None {
        // Resumed sessions are not allowed: their client certificates would not be checked for expiry again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// Parses a chain of certificates and the key of its first one, in PEM form.
///
/// # Errors
/// One of them is not valid, or the key does not belong to the certificate.
pub(super) fn certified_key(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, Mismatch> {
    let chain = certificates(chain).map_err(Mismatch::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| Mismatch::Key("it contains no private key in PEM form"))?;
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Mismatch::Key(
            "the key does not belong to the certificate in cert_file",
        )),
        Err(rustls::Error::InvalidCertificate(_)) => Err(Mismatch::Certificate(
            "the certificate in it is damaged, or not of X.509 version 3",
        )),
        Err(_) => Err(Mismatch::Key(
            "the key is damaged, or of an unsupported kind",
        )),
    }
}

/// Which of the two files is wrong, and why.
pub(super) enum Mismatch {
    Certificate(&'static str),
    Key(&'static str),
}

/// Parses the certificates of a text in PEM form, at least one.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("it contains no certificate"),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err("it is not text in PEM form"),
    }
}

/// Parses the authorities of a text in PEM form, at least one, and checks that they are valid.
pub(super) fn authorities(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let certificates = certificates(text)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|_| "a certificate in it is damaged, or not of X.509 version 3")?;
    }
    Ok(certificates)
}

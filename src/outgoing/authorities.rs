//! Certificate authorities of `API_CA_FILE`, trusted in addition to the machine's: loaded at the start, reloaded when the file
//! changes, and used for each handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use thiserror::Error;
use tracing::{info, warn};

use crate::files::{Change, FileError, FileReader, FileStates, SMALL, WatchOptions, watch};
use crate::tasks::Pulse;

/// Why a file cannot be used. The texts are meant to follow the path.
#[derive(Debug, Error)]
pub enum AuthoritiesError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not text in PEM form.
    #[error("is not text in PEM form")]
    NotPem,
    /// One of its certificates cannot be used.
    #[error("contains a damaged certificate")]
    Damaged,
    /// It holds no certificate.
    #[error("contains no certificate")]
    Empty,
}

pub(super) type Certificates = Vec<CertificateDer<'static>>;

/// The authorities of a file, as last loaded. Clones share them.
#[derive(Debug, Clone)]
pub struct Authorities {
    path: PathBuf,
    seen: FileStates,
    certificates: Arc<ArcSwap<Certificates>>,
}

impl Authorities {
    /// Loads a file.
    ///
    /// # Errors
    /// [`AuthoritiesError`].
    pub fn load(path: PathBuf) -> Result<Self, AuthoritiesError> {
        let mut reader = FileReader::default();
        let certificates = read(&path, &mut reader)?;
        Ok(Self {
            path,
            seen: reader.seen(),
            certificates: Arc::new(ArcSwap::from_pointee(certificates)),
        })
    }

    /// The state of the file when it was first read.
    #[must_use]
    pub fn seen(&self) -> &FileStates {
        &self.seen
    }

    /// Reloads the authorities when the file changes, without end. While the file cannot be used, the previous ones stay in use.
    pub async fn follow(self, options: WatchOptions, pulse: Pulse) {
        let file = self.path.to_string_lossy().into_owned();
        let path = self.path.clone();
        let load = move |reader: &mut FileReader| read(&path, reader);
        let obstacle = |loaded: &Result<_, AuthoritiesError>| {
            Some(format!("{file} {}", loaded.as_ref().err()?))
        };
        watch(pulse, options, load, obstacle, |change| match change {
            Change::New(Ok(certificates)) => {
                let count = certificates.len();
                self.certificates.store(Arc::new(certificates));
                info!(%file, certificates = count, "certificate authorities reloaded");
            }
            Change::Same(Ok(_)) => info!(%file, "certificate authorities are unchanged"),
            Change::New(Err(error)) | Change::Same(Err(error)) => {
                warn!(%file, %error, "cannot use the changed certificate authorities: the previous ones stay in use");
            }
        })
        .await;
    }
}

/// The certificates of a file, all of which can be used.
pub(super) fn read(path: &Path, reader: &mut FileReader) -> Result<Certificates, AuthoritiesError> {
    let text = reader.read(path, SMALL)?;
    let certificates: Result<Certificates, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| AuthoritiesError::NotPem)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|_| AuthoritiesError::Damaged)?;
    }
    match certificates.is_empty() {
        true => Err(AuthoritiesError::Empty),
        false => Ok(certificates),
    }
}

/// Verifies the certificates of servers with the machine's roots and the current authorities.
#[derive(Debug)]
pub(super) struct Verifier {
    machine: RootCertStore,
    authorities: Authorities,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    certificates: Arc<Certificates>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Current {
    fn new(
        machine: &RootCertStore,
        certificates: Arc<Certificates>,
    ) -> Result<Self, VerifierBuilderError> {
        let mut roots = machine.clone();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self {
            certificates,
            verifier: verifier.build()?,
        })
    }
}

impl Verifier {
    pub(super) fn new(
        machine: RootCertStore,
        authorities: Authorities,
    ) -> Result<Self, VerifierBuilderError> {
        let current = Current::new(&machine, authorities.certificates.load_full())?;
        Ok(Self {
            machine,
            authorities,
            current: ArcSwap::from_pointee(current),
        })
    }

    fn current(&self) -> Arc<WebPkiServerVerifier> {
        let current = self.current.load();
        let certificates = self.authorities.certificates.load_full();
        if !Arc::ptr_eq(&current.certificates, &certificates)
            && let Ok(now) = Current::new(&self.machine, certificates)
        {
            let verifier = Arc::clone(&now.verifier);
            self.current.store(Arc::new(now));
            return verifier;
        }
        Arc::clone(&current.verifier)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let current = self.current();
        current.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let current = self.current();
        current.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let current = self.current();
        current.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().supported_verify_schemes()
    }
}

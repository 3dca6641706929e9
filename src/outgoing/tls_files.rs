//! TLS settings of one server: the files with its authorities, and with the certificate and key of this client.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::authorities::{self, Authorities, AuthoritiesError, Certificates};
use super::tls::{Identity, TlsError, machine_certificates, with_roots};
use crate::files::{FileError, FileReader, SMALL};

/// The files of a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsFiles<'f> {
    /// The only authorities that are trusted; `None` for those of the machine.
    pub ca_file: Option<&'f Path>,
    /// The certificate and the key of this client.
    pub identity: Option<(&'f Path, &'f Path)>,
}

/// Why TLS cannot be set up with files. The texts name the setting and the path.
#[derive(Debug, Error)]
pub enum TlsFilesError {
    /// The authorities cannot be used.
    #[error("ca_file {path:?} {source}")]
    Authorities {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: AuthoritiesError,
    },
    /// The certificate of this client cannot be used.
    #[error("cert_file {path:?} {source}")]
    Certificate {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: AuthoritiesError,
    },
    /// The file of the key cannot be read.
    #[error("key_file {path:?} {source}")]
    KeyFile {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: FileError,
    },
    /// The file of the key has no key.
    #[error("key_file {path:?} has no private key in PEM form")]
    Key {
        /// The path.
        path: PathBuf,
    },
    /// The parts do not fit together.
    #[error("{}", crate::text::with_sources(.0))]
    Setup(#[from] TlsError),
}

impl TlsFiles<'_> {
    /// The TLS settings with the files as they are now. `authorities` are trusted in addition to those of the machine. Blocks.
    ///
    /// # Errors
    /// [`TlsFilesError`]
    pub fn load(
        &self,
        authorities: Option<&Authorities>,
        reader: &mut FileReader,
    ) -> Result<Arc<ClientConfig>, TlsFilesError> {
        let (roots, authorities) = match self.ca_file {
            None => (machine_certificates(), authorities),
            Some(path) => {
                let roots = authorities::read(path, reader);
                let failed = |source| TlsFilesError::Authorities {
                    path: path.to_owned(),
                    source,
                };
                (roots.map_err(failed)?, None)
            }
        };
        let identity = self.identity.map(|(certificate, key)| {
            Ok::<_, TlsFilesError>(Identity {
                chain: chain(certificate, reader)?,
                key: key_of(key, reader)?,
            })
        });
        Ok(with_roots(roots, authorities, identity.transpose()?)?)
    }
}

fn chain(path: &Path, reader: &mut FileReader) -> Result<Certificates, TlsFilesError> {
    let failed = |source| TlsFilesError::Certificate {
        path: path.to_owned(),
        source,
    };
    let text = reader
        .read(path, SMALL)
        .map_err(|error| failed(error.into()))?;
    let chain: Result<Certificates, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Err(_) => Err(failed(AuthoritiesError::NotPem)),
        Ok(chain) if chain.is_empty() => Err(failed(AuthoritiesError::Empty)),
        Ok(chain) => Ok(chain),
    }
}

fn key_of(path: &Path, reader: &mut FileReader) -> Result<PrivateKeyDer<'static>, TlsFilesError> {
    let path_of = || path.to_owned();
    let text = reader.read(path, SMALL);
    let text = text.map_err(|source| TlsFilesError::KeyFile {
        path: path_of(),
        source,
    })?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsFilesError::Key { path: path_of() })
}

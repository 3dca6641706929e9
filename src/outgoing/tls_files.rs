//! TLS settings of one server: the files with its authorities, and with the certificate and key of this client.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, Error, InconsistentKeys};
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
    /// The key cannot be used, or is not that of the certificate.
    #[error("key_file {path:?} {reason}")]
    Identity {
        /// The path.
        path: PathBuf,
        /// The reason, to follow the path.
        reason: &'static str,
    },
    /// The parts do not fit together.
    #[error("{}", crate::text::with_sources(.0))]
    Setup(#[from] TlsError),
}

impl TlsFilesError {
    /// The key of `tls_config` whose file cannot be used, if it is one file.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Authorities { .. } => Some("ca_file"),
            Self::Certificate { .. } => Some("cert_file"),
            Self::KeyFile { .. } | Self::Key { .. } | Self::Identity { .. } => Some("key_file"),
            Self::Setup(_) => None,
        }
    }
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
        let (roots, authorities) = match self.roots(reader)? {
            None => (machine_certificates(), authorities),
            Some(roots) => (roots, None),
        };
        let identity = self.identity(reader)?;
        Ok(with_roots(roots, authorities, identity)?)
    }

    /// Checks that the files can be used, as [`TlsFiles::load`] does; without the authorities of the machine. Blocks.
    ///
    /// # Errors
    /// [`TlsFilesError`]: one for the authorities, one for certificate and key.
    pub fn check(&self, reader: &mut FileReader) -> Vec<TlsFilesError> {
        let roots = self.roots(reader).err();
        let identity = self.identity(reader).err();
        roots.into_iter().chain(identity).collect()
    }

    fn roots(&self, reader: &mut FileReader) -> Result<Option<Certificates>, TlsFilesError> {
        let Some(path) = self.ca_file else {
            return Ok(None);
        };
        match authorities::read(path, reader) {
            Ok(roots) => Ok(Some(roots)),
            Err(source) => Err(TlsFilesError::Authorities {
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn identity(&self, reader: &mut FileReader) -> Result<Option<Identity>, TlsFilesError> {
        let Some((certificate, key)) = self.identity else {
            return Ok(None);
        };
        let identity = Identity {
            chain: chain(certificate, reader)?,
            key: key_of(key, reader)?,
        };
        match fault(&identity) {
            None => Ok(Some(identity)),
            Some(Fault::Certificate) => Err(TlsFilesError::Certificate {
                path: certificate.to_owned(),
                source: AuthoritiesError::Damaged,
            }),
            Some(Fault::Key(reason)) => Err(TlsFilesError::Identity {
                path: key.to_owned(),
                reason,
            }),
        }
    }
}

/// What is wrong with a certificate and its key.
enum Fault {
    Certificate,
    /// The reason, to follow the path of the key.
    Key(&'static str),
}

fn fault(identity: &Identity) -> Option<Fault> {
    let provider = ring::default_provider();
    let key = identity.key.clone_key();
    let Ok(key) = provider.key_provider.load_private_key(key) else {
        return Some(Fault::Key(
            "has a private key that is damaged or of an unknown type",
        ));
    };
    match CertifiedKey::new(identity.chain.clone(), key).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => None,
        Err(Error::InconsistentKeys(_)) => Some(Fault::Key(
            "does not belong to the certificate in cert_file",
        )),
        Err(_) => Some(Fault::Certificate),
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A certificate and its key, in PEM form.
    fn identity() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_key() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let ((certificate, key), (_, other)) = (identity(), identity());
        let good = write("certificate.pem", &certificate);
        let key = write("key.pem", &key);
        let other = write("other.pem", &other);
        let text = write("text.pem", "no certificate\n");
        let damaged = write("damaged.pem", &certificate.replacen("MII", "AAA", 1));
        let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let broken = write("broken.pem", broken);
        let missing = directory.path().join("missing.pem");
        for (ca_file, identity, expected) in [
            (None, None, &[][..]),
            (Some(&good), Some((&good, &key)), &[]),
            (Some(&text), None, &[("ca_file", "no certificate")]),
            (Some(&damaged), None, &[("ca_file", "damaged")]),
            (Some(&key), None, &[("ca_file", "no certificate")]),
            (
                None,
                Some((&text, &key)),
                &[("cert_file", "no certificate")],
            ),
            (None, Some((&damaged, &key)), &[("cert_file", "damaged")]),
            (
                None,
                Some((&good, &text)),
                &[("key_file", "no private key")],
            ),
            (
                None,
                Some((&good, &good)),
                &[("key_file", "no private key")],
            ),
            (None, Some((&good, &broken)), &[("key_file", "damaged")]),
            (
                None,
                Some((&good, &other)),
                &[("key_file", "does not belong")],
            ),
            (
                Some(&missing),
                Some((&good, &missing)),
                &[
                    ("ca_file", "cannot be read"),
                    ("key_file", "cannot be read"),
                ],
            ),
        ] {
            let files = TlsFiles {
                ca_file: ca_file.map(|path| path.as_path()),
                identity: identity.map(|(one, two)| (one.as_path(), two.as_path())),
            };
            let mut reader = FileReader::default();
            let errors = files.check(&mut reader);
            assert_eq!(errors.len(), expected.len(), "{errors:?}");
            for (error, (key, reason)) in errors.iter().zip(expected) {
                assert_eq!(error.key(), Some(*key));
                assert!(error.to_string().contains(reason), "{error}");
            }
            if ca_file.is_some() {
                assert_eq!(files.load(None, &mut reader).is_ok(), expected.is_empty());
            }
        }
    }
}

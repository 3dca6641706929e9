//! The credentials and TLS settings of a destination. Files with them are read again when they change.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use awc::http::header::HeaderValue;
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::sync::Mutex;
// Time limits of single requests use tokio's timers, not the clock.
use tokio::time::timeout;
use tracing::{info, warn};

use super::client::ClientContext;
use crate::files::{FileError, FileReader, FileStates};
use crate::outgoing::{Authorities, TlsFiles, TlsFilesError};
use crate::remote_write::{Authentication, Destination, LARGEST_SECRET, Secret, SecretError};
use crate::tasks::{ThreadError, in_thread};
use crate::time::Moment;

/// Files are checked before a request, but not more often than this.
const CHECK_AFTER: Duration = Duration::from_secs(5);

/// A reading of the files is waited for this long, and then continues in the background.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// Why no request can be sent. The texts name the setting and the path.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The file of a secret cannot be read.
    #[error("{setting} {path:?} {source}")]
    File {
        /// The key of the destination.
        setting: &'static str,
        /// The path.
        path: PathBuf,
        /// The reason.
        source: FileError,
    },
    /// The file of a secret has no usable one.
    #[error("{setting} {path:?} {source}")]
    Secret {
        /// The key of the destination.
        setting: &'static str,
        /// The path.
        path: PathBuf,
        /// The reason.
        source: SecretError,
    },
    /// The credentials cannot be the value of a header.
    #[error("the credentials cannot be sent in a header")]
    Header,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
    /// Files cannot be read now.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// Reading the files hangs.
    #[error("the files of the destination cannot be read within {} s", READ_LIMIT.as_secs())]
    Hangs,
}

/// What a connection and a request need.
#[derive(Debug)]
pub(super) struct Material {
    /// The value of `Authorization`.
    pub(super) authorization: Option<HeaderValue>,
    /// The TLS settings, for `https`.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// The credentials and TLS settings of a destination, shared by all its senders.
#[derive(Debug, Default)]
pub struct Access(Mutex<State>);

/// The result of a [`Job`] on another thread.
type Loading = Pin<Box<dyn Future<Output = Result<Loaded, ThreadError>> + Send>>;

#[derive(Default)]
struct State {
    reader: FileReader,
    /// The reading that has not ended. There is one at a time, also if requests that wait for it are given up: each takes a thread.
    loading: Option<Loading>,
    /// What was loaded last without an error.
    material: Option<Arc<Material>>,
    /// The files when they were read last.
    seen: Option<FileStates>,
    checked: Option<Moment>,
    /// Why the files cannot be used now.
    error: Option<Arc<AccessError>>,
}

impl Access {
    /// What a request needs now. While changed files cannot be used, the previous ones stay in use.
    ///
    /// # Errors
    /// The files could not be used yet.
    pub(super) async fn get(
        &self,
        destination: &Arc<Destination>,
        context: &ClientContext,
    ) -> Result<Arc<Material>, Arc<AccessError>> {
        let mut state = self.0.lock().await;
        let now = context.clock.now();
        let is_recent = |checked| now.since(checked) < CHECK_AFTER;
        let is_fixed = state.material.is_some() && !has_files(destination);
        if !is_fixed && !state.checked.is_some_and(is_recent) {
            state.check(destination, context).await;
            state.checked = Some(context.clock.now());
        }
        match (&state.material, &state.error) {
            (Some(material), _) => Ok(Arc::clone(material)),
            (None, Some(error)) => Err(Arc::clone(error)),
            (None, None) => Err(Arc::new(AccessError::Thread(ThreadError::Panicked))),
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").finish_non_exhaustive()
    }
}

impl State {
    /// The result of the reading that has not ended, or else of a new one.
    async fn loaded(
        &mut self,
        destination: &Arc<Destination>,
        context: &ClientContext,
    ) -> Result<Loaded, AccessError> {
        let loading = match self.loading.take() {
            Some(loading) => loading,
            None => {
                let job = Job {
                    destination: Arc::clone(destination),
                    authorities: context.authorities.clone(),
                    reader: std::mem::take(&mut self.reader),
                    seen: self.seen.clone(),
                };
                if !job.needs_thread() {
                    return Ok(job.run());
                }
                Box::pin(in_thread("destination", move || job.run()))
            }
        };
        // It stays there when this is given up.
        let loading = self.loading.insert(loading);
        let loaded = timeout(READ_LIMIT, loading.as_mut()).await;
        let loaded = loaded.map_err(|_| AccessError::Hangs)?;
        self.loading = None;
        Ok(loaded?)
    }

    async fn check(&mut self, destination: &Arc<Destination>, context: &ClientContext) {
        let hung = matches!(self.error.as_deref(), Some(AccessError::Hangs));
        let result = match self.loaded(destination, context).await {
            Ok(loaded) => {
                self.reader = loaded.reader;
                // The error of a reading that hung is replaced by the next one, also if the files are unchanged.
                self.seen = Some(loaded.seen).filter(|_| !hung);
                match loaded.result {
                    None => return,
                    Some(result) => result,
                }
            }
            Err(error) => Err(error),
        };
        let destination = &*destination.name;
        match result {
            Ok((material, secret)) => {
                if let Some(secret) = &secret {
                    context.redactor.register_credentials([secret]);
                }
                if self.material.is_some() {
                    info!(destination, "files of a destination reloaded");
                }
                self.material = Some(Arc::new(material));
                self.error = None;
            }
            Err(error) => {
                let hangs_still = hung && matches!(error, AccessError::Hangs);
                if self.material.is_some() && !hangs_still {
                    let error = error.to_string();
                    warn!(
                        destination,
                        error,
                        "cannot use the changed files of a destination: the previous ones stay in use"
                    );
                }
                self.error = Some(Arc::new(error));
            }
        }
    }
}

/// Reads files on another thread.
struct Job {
    destination: Arc<Destination>,
    authorities: Option<Authorities>,
    reader: FileReader,
    seen: Option<FileStates>,
}

/// The result of a [`Job`].
struct Loaded {
    reader: FileReader,
    seen: FileStates,
    /// What was loaded, with a secret for the redactor; `None` if the files are unchanged.
    result: Option<Result<(Material, Option<SecretString>), AccessError>>,
}

impl Job {
    fn needs_thread(&self) -> bool {
        self.destination.url.scheme() == "https" || has_files(&self.destination)
    }

    fn run(mut self) -> Loaded {
        if let Some(mut seen) = self.seen.take()
            && self.reader.is_unchanged(&mut seen, false)
        {
            return Loaded {
                reader: self.reader,
                seen,
                result: None,
            };
        }
        let result = self.load();
        Loaded {
            seen: self.reader.seen(),
            reader: self.reader,
            result: Some(result),
        }
    }

    fn load(&mut self) -> Result<(Material, Option<SecretString>), AccessError> {
        let (destination, reader) = (&*self.destination, &mut self.reader);
        let (authorization, secret) = authorization(&destination.authentication, reader)?;
        let identity = destination.tls.identity.as_ref();
        let files = TlsFiles {
            ca_file: destination.tls.ca_file.as_deref(),
            identity: identity.map(|(certificate, key)| (certificate.as_path(), key.as_path())),
        };
        let tls = match destination.url.scheme() {
            "https" => Some(files.load(self.authorities.as_ref(), reader)?),
            _ => None,
        };
        Ok((Material { authorization, tls }, secret))
    }
}

fn has_files(destination: &Destination) -> bool {
    let is_tls = destination.url.scheme() == "https";
    let tls = &destination.tls;
    destination.secret_file().is_some()
        || is_tls && (tls.ca_file.is_some() || tls.identity.is_some())
}

/// The value of `Authorization`, and the secret in it.
fn authorization(
    authentication: &Authentication,
    reader: &mut FileReader,
) -> Result<(Option<HeaderValue>, Option<SecretString>), AccessError> {
    let (setting, secret) = match authentication {
        Authentication::None => return Ok((None, None)),
        Authentication::Basic { password, .. } => ("password_file", password),
        Authentication::Header { credentials, .. } => ("credentials_file", credentials),
    };
    let secret = match secret {
        Secret::Value(value) => value.clone(),
        Secret::File(path) => {
            let path_of = || path.to_owned();
            let content = reader.read(path, LARGEST_SECRET);
            let content = content.map_err(|source| AccessError::File {
                setting,
                path: path_of(),
                source,
            })?;
            let secret = authentication.secret_in(&content);
            secret.map_err(|source| AccessError::Secret {
                setting,
                path: path_of(),
                source,
            })?
        }
    };
    let value = authentication.header(secret.expose_secret());
    let value = value.ok_or(AccessError::Header)?;
    let header = HeaderValue::from_str(value.expose_secret());
    let mut header = header.map_err(|_| AccessError::Header)?;
    header.set_sensitive(true);
    Ok((Some(header), Some(secret)))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::recording::sender::tests::client::context;
    use crate::time::Clock;

    #[actix_rt::test]
    async fn files_are_read_by_one_thread_at_a_time_also_when_that_hangs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "secret").unwrap();
        let mut destination = Destination::new("d", "http://localhost/".parse().unwrap());
        destination.authentication = Authentication::Basic {
            username: "u".to_owned(),
            password: Secret::File(path),
        };
        let (destination, context) = (Arc::new(destination), context(Clock::system()));
        let access = Access::default();
        assert!(access.get(&destination, &context).now_or_never().is_none());
        assert!(
            access.0.lock().await.loading.is_some(),
            "it is not begun again"
        );
        access.get(&destination, &context).await.unwrap();
        {
            let mut state = access.0.lock().await;
            assert!(state.loading.is_none());
            state.loading = Some(Box::pin(std::future::pending()));
            state.checked = None;
        }
        // What was read before stays in use.
        access.get(&destination, &context).await.unwrap();
        let mut state = access.0.lock().await;
        assert!(state.loading.is_some());
        assert!(matches!(state.error.as_deref(), Some(AccessError::Hangs)));
        state.material = None;
        drop(state);
        let error = access.get(&destination, &context).await.unwrap_err();
        assert!(matches!(*error, AccessError::Hangs));
    }
}

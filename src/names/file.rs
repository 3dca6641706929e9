//! The names file: loaded at the start, and reloaded when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::limits::LONGEST_FILE;
use super::{Names, NamesError};
use crate::files::{Change, FileReader, FileStates, WatchOptions, error_text, watch};
use crate::tasks::Pulse;

impl Names {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or its first error.
    pub fn load(path: &Path) -> Result<(Self, FileStates), NamesError> {
        let mut reader = FileReader::default();
        let names = load(path, &mut reader)?;
        Ok((names, reader.seen()))
    }
}

fn load(path: &Path, reader: &mut FileReader) -> Result<Names, NamesError> {
    let text = reader
        .read(path, LONGEST_FILE)
        .map_err(|source| NamesError::File {
            path: path.to_owned(),
            source,
        })?;
    Names::parse(&text).map_err(|fault| NamesError::Wrong {
        path: path.to_owned(),
        fault,
    })
}

/// Reloads the names when the file changes, without end. While the file cannot be used, the previous names stay in use.
pub async fn follow(
    path: PathBuf,
    names: Arc<ArcSwap<Names>>,
    watched: WatchOptions,
    pulse: Pulse,
) {
    let file = path.to_string_lossy().into_owned();
    let load = move |reader: &mut FileReader| load(&path, reader);
    watch(pulse, watched, load, error_text, |change| match change {
        Change::New(Ok(mut new)) => {
            new.generation = names.load().generation + 1;
            info!(%file, names = new.len(), "names reloaded");
            free(names.swap(Arc::new(new)));
        }
        Change::New(Err(error)) | Change::Same(Err(error)) => {
            warn!(%error, "cannot use the changed names file: the previous names stay in use");
        }
        Change::Same(Ok(same)) => {
            info!(%file, names = same.len(), "names are unchanged");
            free(same);
        }
    })
    .await;
}

/// Frees names on a separate thread, because a million of them take long; on this one if no thread can be started.
fn free(names: impl Send + 'static) {
    let thread = std::thread::Builder::new().name("free-names".to_owned());
    drop(thread.spawn(move || drop(names)));
}

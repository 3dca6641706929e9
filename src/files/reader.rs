//! Reads files on threads of their own, with a time limit, and remembers what was found.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::open::{Digest, Opened, Stamp};
use super::{FileError, TIME_LIMIT};

/// What one file was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Content {
        stamp: Stamp,
        digest: Digest,
    },
    /// It could not be read; why.
    Trouble(String),
}

impl Found {
    fn is_same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Content { digest: one, .. }, Self::Content { digest: other, .. }) => {
                one == other
            }
            (one, other) => one == other,
        }
    }
}

/// A file that was read, and what it was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: PathBuf,
    bound: u64,
    found: Found,
}

/// What all the files that a value is made of were found to be, in the order in which they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(Vec<Entry>);

impl Seen {
    /// Whether the same paths hold the same content, or have the same trouble.
    #[must_use]
    pub fn is_same_content(&self, other: &Self) -> bool {
        let same = |(one, other): (&Entry, &Entry)| {
            one.path == other.path && one.found.is_same_content(&other.found)
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }

    /// What the first file that could not be read has to say for itself, with its path.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.iter().find_map(|entry| match &entry.found {
            Found::Trouble(trouble) => Some(format!("{} {trouble}", entry.path.display())),
            Found::Content { .. } => None,
        })
    }
}

/// A value that was made of a file, and what is needed to follow the file.
#[derive(Debug, Clone)]
pub struct FromFile<T> {
    /// The file.
    pub path: PathBuf,
    /// What was made of it.
    pub value: T,
    /// What it and the files that it names were found to be.
    pub seen: Seen,
}

/// Reads files for one value. It blocks for as long as its time limit: a thread that others wait for may use it only at the start.
#[derive(Debug)]
pub struct Reader {
    time_limit: Duration,
    /// The threads that have not come back from a path.
    hanging: HashMap<PathBuf, JoinHandle<()>>,
    seen: Vec<Entry>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(TIME_LIMIT)
    }
}

impl Reader {
    /// A reader that waits for so long for each file.
    #[must_use]
    pub fn new(time_limit: Duration) -> Self {
        Self {
            time_limit,
            hanging: HashMap::new(),
            seen: Vec::new(),
        }
    }

    /// The content of a file of at most `bound` bytes, without a byte order mark.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(&mut self, path: &Path, bound: u64) -> Result<Vec<u8>, FileError> {
        let owned = path.to_owned();
        let read = self.on_thread(path, move || {
            let opened = Opened::new(&owned, bound)?;
            let stamp = opened.stamp.clone();
            let (bytes, digest) = opened.content()?;
            Ok((bytes, stamp, digest))
        });
        let (result, found) = match read {
            Ok((bytes, stamp, digest)) => (Ok(bytes), Found::Content { stamp, digest }),
            Err(error) => {
                let trouble = error.to_string();
                (Err(error), Found::Trouble(trouble))
            }
        };
        self.seen.push(Entry {
            path: path.to_owned(),
            bound,
            found,
        });
        result
    }

    /// The first `count` bytes of a regular file, as they are.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn beginning(&mut self, path: &Path, count: u64) -> Result<Vec<u8>, FileError> {
        let owned = path.to_owned();
        self.on_thread(path, move || {
            Opened::new(&owned, u64::MAX)?.beginning(count)
        })
    }

    /// What was read since this was asked last.
    pub fn seen(&mut self) -> Seen {
        Seen(std::mem::take(&mut self.seen))
    }

    /// Whether the files still are what they were found to be: by their stamps alone, or by their content too. Those that are take
    /// their new stamps.
    pub fn is_unchanged(&mut self, seen: &mut Seen, by_content: bool) -> bool {
        seen.0.iter_mut().all(|entry| {
            let found = match self.look(entry, by_content) {
                Ok(None) => return true,
                Ok(Some(found)) => found,
                Err(error) => Found::Trouble(error.to_string()),
            };
            let is_same = found.is_same_content(&entry.found);
            if is_same {
                entry.found = found;
            }
            is_same
        })
    }

    /// What a file is now, if its stamp has changed or its content is asked for.
    fn look(&mut self, entry: &Entry, by_content: bool) -> Result<Option<Found>, FileError> {
        let (path, bound) = (entry.path.clone(), entry.bound);
        let before = match &entry.found {
            Found::Content { stamp, .. } if !by_content => Some(stamp.clone()),
            _ => None,
        };
        self.on_thread(&entry.path, move || {
            let opened = Opened::new(&path, bound)?;
            let stamp = opened.stamp.clone();
            if before == Some(stamp.clone()) {
                return Ok(None);
            }
            let digest = opened.digest()?;
            Ok(Some(Found::Content { stamp, digest }))
        })
    }

    /// Runs a job on a thread of its own. While an earlier job on this path hangs, none is started.
    ///
    /// # Errors
    /// What the job gives, or that it did not end in time.
    pub fn on_thread<T: Send + 'static>(
        &mut self,
        path: &Path,
        job: impl FnOnce() -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let limit = self.time_limit;
        self.hanging.retain(|_, thread| !thread.is_finished());
        if self.hanging.contains_key(path) {
            return Err(FileError::Hangs { limit });
        }
        let (sender, receiver) = sync_channel(1);
        let thread = thread::Builder::new().name("file".to_owned());
        let thread = thread.spawn(move || {
            // Whoever asked may have gone.
            let _ = sender.send(job());
        });
        let thread = thread.map_err(FileError::NoThread)?;
        match receiver.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Disconnected) => Err(FileError::Failed),
            Err(RecvTimeoutError::Timeout) => {
                self.hanging.insert(path.to_owned(), thread);
                Err(FileError::Hangs { limit })
            }
        }
    }
}

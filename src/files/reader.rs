//! Reads files on separate threads with a time limit, and records their state to detect changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::open::{Digest, Opened, Stamp};
use super::{FileError, TIME_LIMIT};

/// While a path hangs, the time limit of other paths is divided by this: they may be on the same file system, and 512 credential files
/// are not waited for one after the other.
const SHORTENED: u32 = 50;

/// The state of a file at its last read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Content {
        stamp: Stamp,
        digest: Digest,
    },
    /// It could not be read, for this reason.
    Unreadable(String),
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

/// A file that was read, and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: PathBuf,
    bound: u64,
    found: Found,
}

/// The states of all files that a value was loaded from, in the order in which they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileStates(Vec<Entry>);

impl FileStates {
    /// Whether no file was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the paths and the contents are equal, or the reasons why files cannot be read.
    #[must_use]
    pub fn is_same_content(&self, other: &Self) -> bool {
        let same = |(one, other): (&Entry, &Entry)| {
            one.path == other.path && one.found.is_same_content(&other.found)
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

/// A value loaded from a file, with the state that is needed to follow the file.
#[derive(Debug, Clone)]
pub struct FromFile<T> {
    /// The path of the file.
    pub path: PathBuf,
    /// The value.
    pub value: T,
    /// The states of the file and of the files that it names.
    pub seen: FileStates,
}

/// Reads the files of one value. Each read blocks up to the time limit, so threads that serve actors or HTTP may read only at the
/// start of the process.
#[derive(Debug)]
pub struct FileReader {
    time_limit: Duration,
    /// Threads of reads that exceeded the time limit and have not ended.
    hanging: HashMap<PathBuf, JoinHandle<()>>,
    seen: Vec<Entry>,
}

impl Default for FileReader {
    fn default() -> Self {
        Self::new(TIME_LIMIT)
    }
}

impl FileReader {
    /// A reader with this time limit for each file, and a fiftieth of it while another file hangs.
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
                let reason = error.to_string();
                (Err(error), Found::Unreadable(reason))
            }
        };
        self.seen.push(Entry {
            path: path.to_owned(),
            bound,
            found,
        });
        result
    }

    /// The first `count` bytes of a regular file, including a byte order mark.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn beginning(&mut self, path: &Path, count: u64) -> Result<Vec<u8>, FileError> {
        let owned = path.to_owned();
        self.on_thread(path, move || {
            Opened::new(&owned, u64::MAX)?.beginning(count)
        })
    }

    /// Takes the states of the files that were read since the last call.
    pub fn seen(&mut self) -> FileStates {
        FileStates(std::mem::take(&mut self.seen))
    }

    /// Whether the files are unchanged since `seen`. With `by_content` the content is compared, else only if the metadata differs. The
    /// metadata of unchanged files is updated in `seen`.
    pub fn is_unchanged(&mut self, seen: &mut FileStates, by_content: bool) -> bool {
        seen.0.iter_mut().all(|entry| {
            let found = match self.reread(entry, by_content) {
                Ok(None) => return true,
                Ok(Some(found)) => found,
                Err(error) => Found::Unreadable(error.to_string()),
            };
            let is_same = found.is_same_content(&entry.found);
            if is_same {
                entry.found = found;
            }
            is_same
        })
    }

    /// The new state of a file; `None` if its metadata is unchanged and `by_content` is false.
    fn reread(&mut self, entry: &Entry, by_content: bool) -> Result<Option<Found>, FileError> {
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

    /// Runs a job on a new thread. Fails without starting one while an earlier job on this path has not ended.
    ///
    /// # Errors
    /// The error of the job, or that it did not end in time.
    pub fn on_thread<T: Send + 'static>(
        &mut self,
        path: &Path,
        job: impl FnOnce() -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        self.hanging.retain(|_, thread| !thread.is_finished());
        if self.hanging.contains_key(path) {
            return Err(FileError::Hangs);
        }
        let limit = match self.hanging.is_empty() {
            true => self.time_limit,
            false => self.time_limit / SHORTENED,
        };
        let (sender, receiver) = sync_channel(1);
        let thread = thread::Builder::new().name("file".to_owned());
        let thread = thread.spawn(move || {
            // After the time limit, nothing receives the result.
            let _ = sender.send(job());
        });
        let thread = thread.map_err(FileError::NoThread)?;
        match receiver.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Disconnected) => Err(FileError::Failed),
            Err(RecvTimeoutError::Timeout) => {
                self.hanging.insert(path.to_owned(), thread);
                Err(FileError::Hangs)
            }
        }
    }
}

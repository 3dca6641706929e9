//! `JOURNAL_DIR`: checks that it is a directory of journals in this format, locks it, and has a directory for each account.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tracing::warn;

use super::cursors::{self, Cursors, Loaded};
use super::segment::SegmentName;
use super::storage::{Disk, Storage, open, sync_directory};

/// The lock file.
const LOCK: &str = ".lock";

/// Names the format.
const FORMAT: &str = ".format";

/// The format before it is complete. Where it is, the directory was unused when it was created.
const UNFINISHED: &str = ".format.tmp";

/// The content of the format file, for this version of the format.
const CONTENT: &str = "starlink-telemetry journal 1\n";

/// What the content begins with in each version.
const PRODUCT: &str = "starlink-telemetry journal ";

/// What an unused directory may contain: `lost+found` is in the root of a file system.
const IGNORED: [&str; 2] = [LOCK, "lost+found"];

/// Why a directory cannot be used. Nothing in it was changed.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// It contains other files.
    #[error("{} is not empty and has no journals: it contains {}. Give the journal a directory of its own", shown(.directory), .found.escape_debug())]
    OtherProduct {
        /// The directory.
        directory: PathBuf,
        /// One of the files.
        found: String,
    },
    /// It was written by another version.
    #[error("{} was written by another version: its format is {:?}, not {:?}", shown(.directory), .format, CONTENT.trim_end())]
    OtherVersion {
        /// The directory.
        directory: PathBuf,
        /// The first line of the format file, cut to 100 bytes.
        format: String,
    },
    /// Another process holds the lock.
    #[error("{} is in use by another process: give each instance a directory of its own", shown(.directory))]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot use {}: {error}", shown(.directory))]
    Io {
        /// The directory.
        directory: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
}

impl DirectoryError {
    /// Whether the setting must be changed. Otherwise the directory may become usable.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::OtherProduct { .. } | Self::OtherVersion { .. } => true,
            Self::Io { error, .. } => error.kind() == io::ErrorKind::NotADirectory,
            Self::InUse { .. } => false,
        }
    }
}

impl From<DirectoryError> for io::Error {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Io { error, .. } => error,
            error => Self::other(error),
        }
    }
}

/// A directory of journals. While it exists, other processes cannot use the directory.
#[derive(Debug)]
pub struct JournalDirectory {
    path: PathBuf,
    /// The operating system releases the lock when the file is closed.
    lock: Mutex<File>,
}

impl JournalDirectory {
    /// Creates the directory if it does not exist, and locks it. If the file system does not support locks, only a warning is logged. A full
    /// disk is no error.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let io = |error| DirectoryError::Io {
            directory: path.to_owned(),
            error,
        };
        private(true).create(path).map_err(io)?;
        // Before the lock file is created, so that a directory of another product stays as it is.
        let is_new = check(path)?;
        let lock = lock(path)?;
        // Another process may have used it meanwhile.
        if is_new && check(path)? {
            mark(path).map_err(io)?;
        }
        Ok(Self {
            path: path.to_owned(),
            lock: Mutex::new(lock),
        })
    }

    /// Checks without a change whether the setting must be changed: the path is a file, or a directory of another product or version. May
    /// block for as long as the file system does not respond.
    ///
    /// # Errors
    /// [`DirectoryError`], a permanent one.
    pub fn inspect(path: &Path) -> Result<(), DirectoryError> {
        match check(path) {
            Err(error) if error.is_permanent() => Err(error),
            _ => Ok(()),
        }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The storage of an account's journal, which is created if it does not exist. Names of accounts are valid file names and do not begin with a
    /// dot.
    ///
    /// # Errors
    /// The directory cannot be created. [`io::ErrorKind::NotFound`] if the directory of journals was deleted: it is created only at the start,
    /// because an absent one may be a volume that is not mounted.
    pub fn account(&self, name: &str) -> io::Result<Disk> {
        self.make_usable()?;
        let path = self.path.join(name);
        match private(false).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            created => created?,
        }
        sync_directory(&self.path)?;
        Ok(Disk::new(path))
    }

    /// If the directory was emptied or replaced since the start, locks it again and writes its format again, so that the next start finds
    /// a directory of journals.
    fn make_usable(&self) -> io::Result<()> {
        let is_new = check(&self.path)?;
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_at(&held, &self.path.join(LOCK))? {
            *held = lock(&self.path)?;
        }
        // Another process may have used it meanwhile.
        if is_new && check(&self.path)? {
            mark(&self.path)?;
        }
        Ok(())
    }

    /// The names of the accounts that have journals, also of those that are no longer configured. Sorted. Directories without files of a
    /// journal are those of others, for example snapshots of the file system.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn accounts(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().into_string();
            if let (true, Ok(name)) = (entry.file_type()?.is_dir(), name)
                && !IGNORED.contains(&name.as_str())
                && has_journal(entry.path())
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The tenant that the journal of an account was written for; `None` if its file of cursors does not have it, or cannot be read.
    #[must_use]
    pub fn tenant(&self, account: &str) -> Option<Arc<str>> {
        match Cursors::load(&Disk::new(self.path.join(account))) {
            Ok(Loaded::Cursors(cursors)) => cursors.tenant,
            Ok(Loaded::Absent | Loaded::Damaged) | Err(_) => None,
        }
    }

    /// Deletes the journal of an account: its files, and the directory. Once `is_cancelled` is set, nothing more is deleted.
    ///
    /// # Errors
    /// It cannot be deleted completely. [`io::ErrorKind::DirectoryNotEmpty`] if the directory has only other files now, which are left.
    pub fn remove(&self, account: &str, is_cancelled: &AtomicBool) -> io::Result<()> {
        let path = self.path.join(account);
        match remove_files(&path, is_cancelled).and_then(|()| fs::remove_dir(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_directory(&self.path),
        }
    }
}

/// Whether a directory has files of a journal. Not if it cannot be read.
fn has_journal(directory: PathBuf) -> bool {
    let entries = Disk::new(directory).list().unwrap_or_default();
    entries.iter().any(|entry| is_of_journal(&entry.name))
}

fn is_of_journal(name: &str) -> bool {
    let stem = name.strip_suffix(".tmp").unwrap_or(name);
    SegmentName::parse(name).is_some() || stem == cursors::FILE
}

/// Deletes the files of a journal, the cursors last, so that an incomplete deletion does not send again.
fn remove_files(directory: &Path, is_cancelled: &AtomicBool) -> io::Result<()> {
    let storage = Disk::new(directory.to_owned());
    let entries = storage.list()?.into_iter().map(|entry| entry.name);
    let mut names: Vec<_> = entries.filter(|name| is_of_journal(name)).collect();
    names.sort_unstable();
    names
        .iter()
        .try_for_each(|name| match is_cancelled.load(Ordering::Relaxed) {
            true => Err(io::Error::other("it was cancelled")),
            false => storage.delete(name),
        })
}

/// Whether the directory has no format yet. It has one if it has journals in this format.
fn check(path: &Path) -> Result<bool, DirectoryError> {
    let directory = || path.to_owned();
    let io = |error| DirectoryError::Io {
        directory: directory(),
        error,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        found.push(name.to_string_lossy().into_owned());
    }
    if found.iter().any(|name| name == FORMAT) {
        let format = read_format(path).map_err(io)?;
        let line = format.lines().next().unwrap_or_default().to_owned();
        return match format == CONTENT {
            true => Ok(false),
            false if line.starts_with(PRODUCT) => Err(DirectoryError::OtherVersion {
                directory: directory(),
                format: line,
            }),
            false => Err(DirectoryError::OtherProduct {
                directory: directory(),
                found: FORMAT.to_owned(),
            }),
        };
    }
    if found.iter().any(|name| name == UNFINISHED) {
        return Ok(true);
    }
    found.sort_unstable();
    let other = found
        .into_iter()
        .find(|name| !IGNORED.contains(&name.as_str()));
    match other {
        None => Ok(true),
        Some(found) => Err(DirectoryError::OtherProduct {
            directory: directory(),
            found,
        }),
    }
}

fn read_format(path: &Path) -> io::Result<String> {
    let file = open(&path.join(FORMAT), OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    file.take(100).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes the format file atomically and durably.
fn write_format(path: &Path) -> io::Result<()> {
    let unfinished = path.join(UNFINISHED);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = open(&unfinished, &mut options)?;
    file.write_all(CONTENT.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, path.join(FORMAT))?;
    sync_directory(path)
}

/// Marks an unused directory as one of journals. On a full disk the mark has no content yet: the next start writes it.
fn mark(path: &Path) -> io::Result<()> {
    match write_format(path) {
        Err(error) if is_full(&error) && path.join(UNFINISHED).try_exists()? => Ok(()),
        written => written,
    }
}

/// Whether there is no space for what was to be written.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};

    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn lock(path: &Path) -> Result<File, DirectoryError> {
    let directory = path.to_owned();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let lock = path.join(LOCK);
    let opened = match open(&lock, &mut options) {
        // A journal that was used before is still read, and polls go on.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            open(&lock, OpenOptions::new().read(true))
        }
        opened => opened,
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) => return Err(DirectoryError::Io { directory, error }),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DirectoryError::InUse { directory }),
        Err(TryLockError::Error(error)) => {
            let directory = directory.display();
            warn!(%directory, %error, "cannot lock the journal directory: make sure that no other instance uses it");
        }
    }
    Ok(file)
}

/// Whether an open file still has this path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let opened = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Other systems do not delete open files.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// Creates directories that only this user can access, those that a path goes through, too, if `recursive`.
fn private(recursive: bool) -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;

        builder.mode(0o700);
    }
    builder
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

#[cfg(test)]
mod tests;

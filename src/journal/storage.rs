//! The file operations of a journal, and their implementation on disk. All block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The directory of one account's journal. Names are file names without a path.
pub trait Storage: Send + std::fmt::Debug {
    /// A file that is being written.
    type File: Send + std::fmt::Debug;

    /// The regular files and their lengths, in any order.
    ///
    /// # Errors
    /// As the operating system reports them; so have all operations.
    fn list(&self) -> io::Result<Vec<FileEntry>>;

    /// Creates a file. [`io::ErrorKind::AlreadyExists`] if the name is in use.
    ///
    /// # Errors
    /// See [`Storage::list`].
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Appends all bytes. After an error any part of them may have been appended.
    ///
    /// # Errors
    /// See [`Storage::list`].
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content of a file durable. After an error the file must not be written any more: the operating system may have dropped
    /// what was not durable, and report success the next time.
    ///
    /// # Errors
    /// See [`Storage::list`].
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;

    /// Makes the names of created files durable.
    ///
    /// # Errors
    /// See [`Storage::list`].
    fn sync_directory(&self) -> io::Result<()>;

    /// Up to `most` bytes from an offset on; fewer only at the end of the file.
    ///
    /// # Errors
    /// See [`Storage::list`].
    fn read(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>>;

    /// Replaces or creates a file atomically and durably.
    ///
    /// # Errors
    /// See [`Storage::list`]. The file then has the old or the new content.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Deletes a file.
    ///
    /// # Errors
    /// See [`Storage::list`].
    fn delete(&self, name: &str) -> io::Result<()>;

    /// The space of the file system.
    ///
    /// # Errors
    /// See [`Storage::list`].
    fn space(&self) -> io::Result<Space>;
}

/// A file of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
}

/// The space of a file system in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still use.
    pub free: u64,
    /// The size of the file system.
    pub total: u64,
}

/// A directory of the file system. Its files have the mode 0600, and links are not followed.
#[derive(Debug, Clone)]
pub struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// The files of an existing directory.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Storage for Disk {
    type File = File;

    fn list(&self) -> io::Result<Vec<FileEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            // Does not follow links.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // The names of the journal's own files are UTF-8.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                let length = metadata.len();
                entries.push(FileEntry { name, length });
            }
        }
        Ok(entries)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        open(
            &self.path(name),
            OpenOptions::new().write(true).create_new(true),
        )
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    fn read(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut file = open(&self.path(name), OpenOptions::new().read(true))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path(&format!("{name}.tmp"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut file = open(&temporary, &mut options)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path(name))?;
        self.sync_directory()
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn space(&self) -> io::Result<Space> {
        space(&self.directory)
    }
}

/// Opens a regular file. Does not follow links, and does not wait for the writer of a pipe.
#[cfg(unix)]
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;

    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    // All flags are low bits, so the cast does not change the sign.
    let options = options.mode(0o600).custom_flags(flags.bits() as i32);
    match options.open(path) {
        Ok(file) => regular(file),
        Err(error) => Err(match fs::symlink_metadata(path) {
            // The error of a link that is not followed is not portable.
            Ok(found) if !found.is_file() => io::Error::other(NotRegular),
            _ => error,
        }),
    }
}

#[cfg(not(unix))]
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    regular(options.open(path)?)
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other(NotRegular)),
    }
}

/// A name is that of a directory, a link, a pipe or a device.
#[derive(Debug, Error)]
#[error("it is not a regular file")]
struct NotRegular;

/// Whether an operation failed because its name is not that of a regular file.
pub(super) fn is_not_regular(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|error| error.is::<NotRegular>())
}

/// Makes the names in a directory durable.
#[cfg(unix)]
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Other systems cannot sync a directory.
#[cfg(not(unix))]
pub(super) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn space(directory: &Path) -> io::Result<Space> {
    let space = rustix::fs::statvfs(directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
    Ok(Space {
        free: bytes(space.f_bavail),
        total: bytes(space.f_blocks),
    })
}

/// Other systems do not limit the journal by the free space.
#[cfg(not(unix))]
fn space(_: &Path) -> io::Result<Space> {
    Ok(Space {
        free: u64::MAX,
        total: u64::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(disk: &Disk) -> Vec<(String, u64)> {
        let entries = disk.list().unwrap().into_iter();
        let mut names: Vec<_> = entries.map(|entry| (entry.name, entry.length)).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_written_read_replaced_and_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path().to_owned());
        let mut file = disk.create("a").unwrap();
        disk.append(&mut file, b"hello ").unwrap();
        disk.append(&mut file, b"world").unwrap();
        disk.sync(&mut file).unwrap();
        disk.sync_directory().unwrap();
        let error = disk.create("a").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        for (offset, most, expected) in
            [(0, 5, "hello"), (6, 99, "world"), (11, 1, ""), (99, 1, "")]
        {
            let read = disk.read("a", offset, most).unwrap();
            assert_eq!(read, expected.as_bytes(), "{offset}");
        }
        disk.replace("b", b"one").unwrap();
        disk.replace("b", b"2").unwrap();
        assert_eq!(disk.read("b", 0, 9).unwrap(), b"2");
        fs::create_dir(directory.path().join("directory")).unwrap();
        assert_eq!(names(&disk), [("a".to_owned(), 11), ("b".to_owned(), 1)]);
        disk.delete("a").unwrap();
        let error = disk.read("a", 0, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let space = disk.space().unwrap();
        assert!(space.free <= space.total && space.total > 0);
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_and_links_are_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path().to_owned());
        let path = |name: &str| directory.path().join(name);
        disk.create("a").unwrap();
        disk.replace("b", b"").unwrap();
        for name in ["a", "b"] {
            let mode = fs::metadata(path(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        symlink(path("a"), path("link")).unwrap();
        symlink(path("a"), path("c.tmp")).unwrap();
        assert!(disk.read("link", 0, 1).is_err());
        assert!(disk.replace("c", b"overwritten").is_err());
        assert_eq!(disk.read("a", 0, 99).unwrap(), b"");
        assert_eq!(names(&disk).len(), 2, "links are not listed");
    }
}

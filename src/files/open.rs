//! Opens one file, and checks that it is a regular one. May block as long as the file system does: runs on a thread of
//! [`super::FileReader`].

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use ring::digest::{Context, SHA256};

use super::FileError;

/// The size of a single read if only the digest is needed.
const CHUNK: usize = 64 * 1024;

/// The byte order mark of UTF-8, which some editors write at the beginning.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Metadata that changes with the content of a file, unless a program sets it on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and the `ctime` (last change of content or status) in seconds and nanoseconds.
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            identity: identity(metadata),
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;

    (
        metadata.dev(),
        metadata.ino(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

/// On other systems, only the length and the modification time are compared.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64, i64, i64) {
    (0, 0, 0, 0)
}

/// SHA-256 of a file's bytes.
pub(super) type Digest = Vec<u8>;

/// A regular file, open for reading.
pub(super) struct Opened {
    file: File,
    bound: u64,
    pub(super) stamp: Stamp,
}

impl Opened {
    /// Opens the path, following links, if it is a regular file of at most `bound` bytes.
    ///
    /// # Errors
    /// [`FileError`].
    pub(super) fn new(path: &Path, bound: u64) -> Result<Self, FileError> {
        let file = open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(FileError::NotRegular);
        }
        if metadata.len() > bound {
            return Err(FileError::TooLong { bound });
        }
        Ok(Self {
            file,
            bound,
            stamp: Stamp::of(&metadata),
        })
    }

    /// The content without a byte order mark, and the digest of the whole file.
    ///
    /// # Errors
    /// [`FileError`], also if the file grows beyond the bound while it is read.
    pub(super) fn content(mut self) -> Result<(Vec<u8>, Digest), FileError> {
        // The length is only a hint: it is 0 for files in /proc.
        let expected = usize::try_from(self.stamp.length).unwrap_or_default();
        let mut bytes = Vec::with_capacity(expected);
        let limited = Read::by_ref(&mut self.file).take(self.bound + 1);
        { limited }.read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.bound {
            return Err(FileError::TooLong { bound: self.bound });
        }
        let mut context = Context::new(&SHA256);
        context.update(&bytes);
        if bytes.starts_with(MARK) {
            bytes.drain(..MARK.len());
        }
        Ok((bytes, context.finish().as_ref().to_owned()))
    }

    /// The digest of the file. Reads it in chunks, without holding the content.
    ///
    /// # Errors
    /// [`FileError`].
    pub(super) fn digest(mut self) -> Result<Digest, FileError> {
        let mut context = Context::new(&SHA256);
        let mut chunk = vec![0; CHUNK];
        let mut total = 0;
        loop {
            let length = match self.file.read(&mut chunk) {
                Ok(0) => return Ok(context.finish().as_ref().to_owned()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            total += length as u64;
            if total > self.bound {
                return Err(FileError::TooLong { bound: self.bound });
            }
            context.update(&chunk[..length]);
        }
    }

    /// The first `count` bytes, or fewer if the file is shorter.
    ///
    /// # Errors
    /// [`FileError`].
    pub(super) fn beginning(self, count: u64) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        self.file.take(count).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Opens without waiting for the writer of a pipe or for a device, and without making a terminal the controlling one.
#[cfg(unix)]
fn open(path: &Path) -> Result<File, FileError> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;

    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    // All flags are low bits, so the cast does not change the sign.
    let flags = flags.bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| match error.raw_os_error() {
        // A socket, or a device without a driver.
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => FileError::NotRegular,
        _ => FileError::Io(error),
    })
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<File, FileError> {
    Ok(OpenOptions::new().read(true).open(path)?)
}

//! The state file: keeps the fleet across restarts.
//!
//! Format: a line that identifies the file, the format version, the moment of the fleet's clock and the system time of
//! writing, the fleet ([`crate::fleet::dump`]), and the CRC-32 of everything.

mod check;
mod keeper;
mod lock;
mod recovery;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::Crc;
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::files::{FileError, FileReader};
use crate::fleet::{DumpError, Fleet, FleetOptions, Form, Frozen};
use crate::time::Moment;

pub use self::check::Unsuitable;
pub use self::keeper::Keeper;
pub use self::lock::{Lock, LockError};
pub use self::recovery::{Recovered, recover};

/// The first bytes of the file.
const MAGIC: &[u8] = b"starlink-telemetry state\n";

/// The version of the format that is written.
const VERSION: u32 = 3;

/// The versions before it, which are read too.
const VERSION_WITHOUT_INVENTORIES: u32 = 2;
const VERSION_WITHOUT_ACCOUNTS: u32 = 1;

/// The longest file in bytes: far more than the largest fleet needs.
const LONGEST: u64 = 1 << 30;

/// The time limit of reading the file at the start.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The longest time between two processes that is accepted, in case the system clock is wrong.
const LONGEST_ABSENCE: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be read, but may be valid.
    #[error("it {0}")]
    File(FileError),
    /// The file of another program.
    #[error("it is not a state file of starlink-telemetry")]
    Foreign,
    /// A file of another version of the service.
    #[error(
        "its format has version {0}, and this program reads versions {VERSION_WITHOUT_ACCOUNTS} to {VERSION}"
    )]
    Version(u32),
    /// The file was truncated or changed.
    #[error("its checksum is wrong: it was truncated or changed")]
    Damaged,
    /// The checksum is right, but the fleet is invalid.
    #[error("its content is wrong")]
    Content(#[from] DumpError),
}

/// Why a file that could not be read cannot be replaced yet.
#[derive(Debug, Error)]
pub enum Blocked {
    /// It still cannot be read.
    #[error("it {0}")]
    Unreadable(FileError),
    /// It is not a state file.
    #[error("it is not a state file of starlink-telemetry")]
    Foreign,
    /// It cannot be renamed.
    #[error("it cannot be renamed")]
    Stays(#[from] io::Error),
}

/// Why the file was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file system returned an error.
    #[error("the file system refuses it")]
    File(#[from] io::Error),
    /// The existing file cannot be renamed.
    #[error("the existing file could not be read at start, and is not overwritten")]
    Blocked(#[from] Blocked),
}

/// What happens to the existing file when a new one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The new one replaces it.
    Replaced,
    /// It could not be read at the start, and may hold a fleet: once it can be read, it is renamed.
    SetAside,
}

/// The fleet of an earlier process.
#[derive(Debug)]
pub struct Restored {
    /// Its fleet.
    pub fleet: Fleet,
    /// The current moment of the fleet's clock.
    pub now: Moment,
    /// The time since it was written.
    pub age: Duration,
    /// The version of its format, if that is an earlier one: the program that wrote it cannot read what this one writes.
    pub older: Option<u32>,
}

/// The path of the state file.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// A state file at this path. It need not exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file atomically: a reader always gets the complete old or new file. `now` is the moment of the fleet's clock, `wall` the
    /// system time. A file that must be kept is renamed only when the new one is complete, so that a full disk does not affect it.
    ///
    /// # Errors
    /// [`WriteError`]. The previous file stays.
    pub fn write(
        &self,
        frozen: Frozen,
        now: Moment,
        wall: SystemTime,
        existing: Existing,
    ) -> Result<(), WriteError> {
        let file = self.complete(frozen, now, wall)?;
        if existing == Existing::SetAside {
            self.make_room()?;
        }
        file.persist(&self.path).map_err(|error| error.error)?;
        // The directory is synced too, so that the new name is durable.
        File::open(self.directory())?.sync_all()?;
        Ok(())
    }

    /// Writes the contents to a temporary file and syncs it.
    fn complete(&self, frozen: Frozen, now: Moment, wall: SystemTime) -> io::Result<NamedTempFile> {
        let file = self.temporary()?;
        let mut out = Checked {
            out: BufWriter::with_capacity(256 * 1024, file),
            checksum: Crc::new(),
        };
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&now.millis().to_le_bytes())?;
        out.write_all(&unix_millis(wall).to_le_bytes())?;
        frozen.write(&mut out)?;
        let checksum = out.checksum.sum();
        out.write_all(&checksum.to_le_bytes())?;
        let file = out
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Reads the fleet of an earlier process, if there is a file. `wall` is the system time.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(
        &self,
        options: FleetOptions,
        wall: SystemTime,
    ) -> Result<Option<Restored>, ReadError> {
        let mut reader = FileReader::new(READ_LIMIT);
        // The file of another program may be larger than memory.
        let beginning = match reader.beginning(&self.path, MAGIC.len() as u64) {
            Err(error) if error.is_not_found() => return Ok(None),
            beginning => beginning.map_err(ReadError::File)?,
        };
        if beginning.is_empty() {
            // An empty file that was created in advance.
            return Ok(None);
        }
        if beginning != MAGIC {
            return Err(ReadError::Foreign);
        }
        let bytes = reader.read(&self.path, LONGEST);
        restore(&bytes.map_err(ReadError::File)?, options, wall).map(Some)
    }

    /// Renames a file that could not be read at the start, once it can be read. An empty file is replaced instead.
    fn make_room(&self) -> Result<(), Blocked> {
        match FileReader::default().beginning(&self.path, MAGIC.len() as u64) {
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(Blocked::Unreadable(error)),
            Ok(beginning) if beginning.is_empty() => Ok(()),
            Ok(beginning) if beginning == MAGIC => {
                self.set_aside()?;
                Ok(())
            }
            Ok(_) => Err(Blocked::Foreign),
        }
    }

    /// Renames a file that cannot be used, replacing an earlier one, so that there is at most one. Returns its new path.
    ///
    /// # Errors
    /// The file system returned an error.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".broken");
        fs::rename(&self.path, &aside)?;
        Ok(aside.into())
    }

    /// Keeps a file with this earlier version of the format under a second name, for a downgrade: this version replaces the first. Returns the second
    /// name.
    ///
    /// # Errors
    /// The file system returned an error.
    pub fn keep_old(&self, version: u32) -> io::Result<PathBuf> {
        let mut kept = self.path.clone().into_os_string();
        kept.push(format!(".v{version}"));
        let kept = PathBuf::from(kept);
        match fs::remove_file(&kept) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // A hard link, so that the file also keeps its first name until it is replaced. Some file systems have no hard links.
        fs::hard_link(&self.path, &kept).or_else(|_| fs::copy(&self.path, &kept).map(drop))?;
        Ok(kept)
    }

    /// Removes temporary files of processes that were killed while they wrote. Returns their number.
    ///
    /// # Errors
    /// The file system returned an error.
    pub fn clean(&self) -> io::Result<usize> {
        let prefix = self.temporary_prefix();
        let mut removed = 0;
        for entry in fs::read_dir(self.directory())? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&prefix) && name.ends_with(".tmp") {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// A temporary file next to this one, readable by its owner only. It is removed when this is dropped, unless it was renamed.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new()
            .prefix(&self.temporary_prefix())
            .suffix(".tmp")
            .tempfile_in(self.directory())
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }

    fn temporary_prefix(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        format!(".{}.", name.to_string_lossy())
    }
}

fn restore(bytes: &[u8], options: FleetOptions, wall: SystemTime) -> Result<Restored, ReadError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(ReadError::Foreign)?;
    let (version, rest) = rest.split_first_chunk().ok_or(ReadError::Damaged)?;
    let version = u32::from_le_bytes(*version);
    let form = match version {
        VERSION => Form::WithInventories,
        VERSION_WITHOUT_INVENTORIES => Form::WithAccounts,
        VERSION_WITHOUT_ACCOUNTS => Form::WithoutAccounts,
        _ => return Err(ReadError::Version(version)),
    };
    let (content, checksum) = bytes.split_last_chunk().ok_or(ReadError::Damaged)?;
    let mut expected = Crc::new();
    expected.update(content);
    if expected.sum() != u32::from_le_bytes(*checksum) {
        return Err(ReadError::Damaged);
    }
    let rest = &rest[..rest.len().saturating_sub(checksum.len())];
    let (now, rest) = rest.split_first_chunk().ok_or(ReadError::Damaged)?;
    let (written, fleet) = rest.split_first_chunk().ok_or(ReadError::Damaged)?;
    let written = Duration::from_millis(u64::from_le_bytes(*written));
    // If the clock was set back, the age is zero.
    let age = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(Duration::ZERO, |wall| wall.saturating_sub(written))
        .min(LONGEST_ABSENCE);
    let now = Moment::from_millis(u64::from_le_bytes(*now));
    Ok(Restored {
        fleet: Fleet::thaw(options, now, form, fleet)?,
        now: now.after(age),
        age,
        older: (version != VERSION).then_some(version),
    })
}

fn unix_millis(wall: SystemTime) -> u64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

/// Computes the checksum of the bytes that pass.
struct Checked<W> {
    out: W,
    checksum: Crc,
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.checksum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;

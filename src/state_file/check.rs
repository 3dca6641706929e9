//! Checks that a path can be used as state file, when the settings are read, so that `check-config` reports it too.

use std::fs;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{MAGIC, StateFile};
use crate::files::{FileError, FileReader};

/// Why a path cannot be used as state file. The texts are meant to follow the path.
#[derive(Debug, Error)]
pub enum Unsuitable {
    /// The path is a directory or empty.
    #[error("is a directory: give the path of a file")]
    Directory,
    /// A link: replacing it would not change its target, and replacing the target would not be protected by the lock.
    #[error("is a symbolic link: give the path of the file itself")]
    Link,
    /// A pipe, a socket or a device.
    #[error("is not a regular file: give the path of a file, which need not exist")]
    NotRegular,
    /// The file of another program.
    #[error(
        "is not a state file of starlink-telemetry, and is not overwritten: give another path, or remove the file"
    )]
    Foreign,
    /// The directory is missing.
    #[error("cannot be written: there is no directory {}", .directory.display().to_string().escape_debug())]
    NoDirectory {
        /// Where the file should be.
        directory: PathBuf,
    },
    /// No file can be created in the directory.
    #[error(
        "cannot be written: no file can be created in {}: {source}",
        .directory.display().to_string().escape_debug()
    )]
    Unwritable {
        /// Where the file should be.
        directory: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file system does not respond.
    #[error("{0}")]
    File(FileError),
}

impl StateFile {
    /// Checks that the path is absent, an empty file or a state file, and that the directory is writable. A file that cannot be read at
    /// the moment is accepted, because it may be valid.
    ///
    /// # Errors
    /// [`Unsuitable`].
    pub fn check(&self) -> Result<(), Unsuitable> {
        let mut reader = FileReader::default();
        let file = self.clone();
        let checked = reader.on_thread(self.path(), move || Ok(file.check_here()));
        checked.map_err(Unsuitable::File)??;
        match reader.beginning(self.path(), MAGIC.len() as u64) {
            Ok(beginning) if beginning.is_empty() || beginning == MAGIC => Ok(()),
            Ok(_) => Err(Unsuitable::Foreign),
            Err(FileError::NotRegular) => Err(Unsuitable::NotRegular),
            Err(error @ (FileError::Hangs | FileError::NoThread(_))) => {
                Err(Unsuitable::File(error))
            }
            Err(_) => Ok(()),
        }
    }

    fn check_here(&self) -> Result<(), Unsuitable> {
        if self.path.file_name().is_none() {
            return Err(Unsuitable::Directory);
        }
        match fs::symlink_metadata(&self.path).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_dir() => return Err(Unsuitable::Directory),
            Ok(kind) if kind.is_symlink() => return Err(Unsuitable::Link),
            Ok(kind) if !kind.is_file() => return Err(Unsuitable::NotRegular),
            Ok(_) | Err(_) => {}
        }
        let directory = self.directory().to_owned();
        if !directory.is_dir() {
            return Err(Unsuitable::NoDirectory { directory });
        }
        // As when it is written later: creates a file with another name, which is removed immediately.
        match self.temporary() {
            Ok(_) => Ok(()),
            Err(source) => Err(Unsuitable::Unwritable { directory, source }),
        }
    }
}

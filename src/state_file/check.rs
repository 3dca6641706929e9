//! Whether a path can hold the state: asked when the settings are read, so that `check-config` tells what is wrong too.

use std::fs;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{MAGIC, StateFile};
use crate::files::{FileError, FileReader};

/// Why a path cannot hold the state; the texts continue the path.
#[derive(Debug, Error)]
pub enum Unsuitable {
    /// The name of a directory, or none.
    #[error("is a directory: give the path of a file")]
    Directory,
    /// Replacing the link would leave its target as it is, and replacing the target would escape the lock.
    #[error("is a symbolic link: give the path of the file itself")]
    Link,
    /// A pipe, a socket or a device.
    #[error("is not a regular file: give the path of a file, which need not exist")]
    NotRegular,
    /// Somebody else's file.
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
        /// What the system says.
        source: io::Error,
    },
    /// The file system does not respond.
    #[error("{0}")]
    File(FileError),
}

impl StateFile {
    /// Whether the path can hold the state: nothing is there, an empty file or a state file, and the directory can be written to. A file
    /// that cannot be read now is no reason: it may be whole.
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
            Err(error @ (FileError::Hangs { .. } | FileError::NoThread(_))) => {
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
        // As it is written later: a file of another name, which goes at once.
        match self.temporary() {
            Ok(_) => Ok(()),
            Err(source) => Err(Unsuitable::Unwritable { directory, source }),
        }
    }
}

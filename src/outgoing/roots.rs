//! The machine's root certificates: those in the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the platform's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::files::{FileError, Reader};

/// The most bytes of all files together. The bundle of all public authorities has some 250 KiB.
const MOST_BYTES: u64 = 8 << 20;

/// The most files of a directory. A directory of all public authorities has some 450.
const MOST_FILES: usize = 4096;

/// Certificates, and what could not be read.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// How many files, directories or sections of files could not be read.
    pub(super) failures: usize,
    /// The first of them.
    pub(super) error: Option<String>,
}

/// The certificates that the machine has now. Blocks.
pub(super) fn machine_roots() -> Roots {
    let [file, directories] = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(std::env::var_os);
    match (file, directories) {
        (None, None) => platform(),
        (file, directories) => named(file, directories),
    }
}

fn platform() -> Roots {
    let found = rustls_native_certs::load_native_certs();
    Roots {
        certificates: found.certs,
        failures: found.errors.len(),
        error: found.errors.first().map(ToString::to_string),
    }
}

/// Those of a file and of all files in directories, which are separated as in `PATH`.
fn named(file: Option<OsString>, directories: Option<OsString>) -> Roots {
    let mut loader = Loader {
        roots: Roots::default(),
        reader: Reader::default(),
        left: MOST_BYTES,
    };
    if let Some(file) = file {
        let file = PathBuf::from(file);
        let read = loader.file(&file);
        loader.note(&file, read);
    }
    for directory in std::env::split_paths(&directories.unwrap_or_default()) {
        if !directory.as_os_str().is_empty() {
            let read = loader.directory(&directory);
            loader.note(&directory, read);
        }
    }
    let mut roots = loader.roots;
    // A directory holds most certificates several times, under several names.
    roots
        .certificates
        .sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    roots.certificates.dedup();
    roots
}

struct Loader {
    roots: Roots,
    reader: Reader,
    /// How many more bytes are read.
    left: u64,
}

impl Loader {
    /// Reads a file; sections that hold no certificate are counted.
    fn file(&mut self, path: &Path) -> Result<(), FileError> {
        let text = self.reader.read(path, self.left)?;
        self.left = self.left.saturating_sub(text.len() as u64);
        for section in CertificateDer::pem_slice_iter(&text) {
            match section {
                Ok(certificate) => self.roots.certificates.push(certificate),
                Err(_) => self.failed(format!("{} is not text in PEM form", path.display())),
            }
        }
        Ok(())
    }

    /// Reads all files of a directory until one does not respond.
    fn directory(&mut self, path: &Path) -> Result<(), FileError> {
        let mut files = self.list(path)?;
        if files.len() > MOST_FILES {
            files.truncate(MOST_FILES);
            self.failed(format!(
                "{} has more than {MOST_FILES} files",
                path.display()
            ));
        }
        for file in files {
            match self.file(&file) {
                Err(error @ FileError::Hangs { .. }) => return Err(error),
                // A link to nowhere, or a directory.
                Err(FileError::NotRegular) => {}
                Err(error) if error.is_not_found() => {}
                read => self.note(&file, read),
            }
        }
        Ok(())
    }

    fn list(&mut self, path: &Path) -> Result<Vec<PathBuf>, FileError> {
        let directory = path.to_owned();
        self.reader.on_thread(path, move || {
            let entries = std::fs::read_dir(&directory)?.take(MOST_FILES + 1);
            let paths: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.path())).collect();
            paths.map_err(FileError::Io)
        })
    }

    fn note(&mut self, path: &Path, read: Result<(), FileError>) {
        let path = path.display();
        match read {
            Ok(()) => {}
            Err(FileError::TooLong { .. }) => self.failed(format!(
                "{path} is left out: files of root certificates may have {} MiB together",
                MOST_BYTES >> 20
            )),
            Err(error) => self.failed(format!("{path} {error}")),
        }
    }

    fn failed(&mut self, error: String) {
        self.roots.failures += 1;
        self.roots.error.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pem(name: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.self_signed(&key).unwrap().pem()
    }

    fn of_file(path: &Path) -> Roots {
        named(Some(path.into()), None)
    }

    #[test]
    fn a_file_and_directories_give_each_certificate_once() {
        let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [one, other] = directories.each_ref().map(|directory| directory.path());
        let (a, b) = (pem("a"), pem("b"));
        fs::write(one.join("a.pem"), &a).unwrap();
        fs::write(one.join("both.pem"), format!("{a}{b}")).unwrap();
        fs::create_dir(one.join("more")).unwrap();
        std::os::unix::fs::symlink("nowhere", one.join("link")).unwrap();
        fs::write(other.join("c.pem"), pem("c")).unwrap();
        let paths = std::env::join_paths([one, Path::new(""), other]).unwrap();
        let roots = named(Some(one.join("a.pem").into()), Some(paths));
        assert_eq!((roots.certificates.len(), roots.error), (3, None));
    }

    #[test]
    fn what_is_no_file_of_certificates_is_told_and_read_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large");
        let file = fs::File::create(&large).unwrap();
        file.set_len(MOST_BYTES + 1).unwrap();
        for (path, expected) in [
            (Path::new("/dev/zero"), "is not a regular file"),
            (&large, "may have 8 MiB together"),
            (&directory.path().join("absent"), "cannot be read"),
        ] {
            let roots = of_file(path);
            assert_eq!((roots.certificates.len(), roots.failures), (0, 1));
            let error = roots.error.unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn files_of_a_directory_share_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["one", "two", "three"] {
            let half = " ".repeat(MOST_BYTES as usize / 2);
            fs::write(directory.path().join(name), half).unwrap();
        }
        let roots = named(None, Some(directory.path().into()));
        assert_eq!(roots.failures, 1, "{:?}", roots.error);
    }
}

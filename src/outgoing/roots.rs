//! The machine's root certificates: those in the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the platform's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::files::{FileError, FileReader};

/// The most bytes of all files together. The bundle of all public authorities has about 250 KiB.
const MAX_BYTES: u64 = 8 << 20;

/// The most files of a directory. A directory of all public authorities has about 450.
const MAX_FILES: usize = 4096;

/// Root certificates, and errors of reading them.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The number of files, directories or sections of files that could not be read.
    pub(super) failures: usize,
    /// The first error.
    pub(super) error: Option<String>,
}

/// Reads the machine's root certificates. Blocks.
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

/// The certificates of a file, and of all files in directories, which are separated as in `PATH`.
fn named(file: Option<OsString>, directories: Option<OsString>) -> Roots {
    let mut loader = Loader {
        roots: Roots::default(),
        reader: FileReader::default(),
        remaining: MAX_BYTES,
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
    // A directory usually holds each certificate under several names.
    roots
        .certificates
        .sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    roots.certificates.dedup();
    roots
}

struct Loader {
    roots: Roots,
    reader: FileReader,
    /// How many more bytes may be read.
    remaining: u64,
}

impl Loader {
    /// Reads a file; PEM sections without a certificate are counted.
    fn file(&mut self, path: &Path) -> Result<(), FileError> {
        let text = self.reader.read(path, self.remaining)?;
        self.remaining = self.remaining.saturating_sub(text.len() as u64);
        for section in CertificateDer::pem_slice_iter(&text) {
            match section {
                Ok(certificate) => self.roots.certificates.push(certificate),
                Err(_) => self.failed(format!("{} is not text in PEM form", path.display())),
            }
        }
        Ok(())
    }

    /// Reads all files of a directory; stops at one that does not respond.
    fn directory(&mut self, path: &Path) -> Result<(), FileError> {
        let mut files = self.list(path)?;
        if files.len() > MAX_FILES {
            files.truncate(MAX_FILES);
            self.failed(format!(
                "{} has more than {MAX_FILES} files",
                path.display()
            ));
        }
        for file in files {
            match self.file(&file) {
                Err(error @ FileError::Hangs) => return Err(error),
                // A broken link, or a directory.
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
            let entries = std::fs::read_dir(&directory)?.take(MAX_FILES + 1);
            let paths: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.path())).collect();
            paths.map_err(FileError::Io)
        })
    }

    fn note(&mut self, path: &Path, read: Result<(), FileError>) {
        let path = path.display();
        match read {
            Ok(()) => {}
            Err(FileError::TooLong { .. }) => self.failed(format!(
                "{path} is ignored: files of root certificates may have at most {} MiB in total",
                MAX_BYTES >> 20
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
    fn a_file_without_certificates_is_an_error_and_reads_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large");
        let file = fs::File::create(&large).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        for (path, expected) in [
            (Path::new("/dev/zero"), "is not a regular file"),
            (&large, "may have at most 8 MiB in total"),
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
            let half = " ".repeat(MAX_BYTES as usize / 2);
            fs::write(directory.path().join(name), half).unwrap();
        }
        let roots = named(None, Some(directory.path().into()));
        assert_eq!(roots.failures, 1, "{:?}", roots.error);
    }
}

//! The file of names: read at the start, and again when what it holds has changed.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_rt::task::spawn_blocking;
use arc_swap::ArcSwap;
use ring::digest::{Context, SHA256, digest};
use tracing::{info, warn};

use super::{Names, NamesError};
use crate::reload::{Seen, watch};

/// The most bytes of the file.
pub(super) const LONGEST: u64 = 128 * 1024 * 1024;

/// So much is looked at at a time, to see whether the file has changed.
const CHUNK: usize = 64 * 1024;

/// Looks again and again whether the file has changed.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    seen: Seen,
}

impl Names {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or the first thing that is wrong with it.
    pub fn load(path: &Path) -> Result<(Self, Watch), NamesError> {
        let (seen, names) = load(path);
        let path = path.to_owned();
        Ok((names?, Watch { path, seen }))
    }
}

impl Watch {
    /// Keeps names up to date, for ever. A file that cannot be used changes nothing.
    pub async fn run(self, names: Arc<ArcSwap<Names>>, interval: Duration) {
        let file = self.path.to_string_lossy().into_owned();
        let look = move |seen: &Seen| look(&self.path, seen);
        watch(self.seen, interval, look, |found| match found {
            Err(error) => {
                warn!(%error, "cannot use the changed names file: the previous names stay in use");
            }
            Ok(mut new) => {
                new.generation = names.load().generation + 1;
                info!(%file, names = new.len(), "names reloaded");
                let old = names.swap(Arc::new(new));
                // To free a million names takes its time.
                drop(spawn_blocking(move || drop(old)));
            }
        })
        .await;
    }
}

/// What the file holds and gives, if that is something new. While nothing is new the file is not held in memory.
fn look(path: &Path, seen: &Seen) -> Option<(Seen, Result<Names, NamesError>)> {
    if fingerprint(path).is_ok_and(|now| now == *seen) {
        return None;
    }
    let (now, names) = load(path);
    (now != *seen).then_some((now, names))
}

fn load(path: &Path) -> (Seen, Result<Names, NamesError>) {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => return (Seen::Trouble(error.to_string()), Err(error)),
    };
    let names = Names::parse(&text).map_err(|fault| NamesError::Wrong {
        path: path.to_owned(),
        fault,
    });
    let digest = digest(&SHA256, &text);
    // Also where it cannot be used: it is read again when it is another, not before.
    (Seen::Content(digest.as_ref().to_owned()), names)
}

fn fingerprint(path: &Path) -> Result<Seen, NamesError> {
    let mut file = open(path)?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = file.read(&mut chunk).map_err(unreadable(path))?;
        if length == 0 {
            return Ok(Seen::Content(context.finish().as_ref().to_owned()));
        }
        context.update(&chunk[..length]);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, NamesError> {
    let mut text = Vec::new();
    let read = open(path)?.read_to_end(&mut text);
    read.map_err(unreadable(path))?;
    Ok(text)
}

/// The file, which has a length that is known and allowed; what is appended meanwhile is not read.
fn open(path: &Path) -> Result<impl Read, NamesError> {
    // A pipe is not opened: that would wait for who writes into it.
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    if !metadata.is_file() {
        return Err(NamesError::NoFile {
            path: path.to_owned(),
        });
    }
    if metadata.len() > LONGEST {
        return Err(NamesError::TooLong {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(unreadable(path))?;
    Ok(file.take(metadata.len()))
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> NamesError {
    move |source| NamesError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "deviceID,name\n";

    #[test]
    fn what_the_file_holds_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names.csv");
        let write = |text: &str| fs::write(&path, text).unwrap();
        write(&format!("{HEADER}ut-1,A\n"));
        let (names, Watch { mut seen, .. }) = Names::load(&path).unwrap();
        assert_eq!((names.generation(), names.len()), (1, 1));
        type Step<'a> = (&'a dyn Fn(), Option<Result<usize, &'a str>>);
        let steps: [Step<'_>; 10] = [
            (&|| {}, None),
            // Written again, the same.
            (&|| write(&format!("{HEADER}ut-1,A\n")), None),
            (&|| write(&format!("{HEADER}ut-1,A\nut-2,B\n")), Some(Ok(2))),
            (
                &|| write(&format!("{HEADER}ut-1\n")),
                Some(Err("names.csv line 2: 1 cells, ")),
            ),
            // Another mistake is another change, and the same mistake in another text as well.
            (
                &|| write("name\n"),
                Some(Err("names.csv line 1: no column deviceID")),
            ),
            (
                &|| write("name \n"),
                Some(Err("names.csv line 1: no column deviceID")),
            ),
            (
                &|| fs::remove_file(&path).unwrap(),
                Some(Err("names.csv cannot be read: ")),
            ),
            (
                &|| fs::create_dir(&path).unwrap(),
                Some(Err("names.csv is no regular file")),
            ),
            (
                &|| fs::remove_dir(&path).unwrap(),
                Some(Err("names.csv cannot be read: ")),
            ),
            (&|| write(HEADER), Some(Ok(0))),
        ];
        for (number, (change, expected)) in steps.into_iter().enumerate() {
            change();
            let mut told = None;
            if let Some((now, found)) = look(&path, &seen) {
                seen = now;
                told = Some(
                    found
                        .map(|names| names.len())
                        .map_err(|error| error.to_string()),
                );
            }
            match (told, expected) {
                (Some(Err(told)), Some(Err(expected))) => {
                    assert!(told.contains(expected), "{number}: {told}");
                }
                (Some(Ok(told)), Some(Ok(expected))) => assert_eq!(told, expected, "{number}"),
                (told, expected) => {
                    assert!(told.is_none() && expected.is_none(), "{number}: {told:?}");
                }
            }
            assert!(look(&path, &seen).is_none(), "{number}: once");
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (length, is_read) in [(LONGEST, true), (LONGEST + 1, false)] {
            // It has no blocks on the disk.
            file.as_file().set_len(length).unwrap();
            match open(file.path()) {
                Ok(_) => assert!(is_read),
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        !is_read && text.ends_with("is too long: 128 MiB at most"),
                        "{text}"
                    );
                }
            }
        }
    }

    /// As a ConfigMap is mounted: the file is a link into a directory that a link of its own stands for, which is replaced.
    #[cfg(unix)]
    #[test]
    fn a_link_that_is_replaced_is_a_change_though_lengths_and_times_are_the_same() {
        use std::os::unix::fs::symlink;

        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let epoch = std::time::SystemTime::UNIX_EPOCH;
        for (version, name) in [("one", "A"), ("two", "B")] {
            fs::create_dir(at(version)).unwrap();
            let path = at(version).join("names.csv");
            fs::write(&path, format!("{HEADER}ut-1,{name}\n")).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(epoch).unwrap();
        }
        symlink("one", at("data")).unwrap();
        symlink("data/names.csv", at("names.csv")).unwrap();
        let (_, Watch { path, seen }) = Names::load(&at("names.csv")).unwrap();
        assert!(look(&path, &seen).is_none());
        symlink("two", at("new")).unwrap();
        fs::rename(at("new"), at("data")).unwrap();
        let (_, names) = look(&path, &seen).unwrap();
        assert_eq!(&*names.unwrap().get("ut-1").unwrap().name, "B");
    }
}

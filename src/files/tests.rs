//! Tests of reading files of all kinds, and of detecting changes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use tempfile::TempDir;

use super::*;

fn directory() -> (TempDir, impl Fn(&str) -> PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    (directory, move |name| path.join(name))
}

fn read(path: &Path, bound: u64) -> Result<Vec<u8>, String> {
    let read = FileReader::default().read(path, bound);
    read.map_err(|error| error.to_string())
}

/// Replaces a file by renaming, as editors and configuration management do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[cfg(unix)]
fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_read_and_links_are_followed() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let (_directory, at) = directory();
    fs::write(at("file"), "content").unwrap();
    symlink("file", at("link")).unwrap();
    symlink("link", at("link-to-link")).unwrap();
    symlink("nothing", at("dangling")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    fifo(&at("fifo"));
    symlink("fifo", at("link-to-fifo")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let no_file = Err("is not a regular file".to_owned());
    let missing = Err("cannot be read: No such file or directory (os error 2)".to_owned());
    // Waiting for it would fail with "the file system does not respond".
    for (path, expected) in [
        (at("file"), Ok(b"content".to_vec())),
        (at("link"), Ok(b"content".to_vec())),
        (at("link-to-link"), Ok(b"content".to_vec())),
        (at("dangling"), missing.clone()),
        (at("nothing"), missing),
        (at("directory"), no_file.clone()),
        (at("fifo"), no_file.clone()),
        (at("link-to-fifo"), no_file.clone()),
        (at("socket"), no_file.clone()),
        ("/dev/zero".into(), no_file.clone()),
        ("/dev/null".into(), no_file),
    ] {
        assert_eq!(read(&path, SMALL), expected, "{}", path.display());
    }
}

#[test]
fn a_file_is_read_up_to_its_bound_and_no_further() {
    let (_directory, at) = directory();
    fs::write(at("file"), "12345").unwrap();
    for (bound, expected) in [
        (6, Ok(b"12345".to_vec())),
        (5, Ok(b"12345".to_vec())),
        (4, Err("is longer than 4 bytes".to_owned())),
    ] {
        assert_eq!(read(&at("file"), bound), expected, "{bound}");
    }
    // A sparse file.
    File::create(at("sparse"))
        .unwrap()
        .set_len(SMALL + 1)
        .unwrap();
    assert_eq!(
        read(&at("sparse"), SMALL),
        Err("is longer than 1 MiB".to_owned())
    );
    assert_eq!(bytes(64 << 10), "64 KiB");
}

/// Files in /proc report a length of 0.
#[cfg(target_os = "linux")]
#[test]
fn a_file_without_a_length_is_read_up_to_its_bound() {
    let environment = Path::new("/proc/self/status");
    assert_eq!(fs::metadata(environment).unwrap().len(), 0);
    assert!(read(environment, SMALL).unwrap().starts_with(b"Name:"));
    assert_eq!(
        read(environment, 8),
        Err("is longer than 8 bytes".to_owned())
    );
}

#[test]
fn a_byte_order_mark_is_dropped() {
    let (_directory, at) = directory();
    for (content, expected) in [
        (&b"\xef\xbb\xbfabc"[..], &b"abc"[..]),
        (b"abc\xef\xbb\xbf", b"abc\xef\xbb\xbf"),
        (b"\xef\xbb\xbf", b""),
        (b"\xef\xbb", b"\xef\xbb"),
        (b"", b""),
    ] {
        fs::write(at("file"), content).unwrap();
        assert_eq!(read(&at("file"), SMALL).unwrap(), expected);
    }
}

#[test]
fn a_path_that_hangs_fails_in_time_and_is_not_tried_twice() {
    let limit = Duration::from_millis(50);
    let mut reader = FileReader::new(limit);
    let path = Path::new("/hangs");
    let (release, held) = std::sync::mpsc::channel::<()>();
    let hangs = Err("cannot be read: the file system does not respond".to_owned());
    let ask = |reader: &mut FileReader, held: Option<std::sync::mpsc::Receiver<()>>| {
        let job = move || {
            // Ends when the sender is dropped.
            held.map(|held| held.recv());
            Ok(7)
        };
        reader
            .on_thread(path, job)
            .map_err(|error| error.to_string())
    };
    assert_eq!(ask(&mut reader, Some(held)), hangs);
    assert_eq!(
        ask(&mut reader, None),
        hangs,
        "the first attempt still hangs"
    );
    // While a path hangs, the limit of others is short: on a busy machine a thread that does not hang may exceed it too.
    eventually("another path is another thread's", || {
        reader.on_thread(Path::new("/other"), || Ok(8)).is_ok()
    });
    assert_eq!(ask(&mut reader, None), hangs, "it hangs still");
    drop(release);
    eventually("it is tried again", || ask(&mut reader, None) == Ok(7));
}

#[test]
fn many_paths_that_hang_take_hardly_longer_than_one() {
    const PATHS: u32 = 50;
    let limit = Duration::from_millis(200);
    let mut reader = FileReader::new(limit);
    let started = Instant::now();
    let mut releases = Vec::new();
    for number in 0..PATHS {
        let (release, held) = std::sync::mpsc::channel::<()>();
        releases.push(release);
        let job = move || {
            // Ends when the sender is dropped.
            let _ = held.recv();
            Ok(())
        };
        let path = PathBuf::from(format!("/hangs/{number}"));
        let read = reader.on_thread(&path, job);
        assert!(matches!(read, Err(FileError::Hangs)), "{read:?}");
    }
    // Far from both: 0.4 s, and 10 s if each had the whole limit.
    assert!(started.elapsed() < limit * PATHS / 2);
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_change_is_detected_by_metadata_or_by_content() {
    let (_directory, at) = directory();
    let path = at("file");
    fs::write(&path, "one").unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    let set_time = || {
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(epoch).unwrap();
    };
    set_time();
    let mut reader = FileReader::default();
    reader.read(&path, SMALL).unwrap();
    let seen = reader.seen();
    let is_unchanged = |by_content| {
        let mut seen = seen.clone();
        FileReader::default().is_unchanged(&mut seen, by_content)
    };
    assert!(is_unchanged(false) && is_unchanged(true));
    // Another file of the same length, with the same time.
    replace(&path, "two");
    set_time();
    assert!(!is_unchanged(false) && !is_unchanged(true));
    // The same content in another file is no change.
    replace(&path, "one");
    assert!(is_unchanged(false) && is_unchanged(true));
    fs::remove_file(&path).unwrap();
    assert!(!is_unchanged(false));
}

/// Like a mounted ConfigMap: the file is a link through a link to a directory, and the latter is replaced.
#[cfg(unix)]
#[test]
fn a_link_that_is_replaced_is_a_change() {
    use std::os::unix::fs::symlink;

    let (_directory, at) = directory();
    for version in ["one", "two"] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("file"), version).unwrap();
    }
    symlink("one", at("data")).unwrap();
    symlink("data/file", at("file")).unwrap();
    let mut reader = FileReader::default();
    reader.read(&at("file"), SMALL).unwrap();
    let mut seen = reader.seen();
    assert!(reader.is_unchanged(&mut seen, false));
    symlink("two", at("new")).unwrap();
    fs::rename(at("new"), at("data")).unwrap();
    assert!(!reader.is_unchanged(&mut seen, false));
}

//! Tests of the directory of journals.

use super::*;

/// All files below a directory with their content.
fn content(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let mut content: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap_or_default())
        })
        .collect();
    content.sort();
    content
}

#[test]
fn a_directory_is_created_and_used_again_by_one_process_at_a_time() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a").join("journal");
    let directory = JournalDirectory::open(&path).unwrap();
    let error = JournalDirectory::open(&path).unwrap_err();
    let expected = format!(
        "{} is in use by another process: give each instance a directory of its own",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
    assert!(!error.is_permanent());
    for name in ["format", "b"] {
        let storage = directory.account(name).unwrap();
        assert_eq!(storage.directory(), path.join(name));
        storage.replace(cursors::FILE, b"").unwrap();
    }
    assert_eq!(directory.accounts().unwrap(), ["b", "format"]);
    drop(directory);
    let directory = JournalDirectory::open(&path).unwrap();
    let is_cancelled = AtomicBool::new(true);
    directory.remove("b", &is_cancelled).unwrap_err();
    assert_eq!(directory.accounts().unwrap(), ["b", "format"]);
    is_cancelled.store(false, Ordering::Relaxed);
    directory.remove("b", &is_cancelled).unwrap();
    directory.remove("b", &is_cancelled).unwrap();
    assert_eq!(directory.accounts().unwrap(), ["format"]);
}

#[test]
fn a_directory_that_is_deleted_while_it_is_used_is_not_created_again_without_its_format() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("journal");
    let directory = JournalDirectory::open(&path).unwrap();
    directory.account("a").unwrap();
    fs::remove_dir_all(&path).unwrap();
    let error = directory.account("a").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(!path.exists());
    // Another process uses the name meanwhile.
    let other = JournalDirectory::open(&path).unwrap();
    let error = directory.account("a").unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    drop(other);
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    directory.account("a").unwrap();
    let error = JournalDirectory::open(&path).unwrap_err();
    assert!(matches!(error, DirectoryError::InUse { .. }), "{error}");
    drop(directory);
    JournalDirectory::open(&path).unwrap();
    let names: Vec<_> = content(&path).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [FORMAT, LOCK, "a"]);
    // Files of others are not taken for journals.
    let directory = JournalDirectory::open(&path).unwrap();
    fs::remove_file(path.join(FORMAT)).unwrap();
    directory.account("b").unwrap_err();
}

#[test]
fn the_tenant_of_an_account_is_in_its_file_of_cursors() {
    let parent = tempfile::tempdir().unwrap();
    let directory = JournalDirectory::open(parent.path()).unwrap();
    assert_eq!(directory.tenant("a"), None);
    let storage = directory.account("a").unwrap();
    let saved = |tenant: Option<&str>| Cursors {
        tenant: tenant.map(Arc::from),
        ..Cursors::default()
    };
    let mut damaged = saved(Some("t")).encode();
    damaged[12] ^= 1;
    for (file, expected) in [
        (saved(Some("t")).encode(), Some("t")),
        // As an earlier version wrote it.
        (saved(None).encode(), None),
        (damaged, None),
    ] {
        storage.replace(cursors::FILE, &file).unwrap();
        assert_eq!(directory.tenant("a").as_deref(), expected);
    }
}

#[test]
fn files_and_directories_of_others_are_neither_journals_nor_deleted() {
    let parent = tempfile::tempdir().unwrap();
    let directory = JournalDirectory::open(parent.path()).unwrap();
    let others = parent.path().join(".snapshot");
    fs::create_dir(&others).unwrap();
    fs::write(others.join("file"), b"precious").unwrap();
    let storage = directory.account("a").unwrap();
    storage.create("00000000000000000001.segment").unwrap();
    assert_eq!(directory.accounts().unwrap(), ["a"]);
    let own = ["cursors", "cursors.tmp", "00000000000000000001-1.segment"];
    for name in own.into_iter().chain(["copy.segment"]) {
        fs::write(parent.path().join("a").join(name), b"precious").unwrap();
    }
    let error = directory.remove("a", &AtomicBool::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
    let left = content(&parent.path().join("a"));
    assert_eq!(left, [("copy.segment".to_owned(), b"precious".to_vec())]);
    assert_eq!(directory.accounts().unwrap(), [""; 0]);
}

#[test]
fn an_unused_directory_is_used() {
    for names in [
        &[][..],
        &[".lock"],
        &[".format.tmp"],
        // The disk was full when the format was written, and had space again when there were rows.
        &[".format.tmp", ".lock", "default"],
        &[".lock", "lost+found"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(directory.path().join(name), b"starl").unwrap();
        }
        JournalDirectory::open(directory.path()).unwrap();
        let format = fs::read(directory.path().join(FORMAT)).unwrap();
        assert_eq!(format, CONTENT.as_bytes(), "{names:?}");
    }
}

#[test]
fn a_directory_of_another_product_or_version_is_refused_and_untouched() {
    for (name, text, expected) in [
        (
            "wal",
            "",
            "is not empty and has no journals: it contains wal. Give the journal a directory of its own",
        ),
        (
            "00000000000000000001.segment",
            "",
            "is not empty and has no journals: it contains 00000000000000000001.segment. Give the journal a directory of its own",
        ),
        (
            ".format",
            "starlink-telemetry journal 2\n",
            r#"was written by another version: its format is "starlink-telemetry journal 2", not "starlink-telemetry journal 1""#,
        ),
        (
            ".format",
            "other\n",
            "is not empty and has no journals: it contains .format. Give the journal a directory of its own",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), text).unwrap();
        let before = content(directory.path());
        JournalDirectory::inspect(directory.path()).unwrap_err();
        let error = JournalDirectory::open(directory.path()).unwrap_err();
        let path = directory.path().display();
        assert_eq!(error.to_string(), format!("{path} {expected}"));
        assert!(error.is_permanent());
        assert_eq!(content(directory.path()), before);
    }
}

#[test]
fn a_file_is_no_directory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = JournalDirectory::inspect(file.path()).unwrap_err();
    assert!(error.is_permanent(), "{error}");
    let error = JournalDirectory::open(file.path()).unwrap_err();
    assert!(matches!(error, DirectoryError::Io { .. }), "{error}");
}

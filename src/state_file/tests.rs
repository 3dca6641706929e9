//! Tests of truncated, changed and foreign files.

use super::*;
use crate::fleet::Coverage;
use crate::telemetry::{Batch, SchemaCache, decode};

const OPTIONS: FleetOptions = FleetOptions::STANDARD;

/// The system time at which the files are written, since 1970.
const WRITTEN: Duration = Duration::from_secs(1_000_000_000);

fn wall(after: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + WRITTEN + after
}

/// The moment of the fleet's clock at that time.
const NOW: Moment = Moment::from_millis(5000);

/// One device that reported a second before [`NOW`].
fn fleet() -> Fleet {
    let body = r#"{"data":{"values":[["u",1700000000000000007,"a",0.5,"text",599686042433355775,[1]],["i",1700000000000000007,"ip-a",["192.0.2.1"]]],"columnNamesByDeviceType":{
        "u":["DeviceType","UtcTimestampNs","DeviceId","Number","Text","H3CellId","ActiveAlerts"],
        "i":["DeviceType","UtcTimestampNs","DeviceId","Ipv4"]}}}"#;
    let (rows, metadata) = decode(body.into()).unwrap();
    let schema = SchemaCache::default().resolve(&metadata).schema;
    let mut fleet = Fleet::new(OPTIONS);
    let heard = Moment::from_millis(4000);
    let account = fleet.account(&"default".into()).unwrap();
    let plan = fleet.plan(account, &Batch { rows, schema }, heard, i64::MAX);
    fleet.commit(
        &plan,
        Coverage {
            to: heard,
            covers: Duration::ZERO,
        },
    );
    fleet
}

fn write(file: &StateFile, existing: Existing) -> Result<(), WriteError> {
    file.write(fleet().freeze(), NOW, wall(Duration::ZERO), existing)
}

/// A directory with a state file, and the bytes of the file.
fn written() -> (tempfile::TempDir, StateFile, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let file = StateFile::new(directory.path().join("state"));
    write(&file, Existing::Replaced).unwrap();
    let bytes = fs::read(file.path()).unwrap();
    (directory, file, bytes)
}

#[test]
fn a_restored_fleet_is_older_by_the_time_between() {
    let (_directory, file, _) = written();
    let down = Duration::from_secs(30);
    let restored = file.read(OPTIONS, wall(down)).unwrap().unwrap();
    assert_eq!(restored.age, down);
    assert_eq!(restored.now, NOW.after(down));
    // Heard 31 s ago, it has 89 s left.
    let mut fleet = restored.fleet;
    fleet.expire(restored.now);
    assert_eq!(fleet.snapshot().tables[0].counts.online, 1);
    fleet.expire(restored.now.after(Duration::from_secs(88)));
    assert_eq!(fleet.snapshot().tables[0].counts.online, 1);
    fleet.expire(restored.now.after(Duration::from_secs(89)));
    assert_eq!(fleet.snapshot().tables[0].counts.online, 0);
}

#[test]
fn a_clock_that_was_set_makes_no_device_younger_and_causes_no_overflow() {
    let (_directory, file, _) = written();
    for (wall, age) in [
        (SystemTime::UNIX_EPOCH, Duration::ZERO),
        (wall(Duration::ZERO), Duration::ZERO),
        (wall(LONGEST_ABSENCE * 5), LONGEST_ABSENCE),
    ] {
        let mut restored = file.read(OPTIONS, wall).unwrap().unwrap();
        assert_eq!(restored.age, age);
        restored.fleet.expire(restored.now);
    }
}

#[test]
fn every_truncation_and_every_changed_byte_is_detected() {
    let (_directory, file, bytes) = written();
    // An empty file counts as missing.
    for end in 1..bytes.len() {
        fs::write(file.path(), &bytes[..end]).unwrap();
        let error = file.read(OPTIONS, wall(Duration::ZERO)).unwrap_err();
        let is_foreign = end < MAGIC.len();
        assert_eq!(matches!(error, ReadError::Foreign), is_foreign, "{end}");
        assert_eq!(matches!(error, ReadError::Damaged), !is_foreign, "{end}");
    }
    for place in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[place] ^= change;
            let error = restore(&bytes, OPTIONS, wall(Duration::ZERO)).unwrap_err();
            match place.checked_sub(MAGIC.len()) {
                None => assert!(matches!(error, ReadError::Foreign), "{place}: {error}"),
                // The version may become an earlier one.
                Some(0) => assert!(
                    matches!(error, ReadError::Version(_) | ReadError::Damaged),
                    "{error}"
                ),
                Some(1..4) => assert!(matches!(error, ReadError::Version(_)), "{place}: {error}"),
                Some(_) => assert!(matches!(error, ReadError::Damaged), "{place}: {error}"),
            }
        }
    }
}

#[test]
fn wrong_content_with_a_right_checksum_causes_no_panic() {
    let (_directory, _, bytes) = written();
    let start = MAGIC.len() + 4;
    for place in start..bytes.len() - 4 {
        let mut bytes = bytes[..bytes.len() - 4].to_vec();
        bytes[place] ^= 0xff;
        let mut checksum = Crc::new();
        checksum.update(&bytes);
        bytes.extend(checksum.sum().to_le_bytes());
        if let Ok(mut restored) = restore(&bytes, OPTIONS, wall(Duration::ZERO)) {
            restored.fleet.expire(restored.now);
            drop(restored.fleet.snapshot());
        }
    }
}

#[test]
fn a_file_that_is_set_aside_replaces_the_previous_one() {
    let (directory, file, _) = written();
    for content in ["one", "two"] {
        fs::write(file.path(), content).unwrap();
        let aside = file.set_aside().unwrap();
        assert_eq!(fs::read_to_string(aside).unwrap(), content);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert!(matches!(file.read(OPTIONS, wall(Duration::ZERO)), Ok(None)));
}

#[test]
fn only_temporary_files_of_killed_writers_are_removed() {
    let (directory, file, _) = written();
    for name in [".state.x.tmp", ".other.x.tmp", "state.tmp", ".state.x"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    assert_eq!(file.clean().unwrap(), 1);
    assert!(!directory.path().join(".state.x.tmp").exists());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;

    let (_directory, file, _) = written();
    let mode = fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_failed_write_keeps_the_previous_file() {
    let (directory, _, _) = written();
    // Even the superuser cannot write below a file.
    let file = StateFile::new(directory.path().join("state").join("state"));
    assert!(write(&file, Existing::Replaced).is_err());
    let other = StateFile::new(directory.path().join("state"));
    assert!(other.read(OPTIONS, wall(Duration::ZERO)).unwrap().is_some());
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The name is so long that the name of the temporary file is too long, but not that of the file that is set aside.
#[cfg(target_os = "linux")]
#[test]
fn a_file_is_not_set_aside_before_the_new_one_is_complete() {
    let (directory, _, bytes) = written();
    let name = "s".repeat(247);
    let file = StateFile::new(directory.path().join(&name));
    fs::rename(directory.path().join("state"), file.path()).unwrap();
    let error = write(&file, Existing::SetAside).unwrap_err();
    assert!(matches!(error, WriteError::File(_)), "{error:?}");
    assert_eq!(names(directory.path()), [name]);
    assert_eq!(fs::read(file.path()).unwrap(), bytes);
    file.set_aside().unwrap();
}

#[test]
fn a_file_that_was_not_read_is_set_aside_and_an_empty_one_replaced() {
    let (directory, file, bytes) = written();
    let aside = directory.path().join("state.broken");
    write(&file, Existing::SetAside).unwrap();
    assert_eq!(fs::read(&aside).unwrap(), bytes);
    fs::remove_file(&aside).unwrap();
    fs::write(file.path(), "").unwrap();
    write(&file, Existing::SetAside).unwrap();
    assert_eq!(names(directory.path()), ["state"]);
    assert_eq!(fs::read(file.path()).unwrap(), bytes);
    fs::write(file.path(), "other").unwrap();
    let error = write(&file, Existing::SetAside).unwrap_err();
    let is_foreign = matches!(error, WriteError::Blocked(Blocked::Foreign));
    assert!(is_foreign, "{error:?}");
    assert_eq!(names(directory.path()), ["state"]);
    assert_eq!(fs::read(file.path()).unwrap(), b"other");
}

/// A state file of the first version of the format. Its fleet is in the corpus of the fuzzer.
fn old_file() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/state/fleet");
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION_WITHOUT_ACCOUNTS.to_le_bytes());
    bytes.extend(NOW.millis().to_le_bytes());
    bytes.extend(unix_millis(wall(Duration::ZERO)).to_le_bytes());
    bytes.extend(fs::read(path).unwrap());
    let mut checksum = Crc::new();
    checksum.update(&bytes);
    bytes.extend(checksum.sum().to_le_bytes());
    bytes
}

#[test]
fn a_file_of_the_previous_version_is_read_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = StateFile::new(directory.path().join("state"));
    let kept = directory.path().join("state.v1");
    fs::write(&kept, "of an earlier upgrade").unwrap();
    fs::write(file.path(), old_file()).unwrap();
    let restored = file.read(OPTIONS, wall(Duration::ZERO)).unwrap().unwrap();
    assert_eq!(restored.older, Some(VERSION_WITHOUT_ACCOUNTS));
    assert_eq!(restored.fleet.accounts().count(), 0);
    let snapshot = restored.fleet.snapshot();
    let accounts = &snapshot.tables[0].by_account;
    assert!(accounts.iter().all(|(account, _)| account.is_none()));
    assert_eq!(file.keep_old(1).unwrap(), kept);
    assert_eq!(fs::read(file.path()).unwrap(), old_file());
    write(&file, Existing::Replaced).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), old_file());
    let restored = file.read(OPTIONS, wall(Duration::ZERO)).unwrap().unwrap();
    assert_eq!(restored.older, None);
    assert_eq!(restored.fleet.accounts().count(), 1);
}

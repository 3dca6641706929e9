//! Tests of the settings of the journal and of destinations, with files.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use super::load::load_file;
use crate::config::{ConfigErrors, Settings, Sources};
use crate::files::FileReader;
use crate::redaction::Redactor;

const NEEDLE: &str = "n33dle";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, OsString)> {
    let required = [
        ("CLIENT_ID", "id"),
        ("CLIENT_SECRET", NEEDLE),
        ("BATCH_SIZE", "1000"),
        ("MAX_LINGER", "15000"),
    ];
    let all = required.iter().chain(pairs);
    all.map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect()
}

/// The required settings and these.
fn settings(pairs: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    Settings::from_sources(Sources {
        environment: variables(pairs),
        ..Sources::default()
    })
}

#[test]
fn variables_give_a_destination_with_a_journal() {
    assert!(settings(&[]).unwrap().recording.is_none());
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "n33dle\n").unwrap();
    let journal = directory.path().join("journal");
    let variables = [
        ("JOURNAL_DIR", journal.to_str().unwrap()),
        ("JOURNAL_MAX_BYTES", "1GiB"),
        ("JOURNAL_MAX_AGE", "2h"),
        ("REMOTE_WRITE_URL", "https://h/write?key=k3y"),
        ("REMOTE_WRITE_BEARER_TOKEN_FILE", token.to_str().unwrap()),
        ("REMOTE_WRITE_TENANT", "account"),
        ("REMOTE_WRITE_OUT_OF_ORDER_WINDOW", "33h"),
    ];
    let settings = settings(&variables).unwrap();
    let shown = settings.effective().concat();
    assert!(!shown.contains("k3y") && !shown.contains(NEEDLE), "{shown}");
    let text = settings.redactor.redact("a n33dle");
    assert_eq!(text, "a [redacted]");
    let recording = settings.recording.unwrap();
    assert_eq!(recording.directory, journal);
    assert!(!journal.exists());
    assert_eq!(recording.bounds.bytes, 1 << 30);
    assert_eq!(recording.bounds.age, Duration::from_secs(7200));
    assert!(!recording.files.seen().is_empty());
    let [configured] = &recording.destinations[..] else {
        panic!("one destination");
    };
    assert_eq!(&*configured.destination.name, "default");
    assert!(configured.destination.out_of_order_window.is_open());
}

#[test]
fn the_demo_sends_rows_only_if_asked_and_from_its_own_journal() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal/");
    let sources = || Sources {
        environment: variables(&[
            ("JOURNAL_DIR", journal.to_str().unwrap()),
            ("REMOTE_WRITE_URL", "https://h/write"),
        ]),
        ..Sources::default()
    };
    let settings = Settings::for_demo(sources(), Vec::new(), true).unwrap();
    let used = settings.recording.map(|recording| recording.directory);
    assert_eq!(used, Some(directory.path().join("journal.demo")));
    let settings = Settings::for_demo(sources(), Vec::new(), false).unwrap();
    assert!(settings.recording.is_none());
    let warnings: Vec<_> = settings.warnings().iter().map(|it| &*it.setting).collect();
    assert_eq!(warnings, ["REMOTE_WRITE_URL"]);
}

#[test]
fn a_file_gives_destinations_with_paths_relative_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("password"), "n33dle-of-a").unwrap();
    let text = "remote_write:\n  - name: a\n    url: https://a.example/\n    basic_auth: {username: u, password_file: password}\n  - name: b\n    url: https://b.example/\n    headers: {X-Key: n33dle-of-b}\n";
    fs::write(path("destinations.yaml"), text).unwrap();
    let settings = settings(&[
        ("JOURNAL_DIR", &path("journal")),
        ("REMOTE_WRITE_FILE", &path("destinations.yaml")),
    ])
    .unwrap();
    assert!(
        settings
            .effective()
            .contains(&"destination a: url=https://a.example/".to_owned())
    );
    assert_eq!(
        settings.redactor.redact("n33dle-of-a n33dle-of-b"),
        "[redacted] [redacted]"
    );
    let recording = settings.recording.unwrap();
    let names: Vec<_> = recording
        .destinations
        .iter()
        .map(|it| &*it.destination.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
}

/// The settings of the warnings, and their texts.
fn warnings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = settings(pairs).unwrap();
    let warnings = settings.warnings().iter();
    warnings
        .map(|warning| (warning.setting.clone(), warning.advice.clone()))
        .collect()
}

#[test]
fn settings_of_the_journal_without_a_destination_cause_warnings() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let of_journal = [
        ("JOURNAL_DIR", journal.to_str().unwrap()),
        ("JOURNAL_MAX_BYTES", "10GiB"),
        ("JOURNAL_MAX_AGE", "24h"),
    ];
    for setting in of_journal {
        let found = warnings(&[setting]);
        let [(name, advice)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(name, setting.0);
        assert!(advice.contains("it has no effect"), "{advice}");
    }
    let with_destination = [&of_journal[..], &[("REMOTE_WRITE_URL", "https://h/write")]].concat();
    assert_eq!(warnings(&with_destination), []);
    assert_eq!(warnings(&[]), []);
}

#[test]
fn destinations_that_cannot_work_cause_warnings() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let text = "remote_write:\n  - name: a\n    url: https://a.example/\n    keep: [starlink]\n    allow_insecure: true\n";
    fs::write(path("destinations.yaml"), text).unwrap();
    let found = warnings(&[
        ("JOURNAL_DIR", &path("journal")),
        ("REMOTE_WRITE_FILE", &path("destinations.yaml")),
    ]);
    assert_eq!(found.len(), 2, "{found:?}");
    for ((name, advice), part) in found.iter().zip(["nothing is sent", "allow_insecure"]) {
        assert_eq!(name, "REMOTE_WRITE_FILE");
        assert!(
            advice.starts_with("destination a: ") && advice.contains(part),
            "{advice}"
        );
    }
}

/// Senders read files with secrets again by themselves.
#[test]
fn a_rotated_secret_is_no_other_destination_but_is_redacted() {
    let directory = tempfile::tempdir().unwrap();
    let (file, token) = (
        directory.path().join("d.yaml"),
        directory.path().join("token"),
    );
    let text = |shards: u8| {
        format!(
            "remote_write:\n  - name: a\n    url: https://a.example/\n    max_shards: {shards}\n    authorization: {{credentials_file: token}}\n"
        )
    };
    let load = || load_file(&file, &mut FileReader::default()).unwrap();
    fs::write(&file, text(1)).unwrap();
    fs::write(&token, "n33dle-one").unwrap();
    let first = load();
    fs::write(&token, "n33dle-two").unwrap();
    let second = load();
    assert_eq!(first, second);
    fs::write(&file, text(2)).unwrap();
    assert_ne!(second, load());
    let redactor = Redactor::default();
    super::register_secrets(&second, &redactor);
    assert_eq!(redactor.redact("n33dle-two"), "[redacted]");
}

//! Tests of the settings of the journal and of remote write with the real binary: exit codes, the lock, the estimate of `check-config`,
//! and destinations that come and go.

use std::fs;

use crate::binary::{Binary, run};
use crate::harness::{environment, scripted_simulator};

#[actix_rt::test]
async fn a_directory_of_another_product_or_version_is_refused() {
    let simulator = scripted_simulator();
    for (file, content, expected) in [
        ("wal", "", "is not empty and has no journals"),
        (
            ".format",
            "starlink-telemetry journal 99\n",
            "was written by another version",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(file), content).unwrap();
        let shown = directory.path().to_str().unwrap();
        let changes = [
            ("JOURNAL_DIR", shown),
            ("REMOTE_WRITE_URL", "http://127.0.0.1:1/"),
        ];
        let mut binary = Binary::start(&simulator, &changes);
        assert_eq!(binary.ended().await, Some(2), "{}", binary.stderr());
        let stderr = binary.stderr();
        assert!(
            stderr.contains(&format!("JOURNAL_DIR: {shown} {expected}")),
            "{stderr}"
        );
        let names = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, 1, "nothing is added");
    }
}

#[actix_rt::test]
async fn only_one_process_can_use_a_directory_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let shown = journal.to_str().unwrap();
    let simulator = scripted_simulator();
    let changes = [
        ("JOURNAL_DIR", shown),
        ("REMOTE_WRITE_URL", "http://127.0.0.1:1/"),
    ];
    let (mut first, _) = Binary::listening(&simulator, &changes).await;
    let mut second = Binary::start(&simulator, &changes);
    assert_eq!(second.ended().await, Some(1));
    let logged = second.events_saying("cannot start");
    let expected = format!("{shown} is in use by another process");
    assert!(
        logged[0].text("error").contains(&expected),
        "{}",
        second.stderr()
    );
    first.signal("TERM");
    assert_eq!(first.ended().await, Some(0));
    let (_third, _) = Binary::listening(&simulator, &changes).await;
}

#[actix_rt::test]
async fn check_config_estimates_the_cost_of_each_destination() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let file = "remote_write:\n  - name: a\n    url: https://a.example/write\n  - name: b\n    url: https://b.example/write?key=n33dle\n    out_of_order_window: 33h\n    protocol: \"1.0\"\n";
    fs::write(path("destinations.yaml"), file).unwrap();
    let (journal, file) = (path("journal"), path("destinations.yaml"));
    let changes = [("JOURNAL_DIR", &*journal), ("REMOTE_WRITE_FILE", &*file)];
    let settings = environment(&scripted_simulator(), &changes);
    let (code, output, errors) = run(&["check-config"], settings).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    let lines: Vec<_> = output
        .lines()
        .filter(|line| line.starts_with("destination"))
        .collect();
    assert_eq!(
        lines,
        [
            "destination a: url=https://a.example/write",
            "destination b: url=https://b.example/write",
            "destination a: about 1203 samples/s, 20300 series, 16.7 kB/s per 1000 terminals",
            "destination a: out_of_order_window is 0: rows that are older than the newest row of their device are left out",
            "destination b: about 1203 samples/s, 20300 series, 22.9 kB/s per 1000 terminals",
        ]
    );
    assert!(!directory.path().join("journal").exists());
}

#[actix_rt::test]
async fn destinations_are_reloaded_and_a_wrong_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let entry = |name: &str| format!("  - name: {name}\n    url: http://127.0.0.1:1/\n");
    let (journal, file) = (path("journal"), path("destinations.yaml"));
    fs::write(&file, format!("remote_write:\n{}", entry("a"))).unwrap();
    let simulator = scripted_simulator();
    let changes = [("JOURNAL_DIR", &*journal), ("REMOTE_WRITE_FILE", &*file)];
    let (binary, _) = Binary::listening(&simulator, &changes).await;
    let wrong = format!(
        "remote_write:\n{}    sigv4: {{}}\n    max_shards: 0\n",
        entry("a")
    );
    fs::write(&file, wrong).unwrap();
    let refused = "cannot use the changed destinations: the previous ones stay in use";
    binary.logs(refused).await;
    let error = binary.events_saying(refused)[0].text("error").to_owned();
    assert!(
        error.contains("line 4") && error.contains("line 5"),
        "{error}"
    );
    fs::write(
        &file,
        format!("remote_write:\n{}{}", entry("a"), entry("b")),
    )
    .unwrap();
    binary.logs("destinations reloaded").await;
}

//! Tests of the state file across restarts and crashes.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use starlink_telemetry::app::Ending;
use starlink_telemetry::fleet::{FleetOptions, Retention};
use starlink_telemetry::simulator::{Answer, Simulator};
use starlink_telemetry::state_file::StateFile;
use starlink_telemetry::supervise::faults::{Fault, Inject, Place};

use crate::binary::{Binary, run};
use crate::form::{self, Body};
use crate::harness::{
    END_WITHIN, Service, UP, WAIT_LIMIT, environment, eventually, scripted_simulator, shows,
    terminal_row, throughput,
};
use crate::wire::get;

const FAILURES: &str = "starlink_exporter_state_write_failures_total";
const LAST_WRITE: &str = "starlink_exporter_state_last_write_timestamp_seconds";

/// The samples about devices.
fn telemetry(body: &Body) -> Vec<(String, f64)> {
    let samples = body.beginning("starlink_").into_iter();
    let own = |series: &str| series.starts_with("starlink_exporter_") || series == UP;
    samples
        .filter(|(series, _)| !own(series))
        .map(|(series, value)| (series.to_owned(), value))
        .collect()
}

/// A simulator that delivers a terminal and its allocation, then another terminal.
fn simulator() -> Simulator {
    let simulator = scripted_simulator();
    simulator.push_body(include_str!("../fixtures/stream/example.json"));
    simulator.push_rows([terminal_row("second", 1_000_000_000, 1.0)]);
    simulator
}

#[actix_rt::test]
async fn a_restart_shows_the_fleet_at_once_while_starlink_is_unreachable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let changes = [("STATE_FILE", path.to_str().unwrap())];
    let simulator = simulator();
    let mut first = Service::start(&simulator, &changes).await;
    first.shows(&throughput("second"), 1.0).await;
    let before = telemetry(&first.scrape().await);
    assert!(
        before
            .iter()
            .any(|(series, _)| series.contains("Ipv4_numeric")),
        "{before:?}"
    );
    first.ask_to_stop();
    assert_eq!(first.ended().await, Ending::Asked);

    simulator.unplug();
    let second = Service::start(&simulator, &changes).await;
    let body = second.scrape().await;
    assert_eq!(telemetry(&body), before);
    assert_eq!(body.value(UP), Some(0.0));
    assert_eq!(
        second.get("/readyz").await.status,
        503,
        "no poll has succeeded"
    );
    assert_eq!(body.value(LAST_WRITE), None, "it has been read only");
}

#[actix_rt::test]
async fn a_restored_device_accepts_only_newer_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let changes = [("STATE_FILE", path.to_str().unwrap())];
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("a", 5_000_000_000, 5.0)]);
    let mut first = Service::start(&simulator, &changes).await;
    first.shows(&throughput("a"), 5.0).await;
    first.ask_to_stop();
    first.ended().await;

    // The older row is ignored, and the newer one is used.
    simulator.push_rows([terminal_row("a", 4_000_000_000, 4.0)]);
    simulator.push_rows([terminal_row("b", 4_000_000_000, 4.0)]);
    let second = Service::start(&simulator, &changes).await;
    second.shows(&throughput("b"), 4.0).await;
    second.shows(&throughput("a"), 5.0).await;
    simulator.push_rows([terminal_row("a", 6_000_000_000, 6.0)]);
    second.shows(&throughput("a"), 6.0).await;
}

#[actix_rt::test]
async fn a_damaged_file_is_logged_renamed_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    const DAMAGED: &str = "starlink-telemetry state\n\u{1}\0\0\0nothing like a fleet";
    fs::write(&path, DAMAGED).unwrap();
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    let changes = [
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
    ];
    let (binary, address) = Binary::listening(&simulator, &changes).await;
    let logged = binary.events_saying("state file is unusable, starting empty");
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0].text("level"), "ERROR");
    assert!(logged[0].says("its checksum is wrong"), "{logged:?}");
    let aside = directory.path().join("state.broken");
    assert_eq!(fs::read_to_string(aside).unwrap(), DAMAGED);
    is_written(address).await;
    assert!(restored(&path).is_some());
}

async fn is_written(address: SocketAddr) {
    eventually("the state is written", || async {
        let body = form::scrape(address, "prometheus").await;
        body.value(LAST_WRITE).is_some()
    })
    .await;
}

/// An existing file of another kind is not renamed or replaced, and reading it does not block.
#[actix_rt::test]
async fn an_unsuitable_path_is_refused_at_the_start_and_by_check_config() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("foreign"), "[database]\npassword = 1\n").unwrap();
    fs::write(at("beginning"), "starlink-tele").unwrap();
    let made = Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert!(made.success());
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("target", at("link")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    let shown = directory.path().display();
    let simulator = scripted_simulator();
    for (path, expected) in [
        (at("foreign"), "is not a state file of starlink-telemetry, and is not overwritten: give another path, or remove the file".to_owned()),
        (at("beginning"), "is not a state file of starlink-telemetry, and is not overwritten: give another path, or remove the file".to_owned()),
        (at("fifo"), "is not a regular file: give the path of a file, which need not exist".to_owned()),
        (at("socket"), "is not a regular file: give the path of a file, which need not exist".to_owned()),
        ("/dev/full".into(), "is not a regular file: give the path of a file, which need not exist".to_owned()),
        (at("link"), "is a symbolic link: give the path of the file itself".to_owned()),
        (at("directory"), "is a directory: give the path of a file".to_owned()),
        (at("missing/state"), format!("cannot be written: there is no directory {shown}/missing")),
        (at("foreign/state"), format!("cannot be written: there is no directory {shown}/foreign")),
        // Not even the superuser can create a file there.
        ("/proc/state".into(), "cannot be written: no file can be created in /proc: No such file or directory (os error 2)".to_owned()),
    ] {
        let path = path.to_str().unwrap();
        let expected = format!("STATE_FILE: {path} {expected}");
        for command in [&[][..], &["check-config"]] {
            let settings = [("STATE_FILE", path), ("LOCATION", "perhaps")];
            let (code, _, errors) = run(command, environment(&simulator, &settings)).await;
            assert_eq!(code, 2, "{errors}");
            let problems = errors.lines().filter(|line| !line.starts_with("FAILED"));
            let problems: Vec<_> = problems.collect();
            assert_eq!(problems.len(), 2, "and the other one: {errors}");
            let is_told = |problem: &&str| problem.starts_with(&expected);
            assert!(problems.iter().any(is_told), "{errors}");
        }
    }
    let left: BTreeSet<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = [
        "beginning",
        "directory",
        "fifo",
        "foreign",
        "link",
        "socket",
    ];
    assert_eq!(left, expected.map(str::to_owned).into());
    let foreign = fs::read_to_string(at("foreign")).unwrap();
    assert_eq!(foreign, "[database]\npassword = 1\n");
}

#[actix_rt::test]
async fn an_empty_file_counts_as_no_state() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let simulator = scripted_simulator();
    let changes = [("STATE_FILE", path), ("STATE_INTERVAL", "1")];
    let (binary, address) = Binary::listening(&simulator, &changes).await;
    assert_eq!(binary.events_saying("no state file yet").len(), 1);
    is_written(address).await;
    assert!(restored(file.path()).is_some());
}

#[actix_rt::test]
async fn only_one_process_can_use_a_file_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fleet");
    let shown = path.to_str().unwrap();
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    let changes = [("STATE_FILE", shown), ("STATE_INTERVAL", "1")];
    let (mut first, address) = Binary::listening(&simulator, &changes).await;
    shows(address, &throughput("a"), 1.0).await;
    is_written(address).await;
    let mut second = Binary::start(&simulator, &changes);
    assert_eq!(second.ended().await, Some(1));
    let logged = second.events_saying("cannot start");
    let expected = format!(
        "cannot use STATE_FILE: STATE_FILE {shown} is in use by another process, which holds {shown}.lock: give each instance a file of its own"
    );
    assert_eq!(logged.len(), 1, "{}", second.stderr());
    assert_eq!(
        (logged[0].text("error"), logged[0].text("level")),
        (&*expected, "ERROR")
    );
    // The file is free after any end of the first process.
    first.kill();
    assert_eq!(first.ended().await, None);
    let (third, address) = Binary::listening(&simulator, &changes).await;
    shows(address, &throughput("a"), 1.0).await;
    assert_eq!(third.events_saying("state file read").len(), 1);
}

/// The file may be complete: it is renamed before a new one is written.
#[actix_rt::test]
async fn a_file_that_cannot_be_read_is_not_overwritten_until_it_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let shown = path.to_str().unwrap();
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("old", 1_000_000_000, 1.0)]);
    let changes = [
        ("STATE_FILE", shown),
        ("STATE_INTERVAL", "1"),
        ("LOG_FORMAT", "json"),
    ];
    let (mut first, address) = Binary::listening(&simulator, &changes).await;
    shows(address, &throughput("old"), 1.0).await;
    first.signal("TERM");
    assert_eq!(first.ended().await, Some(0));
    let logged = first.events_saying("state file saved");
    assert_eq!((logged.len(), logged[0].text("level")), (1, "INFO"));
    let before = fs::read(&path).unwrap();

    let forbid = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    forbid(0o000);
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    fs::remove_file(directory.path().join("state.lock")).unwrap();
    // The superuser can read every file, so the service runs as another user.
    let prelude =
        r#"{ [ "$(id -u)" != 0 ] || exec setpriv --reuid 65534 --clear-groups "$0" "$@"; }"#;
    let mut second = Binary::execute_after(prelude, &[], environment(&simulator, &changes));
    let address = second.address().await;
    let kept = second.events_saying("cannot read the state file: starting empty, the file is kept");
    assert_eq!((kept.len(), kept[0].text("level")), (1, "ERROR"));
    simulator.push_rows([terminal_row("new", 2_000_000_000, 2.0)]);
    shows(address, &throughput("new"), 2.0).await;
    eventually("it fails again and again", || async {
        form::scrape(address, "prometheus").await.value(FAILURES) >= Some(2.0)
    })
    .await;
    assert_eq!(second.events_saying("cannot write the state file").len(), 1);
    forbid(0o644);
    second.logs("writing the state file succeeds again").await;
    let aside = directory.path().join("state.broken");
    assert_eq!(fs::read(aside).unwrap(), before);
    assert_eq!(restored(&path), Some(1));
}

/// The state is lost then, but the previous file is kept.
#[actix_rt::test]
async fn a_store_that_hangs_does_not_prevent_the_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    let changes = [("STATE_FILE", path.to_str().unwrap())];
    let mut service = Service::start(&simulator, &changes).await;
    service.shows(&throughput("a"), 1.0).await;
    let hang = Fault::Hang(2 * END_WITHIN);
    let injected = service.store.send(Inject(Place::Future, hang)).await;
    assert!(injected.is_ok());
    let since = Instant::now();
    service.ask_to_stop();
    assert_eq!(service.ended().await, Ending::Asked);
    assert!(since.elapsed() < END_WITHIN);
    assert!(restored(&path).is_none(), "nothing half written");
}

/// The number of devices in the file, or `None` if there is no file. The test fails if the file is incomplete.
fn restored(path: &Path) -> Option<usize> {
    let day = Duration::from_secs(86_400);
    let options = FleetOptions {
        include_routers: true,
        retention: Retention {
            stale_after: day,
            ip_stale_after: day,
            forget_after: day,
        },
        ..FleetOptions::STANDARD
    };
    let file = StateFile::new(path.to_owned());
    let mut restored = file.read(options, SystemTime::now()).unwrap()?;
    restored.fleet.expire(restored.now);
    let tables = restored.fleet.snapshot().tables;
    Some(tables.iter().map(|table| table.counts.all()).sum())
}

/// A state file that cannot be written is logged once, counted, and has no other effect. `mend` makes writing possible again.
async fn unwritable(mut binary: Binary, simulator: &Simulator, mend: Option<&dyn Fn()>) {
    let address = binary.address().await;
    eventually("it fails again and again", || async {
        form::scrape(address, "prometheus").await.value(FAILURES) >= Some(3.0)
    })
    .await;
    simulator.push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    shows(address, &throughput("a"), 1.0).await;
    assert_eq!(get(address, "/livez", &[]).await.status, 200);
    let logged = binary.events_saying("cannot write the state file");
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0].text("level"), "ERROR");
    if let Some(mend) = mend {
        mend();
        binary.logs("writing the state file succeeds again").await;
        let body = form::scrape(address, "prometheus").await;
        assert!(body.value(LAST_WRITE).is_some());
    }
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

#[actix_rt::test]
async fn a_path_that_cannot_be_written_is_logged_once_and_so_is_the_recovery() {
    let directory = tempfile::tempdir().unwrap();
    let parent = directory.path().join("parent");
    let away = directory.path().join("away");
    fs::create_dir(&parent).unwrap();
    let path = parent.join("state");
    let simulator = scripted_simulator();
    let changes = [
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
    ];
    let (binary, _) = Binary::listening(&simulator, &changes).await;
    // Not even the superuser can write below a file.
    fs::rename(&parent, &away).unwrap();
    fs::write(&parent, "").unwrap();
    let mend = || {
        fs::remove_file(&parent).unwrap();
        fs::rename(&away, &parent).unwrap();
    };
    unwritable(binary, &simulator, Some(&mend)).await;
    assert_eq!(restored(&path), Some(1));
}

#[actix_rt::test]
async fn a_full_disk_is_logged_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let simulator = scripted_simulator();
    let changes = [
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
        ("LOG_FORMAT", "json"),
    ];
    // Writing fails behind the first byte of any file.
    let prelude = "trap '' XFSZ && ulimit -f 0";
    let binary = Binary::execute_after(prelude, &[], environment(&simulator, &changes));
    unwritable(binary, &simulator, None).await;
    assert_eq!(restored(&path), None);
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 1, "the lock, and nothing unfinished");
}

/// Waits until there is a further file, which is being written.
async fn is_being_written(directory: &Path) {
    let files = || -> Vec<_> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = files();
    let deadline = Instant::now() + WAIT_LIMIT;
    while files().iter().all(|file| before.contains(file)) {
        assert!(Instant::now() < deadline, "nothing is written");
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
}

#[actix_rt::test]
async fn a_kill_at_any_moment_leaves_a_complete_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let names: Vec<String> = (0..20_000).map(|number| format!("ut-{number}")).collect();
    let changes = [
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
        ("BATCH_SIZE", "65000"),
    ];
    let simulator = scripted_simulator();
    let mut random = fastrand::Rng::new();
    let mut unfinished = 0;
    for round in 0..15_u64 {
        let rows = names.iter().map(|name| terminal_row(name, round + 1, 1.0));
        simulator.push_answer(Answer::rows(rows));
        let (mut binary, _) = Binary::listening(&simulator, &changes).await;
        eventually("there is a state file", || async { path.exists() }).await;
        // Mostly while the next file is being written, sometimes at a random moment.
        if round % 5 > 0 {
            is_being_written(directory.path()).await;
        }
        actix_rt::time::sleep(Duration::from_millis(random.u64(..10))).await;
        binary.kill();
        assert_eq!(binary.ended().await, None);
        assert!(restored(&path).is_some());
        // The lock is always there.
        let files = fs::read_dir(directory.path()).unwrap().count() - 1;
        assert!(files <= 2, "the leftovers of earlier processes are gone");
        unfinished += usize::from(files == 2);
    }
    assert!(unfinished > 0, "no kill met a write");
    let (mut binary, address) = Binary::listening(&simulator, &changes).await;
    shows(address, &throughput("ut-19999"), 1.0).await;
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
    assert_eq!(restored(&path), Some(names.len()));
}
